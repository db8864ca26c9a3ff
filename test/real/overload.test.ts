import { AppServerClient, Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { echo, live } from "./support.ts"

layer(OfflineCodex.layer())("overload", (it) => {
  it.effect("10,000 requests fired at once are all answered", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const answers = yield* Effect.forEach(
        Array.from({ length: 10_000 }),
        () => client.request("thread/loaded/list", {}),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(answers.length, 10_000)
      assert.isTrue(answers.every(({ data }) => data.length === 0))
    }))
})

layer(OfflineCodex.layer({ codex: { experimental: true, maxInFlight: 1 }, model: echo }), live)(
  "a request that the model answers",
  (it) => {
    it.effect("holds no place in the window, however long the model takes", () =>
      Effect.gen(function*() {
        const client = yield* AppServerClient
        const codex = yield* Codex
        const model = yield* OfflineModel
        const thread = yield* codex.startThread()
        const { turnId } = yield* thread.run("Hello")
        const gate = yield* OfflineModel.gate
        yield* model.enqueue([OfflineModel.hold(gate), OfflineModel.text("Well.")])
        const sample = yield* Effect.forkChild(
          client.experimental.request("thread/sample", { threadId: thread.id, expectedTurnId: turnId, prompt: "And?" })
        )
        yield* gate.reached
        yield* client.request("thread/loaded/list", {})
        yield* gate.open
        assert.strictEqual((yield* Fiber.join(sample)).text, "Well.")
      }))
  }
)
