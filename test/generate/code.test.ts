import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { codeOf, docComment, layout, makeMarks } from "../../scripts/generate/code.ts"

describe("docComment", () => {
  it("cannot be ended from inside", () => {
    assert.strictEqual(docComment("a */ b"), "/** a *\\/ b */\n")
    assert.strictEqual(docComment("a\n\nb", "  "), "  /**\n   * a\n   *\n   * b\n   */\n")
  })
})

describe("layout", () => {
  it("gives each property a line, its doc and its own name", () => {
    const marks = makeMarks()
    const id = marks.mark("in")("id", { description: "The id." }, false)
    const odd = marks.mark("in")("odd-key", { default: 3 }, true)
    const inner = marks.mark("in")("inner", {}, false)
    assert.strictEqual(
      layout(
        `{ readonly "${id}": string, readonly "${odd}"?: ReadonlyArray<{ readonly "${inner}": "a, } {" }> } | Other`,
        marks
      ),
      [
        "{",
        "  /** The id. */",
        "  readonly id: string,",
        "  /** Left out, it is `3`. */",
        "  readonly \"odd-key\"?: ReadonlyArray<{",
        "    readonly inner: \"a, } {\"",
        "  }>",
        "} | Other"
      ].join("\n")
    )
  })

  it("lets a caller say undefined for what is optional", () => {
    const marks = makeMarks()
    const model = marks.mark("out")("model", {}, true)
    assert.strictEqual(layout(`{ readonly "${model}"?: string }`, marks), "{\n  readonly model?: undefined | string\n}")
    assert.strictEqual(
      layout(`Schema.Struct({ "${model}": Schema.optionalKey(Schema.String) })`, marks),
      "Schema.Struct({\n  model: Schema.optional(Schema.String)\n})"
    )
  })
})

describe("codeOf", () => {
  it.effect("keeps names of structs, and gives the messages of closed enums their members", () =>
    Effect.gen(function*() {
      const marks = makeMarks()
      const code = yield* codeOf({
        Kind: { type: "string", enum: ["a", "b"] },
        Holder: { type: "object", properties: { kind: { $ref: "#/$defs/Kind" } }, additionalProperties: false }
      }, marks)
      assert.deepStrictEqual(code.get("Kind"), { runtime: "Schema.Literals([\"a\", \"b\"])", type: "\"a\" | \"b\"" })
      assert.deepStrictEqual(code.get("Holder"), {
        runtime: "Schema.Struct({ \"kind\": Schema.optionalKey(Kind) }).annotate({ \"identifier\": \"Holder\" })",
        type: "{ readonly \"kind\"?: Kind }"
      })
    }))
})
