/** Runs one turn and shows all that it came to. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  const result = yield* thread.run("What does `echo hello` print?")
  yield* Console.log(`Status: ${result.status}`)
  for (const item of result.items) {
    switch (item.type) {
      case "commandExecution":
        yield* Console.log(`Command: ${item.command}`)
        break
      case "agentMessage":
        yield* Console.log(`Message (${item.phase ?? "no phase"}): ${item.text}`)
        break
      default:
        yield* Console.log(`Item: ${item.type}`)
    }
  }
  yield* Console.log(`Answer: ${result.finalResponse}`)
  yield* Console.log(`Tokens: ${result.usage?.total.totalTokens ?? 0}`)
})

runExample(program, {
  model: {
    replies: [
      [
        OfflineModel.commentary("I will try it."),
        OfflineModel.functionCall({ name: "exec_command", arguments: { cmd: "echo hello" } }),
        OfflineModel.usage({ input: 10, output: 5 })
      ],
      [OfflineModel.finalAnswer("It prints hello."), OfflineModel.usage({ input: 20, output: 5 })]
    ]
  }
})
