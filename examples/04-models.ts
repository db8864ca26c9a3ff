/** Shows which app-server this is, who is logged in, and the models there are to choose from. */
import { Codex } from "@effect-codex/core"
import { Console, Effect } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  yield* Console.log(`Codex ${codex.metadata.version ?? "of an unknown version"} on ${codex.metadata.platformOs}`)
  const { account } = yield* codex.account()
  yield* Console.log(`Account: ${account?.type ?? "nobody"}`)
  for (const model of yield* codex.models()) {
    const efforts = model.supportedReasoningEfforts.map(({ reasoningEffort }) => reasoningEffort).join(", ")
    yield* Console.log(`${model.isDefault ? "*" : " "} ${model.id}: ${model.displayName} (${efforts})`)
  }
})

runExample(program)
