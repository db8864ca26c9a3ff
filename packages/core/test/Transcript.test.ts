import { AppServerClient, AppServerExited, Codex, Transport, TransportError } from "@effect-codex/core"
import { Transcript } from "@effect-codex/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { collect, fork, until } from "./support/observe.ts"
import { encode, initializeResult } from "./support/ScriptedServer.ts"
import { threadResponse } from "./support/threads.ts"
import * as Wire from "./support/wire.ts"

// =============================================================================
// Transcripts
// =============================================================================

type Message = Extract<Transcript.Entry, { readonly message: unknown }>["message"]

/** Reads them as a file would be: what is no message of the wire does not get in. */
const recordingOf = (entries: ReadonlyArray<object>): Effect.Effect<Transcript.Recording> =>
  Effect.orDie(Transcript.parse(
    [{ transcript: 1, protocol: "codex app-server", codex: "0.169.0" }, ...entries]
      .map((line) => JSON.stringify(line))
      .join("\n")
  ))

const client = (message: object, at?: number) => ({ ...(at === undefined ? {} : { at }), from: "client", message })
const server = (message: object, at?: number) => ({ ...(at === undefined ? {} : { at }), from: "server", message })

const handshake = [
  client({
    id: 1,
    method: "initialize",
    params: {
      clientInfo: { name: "effect_codex", title: "effect-codex", version: "0.1.0" },
      capabilities: { experimentalApi: false }
    }
  }),
  server({ id: 1, result: initializeResult }),
  client({ method: "initialized" })
]

const threadStart = (id: number, threadId: string) => [
  client({
    id,
    method: "thread/start",
    params: { approvalPolicy: "on-request", approvalsReviewer: "auto_review" }
  }),
  server({ id, result: threadResponse(threadId) })
]

const turnOf = (id: number, threadId: string, turnId: string, text: string, answer: string) => [
  client({ id, method: "turn/start", params: Wire.startParams(threadId, text) }),
  server({ id, result: { turn: Wire.turn({ id: turnId }) } }),
  ...Wire.textTurn(threadId, turnId, [answer]).map((message) => server(message))
]

const agent = (recording: Transcript.Recording, options?: Transcript.ReplayOptions) =>
  Codex.layer.pipe(
    Layer.provideMerge(AppServerClient.layer()),
    Layer.provideMerge(Transcript.replayRecording(recording, options))
  )

const ask = (text: string) =>
  Effect.gen(function*() {
    const codex = yield* Codex
    const thread = yield* codex.startThread()
    return (yield* thread.run(text)).finalResponse
  })

const hello = recordingOf([...handshake, ...threadStart(2, "A"), ...turnOf(3, "A", "T", "Hello", "Hi")])

const mismatchOf = <A, E>(exit: Exit.Exit<A, E>): Transcript.TranscriptMismatch => {
  assert.isTrue(Exit.isFailure(exit))
  const error: unknown = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  if (!(error instanceof TransportError)) return assert.fail(String(error))
  return error.cause instanceof Transcript.TranscriptMismatch ? error.cause : assert.fail(String(error.cause))
}

describe("a replay", () => {
  it.effect("answers the program as it was answered, and has nothing left then", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* ask("Hello"), "Hi")
        const replay = yield* Transcript.Replay
        assert.deepStrictEqual(yield* replay.unplayed, [])
        yield* replay.verify
      }).pipe(Effect.provide(agent(yield* hello)))
    }))

  it.effect("ends when the program says something else, and shows where", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        const mismatch = mismatchOf(yield* Effect.exit(ask("Good bye")))
        assert.strictEqual(mismatch.difference, "params.input[0].text")
        assert.include(mismatch.actual, "Good bye")
        assert.include(mismatch.expected[0], "Hello")
        assert.include(mismatch.message, "they differ at params.input[0].text")
        const replay = yield* Transcript.Replay
        assert.strictEqual(yield* replay.diverged, mismatch)
        assert.strictEqual(yield* Effect.flip(replay.verify), mismatch)
        // It is over for everything that comes later too.
        assert.strictEqual(mismatchOf(yield* Effect.exit(ask("Hello"))), mismatch)
      }).pipe(Effect.provide(agent(yield* hello)))
    }))

  it.effect("ends when the program does more than was recorded", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        yield* ask("Hello")
        const mismatch = mismatchOf(yield* Effect.exit(ask("Hello")))
        assert.deepStrictEqual(mismatch.expected, [])
        assert.include(mismatch.message, "Expected nothing more")
      }).pipe(Effect.provide(agent(yield* hello)))
    }))

  it.effect("tells what the program has not done", () =>
    Effect.gen(function*() {
      const recording = yield* hello
      yield* Effect.gen(function*() {
        const codex = yield* Codex
        yield* codex.startThread()
        const replay = yield* Transcript.Replay
        assert.deepStrictEqual(yield* replay.unplayed, recording.entries.slice(5))
        const mismatch = yield* Effect.flip(replay.verify)
        assert.isUndefined(mismatch.actual)
        assert.include(mismatch.message, "turn/start")
      }).pipe(Effect.provide(agent(recording)))
    }))

  it.effect("asks of a program only what it does, and not to hear the server out", () =>
    Effect.gen(function*() {
      const warning = { method: "warning", params: { threadId: "A", message: "Late" } }
      const recording = yield* recordingOf([
        ...[...handshake, ...threadStart(2, "A"), ...turnOf(3, "A", "T", "Hello", "Hi")].map((entry) => ({
          ...entry,
          at: 0
        })),
        server(warning, 1_000)
      ])
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* ask("Hello"), "Hi")
        const replay = yield* Transcript.Replay
        assert.lengthOf(yield* replay.unplayed, 1)
        yield* replay.verify
      }).pipe(Effect.provide(agent(recording, { pacing: true })))
    }))

  it.effect("lets threads take turns in another order than they did", () =>
    Effect.gen(function*() {
      const first = turnOf(4, "A", "TA", "One", "1")
      const second = turnOf(5, "B", "TB", "Two", "2")
      const recording = yield* recordingOf([
        ...handshake,
        ...threadStart(2, "A"),
        ...threadStart(3, "B"),
        ...first.slice(0, 4),
        ...second.slice(0, 3),
        ...first.slice(4),
        ...second.slice(3)
      ])
      yield* Effect.gen(function*() {
        const codex = yield* Codex
        const a = yield* codex.startThread()
        const b = yield* codex.startThread()
        // The second one first, and to its end.
        assert.strictEqual((yield* b.run("Two")).finalResponse, "2")
        assert.strictEqual((yield* a.run("One")).finalResponse, "1")
        yield* (yield* Transcript.Replay).verify
      }).pipe(Effect.provide(agent(recording)))
    }))

  it.effect("does not let turns of one thread change places", () =>
    Effect.gen(function*() {
      const recording = yield* recordingOf([
        ...handshake,
        ...threadStart(2, "A"),
        ...turnOf(3, "A", "T1", "One", "1"),
        ...turnOf(4, "A", "T2", "Two", "2")
      ])
      const mismatch = mismatchOf(yield* Effect.exit(Effect.provide(ask("Two"), agent(recording))))
      assert.include(mismatch.expected[0], "One")
    }))

  it.effect("takes as long as it did, on the program's clock, when it is asked to", () =>
    Effect.gen(function*() {
      const recording = yield* recordingOf([
        ...handshake.map((entry) => ({ ...entry, at: 0 })),
        ...threadStart(2, "A").map((entry) => ({ ...entry, at: 0 })),
        ...turnOf(3, "A", "T", "Hello", "Hi").map((entry, index) => ({ ...entry, at: index * 1_000 }))
      ])
      yield* Effect.gen(function*() {
        const running = yield* fork(ask("Hello"))
        yield* TestClock.adjust("6999 millis")
        assert.isUndefined(running.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* Fiber.join(running), "Hi")
        assert.strictEqual(yield* Clock.currentTimeMillis, 7_000)
      }).pipe(Effect.provide(agent(recording, { pacing: true })))
    }))

  it.effect("ends as the connection did", () =>
    Effect.gen(function*() {
      const recording = yield* recordingOf([
        ...handshake,
        ...threadStart(2, "A"),
        ...turnOf(3, "A", "T", "Hello", "Hi").slice(0, 4),
        { from: "server", line: "panicked" },
        { from: "server", end: { _tag: "AppServerExited", exitCode: 101, stderr: "panicked at main.rs" } }
      ])
      const error = yield* Effect.flip(Effect.provide(ask("Hello"), agent(recording)))
      if (!(error instanceof AppServerExited)) return assert.fail(String(error))
      assert.strictEqual(error.exitCode, 101)
      assert.strictEqual(error.stderr, "panicked at main.rs")
    }))

  it.effect("takes this run's ids and directories for those of the recording", () =>
    Effect.gen(function*() {
      const recorded = "00000000-0000-4000-8000-000000000001"
      const recording = yield* recordingOf([
        client({ id: 1, method: "turn/start", params: { cwd: "/directory-1", clientUserMessageId: recorded } }),
        server({ id: 1, result: { echo: `${recorded} in /directory-1/src, not in /directory-10` } }),
        client({ id: 2, method: "turn/start", params: { text: `as ${recorded} said` } })
      ])
      const transport = Context.get(yield* Layer.build(Transcript.replayRecording(recording)), Transport)
      const seen = yield* collect(Stream.decodeText(transport.incoming))
      yield* transport.send(JSON.stringify({
        id: 71,
        method: "turn/start",
        params: { cwd: "/tmp/elsewhere", clientUserMessageId: "mine" }
      }))
      assert.deepStrictEqual(yield* seen.atLeast(1), [
        `${JSON.stringify({ id: 71, result: { echo: "mine in /tmp/elsewhere/src, not in /directory-10" } })}\n`
      ])
      // From now on it is that one.
      const other = { id: 72, method: "turn/start", params: { text: "as yours said" } }
      assert.instanceOf(yield* Effect.flip(transport.send(JSON.stringify(other))), TransportError)
    }))

  it.effect("takes this run's directory from within a text, too", () =>
    Effect.gen(function*() {
      const recording = yield* recordingOf([
        client({ id: 1, method: "turn/start", params: { text: "Is /directory-1/a.ts as /directory-1/b.ts?" } }),
        server({ id: 1, result: { echo: "in /directory-1" } })
      ])
      const transport = Context.get(yield* Layer.build(Transcript.replayRecording(recording)), Transport)
      const seen = yield* collect(Stream.decodeText(transport.incoming))
      const ask = (text: string) => transport.send(JSON.stringify({ id: 7, method: "turn/start", params: { text } }))
      yield* ask("Is /my project/a.ts as /my project/b.ts?")
      assert.deepStrictEqual(yield* seen.atLeast(1), [`{"id":7,"result":{"echo":"in /my project"}}\n`])
      const other = Context.get(yield* Layer.build(Transcript.replayRecording(recording)), Transport)
      const mixed = { id: 7, method: "turn/start", params: { text: "Is /my/a.ts as /your/b.ts?" } }
      assert.instanceOf(yield* Effect.flip(other.send(JSON.stringify(mixed))), TransportError)
    }))

  it.effect("refuses a text that is no transcript, by its line", () =>
    Effect.gen(function*() {
      const recording = Transcript.format(yield* hello)
      assert.strictEqual((yield* Effect.flip(Transcript.parse("{}"))).line, 1)
      assert.strictEqual((yield* Effect.flip(Transcript.parse(`${recording}nonsense\n`))).line, 15)
      assert.deepStrictEqual(yield* Transcript.parse(recording), yield* hello)
    }))
})

// =============================================================================
// Recording
// =============================================================================

interface Crossing {
  readonly from: "client" | "server"
  readonly message: Message
}

/** Moves these messages over a transport: its own sends, and what it is told to say when it is a raw one. */
const drive = (
  crossings: ReadonlyArray<Crossing>,
  transport: Transport["Service"],
  say: (message: Message) => Effect.Effect<unknown>
) =>
  Effect.gen(function*() {
    let heard = 0
    const reader = yield* fork(
      Stream.runForEach(
        Stream.splitLines(Stream.decodeText(transport.incoming)),
        () => Effect.sync(() => heard++)
      )
    )
    let said = 0
    for (const { from, message } of crossings) {
      if (from === "client") yield* transport.send(JSON.stringify(message))
      else {
        yield* say(message)
        said++
        const count = said
        yield* until(() => heard >= count)
      }
    }
    yield* Fiber.interrupt(reader)
  })

/** The text of a recording of these messages. */
const record = (crossings: ReadonlyArray<Crossing>, options?: Transcript.RecordOptions) =>
  Effect.gen(function*() {
    const output = yield* Queue.unbounded<Uint8Array>()
    const raw = Transport.of({ incoming: Stream.fromQueue(output), send: () => Effect.void })
    return yield* recordOver(crossings, Layer.succeed(Transport, raw), (message) =>
      Queue.offer(output, encode(message)), options)
  })

const recordOver = (
  crossings: ReadonlyArray<Crossing>,
  transport: Layer.Layer<Transport>,
  say: (message: Message) => Effect.Effect<unknown>,
  options?: Transcript.RecordOptions
) =>
  Effect.gen(function*() {
    const written: Array<string> = []
    const recording = Transcript.recordTo((text) => Effect.sync(() => written.push(text)), options)
    yield* Effect.gen(function*() {
      const context = yield* Layer.build(Layer.provide(recording, transport))
      yield* drive(crossings, Context.get(context, Transport), say)
    }).pipe(Effect.scoped)
    return written.join("")
  })

const Operation = Schema.Struct({
  kind: Schema.Literals(["request", "answer", "notify", "global", "ask", "reply"]),
  thread: Schema.Literals([0, 1, 2]),
  text: Schema.String
})

/** What could cross a wire, in an order that could be, with the ids and the times of one run. */
const crossingsOf = (operations: ReadonlyArray<typeof Operation.Type>): ReadonlyArray<Crossing> => {
  const threads = [0, 1, 2].map(() => crypto.randomUUID())
  const item = `msg_${crypto.randomUUID().replaceAll("-", "")}0`
  const unanswered: Array<number> = []
  const asked: Array<number> = []
  let requests = 100
  let asks = 0
  return operations.flatMap(({ kind, text, thread }): ReadonlyArray<Crossing> => {
    const threadId = threads[thread] ?? ""
    switch (kind) {
      case "request":
        unanswered.push(++requests)
        return [{
          from: "client",
          message: {
            id: requests,
            method: "turn/start",
            params: { threadId, clientUserMessageId: crypto.randomUUID(), cwd: `/tmp/${threadId}`, text }
          }
        }]
      case "answer": {
        const id = unanswered.shift()
        return id === undefined ? [] : [{ from: "server", message: { id, result: { text, at: threads[2] ?? "" } } }]
      }
      case "notify":
        return [{
          from: "server",
          message: {
            method: "item/agentMessage/delta",
            params: { threadId, turnId: threadId, itemId: item, delta: text, startedAtMs: performance.now() },
            emittedAtMs: performance.now()
          }
        }]
      case "global":
        return [{ from: "server", message: { method: "account/updated", params: { authMode: text } } }]
      case "ask":
        asked.push(asks)
        return [{
          from: "server",
          message: { id: asks++, method: "item/tool/call", params: { threadId, callId: item, tool: text } }
        }]
      case "reply": {
        const id = asked.shift()
        return id === undefined ? [] : [{ from: "client", message: { id, result: { success: true, text } } }]
      }
    }
  })
}

const crossingsIn = ({ entries }: Transcript.Recording): ReadonlyArray<Crossing> =>
  entries.flatMap((entry) => "message" in entry ? [entry] : [])

describe("a recording", () => {
  it.effect("of its own replay is the same", () =>
    Effect.gen(function*() {
      const runs = yield* Arbitrary.sampleEffect(Arbitrary.schema(Schema.Array(Operation)), { count: 60, seed: 11 })
      let longest = 0
      for (const operations of runs) {
        const [first, again] = [yield* record(crossingsOf(operations)), yield* record(crossingsOf(operations))]
        // Other ids, other times, other directories: the same text.
        assert.strictEqual(again, first)
        const recording = yield* Transcript.parse(first)
        longest = Math.max(longest, recording.entries.length)
        const replayed = yield* recordOver(
          crossingsIn(recording),
          Transcript.replayRecording(recording),
          () => Effect.void
        )
        assert.deepStrictEqual(
          Transcript.canonical(yield* Transcript.parse(replayed)),
          Transcript.canonical(recording)
        )
        // What is normalised stays as it is, order and all.
        assert.strictEqual(yield* record(crossingsIn(recording)), first)
      }
      assert.isAbove(longest, 3)
    }))

  it.effect("is the same text when the server warned earlier or later", () =>
    Effect.gen(function*() {
      const warning = server({ method: "warning", params: { threadId: "A", message: "No metadata" } })
      const before = [...handshake, ...threadStart(2, "A")]
      const [request, answer, ...events] = turnOf(3, "A", "T", "Hello", "Hi")
      assert.isDefined(request)
      assert.isDefined(answer)
      const orders = [
        [...before, request, warning, answer, ...events],
        [...before, request, answer, warning, ...events],
        [...before, request, answer, ...events.slice(0, 2), warning, ...events.slice(2)]
      ]
      const texts = yield* Effect.forEach(
        orders,
        (entries) => Effect.map(recordingOf(entries), (recording) => Transcript.format(Transcript.canonical(recording)))
      )
      assert.include(texts[0], "No metadata")
      assert.strictEqual(texts[1], texts[0])
      assert.strictEqual(texts[2], texts[0])
    }))

  it.effect("is the same text when the server told of a turn before or after it answered that it has begun", () =>
    Effect.gen(function*() {
      const active = server({
        method: "thread/status/changed",
        params: { threadId: "A", status: { type: "active", activeFlags: [] } }
      })
      const warning = server({ method: "warning", params: { threadId: "A", message: "No metadata" } })
      const before = [...handshake, ...threadStart(2, "A"), ...turnOf(3, "A", "S", "Hello", "Hi")]
      const [request, answer, started, item, ...events] = turnOf(4, "A", "T", "Go on", "Well")
      assert.isDefined(request)
      assert.isDefined(answer)
      assert.isDefined(started)
      assert.isDefined(item)
      const orders = [
        [...before, request, answer, active, started, item, warning, ...events],
        [...before, request, active, answer, started, item, ...events.slice(0, 1), warning, ...events.slice(1)],
        [...before, request, active, started, answer, warning, item, ...events],
        [...before, request, warning, active, started, item, answer, ...events]
      ]
      const [first, ...others] = yield* Effect.forEach(
        orders,
        (entries) => Effect.map(recordingOf(entries), Transcript.canonical)
      )
      assert.isDefined(first)
      const methods = first.entries.map((entry) => "message" in entry ? entry.message["method"] : "a line")
      assert.deepStrictEqual(
        methods.slice(methods.lastIndexOf("turn/start"), methods.lastIndexOf("item/started")),
        ["turn/start", undefined, "warning", "thread/status/changed", "turn/started"]
      )
      for (const other of others) assert.deepStrictEqual(other, first)
    }))

  it.effect("has placeholders for ids, times and places, and the answer under the number of its request", () =>
    Effect.gen(function*() {
      const thread = "019ab3f0-1111-7222-8333-444455556666"
      const text = yield* record([
        { from: "client", message: { id: 41, method: "thread/start", params: { cwd: "/home/me/project" } } },
        {
          from: "server",
          message: {
            id: 41,
            result: {
              thread: {
                id: thread,
                createdAt: 1_795_243_250,
                path: `/home/me/.codex/sessions/2026/11/21/rollout-2026-11-21T09-55-00-${thread}.jsonl`,
                cwd: "/home/me/project/src"
              },
              codexHome: "/home/me/.codex"
            }
          }
        },
        { from: "client", message: { id: 42, method: "x", params: { trace: 1, id: "call_0123456789abcdef0" } } }
      ], { paths: { "/home": "/home/me" } })
      assert.deepStrictEqual(text.trim().split("\n").slice(1).map((line): unknown => JSON.parse(line)), [
        { from: "client", message: { id: 1, method: "thread/start", params: { cwd: "/home/project" } } },
        {
          from: "server",
          message: {
            id: 1,
            result: {
              thread: {
                id: "00000000-0000-7000-8000-000000000001",
                createdAt: 0,
                path:
                  "/home/.codex/sessions/0000/00/00/rollout-1970-01-01T00:00:00Z-00000000-0000-7000-8000-000000000001.jsonl",
                cwd: "/home/project/src"
              },
              codexHome: "/home/.codex"
            }
          }
        },
        { from: "client", message: { id: 2, method: "x", params: { trace: 1, id: "call_c000000000000001" } } }
      ])
    }))

  it.effect("has the times that the agent spoke of, and none of the wire or of what the program said", () =>
    Effect.gen(function*() {
      const due = "2026-05-05T10:00:00.000Z"
      const item = { id: "i", startedAtMs: 1_795_243_250_000 }
      const text = yield* record([
        { from: "client", message: { id: 1, method: "turn/start", params: { input: [{ type: "text", text: due }] } } },
        {
          from: "server",
          message: {
            method: "item/completed",
            params: { item: { ...item, type: "userMessage", content: [{ type: "text", text: due }] } }
          }
        },
        { from: "server", message: { method: "item/agentMessage/delta", params: { delta: due } } },
        {
          from: "server",
          message: {
            method: "item/completed",
            params: { item: { ...item, type: "agentMessage", text: JSON.stringify({ due }) } }
          }
        },
        { from: "server", message: { id: 7, method: "item/tool/call", params: { arguments: { due, startAt: 42 } } } },
        { from: "client", message: { id: 7, result: { contentItems: [{ type: "inputText", text: due }] } } },
        { from: "server", message: { method: "item/commandExecution/outputDelta", params: { delta: due } } }
      ])
      const epoch = "1970-01-01T00:00:00Z"
      const input = [{ type: "text", text: epoch }]
      assert.deepStrictEqual(
        text.trim().split("\n").slice(1).map((line): unknown => JSON.parse(line)),
        [
          client({ id: 1, method: "turn/start", params: { input } }),
          server({
            method: "item/completed",
            params: { item: { id: "i", startedAtMs: 0, type: "userMessage", content: input } }
          }),
          server({ method: "item/agentMessage/delta", params: { delta: due } }),
          server({
            method: "item/completed",
            params: { item: { id: "i", startedAtMs: 0, type: "agentMessage", text: JSON.stringify({ due }) } }
          }),
          server({ id: 7, method: "item/tool/call", params: { arguments: { due, startAt: 42 } } }),
          client({ id: 7, result: { contentItems: [{ type: "inputText", text: epoch }] } }),
          server({ method: "item/commandExecution/outputDelta", params: { delta: epoch } })
        ]
      )
    }))

  it.effect("ends for the program as the connection did, why and all", () =>
    Effect.gen(function*() {
      const closed = new TransportError({ operation: "read", reason: "Closed", description: "The server went away" })
      const raw = Transport.of({ incoming: Stream.fail(closed), send: () => Effect.void })
      const written: Array<string> = []
      const recording = Transcript.recordTo((text) => Effect.sync(() => written.push(text)))
      yield* Effect.scoped(Effect.gen(function*() {
        const context = yield* Layer.build(Layer.provide(recording, Layer.succeed(Transport, raw)))
        yield* Effect.exit(Stream.runDrain(Context.get(context, Transport).incoming))
      }))
      const replayed = yield* Layer.build(Transcript.replayRecording(yield* Transcript.parse(written.join(""))))
      const error = yield* Effect.flip(Stream.runDrain(Context.get(replayed, Transport).incoming))
      if (!(error instanceof TransportError)) return assert.fail(String(error))
      assert.deepStrictEqual([error.reason, error.message], [closed.reason, closed.message])
    }))

  it.effect("has no secrets: not by their shape, their field, their value, or where they come again", () =>
    Effect.gen(function*() {
      const secrets = ["sk-s3nt1nel0123456789", "s3nt1nel-by-field", "s3nt1nel-by-value", "s3nt1nel.of.a.query"]
      const [byShape = "", byField = "", byValue = "", ofQuery = ""] = secrets
      const text = yield* record([
        {
          from: "client",
          message: { id: 1, method: "account/login/start", params: { type: "apiKey", apiKey: byShape } }
        },
        { from: "client", message: { id: 2, method: "command/exec", params: { env: { MY_API_KEY: byField } } } },
        { from: "server", message: { id: 2, error: { code: -32600, message: `${byField} and ${byValue}` } } },
        { from: "server", message: { id: 1, result: { authUrl: `https://example.com/?a=1&state=${ofQuery}&b=2` } } },
        {
          from: "client",
          message: {
            id: 3,
            method: "turn/start",
            params: { text: `Use ${secrets.join(" ")} ${byValue}-and-more 4711` }
          }
        }
      ], { secrets: [byValue, Redacted.make(`${byValue}-and-more`), "4711"] })
      for (const secret of secrets.slice(0, 3)) assert.notInclude(text, secret)
      assert.notInclude(text, "-and-more")
      assert.notInclude(text, "4711")
      assert.notInclude(text, `state=${ofQuery}`)
      assert.include(text, "https://example.com/?a=1&state=…&b=2")
    }))

  it.effect("has no secrets in texts that come in pieces, each of which keeps its place", () =>
    Effect.gen(function*() {
      const delta = (method: string, itemId: string, text: string): Crossing => ({
        from: "server",
        message: { method, params: { threadId: "A", turnId: "T", itemId, delta: text } }
      })
      const said = "item/agentMessage/delta"
      const printed = "item/commandExecution/outputDelta"
      const completed = (id: string): Crossing => ({
        from: "server",
        message: { method: "item/completed", params: { threadId: "A", turnId: "T", item: { id } } }
      })
      const steer: Crossing = { from: "client", message: { id: 1, method: "turn/steer", params: {} } }
      const crossings = [
        delta(said, "m", "Use sk-s3nt1"),
        delta(printed, "c", "KEY=correct "),
        steer,
        delta(said, "m", "nel0123456789 or"),
        delta(printed, "c", "horse\n"),
        completed("c"),
        delta(said, "n", "Nothing "),
        delta(said, "n", "of the kind"),
        delta(said, "m", " not"),
        completed("m"),
        delta(said, "o", "correct"),
        delta(said, "o", " horse"),
        {
          from: "server",
          message: { method: "turn/completed", params: { threadId: "A", turn: { id: "T" } } }
        } as const,
        delta(said, "p", "correct hor"),
        delta(said, "p", "se")
      ]
      const text = yield* record(crossings, { secrets: ["correct horse"] })
      const { entries } = yield* Transcript.parse(text)
      assert.deepStrictEqual(
        entries.map((entry) => "message" in entry ? entry.message["method"] : "a line"),
        crossings.map(({ message }) => message["method"])
      )
      const texts = entries.flatMap((entry) => {
        const params = "message" in entry ? entry.message["params"] : undefined
        return Predicate.hasProperty(params, "delta") ? [params.delta] : []
      })
      assert.deepStrictEqual(texts, [
        "Use … or not",
        "KEY=…\n",
        "",
        "",
        "Nothing ",
        "of the kind",
        "",
        "…",
        "",
        "…",
        ""
      ])
    }))

  it.effect("waits for the end of a text only so long", () =>
    Effect.gen(function*() {
      const deltas = Array.from({ length: 5_000 }, (_, index): Crossing => ({
        from: "server",
        message: { method: "item/agentMessage/delta", params: { itemId: "m", turnId: "T", delta: `${index} ` } }
      }))
      const output = yield* Queue.unbounded<Uint8Array>()
      const raw = Transport.of({ incoming: Stream.fromQueue(output), send: () => Effect.void })
      const written = yield* Queue.unbounded<string>()
      const recording = Transcript.recordTo((text) => Queue.offer(written, text))
      const context = yield* Layer.build(Layer.provide(recording, Layer.succeed(Transport, raw)))
      yield* fork(drive(deltas, Context.get(context, Transport), (message) => Queue.offer(output, encode(message))))
      const lines = yield* Stream.fromQueue(written).pipe(
        Stream.flatMap((text) => Stream.fromIterable(text.trim().split("\n"))),
        Stream.take(4_098),
        Stream.runCollect
      )
      assert.include(lines.at(-1), "\"delta\":\"4096 \"")
    }).pipe(Effect.scoped))

  it.effect("has no secrets in files, in output, and among what is written to the configuration", () =>
    Effect.gen(function*() {
      const shaped = "sk-s3nt1nel0123456789"
      const untouched = Base64.encode("\u0000\u00ff, at 2026-01-01T00:00:00Z")
      const setting = { mergeStrategy: "replace" }
      const text = yield* record([
        { from: "server", message: { id: 1, result: { dataBase64: Base64.encode(`grüße, KEY=${shaped}\n`) } } },
        {
          from: "server",
          message: { method: "process/outputDelta", params: { deltaBase64: Base64.encode("s3nt1nel-by-value") } }
        },
        { from: "server", message: { id: 2, result: { dataBase64: untouched } } },
        { from: "server", message: { id: 3, result: { dataBase64: "no Base64, s3nt1nel-by-value" } } },
        {
          from: "client",
          message: {
            id: 4,
            method: "config/value/write",
            params: { ...setting, keyPath: "model_providers.x.experimental_bearer_token", value: "s3nt1nel-written" }
          }
        },
        {
          from: "client",
          message: {
            id: 5,
            method: "config/batchWrite",
            params: {
              edits: [
                { ...setting, keyPath: "mcp_servers.a.env.\"DB_PASS\"", value: "s3nt1nel-in-a-batch" },
                { ...setting, keyPath: "x.password", value: { any: ["s3nt1nel-below"] } },
                { ...setting, keyPath: "model", value: "gpt-5.4" }
              ]
            }
          }
        },
        { from: "client", message: { id: 6, method: "command/exec", params: { env: { DB_PASS: "s3nt1nel-passed" } } } },
        { from: "server", message: { id: 6, result: { stdout: "s3nt1nel-written s3nt1nel-below s3nt1nel-passed" } } }
      ], { secrets: ["s3nt1nel-by-value"] })
      assert.notInclude(text, "s3nt1nel")
      assert.notInclude(text, Base64.encode("s3nt1nel-by-value"))
      assert.include(text, Base64.encode("grüße, KEY=…\n"))
      assert.include(text, untouched)
      assert.include(text, "gpt-5.4")
    }))

  it.effect("stops where it is to stop, with a word, and lets the connection go on", () =>
    Effect.gen(function*() {
      const crossings = crossingsOf(Array.from({ length: 50 }, () => ({ kind: "request", thread: 0, text: "a" })))
      const text = yield* record(crossings, { maxBytes: 2_000 })
      assert.isBelow(text.length, 2_500)
      const recording = yield* Transcript.parse(text)
      const last = recording.entries.at(-1)
      assert.isTrue(last !== undefined && "end" in last && last.end._tag === "TransportError")
    }))

  it.effect("that cannot be written ends the connection, and says so", () =>
    Effect.gen(function*() {
      const recording = Transcript.recordTo(() => Effect.fail("The disk is full"))
      const silent = Transport.of({ incoming: Stream.never, send: () => Effect.void })
      const context = yield* Layer.build(Layer.provide(recording, Layer.succeed(Transport, silent)))
      const error = yield* Effect.flip(Stream.runDrain(Context.get(context, Transport).incoming))
      assert.include(error.message, "could not be written")
      const refused = yield* Effect.flip(Context.get(context, Transport).send("{}"))
      assert.strictEqual(refused, error)
    }))
})
