import { type AppServerClient, Transport, WireTap } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { make } from "../src/AppServerClient.ts"
import { fork, until } from "./support/observe.ts"
import { start } from "./support/ScriptedServer.ts"
import { answersIn, caughtUp, command } from "./support/serverRequests.ts"
import * as Wire from "./support/wire.ts"

const SENTINEL = "s3nt1nel \"of\" a\nprompt, a key or a file"
const KEY = "sk-s3nt1nel-0123456789"

/** A client over a scripted server with a tap in between, in a scope of its own. */
const connect = (options: WireTap.Options = {}) =>
  Effect.gen(function*() {
    const lines: Array<WireTap.Line> = []
    const server = yield* start()
    const scope = yield* Scope.make()
    const build = Effect.gen(function*() {
      const transport = yield* Layer.build(
        WireTap.layer({ sink: (line) => Effect.sync(() => lines.push(line)), ...options }).pipe(
          Layer.provide(Layer.succeed(Transport, server.transport))
        )
      )
      const client: AppServerClient["Service"] = yield* make({ experimental: true }).pipe(
        Effect.provideService(Transport, Context.get(transport, Transport))
      )
      return client
    })
    const client = yield* Scope.provide(build, scope)
    return { client, server, lines, close: Scope.close(scope, Exit.void) }
  })

/** A turn whose every part says what must not be shown. */
const runTurn = ({ client, server }: Effect.Success<ReturnType<typeof connect>>) =>
  Effect.gen(function*() {
    const running = yield* fork(Effect.scoped(
      Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A", SENTINEL)), (turn) => turn.result)
    ))
    yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id: "T" }) })
    yield* server.push(
      { id: 7, method: "item/commandExecution/requestApproval", params: command("A", "T", "c", { command: SENTINEL }) },
      {
        id: 8,
        method: "item/tool/call",
        params: { threadId: "A", turnId: "T", callId: "d", tool: "t", arguments: { [SENTINEL]: SENTINEL, pin: 1234 } }
      },
      { id: 9, method: "item/commandExecution/requestApproval", params: { threadId: [SENTINEL], [SENTINEL]: SENTINEL } }
    )
    yield* caughtUp(server, "marker")
    for (const id of [7, 8, 9]) yield* until(() => answersIn(server, id).length > 0)
    yield* server.push({ id: SENTINEL, result: SENTINEL }, { id: 99, error: { code: 5, message: SENTINEL } })
    yield* server.push({ method: SENTINEL, params: [SENTINEL] })
    yield* server.pushBytes(new TextEncoder().encode(`${SENTINEL}\n`))
    yield* server.push(...Wire.textTurn("A", "T", [SENTINEL, KEY]))
    yield* Fiber.join(running)
    const login = yield* fork(Effect.exit(client.request("account/login/start", { type: "apiKey", apiKey: KEY })))
    // What was answered meanwhile comes first.
    yield* server.next.pipe(
      Effect.repeat({ until: ({ method }) => method === "account/login/start" }),
      Effect.flatMap(({ id }) => server.push({ id, result: { type: "apiKey" } }))
    )
    yield* Fiber.join(login)
  })

describe("the wire tap", () => {
  it.effect("shows every line in both directions, with what it is, its id, its method, its size and its time", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      const { client, close, lines, server } = yield* connect()
      const asking = yield* fork(Effect.exit(client.request("thread/read", { threadId: "A" })))
      yield* server.refuse(yield* server.request("thread/read"), -32600, "No such thread")
      yield* Fiber.join(asking)
      yield* server.push(Wire.threadStatus("A", "idle"), { id: "q", method: "test/unknown", params: {} })
      yield* server.next
      yield* server.pushBytes(new TextEncoder().encode("not JSON\n"))
      yield* server.barrier
      yield* close
      const shown = lines.map(({ direction, id, kind, method }) =>
        [direction, kind, method, id].filter((part) => part !== undefined).join(" ")
      )
      assert.deepStrictEqual(shown, [
        "sent request initialize 1",
        "received response initialize 1",
        "sent notification initialized",
        "sent request thread/read 2",
        "received error thread/read 2",
        "received notification thread/status/changed",
        "received request test/unknown q",
        "sent error test/unknown q",
        "received junk",
        "received request test/barrier barrier-0",
        "sent error test/barrier barrier-0"
      ])
      for (const { at, missed } of lines) {
        assert.strictEqual(DateTime.toEpochMillis(at), 3_600_000)
        assert.strictEqual(missed, 0)
      }
      assert.deepStrictEqual(
        lines.filter(({ method }) => method === "thread/read").map(({ bytes, text }) => [text, bytes]),
        [
          [`{"id":2,"method":"thread/read","params":{"threadId":"A"}}`, 57],
          [`{"id":2,"error":{"code":-32600,"message":"<14 characters>"}}`, 59]
        ]
      )
      assert.deepStrictEqual(lines.find(({ kind }) => kind === "junk"), {
        direction: "received",
        at: DateTime.makeUnsafe(3_600_000),
        bytes: 8,
        kind: "junk",
        text: "<8 characters>",
        missed: 0
      })
    }))

  it.effect("shows no content and no secret unless it is asked for", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      yield* runTurn(connection)
      yield* connection.close
      assert.isAbove(connection.lines.length, 25)
      for (const line of connection.lines) {
        assert.notInclude(JSON.stringify(line), "s3nt1nel")
        assert.notInclude(JSON.stringify(line), "prompt")
        assert.notInclude(line.text, "1234")
      }
      const turn = connection.lines.find(({ method }) => method === "turn/start")
      assert.deepStrictEqual(JSON.parse(turn?.text ?? ""), {
        id: 2,
        method: "turn/start",
        params: { threadId: "A", input: [{ type: "text", text: `<${SENTINEL.length} characters>` }] }
      })
    }))

  it.effect("shows content where it is asked for, but no keys and no tokens even then", () =>
    Effect.gen(function*() {
      const connection = yield* connect({
        content: "full",
        secrets: [Redacted.make("a key or a file"), ""]
      })
      yield* runTurn(connection)
      yield* connection.close
      const all = connection.lines.map(({ text }) => text).join("\n")
      assert.include(all, "s3nt1nel")
      assert.include(all, "prompt, <redacted>")
      assert.include(all, `"apiKey":"<redacted>"`)
      assert.notInclude(all, KEY)
      assert.notInclude(all, "0123456789")
      assert.notInclude(all, "a key or a file")
    }))

  it.effect("shows no secrets in files, in output, and among what is written to the configuration", () =>
    Effect.gen(function*() {
      const { client, close, lines, server } = yield* connect({ content: "full" })
      const content = Base64.encode(`grüße, ${KEY}`)
      const untouched = Base64.encode(Uint8Array.of(0x61, 0xff))
      const write = yield* fork(Effect.exit(client.request("config/value/write", {
        keyPath: "model_providers.x.experimental_bearer_token",
        value: "s3nt1nel",
        mergeStrategy: "replace"
      })))
      yield* server.request("config/value/write")
      yield* server.push(
        { method: "process/outputDelta", params: { deltaBase64: content } },
        { method: "process/outputDelta", params: { deltaBase64: untouched } }
      )
      yield* caughtUp(server, "marker")
      yield* close
      yield* Fiber.join(write)
      const all = lines.map(({ text }) => text).join("\n")
      assert.notInclude(all, "s3nt1nel")
      assert.notInclude(all, content)
      assert.include(all, `"deltaBase64":"${Base64.encode("grüße, <redacted>")}"`)
      assert.include(all, `"deltaBase64":"${untouched}"`)
    }))

  it.effect("shows as much of a line as it may, and of a very long one what it was", () =>
    Effect.gen(function*() {
      const { client, close, lines, server } = yield* connect({ content: "full", maxLength: 20 })
      const asking = yield* fork(client.request("thread/loaded/list", {}))
      const { id } = yield* server.request("thread/loaded/list")
      yield* server.push({ id, result: { data: ["x".repeat(2_000_000)], nextCursor: null } })
      yield* Fiber.join(asking)
      yield* close
      const [request, response] = lines.filter(({ method }) => method === "thread/loaded/list")
      assert.strictEqual(request?.text, `{"id":2,"method":"th…`)
      assert.strictEqual(response?.kind, "response")
      assert.match(response?.text ?? "", /^<20000\d\d bytes>$/)
    }))

  it.effect("never keeps the connection waiting: what is not taken in time gives way, and is counted", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const lines: Array<WireTap.Line> = []
      const { close, server } = yield* connect({
        sink: (line) => Effect.andThen(Deferred.await(gate), Effect.sync(() => lines.push(line)))
      })
      for (let i = 0; i < 50; i++) {
        yield* server.push(...Array.from({ length: 100 }, () => Wire.threadStatus("A", "idle")))
      }
      yield* server.barrier
      yield* Deferred.succeed(gate, undefined)
      yield* close
      const missed = lines.reduce((sum, line) => sum + line.missed, 0)
      assert.isAbove(missed, 3_000)
      // The handshake, what was pushed, and the barrier with its answer.
      assert.strictEqual(lines.length + missed, 3 + 5_000 + 2)
    }))

  it.effect("that dies leaves the connection alone", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const { client, close, server } = yield* connect({ sink: () => Effect.die("broken") }).pipe(
        Effect.provide(Logger.layer([Logger.make(({ message }) => logged.push(message))]))
      )
      const asking = yield* fork(client.request("thread/loaded/list", {}))
      yield* server.respond(yield* server.request("thread/loaded/list"), { data: [], nextCursor: null })
      assert.deepStrictEqual(yield* Fiber.join(asking), { data: [], nextCursor: null })
      yield* close
      assert.include(JSON.stringify(logged), "The wire is not shown any more")
    }))

  it.effect("holds the end of the scope up for a second at most", () =>
    Effect.gen(function*() {
      const { close } = yield* connect({ sink: () => Effect.never })
      const closing = yield* fork(close)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
    }))

  it.effect("goes to the log at its level, and does nothing where that is not enabled", () =>
    Effect.gen(function*() {
      const logged: Array<readonly [string, unknown, unknown]> = []
      const logger = Logger.make(({ fiber, logLevel, message }) => {
        const { source } = fiber.getRef(References.CurrentLogAnnotations)
        if (source === "codex wire") {
          logged.push([logLevel, message, fiber.getRef(References.CurrentLogAnnotations)["id"]])
        }
      })
      const use = (options: WireTap.Options) =>
        Effect.flatMap(connect({ sink: undefined, ...options }), ({ close }) => close).pipe(
          Effect.provide(Logger.layer([logger]))
        )
      yield* use({})
      assert.deepStrictEqual(logged, [])
      yield* use({}).pipe(Effect.provideService(References.MinimumLogLevel, "Debug"))
      assert.deepStrictEqual(logged.map(([level, , id]) => [level, id]), [["Debug", 1], ["Debug", 1], [
        "Debug",
        undefined
      ]])
      assert.match(String(logged[0]?.[1]), /^sent request initialize: \{"id":1,"method":"initialize",/)
      logged.length = 0
      yield* use({ level: "Info" })
      assert.deepStrictEqual(logged.map(([level]) => level), ["Info", "Info", "Info"])
    }))
})
