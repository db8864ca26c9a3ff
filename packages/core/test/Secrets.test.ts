import {
  Approvals,
  AppServerClient,
  type Codex,
  type ConnectionError,
  Transport,
  TransportError
} from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import { make } from "../src/AppServerClient.ts"
import { make as makeCodex } from "../src/Codex.ts"
import { collect, fork } from "./support/observe.ts"
import { type Request, type ScriptedServer, start } from "./support/ScriptedServer.ts"
import { answersIn, caughtUp, command } from "./support/serverRequests.ts"
import * as Wire from "./support/wire.ts"

const SENTINEL = "s3nt1nel \"of\" a\nprompt, a key or a file"
/** Any part of it would be too much. */
const PARTS = ["s3nt1nel", "a key or a file"]

/** Everything that a program shows of itself: errors, logs, spans and metrics. */
const showing = () => {
  const shown: Array<string> = []
  const spans: Array<string> = []
  const show = (value: unknown) => {
    shown.push(String(value), inspect(value, { depth: 20 }), JSON.stringify(value) ?? "")
    if (value instanceof Error) shown.push(value.message, value.stack ?? "")
  }
  const logger = Logger.make(({ cause, message }) => {
    show(message)
    show(cause)
    shown.push(Cause.pretty(cause))
  })
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const end = span.end.bind(span)
      span.end = (time, exit) => {
        end(time, exit)
        spans.push(span.name)
        show([span.name, [...span.attributes], span.events, exit])
        if (Exit.isFailure(exit)) shown.push(Cause.pretty(exit.cause))
      }
      return span
    }
  })
  const watch = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(
      Effect.withSpan("test"),
      Effect.withTracer(tracer),
      Effect.provideService(References.MinimumLogLevel, "All"),
      Effect.provide(Logger.layer([logger]))
    )
  const showCause = (cause: Cause.Cause<unknown>) => {
    show(cause)
    shown.push(Cause.pretty(cause))
    for (const reason of cause.reasons) show(reason._tag === "Fail" ? reason.error : reason)
  }
  return { shown, show, showCause, spans, watch }
}

const check = (shown: ReadonlyArray<string>, at: number, what: string) => {
  assert.isAbove(shown.length, at, what)
  for (const text of shown) for (const part of PARTS) assert.notInclude(text, part, what)
}

const connect = Effect.gen(function*() {
  const server = yield* start()
  const answers = yield* Approvals.make({
    policy: () => Effect.fail({ _tag: "Leak", text: SENTINEL }),
    handlers: {
      "item/tool/call": () => Effect.die(new Error(SENTINEL)),
      "mcpServer/elicitation/request": () => Effect.fail({ _tag: "Leak", text: SENTINEL })
    }
  })
  const client: AppServerClient["Service"] = yield* make({ experimental: true }).pipe(
    Effect.provideService(Transport, server.transport),
    Effect.provideService(Approvals.Approvals, answers)
  )
  const codex: Codex["Service"] = yield* Effect.provideService(makeCodex, AppServerClient, client)
  return { server, client, codex }
})

type Connection = Effect.Success<typeof connect>

/** Requests whose params hold the sentinel. */
const requests: ReadonlyArray<readonly [string, (connection: Connection) => Effect.Effect<unknown, unknown>]> = [
  ["turn/start", ({ client }) => Effect.scoped(client.openTurn("turn/start", Wire.startParams("A", SENTINEL)))],
  ["turn/steer", ({ client }) =>
    client.request("turn/steer", {
      threadId: "A",
      expectedTurnId: "T",
      input: [{ type: "text", text: SENTINEL }]
    })],
  ["account/login/start", ({ codex }) => codex.loginApiKey(Redacted.make(SENTINEL))],
  ["thread/start", ({ codex }) => codex.startThread({ developerInstructions: SENTINEL, config: { a: [SENTINEL] } })],
  ["thread/list", ({ codex }) => codex.listThreads({ searchTerm: SENTINEL })],
  [
    "config/value/write",
    ({ client }) =>
      client.request("config/value/write", { keyPath: "a.b", value: { deep: [SENTINEL] }, mergeStrategy: "replace" })
  ],
  [
    "fs/writeFile",
    ({ client }) => client.experimental.request("fs/writeFile", { path: "/tmp/file", dataBase64: SENTINEL })
  ]
]

const codes = [-32700, -32600, -32601, -32602, -32603, -32001, -1, 401]

const refusals = (code: number) => [
  { code, message: `Invalid request: invalid value ${JSON.stringify(SENTINEL)}, expected something else` },
  { code, message: `Could not do: ${SENTINEL}`, data: { quoted: SENTINEL, list: [{ [`key`]: `<${SENTINEL}>` }] } }
]

/** Refuses the request, and the attempts that follow it, until the call has failed. */
const refuseAll = (server: ScriptedServer, first: Request, error: unknown) =>
  Effect.flatMap(
    fork(Effect.forever(
      Effect.flatMap(server.next, ({ id }) => server.push({ id, error }))
    )),
    (refusing) => Effect.as(server.push({ id: first.id, error }), refusing)
  )

describe("secrets, prompts and file contents", () => {
  it.live("are in nothing that is shown of a request, however the server refuses it and whatever it quotes", () =>
    Effect.gen(function*() {
      for (const [method, call] of requests) {
        const { showCause, shown, watch } = showing()
        yield* Effect.scoped(watch(Effect.gen(function*() {
          const connection = yield* connect
          for (const code of codes) {
            if (code === -32001) continue
            for (const error of refusals(code)) {
              const fiber = yield* fork(Effect.exit(call(connection)))
              const refusing = yield* refuseAll(connection.server, yield* connection.server.request(method), error)
              const exit = yield* Fiber.join(fiber)
              yield* Fiber.interrupt(refusing)
              assert.isTrue(Exit.isFailure(exit), method)
              if (Exit.isFailure(exit)) {
                showCause(exit.cause)
                yield* Effect.logError("It failed", exit.cause)
              }
            }
          }
        })))
        check(shown, codes.length, method)
      }
    }))

  it.live("are in nothing that is shown of what cannot be decoded", () =>
    Effect.gen(function*() {
      const { show, showCause, shown, watch } = showing()
      yield* Effect.scoped(watch(Effect.gen(function*() {
        const { client, server } = yield* connect
        const events = yield* collect(client.notifications)
        const fiber = yield* fork(Effect.exit(client.request("model/list", {})))
        yield* server.respond(yield* server.request("model/list"), { data: [{ id: SENTINEL }], nextCursor: [SENTINEL] })
        const exit = yield* Fiber.join(fiber)
        if (Exit.isFailure(exit)) showCause(exit.cause)
        yield* server.push(
          { method: "turn/started", params: { threadId: "A", turn: SENTINEL } },
          { method: "item/completed", params: { threadId: "A", turnId: "T", item: { type: SENTINEL } } },
          { id: null, error: { code: 1, message: SENTINEL } },
          { id: { [SENTINEL]: SENTINEL } },
          SENTINEL,
          { method: "item/agentMessage/delta", params: { [SENTINEL]: SENTINEL, delta: [SENTINEL] } }
        )
        yield* server.pushBytes(new TextEncoder().encode(`${SENTINEL}\n`))
        for (const event of yield* events.atLeast(7)) show(event)
        yield* Effect.log(events.seen)
      })))
      check(shown, 8, "decoding")
    }))

  it.live("are in nothing that is shown of what the server asks and of handlers that fail", () =>
    Effect.gen(function*() {
      const { show, shown, watch } = showing()
      yield* Effect.scoped(watch(Effect.gen(function*() {
        const { server } = yield* connect
        const asked: ReadonlyArray<readonly [string, unknown]> = [
          ["item/commandExecution/requestApproval", command("A", "T", "call", { command: SENTINEL })],
          ["item/commandExecution/requestApproval", { command: SENTINEL, threadId: [SENTINEL] }],
          ["item/tool/call", { threadId: "A", turnId: "T", callId: "c", tool: "t", arguments: { text: SENTINEL } }],
          ["mcpServer/elicitation/request", {
            threadId: "A",
            turnId: "T",
            serverName: "m",
            mode: "form",
            message: SENTINEL,
            requestedSchema: { type: "object", properties: {} }
          }],
          ["test/unknown", { text: SENTINEL }]
        ]
        for (const [index, [method, params]] of asked.entries()) yield* server.push({ id: index, method, params })
        yield* caughtUp(server, "marker")
        for (const index of asked.keys()) {
          while (answersIn(server, index).length === 0) yield* Effect.yieldNow
          show(answersIn(server, index))
        }
      })))
      check(shown, 10, "server requests")
    }))

  it.live("are in nothing that is shown of a turn that fails, though its result is kept for the program", () =>
    Effect.gen(function*() {
      const { showCause, shown, watch } = showing()
      const user = { type: "userMessage", id: "u", clientId: null, content: [{ type: "text", text: SENTINEL }] }
      yield* Effect.scoped(watch(Effect.gen(function*() {
        const { client, codex, server } = yield* connect
        for (const status of ["failed", "interrupted"]) {
          const fiber = yield* fork(Effect.exit(Effect.scoped(
            Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A", SENTINEL)), (turn) => turn.result)
          )))
          const { id } = yield* server.request("turn/start")
          yield* server.push(
            { id, result: { turn: Wire.turn({ id: status }) } },
            Wire.turnStarted("A", status),
            Wire.itemCompleted("A", status, user),
            Wire.itemCompleted("A", status, Wire.agentMessage("m", SENTINEL)),
            Wire.turnCompleted("A", status, {
              status,
              error: {
                message: `The provider refuses "${SENTINEL}" of Bearer s3nt1nel-key`,
                additionalDetails: `key sk-s3nt1nel-12345678 and ${SENTINEL}`
              }
            })
          )
          const exit = yield* Fiber.join(fiber)
          assert.isTrue(Exit.isFailure(exit))
          if (Exit.isFailure(exit)) {
            showCause(exit.cause)
            yield* Effect.logError(exit.cause)
          }
        }
        const asking = yield* fork(codex.startThread({}))
        yield* server.refuse(yield* server.request("thread/start"), -32600, "no")
        yield* Fiber.await(asking)
        const output = Schema.Struct({ n: Schema.Int })
        const thread = (yield* Effect.promise(() => import("../src/Thread.ts"))).make(client, "A")
        const fiber = yield* fork(Effect.exit(thread.run(SENTINEL, { output })))
        const { id } = yield* server.request("turn/start")
        const text = JSON.stringify({ n: SENTINEL })
        yield* server.push({ id, result: { turn: Wire.turn({ id: "T" }) } }, ...Wire.textTurn("A", "T", [text]))
        const exit = yield* Fiber.join(fiber)
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) showCause(exit.cause)
      })))
      check(shown, 12, "turns")
    }))

  it.live("are in nothing that is shown of the end of a connection, and in no metric", () =>
    Effect.gen(function*() {
      const { show, showCause, shown, watch } = showing()
      yield* Effect.scoped(watch(Effect.gen(function*() {
        const { client, server } = yield* connect
        const fiber = yield* fork(Effect.exit(
          Effect.scoped(client.openTurn("turn/start", Wire.startParams("A", SENTINEL)))
        ))
        yield* server.request("turn/start")
        const end: ConnectionError = new TransportError({ operation: "read", description: "gone" })
        yield* server.push({ id: SENTINEL, result: SENTINEL }, { id: 99, error: { code: 1, message: SENTINEL } })
        yield* server.end(end)
        const exit = yield* Fiber.join(fiber)
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) showCause(exit.cause)
        show(yield* Metric.snapshot)
        shown.push(yield* Metric.dump)
      })))
      check(shown, 4, "the end")
    }))

  it.live("are in no span of turns, items and approvals, and in no metric of them", () =>
    Effect.gen(function*() {
      const { show, shown, spans, watch } = showing()
      yield* Effect.scoped(watch(Effect.gen(function*() {
        const { client, server } = yield* connect
        const fiber = yield* fork(Effect.scoped(
          Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A", SENTINEL)), (turn) => turn.result)
        ))
        const { id } = yield* server.request("turn/start")
        const items = [
          { type: "userMessage", id: "u", clientId: null, content: [{ type: "text", text: SENTINEL }] },
          Wire.agentMessage("m", SENTINEL),
          { type: "reasoning", id: "r", summary: [SENTINEL], content: [SENTINEL] },
          {
            type: "commandExecution",
            id: "c",
            command: SENTINEL,
            cwd: "/project",
            processId: null,
            source: "agent",
            status: "failed",
            commandActions: [],
            aggregatedOutput: SENTINEL,
            exitCode: 1,
            durationMs: 1
          },
          {
            type: "fileChange",
            id: "f",
            changes: [{ path: "/project/a", kind: { type: "add" }, diff: SENTINEL }],
            status: "completed"
          },
          {
            type: "dynamicToolCall",
            id: "d",
            namespace: null,
            tool: "lookup",
            arguments: { [SENTINEL]: SENTINEL },
            status: "completed",
            contentItems: [{ type: "inputText", text: SENTINEL }],
            success: true,
            durationMs: 1
          }
        ]
        yield* server.push({ id, result: { turn: Wire.turn({ id: "T" }) } }, Wire.turnStarted("A", "T"))
        for (const item of items) yield* server.push(Wire.itemStarted("A", "T", item))
        yield* server.push(
          {
            id: 1,
            method: "item/commandExecution/requestApproval",
            params: command("A", "T", "c", { command: SENTINEL, reason: SENTINEL })
          },
          {
            id: 2,
            method: "item/tool/call",
            params: { threadId: "A", turnId: "T", callId: "d", tool: "t", arguments: SENTINEL }
          }
        )
        for (const index of [1, 2]) while (answersIn(server, index).length === 0) yield* Effect.yieldNow
        for (const item of items) yield* server.push(Wire.itemCompleted("A", "T", item))
        yield* server.push(
          Wire.delta("A", "T", "m", SENTINEL),
          Wire.tokenUsage("A", "T", 15),
          Wire.turnCompleted("A", "T", { items: [Wire.agentMessage("m", SENTINEL)] })
        )
        yield* Fiber.join(fiber)
        show(yield* Metric.snapshot)
        shown.push(yield* Metric.dump)
      })))
      // All of them have ended, and so have been shown.
      assert.includeMembers(spans, [
        "turn/start",
        "invoke_agent codex",
        "codex.item userMessage",
        "codex.item agentMessage",
        "codex.item reasoning",
        "execute_tool commandExecution",
        "execute_tool fileChange",
        "execute_tool lookup",
        "item/commandExecution/requestApproval",
        "item/tool/call"
      ])
      check(shown, 30, "spans")
    }))
})
