import type { AppServerClient, CodexEvent, TurnEvent } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { collect, fork } from "./support/observe.ts"
import { connect, encode, type Request, type ScriptedServer } from "./support/ScriptedServer.ts"
import * as Wire from "./support/wire.ts"

type Client = AppServerClient["Service"]

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A text for the method and the payload of an event, whatever the order of the payload's keys. */
const nameOf = (method: string, params: unknown): string =>
  `${method} ${
    JSON.stringify(
      params,
      (_, value: unknown) =>
        isRecord(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)) : value
    )
  }`

const wireNames = (messages: ReadonlyArray<Wire.Notification>) =>
  messages.map(({ method, params }) => nameOf(method, params))

const names = (events: ReadonlyArray<CodexEvent>) => events.map((event) => nameOf(event.method, event.params))

/** The bytes cut into pieces of these sizes, again and again. */
const cut = (bytes: Uint8Array, sizes: ReadonlyArray<number>): Array<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  let start = 0
  for (let index = 0; start < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1
    chunks.push(bytes.subarray(start, start + size))
    start += size
  }
  return chunks
}

/** Merges sequences, each kept in its order; `picks` says which goes next. */
const interleave = (
  sequences: ReadonlyArray<ReadonlyArray<unknown>>,
  picks: ReadonlyArray<number>
): Array<unknown> => {
  const rest = sequences.map((sequence) => [...sequence])
  const merged: Array<unknown> = []
  for (let index = 0; rest.some((sequence) => sequence.length > 0); index++) {
    const open = rest.filter((sequence) => sequence.length > 0)
    merged.push(open[(picks[index % picks.length] ?? 0) % open.length]?.shift())
  }
  return merged
}

const insertAt = (messages: ReadonlyArray<unknown>, position: number, message: unknown): Array<unknown> => [
  ...messages.slice(0, position),
  message,
  ...messages.slice(position)
]

/** Opens a turn in the background and reads all of it as it comes. */
const openText = (client: Client, threadId: string, read: "once" | "replay" = "replay") =>
  fork(Effect.scoped(Effect.gen(function*() {
    const turn = yield* client.openTurn("turn/start", Wire.startParams(threadId), { read })
    const events = yield* Stream.runCollect(turn.events)
    const again = read === "replay" ? yield* Stream.runCollect(turn.events) : events
    const result = yield* turn.result
    return { turnId: turn.turnId, events, again, result }
  })))

type Outcome = Effect.Success<ReturnType<typeof openText>> extends Fiber.Fiber<infer A, infer _E> ? A : never

const checkText = (outcome: Outcome, threadId: string, turnId: string, texts: ReadonlyArray<string>) => {
  const expected = wireNames(Wire.textTurn(threadId, turnId, texts))
  assert.deepStrictEqual(names(outcome.events), expected)
  assert.deepStrictEqual(names(outcome.again), expected)
  const { result } = outcome
  assert.deepStrictEqual([result.threadId, result.turnId, result.status], [threadId, turnId, "completed"])
  assert.strictEqual(result.finalResponse, texts.join(""))
  assert.deepStrictEqual(result.items.map((item) => item.id), [`msg-${turnId}`])
  assert.strictEqual(result.usage?.total.totalTokens, 15)
  assert.strictEqual(result.durationMs, 141)
}

const answerTo = (request: Request, turnId: string) => ({ id: request.id, result: { turn: Wire.turn({ id: turnId }) } })

const texts = ["Hel", "lo é€😀"]

const positions = Array.from({ length: Wire.textTurn("A", "T", texts).length + 1 }, (_, position) => position)

const Picks = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 11 })))
const Sizes = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 400 })))

const runTurn = (
  { client, server }: { readonly client: Client; readonly server: ScriptedServer },
  turnId: string,
  position: number,
  chunk: (bytes: Uint8Array) => ReadonlyArray<Uint8Array>,
  read: "once" | "replay" = "replay"
) =>
  Effect.gen(function*() {
    const fiber = yield* openText(client, "A", read)
    const request = yield* server.request("turn/start")
    const messages = insertAt(Wire.textTurn("A", turnId, texts), position, answerTo(request, turnId))
    yield* server.pushBytes(...chunk(encode(...messages)))
    checkText(yield* Fiber.join(fiber), "A", turnId, texts)
  })

describe("the events of a turn", () => {
  it.effect.each(positions)("are complete with the response after %s of them", (position) =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const unowned = yield* collect(connection.client.unownedNotifications)
      const all = yield* collect(connection.client.notifications)
      for (const read of ["replay", "once"] as const) {
        yield* runTurn(connection, `whole-${read}`, position, (bytes) => [bytes], read)
        yield* runTurn(connection, `bytes-${read}`, position, (bytes) => cut(bytes, [1]), read)
        yield* runTurn(connection, `lines-${read}`, position, (bytes) => {
          const chunks: Array<Uint8Array> = []
          for (let start = 0; start < bytes.length;) {
            const end = bytes.indexOf(0x0a, start) + 1
            chunks.push(bytes.subarray(start, end))
            start = end
          }
          return chunks
        }, read)
      }
      yield* connection.server.barrier
      assert.deepStrictEqual(unowned.seen, [])
      const everything = ["whole", "bytes", "lines"].map((name) => `${name}-replay`)
        .concat(["whole", "bytes", "lines"].map((name) => `${name}-once`))
        .flatMap((turnId) => wireNames(Wire.textTurn("A", turnId, texts)))
      assert.deepStrictEqual(names(yield* all.atLeast(everything.length)), everything)
      assert.strictEqual(all.seen.length, everything.length)
    }))

  it.effect.each(positions)("are complete wherever the bytes are cut in two, with the response after %s of them", (
    position
  ) =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { length } = encode(
        ...Wire.textTurn("A", "T0000", texts),
        answerTo({ id: 10, method: "", params: {} }, "T0000")
      )
      for (let at = 1; at < length; at++) {
        const turnId = `T${String(at).padStart(4, "0")}`
        yield* runTurn(connection, turnId, position, (bytes) => [bytes.subarray(0, at), bytes.subarray(at)])
      }
    }))

  it.effect.prop(
    "are complete among those of another thread's turn and of a foreign turn, in any order and any chunks",
    [Picks, Sizes],
    ([picks, sizes]) =>
      Effect.gen(function*() {
        const { client, server } = yield* connect()
        const unowned = yield* collect(client.unownedNotifications)
        const all = yield* collect(client.notifications)
        const ofThread = yield* collect(client.threadNotifications("A"))
        const a = yield* openText(client, "A")
        const toA = yield* server.request("turn/start")
        const b = yield* openText(client, "B")
        const toB = yield* server.request("turn/start")
        const foreign = Wire.textTurn("A", "foreign", ["not ", "yours"])
        const messages = interleave([
          Wire.textTurn("A", "own-a", texts),
          [answerTo(toA, "own-a")],
          Wire.textTurn("B", "own-b", ["b"]),
          [answerTo(toB, "own-b")],
          foreign
        ], picks)
        yield* server.pushBytes(...cut(encode(...messages), sizes))
        checkText(yield* Fiber.join(a), "A", "own-a", texts)
        checkText(yield* Fiber.join(b), "B", "own-b", ["b"])
        assert.deepStrictEqual(names(yield* unowned.atLeast(foreign.length)), wireNames(foreign))
        yield* server.barrier
        assert.strictEqual(unowned.seen.length, foreign.length)
        const onWire = messages.flatMap((message) => Schema.is(Notification)(message) ? message : [])
        assert.deepStrictEqual(names(all.seen), wireNames(onWire))
        assert.deepStrictEqual(
          names(ofThread.seen),
          wireNames(onWire.filter((message) => message.params.threadId === "A"))
        )
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "are complete for two requests that share a turn, in any order and any chunks",
    [Picks, Sizes],
    ([picks, sizes]) =>
      Effect.gen(function*() {
        const { client, server } = yield* connect()
        const unowned = yield* collect(client.unownedNotifications)
        const one = yield* openText(client, "A")
        const first = yield* server.request("turn/start")
        const two = yield* openText(client, "A")
        const second = yield* server.request("turn/start")
        const messages = interleave(
          [Wire.textTurn("A", "T", texts), [answerTo(first, "T")], [answerTo(second, "T")]],
          picks
        )
        yield* server.pushBytes(...cut(encode(...messages), sizes))
        checkText(yield* Fiber.join(one), "A", "T", texts)
        checkText(yield* Fiber.join(two), "A", "T", texts)
        yield* server.barrier
        assert.deepStrictEqual(unowned.seen, [])
        assert.deepStrictEqual(server.methods(), ["turn/start", "turn/start"])
      }),
    { arbitrary: { runs: 200 } }
  )

  it.effect("of a turn whose request is refused are nobody's", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const unowned = yield* collect(client.unownedNotifications)
      const fiber = yield* fork(Effect.flip(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A")))))
      const request = yield* server.request("turn/start")
      const foreign = Wire.textTurn("A", "foreign", ["x"])
      yield* server.push(...foreign.slice(0, 3))
      yield* server.barrier
      assert.deepStrictEqual(unowned.seen, [])
      yield* server.refuse(request, -32600, "thread not found: A")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "InvalidRequest")
      yield* server.push(...foreign.slice(3))
      assert.deepStrictEqual(names(yield* unowned.atLeast(foreign.length)), wireNames(foreign))
      yield* server.barrier
      assert.strictEqual(unowned.seen.length, foreign.length)
    }))
})

const Notification = Schema.Struct({
  method: Schema.String,
  params: Schema.StructWithRest(Schema.Struct({ threadId: Schema.String }), [Schema.Record(Schema.String, Schema.Json)])
})

/** Opens a compaction or a review in the background and reads all of it. */
const openOther = (client: Client, method: "thread/compact/start" | "review/start") =>
  fork(Effect.scoped(Effect.gen(function*() {
    const turn = method === "review/start"
      ? yield* client.openTurn(method, { threadId: "A", target: { type: "uncommittedChanges" } })
      : yield* client.openTurn(method, { threadId: "A" })
    const events: ReadonlyArray<TurnEvent> = yield* Stream.runCollect(turn.events)
    const result = yield* turn.result
    return { turnId: turn.turnId, events, result }
  })))

describe("the events of a compaction", () => {
  const compaction = { type: "contextCompaction", id: "c1" }
  const events = [
    Wire.turnStarted("A", "C"),
    Wire.itemStarted("A", "C", compaction),
    Wire.tokenUsage("A", "C", 7),
    Wire.tokenUsage("A", "C", 8),
    Wire.itemCompleted("A", "C", compaction),
    Wire.turnCompleted("A", "C")
  ]

  it.effect.prop(
    "are complete though its answer names no turn, among those of a foreign turn, in any order and any chunks",
    [Picks, Sizes],
    ([picks, sizes]) =>
      Effect.gen(function*() {
        const { client, server } = yield* connect()
        const unowned = yield* collect(client.unownedNotifications)
        const fiber = yield* openOther(client, "thread/compact/start")
        const { id } = yield* server.request("thread/compact/start")
        // The turn that a compaction interrupts.
        const foreign = [
          ...Wire.textTurn("A", "foreign", ["x"]).slice(0, -1),
          Wire.turnCompleted("A", "foreign", { status: "interrupted" })
        ]
        yield* server.pushBytes(...cut(encode(...interleave([events, [{ id, result: {} }], foreign], picks)), sizes))
        const outcome = yield* Fiber.join(fiber)
        assert.strictEqual(outcome.turnId, "C")
        assert.deepStrictEqual(names(outcome.events), wireNames(events))
        assert.deepStrictEqual(outcome.result.items.map((item) => item.id), ["c1"])
        assert.strictEqual(outcome.result.usage?.total.totalTokens, 8)
        assert.deepStrictEqual(names(yield* unowned.atLeast(foreign.length)), wireNames(foreign))
        yield* server.barrier
        assert.strictEqual(unowned.seen.length, foreign.length)
      }),
    { arbitrary: { runs: 200 } }
  )

  it.effect("are nobody's when the compaction is refused", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const unowned = yield* collect(client.unownedNotifications)
      const fiber = yield* fork(
        Effect.flip(Effect.scoped(client.openTurn("thread/compact/start", { threadId: "A" })))
      )
      yield* server.refuse(yield* server.request("thread/compact/start"), -32600, "thread not found: A")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "InvalidRequest")
      yield* server.push(...events)
      assert.deepStrictEqual(names(yield* unowned.atLeast(events.length)), wireNames(events))
    }))

  it.effect("are told from those of a turn that sums up its own history", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const running = yield* openText(client, "A")
      const start = yield* server.request("turn/start")
      const fiber = yield* openOther(client, "thread/compact/start")
      const { id } = yield* server.request("thread/compact/start")
      const own = Wire.textTurn("A", "T", texts)
      const summary = Wire.itemStarted("A", "T", { type: "contextCompaction", id: "own" })
      yield* server.push(
        answerTo(start, "T"),
        ...own.slice(0, 1),
        summary,
        ...own.slice(1),
        { id, result: {} },
        ...events
      )
      assert.strictEqual((yield* Fiber.join(running)).events.length, own.length + 1)
      assert.deepStrictEqual(names((yield* Fiber.join(fiber)).events), wireNames(events))
    }))

  it.effect("are not those of a turn that it took the place of before anything came of that one", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const fiber = yield* openOther(client, "thread/compact/start")
      const { id } = yield* server.request("thread/compact/start")
      const given = [Wire.turnStarted("A", "T"), Wire.turnCompleted("A", "T", { status: "interrupted" })]
      yield* server.push(...given, { id, result: {} }, ...events)
      assert.deepStrictEqual(names((yield* Fiber.join(fiber)).events), wireNames(events))
    }))

  it.effect("are none where it was interrupted before that, which is known a second later", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const fiber = yield* fork(Effect.flip(Effect.scoped(
        Effect.flatMap(client.openTurn("thread/compact/start", { threadId: "A" }), (turn) => turn.result)
      )))
      const { id } = yield* server.request("thread/compact/start")
      yield* server.push(
        { id, result: {} },
        Wire.turnStarted("A", "C"),
        Wire.turnCompleted("A", "C", { status: "interrupted" })
      )
      yield* server.barrier
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag === "TurnInterrupted" && error.turnId, "C")
    }))

  it.effect("go to the compactions in the order these were asked for", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const one = yield* openOther(client, "thread/compact/start")
      const first = yield* server.request("thread/compact/start")
      const two = yield* openOther(client, "thread/compact/start")
      const second = yield* server.request("thread/compact/start")
      const others = [
        Wire.turnStarted("A", "D"),
        Wire.itemStarted("A", "D", { type: "contextCompaction", id: "d1" }),
        Wire.turnCompleted("A", "D")
      ]
      yield* server.push({ id: first.id, result: {} }, { id: second.id, result: {} }, ...events, ...others)
      assert.deepStrictEqual(names((yield* Fiber.join(one)).events), wireNames(events))
      assert.deepStrictEqual(names((yield* Fiber.join(two)).events), wireNames(others))
    }))
})

describe("the events of a review", () => {
  const entered = { type: "enteredReviewMode", id: "r1", review: "changes" }
  const exited = { type: "exitedReviewMode", id: "r2", review: "Looks fine" }
  const body = [
    Wire.itemStarted("A", "R", entered),
    Wire.itemCompleted("A", "R", entered),
    Wire.itemStarted("A", "R", Wire.agentMessage("m0", "")),
    Wire.itemCompleted("A", "R", exited),
    Wire.itemCompleted("A", "R", Wire.agentMessage("m1", "Looks fine")),
    Wire.turnCompleted("A", "R")
  ]
  const run = Wire.turnStarted("A", "S", "R")

  const Start = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: body.length - 1 }))

  it.effect.prop(
    "are complete though it runs under another id, wherever its answer and its start come",
    [Start, Picks, Sizes],
    ([start, picks, sizes]) =>
      Effect.gen(function*() {
        const { client, server } = yield* connect()
        const unowned = yield* collect(client.unownedNotifications)
        const fiber = yield* openOther(client, "review/start")
        const { id } = yield* server.request("review/start")
        const events = [...body.slice(0, start), run, ...body.slice(start)]
        const foreign = Wire.textTurn("A", "foreign", ["x"])
        const answer = { id, result: { turn: Wire.turn({ id: "R", rootTurnId: null }), reviewThreadId: "A" } }
        yield* server.pushBytes(...cut(encode(...interleave([events, [answer], foreign], picks)), sizes))
        const outcome = yield* Fiber.join(fiber)
        assert.strictEqual(outcome.turnId, "R")
        assert.deepStrictEqual(names(outcome.events), wireNames(events))
        assert.strictEqual(outcome.result.finalResponse, "Looks fine")
        assert.deepStrictEqual(outcome.result.items.map((item) => item.id), ["r1", "r2", "m1"])
        assert.deepStrictEqual(names(yield* unowned.atLeast(foreign.length)), wireNames(foreign))
        yield* server.barrier
        assert.strictEqual(unowned.seen.length, foreign.length)
      }),
    { arbitrary: { runs: 300 } }
  )
})
