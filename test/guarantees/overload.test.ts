import {
  AppServerClient,
  Codex,
  RetryLimitExceeded,
  retryOnOverload,
  RetryPolicy,
  TurnFailed
} from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { echo, live } from "../real/support.ts"

const full = OfflineModel.failed({ code: "server_is_overloaded", message: "The model is full" })

layer(OfflineCodex.layer({ model: echo }), live)("a model that is full", (it) => {
  it.effect("has the turn repeated where the program says so, and only there", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* model.enqueue(full)
      const error = yield* Effect.flip(thread.run("once"))
      assert.instanceOf(error, TurnFailed)
      assert.strictEqual(error.error?.codexErrorInfo, "serverOverloaded")
      yield* model.enqueue(full, full)
      const result = yield* retryOnOverload(thread.run("again"), RetryPolicy.overload)
      assert.strictEqual(result.finalResponse, "Answer to: again")
    }))

  it.effect("is given up on with the last turn that failed", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* model.enqueue(full, full, full)
      const error = yield* Effect.flip(retryOnOverload(thread.run("again"), Schedule.recurs(2)))
      assert.instanceOf(error, RetryLimitExceeded)
      assert.instanceOf(error.lastError, TurnFailed)
      assert.strictEqual(error.attempts, 3)
    }))
})

layer(OfflineCodex.layer({ codex: { maxInFlight: 2_000, requestTimeout: "25 seconds" } }), live)(
  "a window that is larger than what the server takes",
  (it) => {
    it.effect("has every request answered after all", () =>
      Effect.gen(function*() {
        const client = yield* AppServerClient
        // More than the server takes at once, less than what silences it for good.
        const answers = yield* Effect.forEach(
          Array.from({ length: 180 }),
          () => client.request("thread/loaded/list", {}),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(answers.length, 180)
      }))
  }
)
