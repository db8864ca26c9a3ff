import { Approvals, AppServerClient, type Codex, type ThreadOptions } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { make as makeCodex } from "../src/Codex.ts"
import { fork } from "./support/observe.ts"
import { connect, type ScriptedServer } from "./support/ScriptedServer.ts"
import * as ServerRequests from "./support/serverRequests.ts"
import { threadResponse } from "./support/threads.ts"

const agent = Effect.gen(function*() {
  const { client, server } = yield* connect()
  const codex: Codex["Service"] = yield* Effect.provideService(makeCodex, AppServerClient, client)
  return { codex, server }
})

/** A scope that the test closes. */
const scope = Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))

/** The thread A in the scope, once the server has answered. */
const hold = Effect.fnUntraced(function*(
  codex: Codex["Service"],
  server: ScriptedServer,
  scope: Scope.Scope,
  options?: ThreadOptions
) {
  const starting = yield* fork(Scope.provide(codex.thread({ resume: "A", ...options }), scope))
  yield* server.respond(yield* server.request("thread/resume"), threadResponse("A"))
  return yield* Fiber.join(starting)
})

/** Closes the scope, for which the server is asked to unsubscribe. */
const closeLast = Effect.fnUntraced(function*(server: ScriptedServer, scope: Scope.Closeable) {
  const closing = yield* fork(Scope.close(scope, Exit.void))
  yield* server.respond(yield* server.request("thread/unsubscribe"), { status: "unsubscribed" })
  yield* Fiber.join(closing)
})

describe("a thread of several scopes", () => {
  it.effect("stays with one who is just resuming it while the other leaves", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* agent
      const [first, second] = [yield* scope, yield* scope]
      yield* hold(codex, server, first)
      const resuming = yield* fork(Scope.provide(codex.thread({ resume: "A" }), second))
      const request = yield* server.request("thread/resume")
      yield* Scope.close(first, Exit.void)
      yield* server.respond(request, threadResponse("A"))
      yield* Fiber.join(resuming)
      assert.notInclude(server.methods(), "thread/unsubscribe")
      yield* closeLast(server, second)
    }))

  it.effect("is let go of when the resume is refused that one who has left did not want to disturb", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* agent
      const [first, second] = [yield* scope, yield* scope]
      yield* hold(codex, server, first)
      const resuming = yield* fork(Effect.flip(Scope.provide(codex.thread({ resume: "A" }), second)))
      const request = yield* server.request("thread/resume")
      yield* Scope.close(first, Exit.void)
      yield* server.refuse(request, -32600, "no")
      yield* server.respond(yield* server.request("thread/unsubscribe"), { status: "unsubscribed" })
      assert.strictEqual((yield* Fiber.join(resuming))._tag, "InvalidRequest")
      yield* Scope.close(second, Exit.void)
      assert.deepStrictEqual(server.methods(), ["thread/resume", "thread/resume", "thread/unsubscribe"])
    }))

  it.effect("does not keep one from leaving whose resume is not answered", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* agent
      const held = yield* scope
      const resuming = yield* fork(
        Effect.timeoutOption(Scope.provide(codex.thread({ resume: "A" }), held), "1 second")
      )
      yield* server.request("thread/resume")
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.join(resuming)))
      // The server may have resumed it, and says no more: that is waited for no longer than 10 seconds.
      const closing = yield* fork(Scope.close(held, Exit.void))
      yield* server.request("thread/unsubscribe")
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
    }))

  it.effect("is answered for by the last one who is there and has something to say", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* agent
      const asked: Array<string> = []
      const answeringAs = (name: string): ThreadOptions => ({
        approvals: {
          policy: () => Effect.as(Effect.sync(() => asked.push(name)), Option.some(Approvals.accept))
        }
      })
      let id = 0
      const ask = Effect.gen(function*() {
        const params = ServerRequests.command("A", "T", `call ${++id}`)
        yield* server.push({ id, method: "item/commandExecution/requestApproval", params })
        yield* server.next
      })
      const [first, second, third, silent] = [yield* scope, yield* scope, yield* scope, yield* scope]
      yield* hold(codex, server, first, answeringAs("first"))
      yield* hold(codex, server, second, answeringAs("second"))
      yield* hold(codex, server, third, answeringAs("third"))
      yield* hold(codex, server, silent)
      yield* ask
      yield* Scope.close(second, Exit.void)
      yield* ask
      yield* Scope.close(third, Exit.void)
      yield* ask
      yield* Scope.close(first, Exit.void)
      yield* ask
      assert.deepStrictEqual(asked, ["third", "third", "first"])
      yield* closeLast(server, silent)
    }))
})
