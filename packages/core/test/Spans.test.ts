import { Approvals, type AppServerClient, Transport, TransportError } from "@effect-codex/core"
import { JSONRPCRequest } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"
import { make } from "../src/AppServerClient.ts"
import { fork } from "./support/observe.ts"
import { connect, type ScriptedServer, start } from "./support/ScriptedServer.ts"
import { answersIn, caughtUp, command } from "./support/serverRequests.ts"
import { outline, recorder, under } from "./support/spans.ts"
import { threadResponse } from "./support/threads.ts"
import * as Wire from "./support/wire.ts"

type Client = AppServerClient["Service"]

/** A connection of which the lines are kept as they are sent. */
const connectKeepingLines = Effect.gen(function*() {
  const server = yield* start()
  const lines: Array<string> = []
  const client: Client = yield* make().pipe(
    Effect.provideService(
      Transport,
      Transport.of({
        incoming: server.transport.incoming,
        send: (line) => Effect.andThen(Effect.sync(() => lines.push(line)), server.transport.send(line))
      })
    )
  )
  return { client, server, lines }
})

const decodeRequest = Schema.decodeUnknownSync(Schema.fromJsonString(JSONRPCRequest))

const list = ({ client, server }: { readonly client: Client; readonly server: ScriptedServer }) =>
  Effect.gen(function*() {
    const asking = yield* fork(client.request("thread/loaded/list", {}))
    yield* server.respond(yield* server.request("thread/loaded/list"), { data: [], nextCursor: null })
    return yield* Fiber.join(asking)
  })

describe("the trace on the wire", () => {
  it.effect("is the request's own span, in the form that the protocol has", () =>
    Effect.gen(function*() {
      const connection = yield* connectKeepingLines
      const spans = recorder()
      yield* list(connection).pipe(under(spans, "program"))
      const { traceId, spanId } = spans.find("thread/loaded/list")
      assert.deepStrictEqual(decodeRequest(connection.lines.at(-1)), {
        id: 2,
        method: "thread/loaded/list",
        params: {},
        trace: { traceparent: `00-${traceId}-${spanId}-01` }
      })
      assert.strictEqual(traceId, spans.find("program").traceId)
    }))

  it.effect("says so when the span is not sampled", () =>
    Effect.gen(function*() {
      const connection = yield* connectKeepingLines
      const spans = recorder()
      yield* list(connection).pipe(
        Effect.withSpan("program", { sampled: false }),
        Effect.withTracer(spans.tracer)
      )
      assert.match(decodeRequest(connection.lines.at(-1)).trace?.traceparent ?? "", /-00$/)
    }))

  it.effect("is left out where nobody traces", () =>
    Effect.gen(function*() {
      const connection = yield* connectKeepingLines
      const spans = recorder()
      yield* list(connection)
      yield* list(connection).pipe(Effect.withSpan("program"))
      yield* list(connection).pipe(Effect.withTracerEnabled(false), under(spans, "program"))
      assert.isAbove(connection.lines.length, 3)
      for (const line of connection.lines) assert.notInclude(line, "trace")
      assert.deepStrictEqual(outline(spans.tree("program")), ["program"])
    }))
})

describe("the span of a request", () => {
  it.effect("covers its retries, and tells the id of the last attempt", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ retry: Schedule.recurs(3) })
      const spans = recorder()
      const asking = yield* fork(client.request("thread/loaded/list", {}).pipe(under(spans, "p")))
      yield* server.refuse(yield* server.request("thread/loaded/list"), -32001, "full")
      yield* server.respond(yield* server.request("thread/loaded/list"), { data: [], nextCursor: null })
      yield* Fiber.join(asking)
      assert.deepStrictEqual(outline(spans.tree("p"), ["jsonrpc.request.id"]), [
        "p",
        "  thread/loaded/list jsonrpc.request.id=3"
      ])
    }))

  it.effect("tells what it was refused with, and nothing of the words", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const spans = recorder()
      const asking = yield* fork(Effect.exit(client.request("thread/read", { threadId: "A" })).pipe(under(spans, "p")))
      yield* server.refuse(yield* server.request("thread/read"), -32600, "no such thread")
      yield* Fiber.join(asking)
      const span = spans.tree("thread/read")
      assert.strictEqual(span.status, "failed: InvalidRequest")
      assert.deepStrictEqual(span.attributes, {
        "rpc.system.name": "jsonrpc",
        "rpc.method": "thread/read",
        "gen_ai.conversation.id": "A",
        "jsonrpc.request.id": "2",
        "error.type": "InvalidRequest",
        "rpc.response.status_code": "-32600"
      })
    }))

  it.effect("ends with the interruption of its caller", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const spans = recorder()
      const asking = yield* fork(client.request("thread/read", { threadId: "A" }).pipe(under(spans, "p")))
      yield* server.request("thread/read")
      yield* Fiber.interrupt(asking)
      assert.strictEqual(spans.tree("thread/read").status, "interrupted")
    }))

  it.effect("holds nothing of the answer", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const spans = recorder()
      yield* list(connection).pipe(under(spans, "p"))
      const { status } = spans.find("thread/loaded/list")
      assert.deepStrictEqual(status._tag === "Ended" ? status.exit : undefined, Exit.void)
    }))
})

/** A turn of thread `A` in a scope of its own. */
const open = ({ client, server }: { readonly client: Client; readonly server: ScriptedServer }, turnId = "T") =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const opening = yield* fork(client.openTurn("turn/start", Wire.startParams("A")).pipe(Scope.provide(scope)))
    yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id: turnId }) })
    return { scope, turn: yield* Fiber.join(opening) }
  })

describe("the span of a turn", () => {
  it.effect("has the items that began before the answer to its request", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const spans = recorder()
      const running = yield* fork(
        Effect.scoped(Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)).pipe(
          under(spans, "program")
        )
      )
      const { id } = yield* server.request("turn/start")
      const [started, ...others] = Wire.textTurn("A", "T", ["Hel", "lo"])
      yield* server.push(started, ...others.slice(0, 3), { id, result: { turn: Wire.turn({ id: "T" }) } })
      yield* server.push(...others.slice(3))
      yield* Fiber.join(running)
      assert.deepStrictEqual(outline(spans.tree("program"), ["codex.item.id"]), [
        "program",
        "  turn/start",
        "  invoke_agent codex",
        "    codex.item agentMessage codex.item.id=msg-T"
      ])
    }))

  it.effect("is one, however many steer it", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const spans = recorder()
      const first = yield* open(connection).pipe(under(spans, "first"))
      yield* connection.server.push(Wire.turnStarted("A", "T"))
      const second = yield* open(connection).pipe(under(spans, "second"))
      yield* connection.server.push(...Wire.textTurn("A", "T", ["Hi"]).slice(1))
      yield* second.turn.result
      yield* Scope.close(first.scope, Exit.void)
      yield* Scope.close(second.scope, Exit.void)
      assert.deepStrictEqual(outline(spans.tree("first")), [
        "first",
        "  turn/start",
        "  invoke_agent codex",
        "    codex.item agentMessage"
      ])
      assert.deepStrictEqual(outline(spans.tree("second")), ["second", "  turn/start"])
    }))

  it.effect("is there for a turn whose caller is interrupted before its answer", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const spans = recorder()
      const running = yield* fork(
        Effect.scoped(Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)).pipe(
          under(spans, "program")
        )
      )
      const request = yield* server.request("turn/start")
      const interrupting = yield* fork(Fiber.interrupt(running))
      yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
      yield* server.push(Wire.turnStarted("A", "T"))
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(outline(spans.tree("program")), [
        "program (interrupted)",
        "  turn/start",
        "  invoke_agent codex (interrupted)",
        "  turn/interrupt"
      ])
    }))

  it.effect("ends as the server's record has it, where its end was not heard", () =>
    Effect.gen(function*() {
      const connection = yield* connect({ turnIdleTimeout: "1 minute" })
      const spans = recorder()
      const { turn } = yield* open(connection).pipe(under(spans, "program"))
      yield* connection.server.push(Wire.turnStarted("A", "T"))
      yield* connection.server.barrier
      const waiting = yield* fork(turn.result)
      yield* TestClock.adjust("1 minute")
      const { id } = yield* connection.server.request("thread/read")
      const thread = threadResponse("A").thread
      yield* connection.server.push({
        id,
        result: { thread: { ...thread, turns: [Wire.turn({ id: "T", status: "completed", itemsView: "full" })] } }
      })
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(outline(spans.tree("invoke_agent codex"), ["codex.turn.status"]), [
        "invoke_agent codex codex.turn.status=completed"
      ])
    }))

  it.effect("ends with the connection, and so do its items", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const spans = recorder()
      const { turn } = yield* open(connection).pipe(under(spans, "program"))
      yield* connection.server.push(
        Wire.turnStarted("A", "T"),
        Wire.itemStarted("A", "T", Wire.agentMessage("m", ""))
      )
      yield* connection.server.barrier
      yield* connection.server.end(new TransportError({ operation: "read", description: "gone" }))
      yield* Effect.exit(turn.result)
      assert.deepStrictEqual(outline(spans.tree("program"), ["codex.turn.status"]), [
        "program",
        "  turn/start",
        "  invoke_agent codex (failed: TransportError) codex.turn.status=unknown",
        "    codex.item agentMessage (interrupted)"
      ])
    }))
})

describe("a tracer that throws", () => {
  const names = ["invoke_agent codex", "codex.item agentMessage", "turn/start", "codex.connection"]
  const members = ["span", "attribute", "end"] as const
  const fail = () => {
    throw new TypeError("hunter2")
  }
  /** Throws for the spans of the name. */
  const throwing = (name: string, member: (typeof members)[number]) =>
    Tracer.make({
      span: (options) => {
        if (options.name !== name) return new Tracer.NativeSpan(options)
        return member === "span" ? fail() : Object.assign(new Tracer.NativeSpan(options), { [member]: fail })
      }
    })

  it.effect.each(names.flatMap((name) => members.map((member) => [name, member] as const)))(
    "for the span %s, by its %s, keeps no turn from its end, and is told of once",
    ([name, member]) =>
      Effect.gen(function*() {
        const logged: Array<string> = []
        const logger = Logger.make(({ logLevel, message }) => {
          logged.push(`${logLevel} ${String(message)}`)
        })
        yield* Effect.gen(function*() {
          const connection = yield* connect()
          for (const turnId of ["T", "U"]) {
            const { scope, turn } = yield* open(connection, turnId)
            yield* connection.server.push(...Wire.textTurn("A", turnId, ["Hi"]))
            assert.strictEqual((yield* turn.result).finalResponse, "Hi")
            yield* Scope.close(scope, Exit.void)
          }
          assert.deepStrictEqual(connection.server.methods(), ["turn/start", "turn/start"])
        }).pipe(
          Effect.scoped,
          Effect.provide(Layer.merge(Layer.succeed(Tracer.Tracer, throwing(name, member)), Logger.layer([logger]))),
          Effect.provideService(References.MinimumLogLevel, "Debug")
        )
        const [warning, place, ...others] = logged
        assert.strictEqual(warning, "Warn The tracer has failed: spans are missing, or not complete")
        assert.match(place ?? "", /^Debug The tracer failed\n {2}with TypeError\n +at .*fail.*Spans\.test/)
        assert.deepStrictEqual(others, [])
      })
  )

  it.effect("leaves no turn at work that nobody holds", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { scope } = yield* open(connection).pipe(Effect.withTracer(throwing("invoke_agent codex", "span")))
      yield* connection.server.push(Wire.turnStarted("A", "T"))
      yield* connection.server.barrier
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* connection.server.respond(yield* connection.server.request("turn/interrupt"), {})
      yield* connection.server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* Fiber.join(closing)
    }))
})

const connectTraced = Effect.gen(function*() {
  const spans = recorder()
  const server = yield* start()
  const scope = yield* Scope.make()
  const answers = yield* Approvals.make({
    policy: Approvals.ask(() => Effect.as(Effect.void.pipe(Effect.withSpan("policy")), Approvals.acceptForSession))
  })
  const client: Client = yield* make().pipe(
    Effect.provideService(Transport, server.transport),
    Effect.provideService(Approvals.Approvals, answers),
    Scope.provide(scope),
    under(spans, "layer")
  )
  return { client, server, spans, scope }
})

const asking = "item/commandExecution/requestApproval"

describe("the span of what the server asks", () => {
  it.effect("stands alone where no turn of this client is asked for", () =>
    Effect.gen(function*() {
      const { server, spans } = yield* connectTraced
      yield* server.push({ id: 1, method: asking, params: command("B", "other", "call") })
      yield* caughtUp(server, "marker")
      while (answersIn(server, 1).length === 0) yield* Effect.yieldNow
      const span = spans.tree(asking)
      assert.isTrue(Option.isNone(spans.find(asking).parent))
      assert.deepStrictEqual(
        outline(span, ["gen_ai.conversation.id", "codex.approval.by", "codex.approval.decision"]),
        [
          `${asking} gen_ai.conversation.id=B codex.approval.by=layer codex.approval.decision=acceptForSession`,
          "  policy"
        ]
      )
    }))

  it.effect("is above what a thread's own answers do, wherever they were made, and is not theirs to write into", () =>
    Effect.gen(function*() {
      const { client, server, spans } = yield* connectTraced
      const answers = yield* Approvals.make({
        policy: () =>
          Effect.succeedSome(Approvals.accept).pipe(
            Effect.withSpan("own policy"),
            Effect.tap(() => Effect.annotateCurrentSpan({ secret: "hunter2" }))
          )
      }).pipe(under(spans, "making"))
      yield* client.answerThread("B", answers)
      yield* server.push({ id: 1, method: asking, params: command("B", "other", "call") })
      while (answersIn(server, 1).length === 0) yield* Effect.yieldNow
      assert.deepStrictEqual(outline(spans.tree(asking), ["secret", "codex.approval.by"]), [
        `${asking} codex.approval.by=thread`,
        "  own policy"
      ])
    }))

  it.effect("is below the review that runs under another id", () =>
    Effect.gen(function*() {
      const { client, server, spans } = yield* connectTraced
      const opening = yield* fork(
        client.openTurn("review/start", { threadId: "A", target: { type: "uncommittedChanges" } }).pipe(
          // Of its own: the end of the test would wait for the end of the turn.
          Scope.provide(yield* Scope.make()),
          under(spans, "program")
        )
      )
      const { id } = yield* server.request("review/start")
      yield* server.push(
        { id, result: { turn: Wire.turn({ id: "R" }), reviewThreadId: "A" } },
        Wire.turnStarted("A", "S", "R"),
        { id: 1, method: asking, params: command("A", "S", "call") }
      )
      yield* Fiber.join(opening)
      while (answersIn(server, 1).length === 0) yield* Effect.yieldNow
      assert.deepStrictEqual(outline(spans.tree("invoke_agent codex"), ["codex.turn.id", "codex.turn.method"]), [
        "invoke_agent codex (open) codex.turn.id=R codex.turn.method=review/start",
        `  ${asking}`,
        "    policy"
      ])
    }))

  it.effect("is below the turn while its item is not there, and tells the error it was answered with", () =>
    Effect.gen(function*() {
      const connection = yield* connectTraced
      const { server, spans } = connection
      yield* open(connection).pipe(under(spans, "program"))
      yield* server.push(
        Wire.turnStarted("A", "T"),
        {
          id: 1,
          method: "item/tool/requestUserInput",
          params: { threadId: "A", turnId: "T", itemId: "i", isBlocking: true, questions: [] }
        }
      )
      while (answersIn(server, 1).length === 0) yield* Effect.yieldNow
      assert.deepStrictEqual(outline(spans.tree("program"), ["rpc.response.status_code"]).slice(-2), [
        "  invoke_agent codex (open)",
        "    item/tool/requestUserInput (failed: RequestRefused) rpc.response.status_code=-32601"
      ])
    }))
})

describe("the span of a connection", () => {
  it.effect("has the handshake, tells the server's version, and ends with the layer", () =>
    Effect.gen(function*() {
      const { scope, spans } = yield* connectTraced
      const attributes = ["codex.client.name", "codex.version", "os.type"]
      const line = "codex.client.name=effect_codex codex.version=0.169.0 os.type=linux"
      assert.deepStrictEqual(outline(spans.tree("codex.connection"), attributes), [
        `codex.connection (open) ${line}`,
        "  initialize"
      ])
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(outline(spans.tree("codex.connection"), attributes)[0], `codex.connection ${line}`)
    }))

  it.effect("ends with what ended it", () =>
    Effect.gen(function*() {
      const { client, scope, server, spans } = yield* connectTraced
      yield* server.end(new TransportError({ operation: "read", description: "gone" }))
      yield* client.closed
      yield* Scope.close(scope, Exit.void)
      const span = spans.tree("codex.connection")
      assert.strictEqual(span.status, "failed: TransportError")
      assert.strictEqual(span.attributes["error.type"], "TransportError")
    }))
})
