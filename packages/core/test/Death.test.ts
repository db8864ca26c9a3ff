import { AppServerExited, RetryPolicy } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { fork } from "./support/observe.ts"
import { connect } from "./support/ScriptedServer.ts"

const killed = new AppServerExited({ signal: "SIGKILL", stderr: "" })

describe("the end of a connection", () => {
  it.effect("is told to a request that waits to be tried again, with no time passing", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ retry: RetryPolicy.overload })
      const waiting = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* server.refuse(yield* server.request("model/list"), -32_001, "Server overloaded; retry later.")
      yield* server.barrier
      yield* server.end(killed)
      const error = yield* Fiber.join(waiting)
      assert.instanceOf(error, AppServerExited)
      assert.strictEqual(error.method, "model/list")
    }))

  it.effect("is told to all who wait for a place in the window", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ maxInFlight: 2 })
      const waiting = yield* Effect.forEach(
        Array.from({ length: 1_000 }),
        () => fork(Effect.flip(client.request("model/list", {})))
      )
      yield* server.request("model/list")
      yield* server.end(killed)
      for (const fiber of waiting) assert.instanceOf(yield* Fiber.join(fiber), AppServerExited)
    }))
})
