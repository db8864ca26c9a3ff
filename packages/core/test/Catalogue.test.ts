import type { Codex } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { AppServerClient } from "../src/AppServerClient.ts"
import * as Agent from "../src/Codex.ts"
import { collect } from "./support/observe.ts"
import * as ScriptedServer from "./support/ScriptedServer.ts"

/** The agent over a scripted server. */
const connect = Effect.gen(function*() {
  const { client, server } = yield* ScriptedServer.connect({ experimental: true })
  const codex: Codex["Service"] = yield* Effect.provideService(Agent.make, AppServerClient, client)
  return { codex, server }
})

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

describe("rate limits and usage", () => {
  const snapshot = {
    limitId: "codex",
    limitName: null,
    planType: "plus",
    primary: { usedPercent: 12, windowDurationMins: 300, resetsAt: 1_795_243_254 },
    secondary: { usedPercent: 100, windowDurationMins: null, resetsAt: null },
    rateLimitReachedType: null
  }

  it.effect("come in durations and times, with the wire's values beside them", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const reading = yield* fork(codex.rateLimits.read())
      const request = yield* server.request("account/rateLimits/read")
      assert.deepStrictEqual(request.params, {})
      yield* server.respond(request, {
        rateLimits: snapshot,
        rateLimitsByLimitId: { codex: snapshot },
        rateLimitResetCredits: { availableCount: 2, credits: null }
      })
      const limits = yield* Fiber.join(reading)
      const { primary, secondary } = limits.current
      assert.strictEqual(primary?.usedPercent, 12)
      assert.deepStrictEqual(primary?.duration, Duration.hours(5))
      assert.deepStrictEqual(primary?.resetsAt, DateTime.makeUnsafe("2026-11-21T06:40:54Z"))
      assert.isNull(secondary?.duration)
      assert.isNull(secondary?.resetsAt)
      assert.strictEqual(primary?.wire.windowDurationMins, 300)
      assert.strictEqual(limits.resetCredits, 2)
      assert.strictEqual(limits.byId.get("codex")?.plan, "plus")
      assert.strictEqual(limits.wire.rateLimits.limitId, "codex")
    }))

  it.effect("are told when they change", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const update = yield* fork(Stream.runHead(codex.rateLimits.updates))
      yield* server.push({ method: "account/rateLimits/updated", params: { rateLimits: snapshot } })
      const told = yield* Effect.flatten(Effect.map(Fiber.join(update), Effect.fromOption))
      assert.strictEqual(told.primary?.usedPercent, 12)
    }))

  it.effect("have tokens by day and the longest turn as a duration", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const reading = yield* fork(codex.usage({ threadId: "T" }))
      const request = yield* server.request("account/usage/read")
      assert.deepStrictEqual(request.params, { threadId: "T" })
      yield* server.respond(request, {
        summary: { lifetimeTokens: 10, peakDailyTokens: 7, longestRunningTurnSec: 90 },
        dailyUsageBuckets: [{ startDate: "2026-11-21", tokens: 7 }]
      })
      const usage = yield* Fiber.join(reading)
      assert.deepStrictEqual(usage.longestRunningTurn, Duration.seconds(90))
      assert.deepStrictEqual(usage.daily, [{ date: "2026-11-21", tokens: 7 }])
      assert.isNull(usage.thread)
    }))
})

describe("lists", () => {
  it.effect("are read to their last page", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const reading = yield* fork(codex.config.permissionProfiles({ cwd: "/work" }))
      const profile = (id: string) => ({ id, allowed: true, description: null })
      const first = yield* server.request("permissionProfile/list")
      assert.deepStrictEqual(first.params, { cwd: "/work" })
      yield* server.respond(first, { data: [profile("a")], nextCursor: "more" })
      const second = yield* server.request("permissionProfile/list")
      assert.deepStrictEqual(second.params, { cwd: "/work", cursor: "more" })
      yield* server.respond(second, { data: [profile("b")], nextCursor: null })
      assert.deepStrictEqual((yield* Fiber.join(reading)).map(({ id }) => id), ["a", "b"])
    }))

  it.effect("that are streams ask for a page only when it is wanted, and refresh once", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const app = (id: string) => ({ id, name: id })
      const reading = yield* fork(Stream.runCollect(Stream.take(codex.apps.list({ refresh: true }), 2)))
      const first = yield* server.request("app/list")
      assert.deepStrictEqual(first.params, { forceRefetch: true })
      yield* server.respond(first, { data: [app("a")], nextCursor: "more" })
      const second = yield* server.request("app/list")
      assert.deepStrictEqual(second.params, { cursor: "more" })
      yield* server.respond(second, { data: [app("b"), app("c")], nextCursor: "even more" })
      assert.deepStrictEqual((yield* Fiber.join(reading)).map(({ id }) => id), ["a", "b"])
      assert.deepStrictEqual(server.methods(), ["app/list", "app/list"])
    }))
})

describe("hooks that run", () => {
  it.effect("are told in the order of the wire", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const run = {
        displayOrder: 0,
        entries: [],
        eventName: "preToolUse",
        executionMode: "sync",
        handlerType: "command",
        scope: "thread",
        sourcePath: "/hook",
        startedAt: 1
      }
      const told = (id: string) => [
        { method: "hook/started", params: { threadId: "T", turnId: null, run: { ...run, id, status: "running" } } },
        { method: "hook/completed", params: { threadId: "T", turnId: null, run: { ...run, id, status: "completed" } } }
      ]
      const runs = yield* collect(codex.hooks.runs)
      yield* server.barrier
      yield* server.push(...told("a"), ...told("b"), ...told("c"))
      yield* runs.atLeast(6)
      assert.deepStrictEqual(
        runs.seen.map(({ method, params }) => [method, params.run.id]),
        ["a", "b", "c"].flatMap((id) => [["hook/started", id], ["hook/completed", id]])
      )
    }))
})

describe("a login", () => {
  it.live("fails when its end cannot be read, and its scope has nothing to give up then", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      yield* Effect.scoped(Effect.gen(function*() {
        const starting = yield* fork(codex.loginChatgpt)
        yield* server.respond(yield* server.request("account/login/start"), {
          type: "chatgpt",
          loginId: "L",
          authUrl: "https://login.example/start"
        })
        const login = yield* Fiber.join(starting)
        const waiting = yield* fork(Effect.flip(login.wait))
        yield* server.push({ method: "account/login/completed", params: { loginId: "L", success: "yes" } })
        const error = yield* Fiber.join(waiting)
        assert.strictEqual(error._tag === "DecodeError" ? error.method : error, "account/login/completed")
      }))
      assert.notInclude(server.methods(), "account/login/cancel")
    }))
})

describe("a login whose beginning was interrupted", () => {
  const begun = { type: "chatgpt", loginId: "L", authUrl: "https://login.example/start" }
  const completed = { method: "account/login/completed", params: { loginId: "L", success: false } }

  const interrupted = Effect.gen(function*() {
    const { codex, server } = yield* connect
    const login = yield* fork(Effect.scoped(Effect.andThen(codex.loginChatgpt, Effect.never)))
    const start = yield* server.request("account/login/start")
    return { server, start, interrupting: yield* fork(Fiber.interrupt(login)) }
  })

  it.effect("is over with its end, which the server tells before it answers", () =>
    Effect.gen(function*() {
      const { interrupting, server, start } = yield* interrupted
      yield* server.respond(start, begun)
      const cancel = yield* server.request("account/login/cancel")
      assert.deepStrictEqual(cancel.params, { loginId: "L" })
      yield* server.push(completed, { id: cancel.id, result: { status: "canceled" } })
      yield* Fiber.join(interrupting)
    }))

  it.effect("is not given up where it has ended by itself", () =>
    Effect.gen(function*() {
      const { interrupting, server, start } = yield* interrupted
      yield* server.push(completed)
      yield* server.barrier
      yield* server.respond(start, begun)
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(server.methods(), ["account/login/start"])
    }))
})

describe("a login with an MCP server", () => {
  const completed = (name: string, loginId: string | null, success = true) => ({
    method: "mcpServer/oauthLogin/completed",
    params: { name, loginId, success }
  })

  it.effect("ends with its own completion, also when that comes first", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const starting = yield* fork(codex.mcp.login("linear", { timeout: "1500 millis", scopes: ["read"] }))
      const request = yield* server.request("mcpServer/oauth/login")
      assert.deepStrictEqual(request.params, { name: "linear", scopes: ["read"], timeoutSecs: 2 })
      yield* server.push(
        completed("other", "L", false),
        completed("linear", "K", false),
        completed("linear", "L"),
        { id: request.id, result: { authorizationUrl: "https://login.example/start", loginId: "L" } }
      )
      const login = yield* Fiber.join(starting)
      assert.strictEqual(login.authorizationUrl.hostname, "login.example")
      assert.deepInclude(yield* login.wait, { name: "linear", loginId: "L", success: true })
    }))

  it.effect("fails when its end cannot be read", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const starting = yield* fork(codex.mcp.login("linear"))
      yield* server.respond(yield* server.request("mcpServer/oauth/login"), {
        authorizationUrl: "https://login.example/start",
        loginId: "L"
      })
      const login = yield* Fiber.join(starting)
      const waiting = yield* fork(Effect.flip(login.wait))
      yield* server.push({ method: "skills/changed", params: 7 })
      yield* server.push({ method: "mcpServer/oauthLogin/completed", params: { name: "linear", success: "yes" } })
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag === "DecodeError" ? error.method : error, "mcpServer/oauthLogin/completed")
    }))

  it.effect("is not begun with a timeout that is none", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      for (const timeout of ["-1 seconds", Duration.infinity] as const) {
        const error = yield* Effect.flip(codex.mcp.login("linear", { timeout }))
        assert.deepStrictEqual(error._tag === "InvalidParams" ? error.issues : error, [{
          path: "timeout",
          expected: "Expected a finite duration that is not below zero"
        }])
      }
      assert.deepStrictEqual(server.methods(), [])
    }))

  it.effect("whose page is none is a DecodeError", () =>
    Effect.gen(function*() {
      const { codex, server } = yield* connect
      const starting = yield* fork(codex.mcp.login("linear"))
      yield* server.respond(yield* server.request("mcpServer/oauth/login"), { authorizationUrl: "not a page" })
      const exit = yield* Fiber.await(starting)
      assert.isTrue(Exit.isFailure(exit))
      const error = yield* Effect.flip(exit)
      assert.strictEqual(error._tag, "DecodeError")
    }))
})
