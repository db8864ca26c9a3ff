import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { resolve } from "../src/internal/options.ts"

describe("options", () => {
  it.effect("have deadlines by method, by default and for the handshake", () =>
    Effect.gen(function*() {
      const { timeoutOf } = yield* resolve({
        requestTimeout: "5 seconds",
        handshakeTimeout: "2 seconds",
        requestTimeouts: { "thread/list": "1 minute", "model/list": Duration.infinity }
      })
      assert.strictEqual(Duration.toMillis(timeoutOf("thread/read")), 5_000)
      assert.strictEqual(Duration.toMillis(timeoutOf("initialize")), 2_000)
      assert.strictEqual(Duration.toMillis(timeoutOf("thread/list")), 60_000)
      assert.isFalse(Duration.isFinite(timeoutOf("model/list")))
    }))

  it.effect("that are wrong are all named, with what they may be", () =>
    Effect.gen(function*() {
      const misspelt: Record<string, Duration.Input> = { "thread/lst": "1 minute", "thread/list": "-1 seconds" }
      const error = yield* Effect.flip(resolve({
        maxInFlight: 0,
        maxLineBytes: Number.NaN,
        turnBuffer: { events: 1.5, bytes: 1 },
        requestTimeout: 0,
        requestTimeouts: misspelt,
        capabilities: { optOutNotificationMethods: ["item/agentMessage/delta", "turn/completed"] }
      }))
      assert.deepStrictEqual(error.issues.map(({ path }) => path).sort(), [
        "capabilities.optOutNotificationMethods.1",
        "maxInFlight",
        "maxLineBytes",
        "requestTimeout",
        "requestTimeouts.thread/list",
        "requestTimeouts.thread/lst",
        "turnBuffer.events"
      ])
    }))
})
