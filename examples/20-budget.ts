/** Bounds what a run may take; one that takes more is interrupted, and tells what it had done. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  yield* thread.run("Try out ten commands.", { budget: { wallTime: "1 minute", tokens: 100_000, toolCalls: 2 } }).pipe(
    Effect.flatMap((result) => Console.log(result.finalResponse)),
    Effect.catchTag(
      "BudgetExceeded",
      ({ limit, result }) => Console.log(`Stopped for its ${limit}: the turn is ${result.status}`)
    )
  )
  // The thread goes on.
  const { finalResponse } = yield* thread.run("Then just say hello.")
  yield* Console.log(finalResponse)
})

runExample(program, {
  model: {
    respond: ({ text }) =>
      text.includes("hello")
        ? OfflineModel.text("Hello.")
        : OfflineModel.functionCall({ name: "exec_command", arguments: { cmd: "echo again" } })
  }
})
