import { Approvals } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { connect } from "./support/ScriptedServer.ts"
import * as ServerRequests from "./support/serverRequests.ts"
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

  it.effect("asks nobody any more once it is over", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const policy = ({ itemId }: Approvals.ApprovalRequest) =>
        Effect.as(Effect.sync(() => asked.push(itemId)), Option.some(Approvals.accept))
      const { client, server } = yield* connect({ strict: true }).pipe(
        Effect.provide(Approvals.layer({ policy }))
      )
      const ask = (id: number) => ({
        id,
        method: "item/commandExecution/requestApproval",
        params: ServerRequests.command("A", "T", `call ${id}`)
      })
      yield* server.push(ask(1))
      yield* server.next
      yield* server.push({ method: "future/told", params: {} }, ask(2))
      yield* client.closed
      yield* Effect.repeat(Effect.yieldNow, { times: 100 })
      assert.deepStrictEqual(asked, ["call 1"])
    }))

  it.effect("goes on with what is known", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ strict: true })
      yield* server.push(Wire.threadStatus("A", "idle"))
      yield* server.barrier
      assert.strictEqual((yield* Effect.timeoutOption(client.closed, 0))._tag, "None")
    }))
})
