import { Codex, Input } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { echo, failure, itemsOf, live, messages, prompts } from "./support.ts"

layer(OfflineCodex.layer({ model: echo, codex: { experimental: true } }), live)("the queue of a thread", (it) => {
  /** A thread whose turn waits at a gate, and what `texts` became in its queue. */
  const busy = (...texts: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["Busy ", OfflineModel.hold(gate), "no more"]))
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("First")
      yield* gate.reached
      const queued = yield* Effect.forEach(texts, (text) => thread.queue.add(text))
      return { thread, turn, gate, ids: queued.map(({ id }) => id) }
    })

  const waiting = (thread: { readonly queue: { readonly list: Stream.Stream<{ readonly id: string }, unknown> } }) =>
    Effect.map(Stream.runCollect(thread.queue.list), (all) => all.map(({ id }) => id))

  it.effect("lists, changes, reorders and takes out what waits", () =>
    Effect.gen(function*() {
      const { ids: [one = "", two = "", three = ""], thread, turn } = yield* busy("One", "Two", "Three")
      assert.deepStrictEqual(yield* waiting(thread), [one, two, three])
      const updated = yield* thread.queue.update(two, [Input.text("Second")])
      assert.deepStrictEqual(updated.input.map((part) => part.type === "text" ? part.text : ""), ["Second"])
      yield* thread.queue.reorder([three, one, two])
      assert.deepStrictEqual(yield* waiting(thread), [three, one, two])
      assert.isTrue(yield* thread.queue.delete(one))
      assert.isFalse(yield* thread.queue.delete(one))
      assert.deepStrictEqual(yield* waiting(thread), [three, two])
      yield* failure(thread.queue.update(one, "Gone"), "InvalidRequest")
      const error = yield* failure(thread.queue.reorder([three]), "InvalidRequest")
      assert.include(error.message, "every queued submission exactly once")
      yield* turn.interrupt
    }))

  it.effect("is worked off once the turn has ended, in turns of nobody's", () =>
    Effect.gen(function*() {
      const { gate, thread, turn } = yield* busy("One", "Two")
      const ended = thread.events.pipe(
        Stream.filter((event) => event.method === "turn/completed" && event.turnId !== turn.id),
        Stream.take(2),
        Stream.runCollect
      )
      const fiber = yield* Effect.forkChild(ended, { startImmediately: true })
      yield* gate.open
      assert.deepStrictEqual(messages((yield* turn.result).items), ["Busy no more"])
      const turns = yield* Fiber.join(fiber)
      assert.strictEqual(turns.length, 2)
      assert.deepStrictEqual(yield* waiting(thread), [])
      const items = yield* Stream.runCollect(thread.items())
      assert.deepStrictEqual(prompts(items.map(({ item }) => item)), ["First", "One", "Two"])
    }))

  it.effect("waits after an interruption until one is started, as a turn of this client", () =>
    Effect.gen(function*() {
      const { ids: [one = "", two = ""], thread, turn } = yield* busy("One", "Two")
      const refused = yield* failure(Effect.scoped(thread.queue.start()), "InvalidRequest")
      assert.include(refused.message, "already has an active or pending turn")
      yield* turn.interrupt
      assert.deepStrictEqual(yield* waiting(thread), [one, two])
      const both = yield* thread.events.pipe(
        Stream.filter((event) => event.method === "turn/completed"),
        Stream.take(2),
        Stream.runDrain,
        Effect.forkChild({ startImmediately: true })
      )
      const started = yield* thread.queue.start(two)
      const result = yield* started.result
      assert.deepStrictEqual(prompts(result.items), ["Two"])
      assert.strictEqual(result.finalResponse, "Answer to: Two")
      const events = yield* Stream.runCollect(started.events)
      assert.strictEqual(events.at(-1)?.method, "turn/completed")
      // Its end has the other one started, which asks the model too.
      yield* Fiber.join(both)
      assert.deepStrictEqual(yield* waiting(thread), [])
    }))

  it.effect("names the user message as asked", () =>
    Effect.gen(function*() {
      const { thread, turn } = yield* busy()
      const { clientUserMessageId } = yield* thread.queue.add("One", { clientId: "mine" })
      assert.strictEqual(clientUserMessageId, "mine")
      yield* turn.interrupt
      const started = yield* thread.queue.start()
      const { items } = yield* started.result
      assert.deepStrictEqual(itemsOf(items, "userMessage").map(({ clientId }) => clientId), ["mine"])
    }))

  it.effect("that is empty starts nothing", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      assert.deepStrictEqual(yield* waiting(thread), [])
      const error = yield* failure(Effect.scoped(thread.queue.start()), "InvalidRequest")
      assert.include(error.message, "queue is empty")
    }))

  it.effect("is not there on an ephemeral thread", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ ephemeral: true })
      const error = yield* failure(thread.queue.add("One"), "InvalidRequest")
      assert.include(error.message, "ephemeral thread does not support queued submissions")
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("the queue without the experimental API", (it) => {
  it.effect("is refused before anything is sent", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const error = yield* failure(thread.queue.add("One"), "ExperimentalApiRequired")
      assert.strictEqual(error.method, "thread/queue/add")
    }))
})
