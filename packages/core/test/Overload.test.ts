import { type RetryPolicy, ServerOverloaded } from "@effect-codex/core"
import type { ClientRequestMethod } from "@effect-codex/generated"
import { ClientRequests } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { mayRepeat } from "../src/internal/methodTraits.ts"
import { fromWireError } from "../src/internal/responseError.ts"
import { fork } from "./support/observe.ts"
import { connect } from "./support/ScriptedServer.ts"
import * as Wire from "./support/wire.ts"

const ingress = { code: -32001, message: "Server overloaded; retry later." }
const inside = { code: -32603, message: "The model is full", data: { codexErrorInfo: "serverOverloaded" } }

const immediately: RetryPolicy.RetryPolicy = Schedule.recurs(2)

describe("an overload", () => {
  it("is known by its code, or by what the error's data says", () => {
    const errors = [
      ingress,
      inside,
      { ...inside, data: { codex_error_info: "server_overloaded" } },
      { ...inside, data: { error: { message: "m", codexErrorInfo: "serverOverloaded" } } }
    ]
    for (const error of errors) assert.instanceOf(fromWireError("thread/read", error), ServerOverloaded)
    for (const data of [undefined, null, 1, "serverOverloaded", {}, { codexErrorInfo: "other" }, { error: null }, []]) {
      assert.strictEqual(fromWireError("thread/read", { ...inside, data })._tag, "InternalError")
    }
  })

  it.effect("at the ingress has every method repeated, turn/start included: the server did nothing", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ retry: immediately })
      const fiber = yield* fork(Effect.scoped(Effect.flatMap(
        client.openTurn("turn/start", Wire.startParams("A")),
        (turn) => turn.result
      )))
      yield* server.refuse(yield* server.request("turn/start"), ingress.code, ingress.message)
      const request = yield* server.request("turn/start")
      yield* server.push(
        { id: request.id, result: { turn: Wire.turn({ id: "T" }) } },
        ...Wire.textTurn("A", "T", ["x"])
      )
      assert.strictEqual((yield* Fiber.join(fiber)).finalResponse, "x")
    }))

  it.effect("inside the server has a method that changes nothing repeated", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ retry: immediately })
      const fiber = yield* fork(client.request("model/list", {}))
      yield* server.push({ id: (yield* server.request("model/list")).id, error: inside })
      yield* server.respond(yield* server.request("model/list"), { data: [], nextCursor: null })
      assert.deepStrictEqual((yield* Fiber.join(fiber)).data, [])
    }))

  it.effect("inside the server never has turn/start repeated", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ retry: immediately })
      const fiber = yield* fork(Effect.flip(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A")))))
      yield* server.push({ id: (yield* server.request("turn/start")).id, error: inside })
      assert.instanceOf(yield* Fiber.join(fiber), ServerOverloaded)
      assert.deepStrictEqual(server.methods(), ["turn/start"])
    }))

  it("inside the server has no method repeated that starts, adds or removes", () => {
    const isMethod = (method: string): method is ClientRequestMethod => Object.hasOwn(ClientRequests, method)
    const changes =
      /\/(?:start|steer|add|create|delete|remove|write|spawn|exec|fork|resume|import$|install$|uninstall|upload|send|consume|login|logout|setup|switch|copy)[A-Za-z]*$/
    for (const method of Object.keys(ClientRequests).filter(isMethod)) {
      const refusal = new ServerOverloaded({ method, code: -32603, description: "full" })
      if (changes.test(method)) assert.isFalse(mayRepeat(method, refusal), method)
      assert.isTrue(mayRepeat(method, new ServerOverloaded({ method, code: -32001, description: "full" })), method)
    }
  })
})
