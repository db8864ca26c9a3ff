import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ChildProcessByStdio, spawn } from "node:child_process"
import { createRequire } from "node:module"
import * as Path from "node:path"
import type { Readable, Writable } from "node:stream"
import { type ModelRequest, OfflineHome, OfflineModel, type OfflineModelOptions } from "../src/testing.ts"

const ask = (
  model: OfflineModel["Service"],
  text: string,
  init: { readonly signal?: AbortSignal; readonly headers?: Record<string, string> } = {}
) =>
  Effect.promise(() =>
    fetch(`${model.baseUrl}/responses`, {
      method: "POST",
      headers: { "content-type": "application/json", ...init.headers },
      body: JSON.stringify({
        model: "gpt-5.4",
        input: [
          { type: "message", role: "developer", content: [{ type: "input_text", text: "Be brief." }] },
          { type: "message", role: "user", content: [{ type: "input_text", text }] }
        ],
        tools: [{ type: "function", name: "exec_command" }],
        reasoning: { effort: "high", summary: "auto" },
        text: { format: { type: "json_schema" } },
        client_metadata: { thread_id: "thread-1", turn_id: "turn-1" }
      }),
      ...(init.signal === undefined ? {} : { signal: init.signal })
    })
  )

const SseEvent = Schema.fromJsonString(
  Schema.StructWithRest(Schema.Struct({ type: Schema.String }), [Schema.Record(Schema.String, Schema.Json)])
)
const decodeEvent = Schema.decodeUnknownSync(SseEvent)

const eventsOf = (body: string) =>
  body.split("\n").filter((line) => line.startsWith("data: ")).map((line) => decodeEvent(line.slice(6)))

const askText = (model: OfflineModel["Service"], text: string) =>
  Effect.gen(function*() {
    const response = yield* ask(model, text)
    const body = yield* Effect.promise(() => response.text())
    return { status: response.status, body, events: eventsOf(body) }
  })

const deltas = (events: ReadonlyArray<typeof SseEvent.Type>) =>
  events.filter((event) => event.type === "response.output_text.delta").map((event) => event["delta"])

const scoped = (options: OfflineModelOptions = {}) => OfflineModel.make(options)

describe("OfflineModel", () => {
  it.live("answers by default, and records what it was asked", () =>
    Effect.gen(function*() {
      const model = yield* OfflineModel
      const { events, status } = yield* askText(model, "Say hello")
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(events.map((event) => event.type), [
        "response.created",
        "response.output_item.added",
        ...Array.from({ length: 5 }, () => "response.output_text.delta"),
        "response.output_item.done",
        "response.completed"
      ])
      assert.strictEqual(deltas(events).join(""), "Hello from the offline model.")
      const request = yield* model.nextRequest
      assert.strictEqual(request.index, 1)
      assert.strictEqual(request.path, "/v1/responses")
      assert.strictEqual(request.text, "Say hello")
      assert.strictEqual(request.instructions, "Be brief.")
      assert.strictEqual(request.effort, "high")
      assert.strictEqual(request.threadId, "thread-1")
      assert.strictEqual(request.turnId, "turn-1")
      assert.deepStrictEqual(request.format, { type: "json_schema" })
      assert.deepStrictEqual(request.tools.map((tool) => tool.name), ["exec_command"])
      assert.strictEqual(yield* request.outcome, "answered")
      assert.lengthOf(yield* model.requests, 1)
    }).pipe(Effect.provide(OfflineModel.layer())))

  it.live("gives scripted replies in order, then asks the handler, then refuses", () =>
    Effect.gen(function*() {
      const model = yield* scoped({ default: null, replies: [OfflineModel.text("one")] })
      yield* model.enqueue(OfflineModel.text("two"))
      yield* model.respond((request) => request.text === "known" ? OfflineModel.json({ ok: true }) : undefined)
      assert.strictEqual(yield* model.remaining, 2)
      assert.deepStrictEqual(deltas((yield* askText(model, "a")).events), ["one"])
      assert.deepStrictEqual(deltas((yield* askText(model, "b")).events), ["two"])
      assert.deepStrictEqual(deltas((yield* askText(model, "known")).events), [`{"ok":true}`])
      const refused = yield* askText(model, "unknown")
      assert.strictEqual(refused.status, 400)
      assert.include(refused.body, "has no reply for request 4")
      assert.include(refused.body, "unknown")
      const last = (yield* model.requests)[3]
      assert.strictEqual(yield* (last?.outcome ?? Effect.die("no request")), "unscripted")
    }))

  it.live("lets an Effect decide, and shows how it failed", () =>
    Effect.gen(function*() {
      const model = yield* scoped({
        respond: (request) =>
          request.text === "bad"
            ? Effect.die(new Error("handler broke"))
            : Effect.sync(() => OfflineModel.text(request.text))
      })
      const texts = yield* Effect.forEach(["a", "b", "c"], (text) => askText(model, text), { concurrency: 3 })
      assert.deepStrictEqual(texts.map(({ events }) => deltas(events)), [["a"], ["b"], ["c"]])
      const bad = yield* askText(model, "bad")
      assert.strictEqual(bad.status, 400)
      assert.include(bad.body, "handler broke")
    }))

  it.live("streams several items with deterministic ids", () =>
    Effect.gen(function*() {
      const model = yield* scoped()
      yield* model.enqueue([
        OfflineModel.reasoning("Think"),
        OfflineModel.commentary("On it."),
        OfflineModel.functionCall({ name: "exec_command", arguments: { cmd: "ls" } }),
        OfflineModel.finalAnswer("Done"),
        OfflineModel.usage({ input: 7, output: 3 })
      ])
      const { events } = yield* askText(model, "x")
      const items = events.filter((event) => event.type === "response.output_item.done").map((event) => event["item"])
      assert.deepStrictEqual(items, [
        { id: "rs_1_0", type: "reasoning", summary: [{ type: "summary_text", text: "Think" }] },
        {
          id: "msg_1_1",
          type: "message",
          role: "assistant",
          phase: "commentary",
          status: "completed",
          content: [{ type: "output_text", text: "On it.", annotations: [] }]
        },
        {
          id: "fc_1_2",
          type: "function_call",
          call_id: "call_1_2",
          name: "exec_command",
          arguments: `{"cmd":"ls"}`,
          status: "completed"
        },
        {
          id: "msg_1_3",
          type: "message",
          role: "assistant",
          phase: "final_answer",
          status: "completed",
          content: [{ type: "output_text", text: "Done", annotations: [] }]
        }
      ])
      assert.deepInclude(events.at(-1)?.["response"], {
        id: "resp_1",
        usage: {
          input_tokens: 7,
          input_tokens_details: { cached_tokens: 0 },
          output_tokens: 3,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: 10
        }
      })
    }))

  it.live("cuts text into deltas of whole characters", () =>
    Effect.gen(function*() {
      const model = yield* scoped()
      yield* model.enqueue(
        OfflineModel.text("a👋bc", { deltas: 2 }),
        OfflineModel.text(""),
        OfflineModel.text(["x", "y"])
      )
      assert.deepStrictEqual(deltas((yield* askText(model, "1")).events), ["a👋", "bc"])
      assert.deepStrictEqual(deltas((yield* askText(model, "2")).events), [])
      assert.deepStrictEqual(deltas((yield* askText(model, "3")).events), ["x", "y"])
    }))

  it.live("stands at a gate until the test opens it", () =>
    Effect.gen(function*() {
      const model = yield* scoped()
      const gate = yield* OfflineModel.gate
      const latch = yield* Latch.make()
      yield* model.enqueue(OfflineModel.text(["before ", OfflineModel.hold(gate), "after", OfflineModel.hold(latch)]))
      const response = yield* ask(model, "x")
      const reader = response.body?.getReader()
      assert.isDefined(reader)
      const decoder = new TextDecoder()
      const read = Effect.promise(async () => decoder.decode((await reader?.read())?.value))
      yield* gate.reached
      const first = yield* read
      assert.deepStrictEqual(deltas(eventsOf(first)), ["before "])
      yield* gate.open
      assert.deepStrictEqual(deltas(eventsOf(yield* read)), ["after"])
      yield* latch.open
      assert.include(yield* read, "response.completed")
    }))

  it.live("fails, ends early, refuses and cuts as told", () =>
    Effect.gen(function*() {
      const model = yield* scoped()
      yield* model.enqueue(
        [OfflineModel.text("part"), OfflineModel.failed({ code: "server_error", message: "model broke" })],
        [OfflineModel.text("part"), OfflineModel.incomplete()],
        OfflineModel.httpError(429, { error: { message: "slow down" } }, { "retry-after": "1" }),
        [OfflineModel.text("part"), OfflineModel.cut]
      )
      const failed = (yield* askText(model, "1")).events.at(-1)
      assert.strictEqual(failed?.type, "response.failed")
      assert.deepInclude(failed?.["response"], { error: { code: "server_error", message: "model broke" } })
      assert.strictEqual((yield* askText(model, "2")).events.at(-1)?.type, "response.incomplete")
      const refused = yield* ask(model, "3")
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(refused.headers.get("retry-after"), "1")
      yield* Effect.promise(() => refused.text())
      const response = yield* ask(model, "4")
      const reader = response.body?.getReader()
      const first = yield* Effect.promise(async () => new TextDecoder().decode((await reader?.read())?.value))
      assert.deepStrictEqual(deltas(eventsOf(first)), ["part"])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.tryPromise(async () => reader?.read()))))
      const outcomes = yield* Effect.forEach(yield* model.requests, (request) => request.outcome)
      assert.deepStrictEqual(outcomes, ["answered", "answered", "answered", "cut"])
    }))

  it.live("notices a client that goes away in mid-stream, and ends the reply", () =>
    Effect.gen(function*() {
      const model = yield* scoped()
      const released = yield* Latch.make()
      yield* model.enqueue(
        OfflineModel.text(["half", OfflineModel.hold(Effect.onInterrupt(Effect.never, () => released.open))])
      )
      const client = yield* Scope.make()
      const signal = yield* Effect.abortSignal.pipe(Scope.provide(client))
      const response = yield* ask(model, "x", { signal })
      const request = yield* model.nextRequest
      const reader = response.body?.getReader()
      yield* Effect.promise(async () => reader?.read())
      yield* Scope.close(client, Exit.void)
      yield* released.await
      assert.strictEqual(yield* request.outcome, "disconnected")
      assert.strictEqual((yield* askText(model, "next")).status, 200)
    }))

  it.live("closes promptly with open streams and idle connections", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const model = yield* scoped().pipe(Scope.provide(scope))
      yield* model.enqueue(OfflineModel.text("idle"), [OfflineModel.text("open"), OfflineModel.hold(Effect.never)])
      yield* askText(model, "1")
      const open = yield* ask(model, "2")
      const rest = yield* Effect.forkChild(Effect.exit(Effect.tryPromise(() => open.text())))
      const request = yield* model.awaitRequest(({ text }) => text === "2")
      const [elapsed] = yield* Effect.timed(Scope.close(scope, Exit.void))
      // Less than the time for which Node keeps idle connections, or the server open ones: it waits for neither.
      assert.isBelow(Duration.toSeconds(elapsed), 5)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(rest)))
      assert.strictEqual(yield* request.outcome, "disconnected")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.tryPromise(() => fetch(`${model.baseUrl}/models`)))))
    }))

  it.live("keeps credentials out of the record, and bounds it", () =>
    Effect.gen(function*() {
      const model = yield* scoped({ recordLimit: 2, scriptLimit: 1 })
      yield* Effect.forEach(["1", "2", "3"], (text) =>
        ask(model, text, { headers: { authorization: "Bearer secret", cookie: "a=b", "x-kept": "yes" } }).pipe(
          Effect.flatMap((response) =>
            Effect.promise(() => response.text())
          )
        ))
      const requests = yield* model.requests
      assert.deepStrictEqual(requests.map(({ index, text }) => [index, text]), [[2, "2"], [3, "3"]])
      assert.strictEqual(requests[0]?.headers["x-kept"], "yes")
      assert.notInclude(JSON.stringify(requests), "secret")
      assert.deepStrictEqual(
        (yield* model.requestStream.pipe(Stream.take(2), Stream.runCollect)).map(({ text }) => text),
        ["2", "3"]
      )
      const exit = yield* Effect.exit(model.enqueue(OfflineModel.text("a"), OfflineModel.text("b")))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }))

  it.live("says what it does not serve", () =>
    Effect.gen(function*() {
      const model = yield* scoped({ maxBodyBytes: 4000 })
      const models = yield* Effect.promise(() => fetch(`${model.baseUrl}/models`))
      assert.deepStrictEqual(yield* Effect.promise(() => models.json()), { object: "list", data: [], models: [] })
      const other = yield* Effect.promise(() =>
        fetch(`${model.baseUrl}/chat/completions`, { method: "POST", body: "{}" })
      )
      assert.strictEqual(other.status, 400)
      assert.include(yield* Effect.promise(() => other.text()), "POST /v1/chat/completions")
      const junk = yield* Effect.promise(() =>
        fetch(`${model.baseUrl}/responses`, { method: "POST", body: "{nonsense" })
      )
      assert.strictEqual(junk.status, 400)
      assert.strictEqual((yield* model.requests)[1]?.body, "{nonsense")
      assert.isAtLeast((yield* ask(model, "x".repeat(5000))).status, 400)
      assert.lengthOf(yield* model.requests, 2)
    }))
})

// ============================================================================
// The real app-server
// ============================================================================

const Line = Schema.fromJsonString(Schema.Struct({
  id: Schema.optionalKey(Schema.Int),
  method: Schema.optionalKey(Schema.String),
  params: Schema.optionalKey(Schema.Json),
  result: Schema.optionalKey(Schema.Json)
}))
type Line = typeof Line.Type
const decodeLine = Schema.decodeUnknownSync(Line)
const Started = Schema.Struct({ thread: Schema.Struct({ id: Schema.String }) })
const Completed = Schema.Struct({
  turn: Schema.Struct({
    status: Schema.String,
    items: Schema.Array(Schema.Struct({ text: Schema.optionalKey(Schema.String) })),
    error: Schema.NullOr(Schema.Struct({ message: Schema.String }))
  })
})

const binary = Effect.sync(() => {
  const require = createRequire(import.meta.url)
  const launcher = require.resolve("@openai/codex/package.json")
  const name = `codex-${process.platform}-${process.arch}`
  const root = Path.dirname(createRequire(launcher).resolve(`@openai/${name}/package.json`))
  const vendor = Path.join(root, "vendor")
  const { existsSync, readdirSync } = process.getBuiltinModule("node:fs")
  const found = readdirSync(vendor).map((target) => Path.join(vendor, target, "bin", "codex")).find(existsSync)
  if (found === undefined) throw new Error(`There is no codex binary below ${vendor}`)
  return found
})

const appServer = Effect.fnUntraced(function*(home: string) {
  const path = yield* binary
  const lines = yield* Queue.unbounded<Line>()
  const child: ChildProcessByStdio<Writable, Readable, null> = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(path, ["app-server"], {
        cwd: home,
        env: { ...process.env, CODEX_HOME: home },
        stdio: ["pipe", "pipe", "ignore"]
      })
    ),
    (started) =>
      Effect.callback<void>((resume) => {
        if (started.exitCode !== null || started.signalCode !== null) return resume(Effect.void)
        started.once("exit", () => resume(Effect.void))
        started.stdin.end()
      })
  )
  let rest = ""
  child.stdout.setEncoding("utf8")
  child.stdout.on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n")
    rest = parts.pop() ?? ""
    for (const part of parts) Queue.offerUnsafe(lines, decodeLine(part))
  })
  const send = (message: { readonly [key: string]: Schema.Json }) =>
    Effect.sync(() => {
      child.stdin.write(`${JSON.stringify(message)}\n`)
    })
  const next = (predicate: (line: Line) => boolean) => Effect.repeat(Queue.take(lines), { until: predicate })
  let id = 0
  const request = (method: string, params: Schema.Json) =>
    Effect.suspend(() => {
      const own = ++id
      return Effect.andThen(send({ id: own, method, params }), next((line) => line.id === own))
    })
  yield* request("initialize", { clientInfo: { name: "offline-model-test", title: "Test", version: "0" } })
  yield* send({ method: "initialized" })
  const { result } = yield* request("thread/start", { cwd: home })
  const threadId = (yield* Schema.decodeUnknownEffect(Started)(result)).thread.id
  const start = (text: string) =>
    send({ id: ++id, method: "turn/start", params: { threadId, input: [{ type: "text", text }] } })
  const completed = Effect.map(
    next((line) => line.method === "turn/completed"),
    (line) => Schema.decodeUnknownSync(Completed)(line.params).turn
  )
  return { start, completed, threadId }
})

describe("OfflineModel with the real app-server", () => {
  const withServer = <A, E, R>(
    body: (
      model: OfflineModel["Service"],
      server: Effect.Success<ReturnType<typeof appServer>>
    ) => Effect.Effect<A, E, R>
  ) =>
    Effect.gen(function*() {
      const model = yield* OfflineModel
      const home = yield* OfflineHome.make({ baseUrl: model.baseUrl })
      return yield* body(model, yield* appServer(home))
    }).pipe(Effect.scoped, Effect.provide([OfflineModel.layer(), NodeServices.layer]))

  it.live("runs a turn to its end", () =>
    withServer((model, server) =>
      Effect.gen(function*() {
        yield* model.enqueue([OfflineModel.commentary("Working."), OfflineModel.finalAnswer("Hello, world.")])
        yield* server.start("Say hello")
        const turn = yield* server.completed
        assert.strictEqual(turn.status, "completed")
        assert.deepStrictEqual(turn.items.map(({ text }) => text), ["Hello, world."])
        const request: ModelRequest = yield* model.nextRequest
        assert.strictEqual(request.text, "Say hello")
        assert.strictEqual(request.model, "gpt-5.4")
        assert.strictEqual(request.kind, "turn")
        assert.strictEqual(request.threadId, server.threadId)
        assert.include(request.instructions, "Codex")
        assert.include(request.tools.map((tool) => tool.name), "exec_command")
      })
    ))

  it.live("carries tool calls, failures and refusals into the turn", () =>
    withServer((model, server) =>
      Effect.gen(function*() {
        yield* model.enqueue(
          OfflineModel.functionCall({ name: "no_such_tool", callId: "call-a" }),
          OfflineModel.text("after the call"),
          OfflineModel.failed({ code: "context_length_exceeded", message: "too long" }),
          OfflineModel.httpError(400, { error: { message: "bad thing" } }),
          [OfflineModel.text("half"), OfflineModel.cut]
        )
        yield* server.start("call")
        assert.strictEqual((yield* server.completed).status, "completed")
        const second = yield* model.awaitRequest((request) => request.toolOutput("call-a") !== undefined)
        assert.strictEqual(second.toolOutput("call-a"), "unsupported call: no_such_tool")
        yield* server.start("fail")
        const failed = yield* server.completed
        assert.strictEqual(failed.status, "failed")
        assert.include(failed.error?.message, "context window")
        yield* server.start("refuse")
        assert.include((yield* server.completed).error?.message, "bad thing")
        yield* server.start("cut")
        assert.include((yield* server.completed).error?.message, "stream disconnected before completion")
      })
    ))

  it.live("leaves nothing behind", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const home = yield* Effect.scoped(Effect.gen(function*() {
        const model = yield* OfflineModel.make()
        const path = yield* OfflineHome.make({ baseUrl: model.baseUrl, config: `approval_policy = "never"` })
        yield* appServer(path)
        assert.isTrue(yield* fs.exists(path))
        return path
      }))
      assert.isFalse(yield* fs.exists(Path.dirname(home)))
    }).pipe(Effect.provide(NodeServices.layer)))
})
