import { CodexError } from "@effect-codex/core"
import * as Errors from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

describe("the union of all errors", () => {
  it("has every error that there is", () => {
    const tags = (values: ReadonlyArray<unknown>) =>
      values.flatMap((value) => typeof value === "function" && value.prototype instanceof Error ? [value.name] : [])
        .toSorted()
    assert.deepStrictEqual(tags([...CodexError.members]), tags(Object.values(Errors)))
  })

  const Wire = Schema.fromJsonString(Schema.toCodecJson(CodexError))

  it.effect.prop("comes back from JSON as it was", [CodexError], ([error]) =>
    Effect.gen(function*() {
      const back = yield* Schema.decodeEffect(Wire)(yield* Schema.encodeEffect(Wire)(error))
      assert.strictEqual(back._tag, error._tag)
      assert.instanceOf(back, Error)
      assert.strictEqual(back.message, error.message)
      assert.isTrue(Schema.toEquivalence(CodexError)(back, error))
    }), { arbitrary: { runs: 200 } })
})
