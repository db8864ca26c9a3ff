/**
 * Shares an app-server that somebody else runs: one program works on a thread, and
 * another one, with a connection of its own, listens and takes over.
 *
 *     codex app-server --listen ws://127.0.0.1:4500
 *     CODEX_URL=ws://127.0.0.1:4500 npm run example examples/28-remote.ts -- --live
 */
import { Codex } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Deferred, Effect, Fiber, Stream } from "effect"
import { runRemoteExample } from "./support.ts"

/** A connection of its own for each program that is given it: where CODEX_URL says, with the token in CODEX_TOKEN. */
const connected = Effect.provide(NodeCodex.layerConfig(), { local: true })

/** Starts a thread, and goes on with it once somebody listens. */
const first = Effect.fnUntraced(function*(
  begun: Deferred.Deferred<string>,
  listening: Deferred.Deferred<void>
) {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  yield* thread.run("Remember the number 7.")
  yield* Deferred.succeed(begun, thread.id)
  yield* Deferred.await(listening)
  const { finalResponse } = yield* thread.run("Add 3 to it.")
  yield* Console.log(`The first is told: ${finalResponse}`)
}, connected)

/** Hears what the first one's turn says, and then asks for itself. */
const second = Effect.fnUntraced(function*(threadId: string, listening: Deferred.Deferred<void>) {
  const codex = yield* Codex
  const thread = yield* codex.resumeThread(threadId, { sandbox: "readOnly" })
  const turn = yield* thread.events.pipe(
    Stream.tap(({ method }) => method === "turn/started" ? Console.log("The second hears a turn begin") : Effect.void),
    Stream.takeUntil(({ method }) => method === "turn/completed"),
    Stream.runDrain,
    Effect.forkChild({ startImmediately: true })
  )
  yield* Deferred.succeed(listening, undefined)
  yield* Fiber.join(turn)
  yield* Console.log("The second hears it end")
  const { finalResponse } = yield* thread.run("What is it now?")
  yield* Console.log(`The second is told: ${finalResponse}`)
}, connected)

const program = Effect.gen(function*() {
  const begun = yield* Deferred.make<string>()
  const listening = yield* Deferred.make<void>()
  const working = yield* Effect.forkChild(first(begun, listening))
  yield* second(yield* Deferred.await(begun), listening)
  yield* Fiber.join(working)
}).pipe(
  Effect.catchTag("TransportError", (error) => Console.log(`No app-server: ${error.message}`))
)

runRemoteExample(program, {
  respond: ({ text }) =>
    OfflineModel.text(
      text.startsWith("Remember") ? "I will." : text.startsWith("Add") ? "That makes 10." : "It is 10."
    )
})
