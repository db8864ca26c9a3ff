import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { connect } from "./support/ScriptedServer.ts"
import * as Wire from "./support/wire.ts"

describe("a strict connection", () => {
  for (
    const [what, message] of [
      ["an unknown notification", { method: "future/told", params: {} }],
      ["a notification that does not decode", { method: "turn/started", params: { threadId: 5 } }]
    ] as const
  ) {
    it.effect(`ends with ${what}`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* connect({ strict: true })
        yield* server.push(message)
        const error = yield* client.closed
        assert.strictEqual(error._tag, "TransportError")
        assert.include(error.message, message.method)
        assert.strictEqual((yield* Effect.flip(client.request("model/list", {})))._tag, "TransportError")
      }))
  }

  it.effect("goes on with what is known", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ strict: true })
      yield* server.push(Wire.threadStatus("A", "idle"))
      yield* server.barrier
      assert.strictEqual((yield* Effect.timeoutOption(client.closed, 0))._tag, "None")
    }))
})
