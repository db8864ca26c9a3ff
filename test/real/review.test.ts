import { Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { closable, echo, failure, itemsOf, live, methods } from "./support.ts"

const target = { type: "custom", instructions: "Check the spelling" } as const

const verdict = OfflineModel.json({
  findings: [],
  overall_correctness: "patch is correct",
  overall_explanation: "Looks fine",
  overall_confidence_score: 0.9
})

layer(OfflineCodex.layer({ model: echo }), live)("a review", (it) => {
  /** A review whose model waits, and the request that it waits with. */
  const waiting = Effect.gen(function*() {
    const codex = yield* Codex
    const model = yield* OfflineModel
    const gate = yield* OfflineModel.gate
    yield* model.enqueue([OfflineModel.hold(gate), verdict])
    const thread = yield* codex.startThread()
    const scope = yield* closable
    const review = yield* scope.use(thread.review(target))
    yield* gate.reached
    const request = (yield* model.requests).at(-1) ?? assert.fail("The model was not asked")
    assert.include(JSON.stringify(request.input), "Check the spelling")
    return { thread, review, gate, scope, request }
  })

  it.effect("is a turn with the reviewer's words as its answer", () =>
    Effect.gen(function*() {
      const { gate, review, thread } = yield* waiting
      yield* gate.open
      const result = yield* review.result
      assert.strictEqual(review.threadId, thread.id)
      assert.strictEqual(result.turnId, review.id)
      assert.strictEqual(result.status, "completed")
      assert.strictEqual(result.finalResponse, "Looks fine")
      assert.strictEqual(result.review, "Looks fine")
      assert.strictEqual(itemsOf(result.items, "enteredReviewMode").length, 1)
      assert.deepStrictEqual(itemsOf(result.items, "exitedReviewMode").map((item) => item.review), ["Looks fine"])
      const events = yield* Stream.runCollect(review.events)
      assert.include(methods(events), "turn/started")
      assert.strictEqual(methods(events).at(-1), "turn/completed")
      assert.strictEqual((yield* thread.run("Thank you")).finalResponse, "Answer to: Thank you")
    }))

  it.effect("is interrupted by its handle", () =>
    Effect.gen(function*() {
      const { request, review, thread } = yield* waiting
      yield* review.interrupt
      const error = yield* failure(review.result, "TurnInterrupted")
      assert.strictEqual(error.turnId, review.id)
      assert.strictEqual(yield* request.outcome, "disconnected")
      assert.strictEqual((yield* thread.run("Go on")).finalResponse, "Answer to: Go on")
    }))

  it.effect("is interrupted by the end of its scope", () =>
    Effect.gen(function*() {
      const { request, review, scope, thread } = yield* waiting
      yield* scope.close
      yield* failure(review.result, "TurnInterrupted")
      assert.strictEqual(yield* request.outcome, "disconnected")
      assert.strictEqual((yield* thread.run("Go on")).finalResponse, "Answer to: Go on")
    }))

  it.effect("is interrupted as soon as its handle is there", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.respond(() => OfflineModel.text([OfflineModel.hold(Effect.never)]))
      const thread = yield* codex.startThread()
      const review = yield* thread.review(target)
      yield* review.interrupt
      yield* failure(review.result, "TurnInterrupted")
      yield* model.respond((request) => echo.respond?.(request))
      assert.strictEqual((yield* thread.run("Go on")).finalResponse, "Answer to: Go on")
    }))

  it.effect("cannot be steered", () =>
    Effect.gen(function*() {
      const { gate, review } = yield* waiting
      const error = yield* failure(review.steer("Look closer"), "InvalidRequest")
      assert.strictEqual(error.method, "turn/steer")
      yield* gate.open
      assert.strictEqual((yield* review.result).finalResponse, "Looks fine")
    }))
})
