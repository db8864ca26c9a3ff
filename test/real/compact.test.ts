import { Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { asked, echo, failure, itemsOf, live } from "./support.ts"

layer(OfflineCodex.layer({ model: echo }), live)("compacting a thread", (it) => {
  it.effect("puts the model's summary in the place of its history", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* thread.run("A long story")
      yield* model.enqueue(OfflineModel.text("SUMMARY: there was a story."))
      yield* thread.compact
      const compaction = yield* asked(thread.id, 2)
      assert.strictEqual(compaction.kind, "compaction")
      assert.include(JSON.stringify(compaction.input), "Answer to: A long story")
      yield* thread.run("And then?")
      const sent = JSON.stringify((yield* asked(thread.id, 3)).input)
      assert.include(sent, "SUMMARY: there was a story.")
      assert.include(sent, "And then?")
      assert.notInclude(sent, "Answer to: A long story")
    }))

  it.effect("is a turn of the thread, for everybody who listens", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      yield* thread.run("A long story")
      const listener = yield* thread.events.pipe(
        Stream.takeUntil((event) => event.method === "turn/completed"),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* thread.compact
      const events = yield* Fiber.join(listener)
      const completed = events.flatMap((event) => event.method === "item/completed" ? [event.params.item] : [])
      assert.strictEqual(itemsOf(completed, "contextCompaction").length, 1)
      assert.deepStrictEqual((yield* thread.read()).status, { type: "idle" })
    }))

  it.effect("works without any history", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      yield* thread.compact
      assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
    }))

  it.effect("fails when the model does", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* thread.run("A long story")
      yield* model.enqueue(OfflineModel.failed({ code: "rate_limit_exceeded", message: "slow down" }))
      const error = yield* failure(thread.compact, "TurnFailed")
      assert.strictEqual(error.threadId, thread.id)
      assert.strictEqual(error.error?.codexErrorInfo, "rateLimitExceeded")
      // The history is still there.
      yield* thread.run("And then?")
      assert.include(JSON.stringify((yield* asked(thread.id, 3)).input), "Answer to: A long story")
    }))

  it.effect("is interrupted with the fiber that waits for it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* thread.run("A long story")
      yield* model.enqueue(OfflineModel.text([OfflineModel.hold(Effect.never)]))
      const compacting = yield* Effect.forkChild(thread.compact)
      const request = yield* asked(thread.id, 2)
      yield* Fiber.interrupt(compacting)
      assert.strictEqual(yield* request.outcome, "disconnected")
      assert.deepStrictEqual((yield* thread.read()).status, { type: "idle" })
      yield* thread.run("And then?")
      assert.include(JSON.stringify((yield* asked(thread.id, 3)).input), "Answer to: A long story")
    }))

  it.effect("ends the turn that runs", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["Half ", OfflineModel.hold(gate), "and whole"]))
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Go")
      yield* gate.reached
      yield* thread.compact
      const error = yield* failure(turn.result, "TurnInterrupted")
      assert.strictEqual(error.turnId, turn.id)
    }))

  it.effect("that is gone fails", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      yield* codex.deleteThread(thread.id)
      const error = yield* failure(thread.compact, "InvalidRequest")
      assert.strictEqual(error.method, "thread/compact/start")
      assert.include(error.message, "thread not found")
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("compacting a thread twice", (it) => {
  it.effect("is interrupted by another one that comes at once", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      yield* thread.run("A long story")
      const ends = yield* Effect.all([Effect.result(thread.compact), Effect.result(thread.compact)], { concurrency: 2 })
      // Where the first one is through before the second one comes, both are.
      const failures = ends.flatMap((end) => end._tag === "Failure" ? [end.failure._tag] : [])
      assert.isTrue(failures.length < 2 && failures.every((tag) => tag === "TurnInterrupted"), failures.join())
    }))
})
