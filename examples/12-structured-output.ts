/** Asks for an answer in the shape of a Schema. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, Schema } from "effect"
import { runExample } from "./support.ts"

const City = Schema.Struct({
  name: Schema.String,
  inhabitants: Schema.Int,
  founded: Schema.NullOr(Schema.DateFromString),
  rivers: Schema.Array(Schema.String)
})

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  // `output` has the Schema's type. An answer that does not fit is sent back once, with the places where it does not.
  const { output } = yield* thread.run("Tell me about Oslo.", { output: City, repairs: 1 })
  yield* Console.log(`${output.name} has ${output.inhabitants} inhabitants`)
  yield* Console.log(`Founded in ${output.founded?.getUTCFullYear() ?? "an unknown year"}`)
  yield* Console.log(`Rivers: ${output.rivers.join(", ")}`)
}).pipe(
  Effect.catchTag("OutputDecodeError", (error) => Console.log(`${error.message}\n${error.raw}`))
)

const oslo = { name: "Oslo", inhabitants: 720_000, founded: "1040-01-01T00:00:00.000Z", rivers: ["Akerselva"] }

runExample(program, {
  model: { replies: [OfflineModel.json({ ...oslo, inhabitants: "many" }), OfflineModel.json(oslo)] }
})
