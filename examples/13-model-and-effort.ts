/** Chooses the model, and how hard it thinks. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const models = yield* codex.models()
  const model = models.find(({ isDefault }) => isDefault) ?? models[0]
  if (model === undefined) return yield* Console.log("There are no models.")
  const hardest = model.supportedReasoningEfforts.at(-1)?.reasoningEffort ?? model.defaultReasoningEffort

  const thread = yield* codex.startThread({ model: model.id, sandbox: "readOnly" })
  const first = yield* thread.run("Say hello.", { effort: model.defaultReasoningEffort })
  yield* Console.log(first.finalResponse)
  // An override holds for the turns after it, too.
  const second = yield* thread.run("How many primes are there below 1000?", { effort: hardest, summary: "concise" })
  yield* Console.log(second.finalResponse)
  const third = yield* thread.run("And below 100?")
  yield* Console.log(third.finalResponse)
  yield* Console.log(`Default: ${model.defaultReasoningEffort}, hardest: ${hardest}`)
})

runExample(program, {
  model: { respond: ({ effort }) => OfflineModel.text(`Effort: ${effort}`) }
})
