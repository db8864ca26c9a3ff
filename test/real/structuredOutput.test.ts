import { Codex, type OutputResult, StructuredOutput } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { asked, askedCount, echo, failure, live } from "./support.ts"

const City = Schema.Struct({
  name: Schema.String,
  inhabitants: Schema.Int,
  founded: Schema.optionalKey(Schema.String),
  rivers: Schema.Array(Schema.Struct({ name: Schema.String, length: Schema.NullOr(Schema.Finite) }))
})

const rome = { name: "Rome", inhabitants: 2_800_000, rivers: [{ name: "Tiber", length: null }] }

layer(OfflineCodex.layer({ model: echo }), live)("the output of a run", (it) => {
  it.effect("is had of a turn that is streamed, too", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* model.enqueue(OfflineModel.json({ ...rome, founded: null }))
      const { decode, jsonSchema } = yield* StructuredOutput.make(City)
      const { city, text } = yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Rome?", { params: { outputSchema: jsonSchema } })
        return { text: yield* Stream.mkString(turn.text), city: yield* decode(yield* turn.result) }
      }))
      assert.deepStrictEqual(city, rome)
      assert.deepStrictEqual(JSON.parse(text), { ...rome, founded: null })
    }))

  it.effect("is asked for by a strict schema, for this turn only, and decoded", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* model.enqueue(OfflineModel.json({ ...rome, founded: null }))
      const result: OutputResult<typeof City.Type> = yield* thread.run("Rome?", { output: City })
      assert.deepStrictEqual(result.output, rome)
      assert.strictEqual(result.status, "completed")
      assert.strictEqual((yield* thread.run("And else?")).finalResponse, "Answer to: And else?")
      assert.deepInclude((yield* asked(thread.id)).format, {
        type: "json_schema",
        strict: true,
        schema: {
          type: "object",
          additionalProperties: false,
          required: ["name", "inhabitants", "founded", "rivers"],
          properties: {
            name: { type: "string" },
            inhabitants: {
              type: "integer",
              minimum: Number.MIN_SAFE_INTEGER,
              maximum: Number.MAX_SAFE_INTEGER
            },
            founded: { anyOf: [{ type: "string" }, { type: "null" }] },
            rivers: {
              type: "array",
              items: {
                type: "object",
                additionalProperties: false,
                required: ["name", "length"],
                properties: {
                  name: { type: "string" },
                  length: { anyOf: [{ type: "number" }, { type: "null" }] }
                }
              }
            }
          }
        }
      })
      assert.isUndefined((yield* asked(thread.id, 2)).format)
    }))

  it.effect("is refused before anything is sent where the model cannot be held to it, with the place", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const schema = Schema.Struct({ list: Schema.Array(Schema.Struct({ any: Schema.optional(Schema.Unknown) })) })
      const error = yield* failure(thread.run("Anything?", { output: schema }), "UnsupportedOutputSchema")
      assert.strictEqual(error.path, "list[].any")
      yield* failure(thread.run("Anything?", { output: Schema.String }), "UnsupportedOutputSchema")
      yield* thread.run("Hello")
      assert.strictEqual(yield* askedCount(thread.id), 1)
    }))

  it.effect("that does not fit is an error with the text and where it does not; nothing is repaired unasked", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      const raw = JSON.stringify({ ...rome, founded: null, rivers: [{ name: 5, length: null }] })
      yield* model.enqueue(OfflineModel.text(raw))
      const error = yield* failure(thread.run("Rome?", { output: City }), "OutputDecodeError")
      assert.strictEqual(error.raw, raw)
      assert.strictEqual(error.result.finalResponse, raw)
      assert.deepStrictEqual(error.issues.map(({ path }) => path), ["rivers[0].name"])
      assert.strictEqual(yield* askedCount(thread.id), 1)
    }))

  it.effect("is repaired by turns that tell the model what was wrong, as often as that is allowed", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      const wrong = OfflineModel.json({ ...rome, founded: null, inhabitants: "many" })
      yield* model.enqueue(OfflineModel.text("Rome is a city."), wrong, OfflineModel.json({ ...rome, founded: null }))
      const { output } = yield* thread.run("Rome?", { output: City, repairs: 2 })
      assert.deepStrictEqual(output, rome)
      const repairs = [yield* asked(thread.id, 2), yield* asked(thread.id, 3)]
      assert.include(repairs[0]?.text, "Expected JSON")
      assert.include(repairs[1]?.text, "inhabitants")
      for (const { format } of repairs) assert.deepInclude(format, { type: "json_schema", strict: true })

      yield* model.enqueue(wrong, wrong, wrong)
      yield* failure(thread.run("Rome?", { output: City, repairs: 2 }), "OutputDecodeError")
      assert.strictEqual(yield* askedCount(thread.id), 6)
    }))

  it.effect("is not repaired where the turn itself failed", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* model.enqueue(OfflineModel.failed({ code: "server_error", message: "broken" }))
      yield* failure(thread.run("Rome?", { output: City, repairs: 2 }), "TurnFailed")
      assert.strictEqual(yield* askedCount(thread.id), 1)
    }))

  it.effect("may be of the Schema's own types", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* model.enqueue(OfflineModel.json({ at: "2026-01-02T03:04:05.000Z", size: "12" }))
      const { output } = yield* thread.run("When?", {
        output: Schema.Struct({ at: Schema.DateFromString, size: Schema.BigInt })
      })
      assert.deepStrictEqual(output, { at: new Date("2026-01-02T03:04:05.000Z"), size: 12n })
    }))
})
