import { Approvals, AppServerClient, Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { Collector } from "../../examples/collector.ts"
import { outline, recorder, under } from "../../packages/core/test/support/spans.ts"
import { agent } from "./agent.ts"
import { failure, itemsOf, live } from "./support.ts"

const server = OfflineCodex.layer({ model: agent }).pipe(Layer.provideMerge(NodeServices.layer))

const command = "execute_tool commandExecution"
const request = "item/commandExecution/requestApproval"

layer(server, live)("the spans of a run", (it) => {
  it.effect("are a tree of its requests, its turn, its items and who allowed them", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const spans = recorder()
      const thread = yield* codex.startThread({
        approvalMode: "ask",
        approvals: { policy: Approvals.ask(() => Effect.as(Effect.sleep("20 millis"), Approvals.accept)) }
      }).pipe(under(spans, "start"))
      const result = yield* thread.run("a run: echo hi", { model: "gpt-5.4" }).pipe(under(spans, "program"))

      assert.deepStrictEqual(
        outline(spans.tree("program"), ["codex.item.status", "process.exit.code", "codex.approval.decision"]),
        [
          "program",
          "  Thread.run",
          "    turn/start",
          "    invoke_agent codex",
          "      codex.item userMessage codex.item.status=completed",
          `      ${command} codex.item.status=completed process.exit.code=0`,
          `        ${request} codex.approval.decision=accept`,
          "      codex.item agentMessage codex.item.status=completed"
        ]
      )
      assert.deepStrictEqual(spans.roots().map(({ name }) => name), ["start", "program"])
      assert.deepStrictEqual(outline(spans.tree("start")), ["start", "  Thread.start", "    thread/start"])

      assert.deepStrictEqual(Object.fromEntries(spans.find("turn/start").attributes), {
        "rpc.system.name": "jsonrpc",
        "rpc.method": "turn/start",
        "gen_ai.conversation.id": thread.id,
        "jsonrpc.request.id": spans.find("turn/start").attributes.get("jsonrpc.request.id")
      })
      assert.deepStrictEqual(Object.fromEntries(spans.find("invoke_agent codex").attributes), {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "codex",
        "gen_ai.conversation.id": thread.id,
        "gen_ai.request.model": "gpt-5.4",
        "codex.turn.id": result.turnId,
        "codex.turn.method": "turn/start",
        "codex.turn.status": "completed",
        "codex.turn.duration_ms": result.durationMs,
        "gen_ai.usage.input_tokens": result.usage?.total.inputTokens,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.usage.output_tokens": result.usage?.total.outputTokens,
        "gen_ai.usage.reasoning.output_tokens": 0
      })
      assert.deepStrictEqual(Object.fromEntries(spans.find(command).attributes), {
        "codex.item.id": "a",
        "codex.item.type": "commandExecution",
        "codex.item.status": "completed",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "commandExecution",
        "gen_ai.tool.call.id": "a",
        "process.exit.code": 0
      })
      assert.deepStrictEqual(Object.fromEntries(spans.find(request).attributes), {
        "rpc.system.name": "jsonrpc",
        "rpc.method": request,
        "gen_ai.conversation.id": thread.id,
        "codex.approval.by": "thread",
        "codex.approval.decision": "accept"
      })
      const kinds = spans.spans.map(({ kind, name }) => [name, kind])
      for (const expected of [["turn/start", "client"], ["invoke_agent codex", "client"], [request, "server"]]) {
        assert.deepInclude(kinds, expected)
      }

      // Its length is the time that the agent waited for the answer.
      const { status } = spans.find(request)
      assert.isTrue(status._tag === "Ended" && status.endTime - status.startTime >= 20_000_000n)
    }))

  it.effect("tell what the agent has used in this turn, not in the thread", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const spans = recorder()
      const thread = yield* codex.startThread({ sandbox: "readOnly" })
      const first = yield* thread.run("One")
      const second = yield* thread.run("Two").pipe(under(spans, "program"))
      const before = first.usage?.total.inputTokens ?? assert.fail("No usage")
      const after = second.usage?.total.inputTokens ?? assert.fail("No usage")
      assert.strictEqual(
        spans.find("invoke_agent codex").attributes.get("gen_ai.usage.input_tokens"),
        after - before
      )
    }))

  it.effect("tell that a command failed or was declined, while the turn completes", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const spans = recorder()
      const thread = yield* codex.startThread({
        approvalMode: "ask",
        approvals: { policy: Approvals.acceptCommands(["false"]) }
      })
      yield* Effect.andThen(thread.run("b run: false"), thread.run("c run: echo no")).pipe(
        under(spans, "program")
      )
      assert.deepStrictEqual(
        outline(spans.tree("program"), ["process.exit.code", "codex.item.status", "codex.approval.decision"])
          .filter((line) => line.includes(command) || line.includes(request) || line.includes("invoke_agent")),
        [
          "    invoke_agent codex",
          `      ${command} (failed: ItemFailed) process.exit.code=1 codex.item.status=failed`,
          `        ${request} codex.approval.decision=accept`,
          "    invoke_agent codex",
          `      ${command} codex.item.status=declined`,
          `        ${request} codex.approval.decision=decline`
        ]
      )
    }))

  it.effect("tell how it failed", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const spans = recorder()
      const thread = yield* codex.startThread({ sandbox: "readOnly" })
      yield* model.enqueue(OfflineModel.failed({ code: "server_is_overloaded", message: "Too much" }))
      yield* failure(thread.run("Say hi"), "TurnFailed").pipe(under(spans, "program"))
      assert.deepStrictEqual(outline(spans.tree("program"), ["codex.turn.error", "error.type", "codex.turn.status"]), [
        "program",
        "  Thread.run (failed: TurnFailed)",
        "    turn/start",
        "    invoke_agent codex (failed: TurnFailed) codex.turn.error=serverOverloaded error.type=TurnFailed codex.turn.status=failed",
        "      codex.item userMessage"
      ])
    }))

  it.effect("tell that it was interrupted, its open items and questions too", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const spans = recorder()
      const isAsked = yield* Deferred.make<void>()
      const thread = yield* codex.startThread({
        approvalMode: "ask",
        approvals: { policy: Approvals.ask(() => Effect.andThen(Deferred.succeed(isAsked, undefined), Effect.never)) }
      })
      const running = yield* Effect.forkChild(thread.run("d run: echo hi").pipe(under(spans, "program")))
      yield* Deferred.await(isAsked)
      yield* Fiber.interrupt(running)
      // The question is withdrawn when the turn has ended.
      while (spans.find(request).status._tag !== "Ended") yield* Effect.sleep("10 millis")
      const [program] = spans.roots()
      assert.deepStrictEqual(
        outline(program ?? assert.fail("No span"), ["codex.turn.status", "codex.approval.decision"]).filter((line) =>
          !line.includes(command)
        ),
        [
          "program (interrupted)",
          "  Thread.run (interrupted)",
          "    turn/start",
          "    invoke_agent codex (interrupted) codex.turn.status=interrupted",
          "      codex.item userMessage",
          `        ${request} (interrupted) codex.approval.decision=none`,
          "    turn/interrupt"
        ]
      )
    }))

  it.effect("are those of every turn that the server runs for a goal", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const spans = recorder()
      const thread = yield* codex.startThread({ sandbox: "readOnly" })
      yield* model.enqueue(
        OfflineModel.text("The first step is done."),
        OfflineModel.functionCall({ name: "update_goal", callId: "goal", arguments: { status: "complete" } }),
        OfflineModel.text("It is done.")
      )
      const result = yield* thread.runGoal("Do it in two steps").pipe(under(spans, "program"))
      assert.strictEqual(result.turns.length, 2)
      assert.deepStrictEqual(
        spans.tree("Goal.run").children.filter(({ name }) => name === "invoke_agent codex").map(({ attributes }) => [
          attributes["codex.turn.id"],
          attributes["codex.turn.method"],
          attributes["codex.turn.status"]
        ]),
        result.turns.map(({ turnId }) => [turnId, "thread/goal/set", "completed"])
      )
    }))

  it.effect("are those of a turn that the answer to its request does not name", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const spans = recorder()
      const thread = yield* codex.startThread({ sandbox: "readOnly" })
      yield* thread.run("Say hi")
      yield* thread.compact.pipe(under(spans, "program"))
      assert.deepStrictEqual(outline(spans.tree("program"), ["codex.turn.method"]), [
        "program",
        "  Thread.compact",
        "    thread/compact/start",
        "    invoke_agent codex codex.turn.method=thread/compact/start",
        "      codex.item contextCompaction"
      ])
    }))

  it.effect("of what nobody traces are not made", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const spans = recorder()
      const thread = yield* codex.startThread({ sandbox: "readOnly" })
      yield* thread.run("Say hi").pipe(Effect.withTracerEnabled(false), under(spans, "program"))
      assert.deepStrictEqual(outline(spans.tree("program")), ["program"])
    }))

  const fail = () => {
    throw new Error("No luck")
  }
  it.effect.each(["span", "attribute", "end"])(
    "whose tracer throws go on without them: by its %s",
    (member) =>
      Effect.gen(function*() {
        const codex = yield* Codex
        // Those of `Effect.fn` are the program's own, as `Thread.run`.
        const isOwn = (name: string) => /^(?:invoke_agent|execute_tool|codex\.|turn\/|item\/)/.test(name)
        const tracer = Tracer.make({
          span: (options) => {
            if (!isOwn(options.name)) return new Tracer.NativeSpan(options)
            return member === "span" ? fail() : Object.assign(new Tracer.NativeSpan(options), { [member]: fail })
          }
        })
        const thread = yield* codex.startThread({ approvalMode: "ask", approvals: { policy: Approvals.acceptAll } })
        const result = yield* thread.run("a run: echo hi").pipe(Effect.withTracer(tracer))
        assert.deepInclude(itemsOf(result.items, "commandExecution")[0], { status: "completed", exitCode: 0 })
      })
  )
})

const collected = Layer.unwrap(Effect.map(Collector, ({ url }) =>
  OfflineCodex.layer({
    model: agent,
    codex: {
      config: {
        "otel.trace_exporter": { "otlp-http": { endpoint: `${url}/v1/traces`, protocol: "json" } },
        // It reads the login shell's profile in the background, and holds the span of `thread/start` open until it has:
        // where a profile takes longer than this test, the server ends without having exported that span.
        "features.shell_snapshot": false
      }
    }
  }))).pipe(Layer.provideMerge(NodeServices.layer))

layer(Layer.mergeAll(Collector.layer, NodeServices.layer), live)("the trace", (it) => {
  it.effect("goes on in the app-server, whose spans are children of the requests", () =>
    Effect.gen(function*() {
      const collector = yield* Collector
      const spans = recorder()
      yield* Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        const thread = yield* codex.startThread({ sandbox: "readOnly" })
        yield* thread.run("Say hi")
        // As far as to the model.
        const [request] = yield* model.requests
        assert.match(request?.headers["traceparent"] ?? "", new RegExp(`^00-${spans.find("program").traceId}-`))
      }).pipe(Effect.provide(collected, { local: true }), under(spans, "program"))

      // The process has ended by now, and with its end it has exported everything.
      const requests = spans.spans.filter(({ kind }) => kind === "client").filter(({ name }) => name.includes("/"))
      assert.includeMembers(requests.map(({ name }) => name), ["thread/start", "turn/start"])
      for (const { name, spanId, traceId } of [spans.find("initialize"), ...requests]) {
        const continued = collector.spans().filter((span) => span.parentSpanId === spanId)
        assert.deepStrictEqual(continued.map(({ name, traceId }) => ({ name, traceId })), [{ name, traceId }])
      }
      assert.deepStrictEqual(
        outline(spans.tree("codex.connection"), ["codex.version", "os.type", "codex.client.name"]),
        [
          `codex.connection codex.version=${spans.find("codex.connection").attributes.get("codex.version")} ` +
          "os.type=linux codex.client.name=effect_codex",
          "  initialize"
        ]
      )
    }))

  it.effect("is accepted with every request, and does not show in any answer", () =>
    Effect.gen(function*() {
      const spans = recorder()
      const loaded = yield* Effect.gen(function*() {
        const client = yield* AppServerClient
        const listening = yield* Effect.forkChild(Stream.runCollect(client.notifications), { startImmediately: true })
        const answers = yield* Effect.all(
          Array.from({ length: 50 }, () => client.request("thread/loaded/list", {})),
          { concurrency: "unbounded" }
        ).pipe(under(spans, "program"))
        yield* Fiber.interrupt(listening)
        return answers
      }).pipe(Effect.provide(collected, { local: true }))
      assert.deepStrictEqual(loaded, Array.from({ length: 50 }, () => ({ data: [], nextCursor: null })))
      assert.strictEqual(spans.tree("program").children.length, 50)
    }))
})
