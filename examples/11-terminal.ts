/**
 * A conversation in the terminal: a line is a turn, `/new` begins a new thread, and
 * `/quit` or the end of the input ends the program. Ctrl+C interrupts the turn on the
 * server and ends the program, too.
 */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, Ref, Stdio, Stream } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const { stdin, stdout } = yield* Stdio.Stdio
  const print = <E>(text: Stream.Stream<string, E>) => Stream.run(text, stdout({ endOnDone: false }))
  const begin = codex.startThread({ sandbox: "readOnly" })
  const current = yield* Ref.make(yield* begin)

  const answer = Effect.fnUntraced(function*(question: string) {
    const thread = yield* Ref.get(current)
    const turn = yield* thread.turn(question)
    yield* print(Stream.concat(turn.text, Stream.make("\n")))
    yield* turn.result
  }, Effect.scoped)

  yield* print(Stream.make("> "))
  yield* stdin.pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.map((line) => line.trim()),
    Stream.takeWhile((line) => line !== "/quit"),
    Stream.runForEach((line) =>
      (line === "/new"
        ? Effect.flatMap(begin, (thread) => Ref.set(current, thread))
        : line === ""
        ? Effect.void
        : Effect.catchTag(answer(line), "TurnFailed", (error) => Console.error(error.message))).pipe(
          Effect.andThen(print(Stream.make("> ")))
        )
    )
  )
})

runExample(program, {
  model: {
    respond: ({ input, text }) => {
      const said = input.filter(({ role }) => role === "user").length - 1
      return OfflineModel.text(`Message ${said} of this thread: ${text}`)
    }
  }
})
