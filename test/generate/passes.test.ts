import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hoist } from "../../packages/node/src/protocol/bundle.ts"
import { correctNames, distribute, dropHeadings, mergeEnums, unwrapAllOf } from "../../scripts/generate/passes.ts"

const bundle = (definitions: object, v2: object) => ({ definitions: { ...definitions, v2 } })

describe("hoist", () => {
  it.effect("puts both namespaces side by side, sorted, and rewrites what refers to them", () =>
    Effect.gen(function*() {
      const definitions = yield* hoist(
        bundle({ B: { title: "B", properties: { a: { $ref: "#/definitions/v2/A" } } }, Same: { type: "string" } }, {
          A: { anyOf: [{ $ref: "#/definitions/B" }, { type: "null" }] },
          Same: { title: "Same", type: "string" }
        })
      )
      assert.deepStrictEqual(Object.keys(definitions), ["A", "B", "Same"])
      assert.deepStrictEqual(definitions.A, { anyOf: [{ $ref: "#/$defs/B" }, { type: "null" }] })
      assert.deepStrictEqual(definitions.B, { properties: { a: { $ref: "#/$defs/A" } } })
    }))

  it.effect("refuses a name that means two things", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(hoist(bundle({ A: { type: "string" } }, { A: { type: "number" } })))
      assert.include(error.message, "A differs")
    }))

  it.effect("refuses a reference to nothing, and a bundle that is none", () =>
    Effect.gen(function*() {
      const dangling = yield* Effect.flip(hoist(bundle({}, { A: { $ref: "#/definitions/v2/Gone" } })))
      assert.include(dangling.message, "Gone")
      const odd = yield* Effect.flip(hoist({ definitions: {} }))
      assert.strictEqual(odd._tag, "UnexpectedBundle")
    }))
})

describe("unwrapAllOf", () => {
  it("replaces a lone reference and keeps what describes it", () => {
    assert.deepStrictEqual(unwrapAllOf({ description: "d", default: "x", allOf: [{ $ref: "#/$defs/A" }] }), {
      description: "d",
      default: "x",
      $ref: "#/$defs/A"
    })
  })

  it("leaves real intersections, which a later check refuses", () => {
    const node = { allOf: [{ $ref: "#/$defs/A" }, { $ref: "#/$defs/B" }] }
    assert.deepStrictEqual(unwrapAllOf(node), node)
  })
})

describe("distribute", () => {
  const tag = (value: string) => ({ type: "string", enum: [value] })

  it("copies the properties beside a union into its branches, at every depth", () => {
    assert.deepStrictEqual(
      distribute({
        type: "object",
        properties: { id: { type: "string" } },
        required: ["id"],
        oneOf: [
          { type: "object", properties: { type: tag("a") }, required: ["type"] },
          {
            type: "object",
            properties: { type: tag("b") },
            required: ["type"],
            anyOf: [
              { properties: { url: { type: "string" } }, required: ["url"] },
              { properties: { fileId: { type: "string" } }, required: ["fileId"] }
            ]
          }
        ]
      }),
      {
        anyOf: [
          { type: "object", properties: { id: { type: "string" }, type: tag("a") }, required: ["id", "type"] },
          {
            type: "object",
            properties: { id: { type: "string" }, type: tag("b"), url: { type: "string" } },
            required: ["id", "type", "url"]
          },
          {
            type: "object",
            properties: { id: { type: "string" }, type: tag("b"), fileId: { type: "string" } },
            required: ["id", "type", "fileId"]
          }
        ]
      }
    )
  })

  it("leaves plain structs alone", () => {
    const node = { type: "object", properties: { a: { type: "string" } } }
    assert.deepStrictEqual(distribute(node), node)
  })
})

describe("mergeEnums", () => {
  it("makes one enum of documented members, and keeps their docs", () => {
    assert.deepStrictEqual(
      mergeEnums({
        description: "Kinds.",
        oneOf: [{ type: "string", enum: ["a", "b"] }, { type: "string", enum: ["c"], description: "The third." }]
      }),
      { type: "string", enum: ["a", "b", "c"], description: "Kinds.\n\n- `c`: The third." }
    )
  })

  it("merges the strings of an externally tagged union and leaves its objects", () => {
    const object = { type: "object", properties: { x: true }, required: ["x"], additionalProperties: false }
    assert.deepStrictEqual(
      mergeEnums({ oneOf: [{ type: "string", enum: ["a"] }, object, { type: "string", enum: ["b"] }] }),
      { anyOf: [{ type: "string", enum: ["a", "b"] }, object] }
    )
  })
})

describe("dropHeadings", () => {
  it("drops a heading of the source, and only that", () => {
    assert.deepStrictEqual(dropHeadings({ anyOf: [{ description: "NEW NOTIFICATIONS" }] }), { anyOf: [{}] })
    assert.deepStrictEqual(dropHeadings({ description: "NEW APIs Sent when." }), { description: "Sent when." })
    assert.deepStrictEqual(dropHeadings({ description: "NEWS." }), { description: "NEWS." })
  })
})

describe("correctNames", () => {
  const union = (key: string) => ({
    anyOf: [{ type: "object", properties: { [key]: { type: "string" } }, required: [key] }]
  })

  it.effect("gives the variants of the listed unions the names of the wire", () =>
    Effect.gen(function*() {
      const corrected = yield* correctNames({ A: union("turn_id"), B: union("call_id") }, ["A"])
      assert.deepStrictEqual(corrected, { A: union("turnId"), B: union("call_id") })
    }))

  it.effect("refuses an entry that is not needed", () =>
    Effect.gen(function*() {
      const right = yield* Effect.flip(correctNames({ A: union("turnId") }, ["A"]))
      assert.include(right.message, "A has no field to rename")
      const gone = yield* Effect.flip(correctNames({}, ["A"]))
      assert.include(gone.message, "A has no field to rename")
      assert.deepStrictEqual(yield* correctNames({}, ["A"], { partial: true }), {})
    }))
})
