/** Holds a turn in hand while it runs: adds to what was asked, and stops it. */
import { Codex, type TurnHandle } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, Latch, Stream } from "effect"
import { runExample } from "./support.ts"

/** Opened once the turn is steered: until then the offline model goes on speaking. */
const steered = Latch.makeUnsafe()

const firstWords = (turn: TurnHandle) => turn.text.pipe(Stream.take(1), Stream.runDrain)

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })

  const story = yield* thread.turn("Tell me a story.")
  yield* firstWords(story)
  yield* story.steer("It shall be about the sea.")
  yield* steered.open
  yield* Console.log((yield* story.result).finalResponse)

  const report = yield* thread.turn("Write a very long report.")
  yield* firstWords(report)
  yield* report.interrupt
  yield* report.result.pipe(
    Effect.andThen(Console.log("It had ended already.")),
    Effect.catchTag("TurnInterrupted", (error) => Console.log(`Stopped: ${error.result.status}`))
  )
}).pipe(Effect.scoped)

runExample(program, {
  model: {
    respond: ({ text }) =>
      text.includes("report")
        ? OfflineModel.text(["A report ", OfflineModel.hold(Effect.never)])
        : text.includes("sea")
        ? OfflineModel.text("Once upon a time there was a ship.")
        : OfflineModel.text(["Once ", OfflineModel.hold(steered), "upon a time."])
  }
})
