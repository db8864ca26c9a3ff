/** Streams the events of a turn: the text as it comes, and each item as it begins and ends. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, Stdio, Stream } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const { stdout } = yield* Stdio.Stdio
  const print = (text: string) => Stream.run(Stream.make(text), stdout({ endOnDone: false }))
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  yield* thread.stream("Count to three.").pipe(
    Stream.runForEach((event) => {
      switch (event.method) {
        case "item/started":
          return Console.log(`[begins: ${event.params.item.type}]`)
        case "item/agentMessage/delta":
          return print(event.params.delta)
        case "item/completed":
          return Console.log(`\n[ends: ${event.params.item.type}]`)
        case "thread/tokenUsage/updated":
          return Console.log(`[tokens: ${event.params.tokenUsage.last.totalTokens}]`)
        case "turn/completed":
          return Console.log(`[the turn is ${event.params.turn.status}]`)
        // The protocol grows: leave alone what you do not know.
        default:
          return Effect.void
      }
    })
  )
})

runExample(program, {
  model: { replies: [[OfflineModel.text(["One, ", "two, ", "three."]), OfflineModel.usage({ input: 7, output: 3 })]] }
})
