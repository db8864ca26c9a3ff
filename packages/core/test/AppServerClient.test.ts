import {
  AppServerExited,
  type CodexEvent,
  RetryPolicy,
  Transport,
  TransportError,
  TurnInterrupted
} from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { make } from "../src/AppServerClient.ts"
import { responsesDropped } from "../src/internal/metrics.ts"
import { collect, fork, until } from "./support/observe.ts"
import {
  connect,
  connectToDaemon,
  encode,
  initializeResult,
  type ScriptedServer,
  start
} from "./support/ScriptedServer.ts"
import * as Wire from "./support/wire.ts"

const SECRET = "s3nt1nel"

const connectTo = (server: ScriptedServer, options?: Parameters<typeof make>[0]) =>
  make(options).pipe(Effect.provideService(Transport, server.transport))

const methods = (events: ReadonlyArray<CodexEvent>) => events.map((event) => event.method)

const models = { data: [], nextCursor: null }

describe("the handshake", () => {
  it.effect("sends initialize, then initialized, and nothing else", () =>
    Effect.gen(function*() {
      const server = yield* start({ handshake: false })
      const fiber = yield* fork(connectTo(server, {
        clientInfo: { name: "my_service", title: "My service", version: "1.2.3" },
        experimental: true
      }))
      const initialize = yield* server.request("initialize")
      assert.deepStrictEqual(initialize.params, {
        clientInfo: { name: "my_service", title: "My service", version: "1.2.3" },
        capabilities: { experimentalApi: true }
      })
      assert.strictEqual(server.sent.length, 1)
      yield* server.respond(initialize, initializeResult)
      assert.deepStrictEqual(yield* server.next, { method: "initialized" })
      const client = yield* Fiber.join(fiber)
      assert.deepStrictEqual({ ...client.server }, initializeResult)
      yield* server.barrier
      assert.deepStrictEqual(server.sent.flatMap(({ method }) => method ?? []), ["initialize", "initialized"])
    }))

  it.effect("does not ask for the experimental API unless told to, and has a name of its own", () =>
    Effect.gen(function*() {
      const { server } = yield* connect()
      const [initialize] = server.sent
      assert.deepStrictEqual(initialize?.params, {
        clientInfo: { name: "effect_codex", title: "effect-codex", version: "0.1.0" },
        capabilities: { experimentalApi: false }
      })
    }))

  it.effect("fails with RequestTimeout when initialize is not answered in time", () =>
    Effect.gen(function*() {
      const server = yield* start({ handshake: false })
      const fiber = yield* fork(Effect.flip(connectTo(server, { handshakeTimeout: "5 seconds" })))
      yield* server.request("initialize")
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "RequestTimeout")
      assert.strictEqual(error.message, "initialize: no response within 5s")
    }))

  it.effect("fails with what initialize is refused with", () =>
    Effect.gen(function*() {
      const server = yield* start({ handshake: false })
      const fiber = yield* fork(Effect.flip(connectTo(server)))
      yield* server.refuse(yield* server.request("initialize"), -32600, "Already initialized")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "InvalidRequest")
      assert.strictEqual(server.sent.length, 1)
    }))

  it.effect("fails with the cause when the connection ends before the answer", () =>
    Effect.gen(function*() {
      const server = yield* start({ handshake: false })
      const fiber = yield* fork(Effect.flip(connectTo(server)))
      yield* server.request("initialize")
      yield* server.end(new AppServerExited({ exitCode: 1, stderr: "Error: bad config" }))
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "AppServerExited")
      assert.deepInclude({ ...error }, { exitCode: 1, method: "initialize", stderr: "Error: bad config" })
    }))

  it.effect("fails with DecodeError when the answer does not fit", () =>
    Effect.gen(function*() {
      const server = yield* start({ handshake: false })
      const fiber = yield* fork(Effect.flip(connectTo(server)))
      yield* server.respond(yield* server.request("initialize"), { userAgent: 5 })
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "DecodeError")
      assert.strictEqual(server.sent.length, 1)
    }))
})

/** How many responses nobody waited for, so far. */
const dropped = (reason: "late" | "unknown") => Effect.map(Metric.value(responsesDropped[reason]), ({ count }) => count)

describe("requests", () => {
  it.effect("are matched to their responses by id, in whatever order these come", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const names = ["a", "b", "c"]
      const fibers = yield* Effect.forEach(names, (id) => fork(client.request("thread/unsubscribe", { threadId: id })))
      const requests = yield* Effect.forEach(names, () => server.request("thread/unsubscribe"))
      assert.strictEqual(new Set(requests.map((request) => request.id)).size, 3)
      const [a, b, c] = requests
      if (a === undefined || b === undefined || c === undefined) return assert.fail("three requests")
      assert.deepStrictEqual([a.params, b.params, c.params], names.map((threadId) => ({ threadId })))
      yield* server.push(
        { id: c.id, result: { status: "notLoaded" } },
        { error: { message: "thread not found: a", code: -32600 }, id: a.id },
        { id: b.id, result: { status: "unsubscribed" } }
      )
      const exits = yield* Effect.forEach(fibers, (fiber) => Effect.result(Fiber.join(fiber)))
      assert.deepStrictEqual(
        exits.map((result) => result._tag === "Success" ? result.success.status : result.failure._tag),
        ["InvalidRequest", "unsubscribed", "notLoaded"]
      )
    }))

  it.effect("without params send what the method takes", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      yield* fork(client.request("account/logout"))
      const message = yield* server.next
      assert.strictEqual(message.method, "account/logout")
      assert.notProperty(message, "params")
    }))

  it.effect("time out, and their late responses are dropped and counted", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ requestTimeout: "10 seconds" })
      const events = yield* collect(client.notifications)
      const fiber = yield* fork(Effect.flip(client.request("model/list", {})))
      const late = yield* server.request("model/list")
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "RequestTimeout")
      assert.strictEqual(error.message, "model/list: no response within 10s")
      const before = yield* dropped("late")
      yield* server.respond(late, models)
      yield* server.refuse(late, -32603, "too late")
      yield* server.barrier
      assert.deepStrictEqual(methods(events.seen), [])
      assert.strictEqual((yield* dropped("late")) - before, 2)
      const again = yield* fork(client.request("model/list", {}))
      yield* server.respond(yield* server.request("model/list"), models)
      assert.deepStrictEqual((yield* Fiber.join(again)).data, [])
    }))

  it.effect("time out also before a pipe that is full, each after its own time, and are not written later", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const pipe = yield* Latch.make(true)
      const client = yield* make({ requestTimeout: "10 seconds" }).pipe(
        Effect.provideService(Transport, {
          ...server.transport,
          send: (line) => Effect.andThen(pipe.await, server.transport.send(line))
        })
      )
      yield* pipe.close
      const first = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* TestClock.adjust("4 seconds")
      const second = yield* fork(Effect.flip(client.request("thread/loaded/list", {})))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* Fiber.join(first))._tag, "RequestTimeout")
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* Fiber.join(second))._tag, "RequestTimeout")
      yield* pipe.open
      const third = yield* fork(client.request("model/list", {}))
      yield* server.respond(yield* server.request("model/list"), models)
      yield* Fiber.join(third)
      assert.deepStrictEqual(server.sent.flatMap(({ method }) => method ?? []), [
        "initialize",
        "initialized",
        "model/list"
      ])
    }))

  it.effect("that are interrupted before a pipe that is full are not written later", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const pipe = yield* Latch.make(true)
      const client = yield* make().pipe(
        Effect.provideService(Transport, {
          ...server.transport,
          send: (line) => Effect.andThen(pipe.await, server.transport.send(line))
        })
      )
      yield* pipe.close
      const fiber = yield* fork(client.request("thread/loaded/list", {}))
      yield* Fiber.interrupt(fiber)
      yield* pipe.open
      const next = yield* fork(client.request("model/list", {}))
      yield* server.respond(yield* server.request("model/list"), models)
      yield* Fiber.join(next)
      assert.deepStrictEqual(server.sent.at(-1)?.method, "model/list")
      assert.lengthOf(server.sent, 3)
    }))

  it.effect("that take as long as they take have no deadline and no place in the window", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ requestTimeout: "10 seconds", maxInFlight: 1 })
      const long = yield* fork(client.request("command/exec", { command: ["sleep", "100"] }))
      const exec = yield* server.request("command/exec")
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(long.pollUnsafe())
      const short = yield* fork(client.request("model/list", {}))
      yield* server.respond(yield* server.request("model/list"), models)
      yield* Fiber.join(short)
      yield* server.respond(exec, { exitCode: 0, stdout: "out", stderr: "" })
      assert.strictEqual((yield* Fiber.join(long)).stdout, "out")
    }))

  it.effect("that take as long as they take have the deadline that they are given by name", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ requestTimeouts: { "mcpServer/tool/call": "10 seconds" } })
      const call = yield* fork(
        Effect.flip(client.request("mcpServer/tool/call", { server: "S", threadId: "T", tool: "slow" }))
      )
      yield* server.request("mcpServer/tool/call")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(call))._tag, "RequestTimeout")
    }))

  it.effect("do not mind responses to nobody, of any id", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const fiber = yield* fork(client.request("model/list", {}))
      const request = yield* server.request("model/list")
      yield* server.push(
        { id: 4711, result: models },
        { id: "unknown", result: models },
        { id: String(request.id), result: models },
        { id: 4711, error: { code: -32600, message: "no" } },
        { id: null, error: { code: -32700, message: "Parse error" } },
        { id: request.id, result: models },
        { id: request.id, result: { data: "twice" } }
      )
      assert.deepStrictEqual((yield* Fiber.join(fiber)).data, [])
      yield* server.barrier
    }))

  it.effect("beyond maxInFlight wait, whatever ends the ones before", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ maxInFlight: 2, requestTimeout: "10 seconds" })
      const ask = (threadId: string) => fork(Effect.exit(client.request("thread/unsubscribe", { threadId })))
      const idOf = (request: { readonly params: unknown }) => JSON.stringify(request.params)
      const open = () => server.methods().length
      const one = yield* ask("1")
      yield* ask("2")
      yield* ask("3")
      yield* ask("4")
      yield* ask("5")
      yield* ask("6")
      const first = yield* server.request("thread/unsubscribe")
      yield* server.request("thread/unsubscribe")
      yield* server.barrier
      assert.strictEqual(open(), 2, "the window")
      // A response.
      yield* server.respond(first, { status: "unsubscribed" })
      const third = yield* server.request("thread/unsubscribe")
      assert.strictEqual(idOf(third), `{"threadId":"3"}`)
      yield* server.barrier
      assert.strictEqual(open(), 3, "after a response")
      // A refusal.
      yield* server.refuse(third, -32600, "no")
      assert.strictEqual(idOf(yield* server.request("thread/unsubscribe")), `{"threadId":"4"}`)
      yield* server.barrier
      assert.strictEqual(open(), 4, "after a refusal")
      // A timeout, of both that are open.
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(idOf(yield* server.request("thread/unsubscribe")), `{"threadId":"5"}`)
      assert.strictEqual(idOf(yield* server.request("thread/unsubscribe")), `{"threadId":"6"}`)
      yield* server.barrier
      assert.strictEqual(open(), 6, "after timeouts")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(one)))
    }))

  it.effect("give their place back when they are interrupted", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ maxInFlight: 1 })
      const one = yield* fork(client.request("model/list", {}))
      yield* server.request("model/list")
      const waiting = yield* fork(client.request("account/read", { refreshToken: false }))
      const last = yield* fork(client.request("model/list", {}))
      yield* Fiber.interrupt(waiting)
      yield* Fiber.interrupt(one)
      yield* server.respond(yield* server.request("model/list"), models)
      yield* Fiber.join(last)
      assert.deepStrictEqual(server.methods(), ["model/list", "model/list"])
    }))

  it.effect("give their place back when the transport dies of them", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const { send } = server.transport
      const transport = Transport.of({
        ...server.transport,
        send: (line) => line.includes("model/list") ? Effect.die("defect") : send(line)
      })
      const client = yield* make({ maxInFlight: 1 }).pipe(Effect.provideService(Transport, transport))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(client.request("model/list", {}))))
      const next = yield* fork(client.request("account/read", { refreshToken: false }))
      yield* server.respond(yield* server.request("account/read"), { account: null, requiresOpenaiAuth: false })
      assert.isFalse((yield* Fiber.join(next)).requiresOpenaiAuth)
    }))

  it.effect("with wrong params fail before anything is sent, naming the fields and not their values", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const params = { includeHidden: SECRET, cursor: { nested: SECRET }, [`unknown`]: SECRET }
      const error = yield* Effect.flip(
        // @ts-expect-error the params are wrong
        client.request("model/list", params)
      )
      assert.strictEqual(error._tag, "InvalidParams")
      if (error._tag !== "InvalidParams") return
      assert.isFalse(error.sent)
      assert.strictEqual(error.code, -32602)
      assert.includeMembers(error.issues.map((issue) => issue.path), ["includeHidden", "cursor", "unknown"])
      assert.notInclude(error.message, SECRET)
      assert.notInclude(JSON.stringify(error), SECRET)
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), [])
    }))

  it.effect("whose result does not fit fail alone, with the path", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const bad = yield* fork(Effect.flip(client.request("model/list", {})))
      const good = yield* fork(client.request("account/read", { refreshToken: false }))
      yield* server.respond(yield* server.request("model/list"), { data: [{ id: SECRET }, 5], nextCursor: null })
      yield* server.respond(yield* server.request("account/read"), { account: null, requiresOpenaiAuth: false })
      const error = yield* Fiber.join(bad)
      assert.strictEqual(error._tag, "DecodeError")
      if (error._tag !== "DecodeError") return
      assert.deepInclude({ ...error }, { method: "model/list", payload: "result" })
      assert.isTrue(error.issues.some((issue) => issue.path.startsWith("data[0].")))
      assert.notInclude(error.message, SECRET)
      assert.isFalse((yield* Fiber.join(good)).requiresOpenaiAuth)
    }))

  it.effect("do not mind a result that is nested deeper than the stack", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const fiber = yield* fork(client.request("config/read", {}))
      const { id } = yield* server.request("config/read")
      const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`
      yield* server.pushBytes(
        new TextEncoder().encode(`{"id":${JSON.stringify(id)},"result":{"config":{"deep":${deep}},"origins":{}}}\n`)
      )
      const { config } = yield* Fiber.join(fiber)
      assert.isArray(config["deep"])
      const after = yield* fork(client.request("model/list", {}))
      yield* server.respond(yield* server.request("model/list"), models)
      assert.deepStrictEqual({ ...(yield* Fiber.join(after)) }, models)
    }))

  it.effect("whose response is over the line limit fail alone, with its size", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ maxLineBytes: 1000 })
      const bad = yield* fork(Effect.flip(client.request("model/list", {})))
      const good = yield* fork(client.request("model/list", {}))
      const request = yield* server.request("model/list")
      yield* server.push({ id: request.id, result: { data: [], padding: "x".repeat(5000) } })
      yield* server.respond(yield* server.request("model/list"), models)
      const error = yield* Fiber.join(bad)
      assert.strictEqual(error._tag, "DecodeError")
      assert.include(error.message, "50")
      yield* Fiber.join(good)
    }))

  it.effect("are sent again when the server is overloaded", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ retry: Schedule.spaced("1 second") })
      const fiber = yield* fork(client.request("model/list", {}))
      const first = yield* server.request("model/list")
      yield* server.refuse(first, -32001, "Server overloaded")
      yield* server.barrier
      yield* TestClock.adjust("1 second")
      const second = yield* server.request("model/list")
      assert.notStrictEqual(second.id, first.id)
      yield* server.respond(second, models)
      assert.deepStrictEqual((yield* Fiber.join(fiber)).data, [])
    }))

  it.effect("are not sent again when the policy says so", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ retry: RetryPolicy.none })
      const fiber = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* server.refuse(yield* server.request("model/list"), -32001, "Server overloaded")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "ServerOverloaded")
      assert.deepStrictEqual(server.methods(), ["model/list"])
    }))

  it.effect("hold no place in the window while they wait to be sent again", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ retry: Schedule.spaced("1 hour"), maxInFlight: 1 })
      yield* fork(client.request("model/list", {}))
      yield* server.refuse(yield* server.request("model/list"), -32001, "Server overloaded")
      const other = yield* fork(client.request("account/read", { refreshToken: false }))
      yield* server.respond(yield* server.request("account/read"), { account: null, requiresOpenaiAuth: true })
      assert.isTrue((yield* Fiber.join(other)).requiresOpenaiAuth)
    }))
})

describe("notifications", () => {
  it.effect("reach those who ask for everything, for a thread, for a method", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const all = yield* collect(client.notifications)
      const thread = yield* collect(client.threadNotifications("A"))
      const method = yield* collect(client.on("thread/status/changed"))
      const unowned = yield* collect(client.unownedNotifications)
      yield* server.push(
        Wire.threadStatus("A", "idle"),
        Wire.threadStatus("B", "idle"),
        { ...Wire.turnStarted("A", "foreign"), emittedAtMs: 17 },
        { method: "skills/changed", params: {} }
      )
      const events = yield* all.atLeast(4)
      const expected = ["thread/status/changed", "thread/status/changed", "turn/started", "skills/changed"]
      assert.deepStrictEqual(methods(events), expected)
      assert.deepStrictEqual(methods(yield* unowned.atLeast(4)), expected)
      assert.deepStrictEqual(methods(yield* thread.atLeast(2)), ["thread/status/changed", "turn/started"])
      assert.deepStrictEqual((yield* method.atLeast(2)).map((event) => event.threadId), ["A", "B"])
      assert.deepInclude({ ...events[2] }, { threadId: "A", turnId: "foreign", emittedAtMs: 17 })
    }))

  it.effect("of one method do not give way to others", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const gate = yield* Deferred.make<void>()
      const seen: Array<string | undefined> = []
      const reading = yield* fork(
        client.on("thread/closed").pipe(
          Stream.take(2),
          Stream.runForEach(({ threadId }) =>
            Effect.andThen(Effect.sync(() => seen.push(threadId)), Deferred.await(gate))
          )
        )
      )
      const closed = (threadId: string) => ({ method: "thread/closed", params: { threadId } })
      yield* server.push(closed("A"))
      yield* until(() => seen.length === 1)
      yield* server.push(closed("B"))
      yield* server.push(...Array.from({ length: 5_000 }, () => Wire.threadStatus("C", "idle")))
      yield* server.barrier
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(reading)
      assert.deepStrictEqual(seen, ["A", "B"])
    }))

  it.effect("of a newer server come as they are, on the streams of everything", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const all = yield* collect(client.notifications)
      const unowned = yield* collect(client.unownedNotifications)
      yield* server.push({ method: "future/thing", params: { threadId: "A", turnId: "T", x: [1] } }, {
        method: "__proto__",
        params: {}
      }, { method: "toString" })
      const events = yield* all.atLeast(3)
      assert.deepStrictEqual(methods(events).map(String), ["future/thing", "__proto__", "toString"])
      assert.deepStrictEqual(events[0]?.params, { threadId: "A", turnId: "T", x: [1] })
      assert.deepStrictEqual(methods(yield* unowned.atLeast(3)).map(String), ["future/thing", "__proto__", "toString"])
    }))

  it.effect("that do not fit come as decode failures, without what they held", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const all = yield* collect(client.notifications)
      const thread = yield* collect(client.threadNotifications("A"))
      yield* server.push({ method: "thread/status/changed", params: { threadId: "A", status: SECRET } }, {
        method: "thread/status/changed"
      })
      const [event, other] = yield* all.atLeast(2)
      assert.strictEqual(event?.method, "client/decodeFailure")
      assert.strictEqual(other?.method, "client/decodeFailure")
      if (event?.method !== "client/decodeFailure") return
      assert.deepInclude({ ...event.params.error }, { method: "thread/status/changed", payload: "notification" })
      assert.isTrue(event.params.error.issues.some((issue) => issue.path.startsWith("status")))
      assert.notInclude(event.params.error.message, SECRET)
      assert.strictEqual((yield* thread.atLeast(1)).length, 1)
    }))

  it.effect("are told from junk, which ends nothing", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ maxLineBytes: 2000 })
      const all = yield* collect(client.notifications)
      const junk = [
        `Listening on ${SECRET}`,
        "[]",
        "null",
        "{}",
        `{"id":{},"result":1}`,
        `{"method":"a","id":null}`,
        `{"error":"x"}`,
        `{"id":1,"method`,
        "\u0000\u0001",
        `{"method":"turn/diff/updated","params":{"diff":"${"x".repeat(5000)}"}}`,
        "x".repeat(5000)
      ]
      yield* server.pushBytes(new TextEncoder().encode(junk.map((line) => `${line}\n`).join("")))
      yield* server.pushBytes(Uint8Array.of(0xff, 0xfe, 0x0a))
      const events = yield* all.atLeast(junk.length + 1)
      for (const event of events) {
        assert.strictEqual(event.method, "client/decodeFailure")
        if (event.method !== "client/decodeFailure") continue
        assert.strictEqual(event.params.error.payload, "envelope")
        assert.notInclude(event.params.error.message, SECRET)
      }
      const named = events.map((event) => event.method === "client/decodeFailure" ? event.params.error.method : "")
      assert.include(named, "turn/diff/updated")
      const fiber = yield* fork(client.request("model/list", {}))
      yield* server.respond(yield* server.request("model/list"), models)
      yield* Fiber.join(fiber)
    }))

  it.effect("do not end the reader, however absurd their values", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const result = yield* fork(Effect.scoped(Effect.flatMap(
        client.openTurn("turn/start", Wire.startParams("A")),
        (turn) => turn.result
      )))
      const request = yield* server.request("turn/start")
      yield* server.push(
        { id: request.id, result: { turn: Wire.turn({ id: "T" }) } },
        Wire.turnStarted("A", "T"),
        Wire.turnCompleted("A", "T", { startedAt: 1e17, completedAt: -1e300, durationMs: 1e300 })
      )
      const { completedAt, durationMs, startedAt } = yield* Fiber.join(result)
      assert.deepStrictEqual([startedAt, completedAt, durationMs], [null, null, 1e300])
      const refused = yield* fork(Effect.flip(client.request("model/list", {})))
      const { id } = yield* server.request("model/list")
      yield* server.push({ id, error: { code: 0.5, message: "half" } })
      assert.strictEqual((yield* Fiber.join(refused))._tag, "InternalError")
    }))
})

describe("requests of the server", () => {
  it.effect("for leave to act are declined", () =>
    Effect.gen(function*() {
      const { server } = yield* connect()
      const ids = { threadId: "A", turnId: "T", itemId: "I", startedAtMs: 1 }
      const answers: Array<unknown> = []
      const asked: ReadonlyArray<readonly [method: string, params: unknown]> = [
        ["item/commandExecution/requestApproval", { ...ids, kind: "command", command: "rm -rf /" }],
        ["item/fileChange/requestApproval", ids],
        ["mcpServer/elicitation/request", {
          threadId: "A",
          serverName: "s",
          mode: "form",
          message: "m",
          requestedSchema: { type: "object", properties: {} }
        }],
        ["item/tool/call", { threadId: "A", turnId: "T", callId: "c", tool: "t", arguments: {} }]
      ]
      for (const [index, [method, params]] of asked.entries()) {
        yield* server.push({ id: index, method, params })
        const answer = yield* server.next
        assert.strictEqual(answer.id, index)
        answers.push(answer.result)
      }
      assert.deepStrictEqual(answers, [
        { decision: "decline" },
        { decision: "decline" },
        { action: "decline" },
        { success: false, contentItems: [{ type: "inputText", text: "There is no tool t on this thread." }] }
      ])
    }))

  it.effect("with an unknown method, or one that only the program could answer, are refused with -32601", () =>
    Effect.gen(function*() {
      const { server } = yield* connect()
      for (const method of ["future/ask", "__proto__", "attestation/generate"]) {
        yield* server.push({ id: `id-${method}`, method, params: {} })
        const answer = yield* server.next
        assert.strictEqual(answer.id, `id-${method}`)
        assert.strictEqual(answer.error?.code, -32601)
      }
    }))

  it.effect("with wrong params are refused with -32602, without what they held", () =>
    Effect.gen(function*() {
      const { server } = yield* connect()
      yield* server.push({ id: 0, method: "item/fileChange/requestApproval", params: { threadId: SECRET } })
      const answer = yield* server.next
      assert.strictEqual(answer.id, 0)
      assert.strictEqual(answer.error?.code, -32602)
      assert.notInclude(JSON.stringify(answer), SECRET)
    }))
})

describe("the end of the connection", () => {
  const exited = new AppServerExited({ exitCode: 101, stderr: "panicked" })

  it.effect("settles every waiter, every stream, every turn and every later call with its cause", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ maxInFlight: 3 })
      const streams = [
        client.notifications,
        client.unownedNotifications,
        client.threadNotifications("A"),
        client.on("thread/started")
      ]
      const readers = yield* Effect.forEach(streams, (stream) => fork(Effect.flip(Stream.runDrain(stream))))
      const turn = yield* fork(client.openTurn("turn/start", Wire.startParams("A")))
      const startRequest = yield* server.request("turn/start")
      yield* server.push(
        { id: startRequest.id, result: { turn: Wire.turn({ id: "T" }) } },
        Wire.turnStarted("A", "T")
      )
      const open = yield* Fiber.join(turn)
      const result = yield* fork(Effect.flip(open.result))
      const events = yield* fork(Effect.flip(Stream.runDrain(open.events)))
      const interrupting = yield* fork(Effect.flip(open.interrupt))
      yield* server.request("turn/interrupt")
      const starting = yield* fork(Effect.flip(client.openTurn("turn/start", Wire.startParams("B"))))
      yield* server.request("turn/start")
      const compacting = yield* fork(Effect.flip(client.openTurn("thread/compact/start", { threadId: "C" })))
      const compactRequest = yield* server.request("thread/compact/start")
      yield* server.respond(compactRequest, {})
      const waiting = yield* fork(Effect.flip(client.request("model/list", {})))
      const admission = yield* Effect.forEach(
        [1, 2, 3],
        () => fork(Effect.flip(client.request("account/read", { refreshToken: false })))
      )
      yield* server.request("model/list")
      yield* server.barrier
      yield* server.end(exited)

      const check = <A, E>(fiber: Fiber.Fiber<A, E>, method: string | undefined) =>
        Effect.map(Fiber.join(fiber), (error) => {
          assert.instanceOf(error, AppServerExited)
          assert.deepStrictEqual([error.exitCode, error.stderr, error.method], [101, "panicked", method])
        })
      for (const reader of readers) yield* check(reader, undefined)
      yield* check(result, undefined)
      yield* check(events, undefined)
      yield* check(interrupting, "turn/interrupt")
      yield* check(starting, "turn/start")
      yield* check(compacting, "thread/compact/start")
      yield* check(waiting, "model/list")
      for (const fiber of admission) yield* check(fiber, "account/read")
      // And whatever comes later.
      yield* check(yield* fork(Effect.flip(client.request("model/list", {}))), "model/list")
      yield* check(yield* fork(Effect.flip(client.openTurn("turn/start", Wire.startParams("A")))), "turn/start")
      yield* check(
        yield* fork(Effect.flip(client.openTurn("thread/compact/start", { threadId: "A" }))),
        "thread/compact/start"
      )
      for (const stream of streams) yield* check(yield* fork(Effect.flip(Stream.runDrain(stream))), undefined)
      yield* check(yield* fork(Effect.flip(Stream.runDrain(open.events))), undefined)
      yield* check(yield* fork(Effect.flip(open.result)), undefined)
    }))

  it.effect("comes after everything that was said before it, in the same chunk too", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const all = yield* collect(client.notifications)
      const fiber = yield* fork(client.request("model/list", {}))
      const request = yield* server.request("model/list")
      yield* server.pushBytes(encode({ id: request.id, result: models }, Wire.threadStatus("A", "idle")))
      yield* server.end(exited)
      assert.deepStrictEqual((yield* Fiber.join(fiber)).data, [])
      assert.deepStrictEqual(methods(yield* all.atLeast(1)), ["thread/status/changed"])
      assert.isTrue(Exit.isFailure(yield* Fiber.await(all.fiber)))
    }))

  it.effect("by the client's own scope is told to whoever still waits", () =>
    Effect.gen(function*() {
      const server = yield* start()
      const scope = yield* Scope.make()
      const client = yield* connectTo(server).pipe(Scope.provide(scope))
      const request = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* server.request("model/list")
      const opening = yield* fork(Effect.exit(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A")))))
      yield* server.request("turn/start")
      const reader = yield* fork(Effect.flip(Stream.runDrain(client.notifications)))
      yield* Scope.close(scope, Exit.void)
      for (const error of [yield* Fiber.join(request), yield* Fiber.join(reader)]) {
        assert.instanceOf(error, TransportError)
        assert.strictEqual(error.operation, "close")
      }
      const exit = yield* Fiber.join(opening)
      const failure = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
      assert.strictEqual(failure?._tag, "Fail")
      const later = yield* Effect.flip(client.request("model/list", {}))
      assert.instanceOf(later, TransportError)
    }))

  it.effect("by the client's own scope interrupts a turn that is just being started at a server that goes on", () =>
    Effect.gen(function*() {
      const { client, scope, server } = yield* connectToDaemon
      const opening = yield* fork(client.openTurn("turn/start", Wire.startParams("A")))
      const request = yield* server.request("turn/start")
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
      yield* server.push(Wire.turnStarted("A", "T"))
      const interrupt = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(interrupt.params, { threadId: "A", turnId: "T" })
      yield* server.respond(interrupt, {})
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* Fiber.join(closing)
      const turn = yield* Fiber.join(opening)
      assert.instanceOf(yield* Effect.flip(turn.result), TurnInterrupted)
    }))
})
