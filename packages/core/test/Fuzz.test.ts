import { TransportError, type TurnEvent } from "@effect-codex/core"
import type { ServerNotificationMethod } from "@effect-codex/generated"
import { ServerNotifications } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { collect, fork, until } from "./support/observe.ts"
import { connect, encode, type Request } from "./support/ScriptedServer.ts"
import { caughtUp } from "./support/serverRequests.ts"
import * as Wire from "./support/wire.ts"

const isMethod = (method: string): method is ServerNotificationMethod => Object.hasOwn(ServerNotifications, method)

/** The payload with a value at a path. */
const put = (payload: unknown, [key, ...rest]: ReadonlyArray<string>, value: unknown): unknown =>
  key === undefined
    ? value
    : { ...(Predicate.isObject(payload) ? payload : {}), [key]: put(Reflect.get(Object(payload), key), rest, value) }

describe("a notification", () => {
  it.effect("of any method, with any payload and any ids, goes to exactly one place", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const opening = yield* fork(client.openTurn("turn/start", Wire.startParams("A")))
      yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id: "own" }) })
      const turn = yield* Fiber.join(opening)
      const ofTurn = yield* collect(turn.events)
      const unowned = yield* collect(client.unownedNotifications)
      const all = yield* collect(client.notifications)
      let toTurn = 0
      let toNobody = 0
      for (const method of Object.keys(ServerNotifications).filter(isMethod)) {
        const { params, threadId, turnId } = ServerNotifications[method]
        const schema: Schema.Codec<unknown> = Schema.make<Schema.Codec<unknown>>(params.ast)
        for (const sample of yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 4, seed: 7 })) {
          for (const id of method === "turn/completed" ? ["foreign"] : ["own", "foreign", ""]) {
            const addressed = turnId === undefined ? sample : put(sample, turnId, id)
            const payload = threadId === undefined ? addressed : put(addressed, threadId, "A")
            // A review's start names the turn that it belongs to.
            yield* server.push({
              method,
              params: method === "turn/started" ? put(payload, ["turn", "rootTurnId"], id) : payload
            })
            if (turnId !== undefined && id === "own") toTurn++
            else toNobody++
          }
        }
      }
      yield* until(() => all.seen.length >= toTurn + toNobody)
      yield* server.barrier
      assert.isAtLeast(toTurn, 100)
      assert.deepStrictEqual([ofTurn.seen.length, unowned.seen.length], [toTurn, toNobody])
      assert.strictEqual(all.seen.length, toTurn + toNobody)
      yield* server.push(Wire.turnCompleted("A", "own"))
      yield* turn.result
    }))
})

const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))

describe("the reader", () => {
  const answered = (chunks: ReadonlyArray<Uint8Array>) =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      yield* server.pushBytes(...chunks, new Uint8Array([0x0a]))
      yield* caughtUp(server, "marker")
      const fiber = yield* fork(client.request("model/list", {}))
      const request = server.sent.find(({ method }) => method === "model/list")
      yield* server.push({ id: request?.id, result: { data: [], nextCursor: null } })
      assert.deepStrictEqual((yield* Fiber.join(fiber)).data, [])
    })

  it.effect.prop(
    "is not killed by any bytes",
    [Schema.Array(Schema.Array(Byte))],
    ([chunks]) => answered(chunks.map((bytes) => Uint8Array.from(bytes))),
    { arbitrary: { runs: 300 } }
  )

  const Flip = Schema.Struct({ at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5_000 })), byte: Byte })

  it.effect.prop(
    "is not killed by messages with any bytes exchanged",
    [Schema.Array(Flip)],
    ([flips]) => {
      const bytes = encode(
        ...Wire.textTurn("A", "T", ["a", "é€😀"]),
        {
          id: 7,
          method: "item/tool/call",
          params: { threadId: "A", turnId: "T", callId: "c", tool: "t", arguments: {} }
        },
        { id: 900, result: {} },
        { id: null, error: { code: 1, message: "m" } }
      )
      for (const { at, byte } of flips) bytes[at % bytes.length] = byte
      return answered([bytes])
    },
    { arbitrary: { runs: 300 } }
  )
})

const faults = ["none", "refused", "failed", "interrupted", "undecodable", "twice", "unread", "lost"] as const

type Fault = typeof faults[number]

const expected: Readonly<Record<Fault, string>> = {
  none: "completed",
  twice: "completed",
  unread: "completed",
  refused: "InvalidRequest",
  failed: "TurnFailed",
  interrupted: "TurnInterrupted",
  undecodable: "DecodeError",
  lost: "TransportError"
}

const COUNT = 50

const tagOf = <E extends { readonly _tag: string }>(exit: Exit.Exit<unknown, E>): string | undefined =>
  Option.getOrUndefined(Exit.findErrorOption(exit))?._tag

/** What the server writes for one turn, in this order. */
const script = (request: Request, threadId: string, turnId: string, fault: Fault): ReadonlyArray<unknown> => {
  if (fault === "refused") return [{ id: request.id, error: { code: -32600, message: "no" } }]
  const answer = { id: request.id, result: { turn: Wire.turn({ id: turnId }) } }
  const events = Wire.textTurn(threadId, turnId, ["a", "b", "c"])
  const body = events.slice(0, -1)
  switch (fault) {
    case "failed":
      return [answer, ...body, Wire.turnCompleted(threadId, turnId, { status: "failed", error: { message: "m" } })]
    case "interrupted":
      return [answer, ...body, Wire.turnCompleted(threadId, turnId, { status: "interrupted" })]
    case "undecodable":
      return [answer, ...body, { method: "turn/completed", params: { threadId, turn: { id: turnId, items: 1 } } }]
    case "twice":
      return [answer, answer, ...events, ...events]
    case "lost":
      return [answer, ...body]
    default:
      return [...body, answer, ...events.slice(-1)]
  }
}

const Picks = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: COUNT - 1 })))
const Faults = Schema.NonEmptyArray(Schema.Literals(faults))

describe("fifty turns at once", () => {
  it.effect.prop(
    "all settle, each in its own way, whatever happens to which of them in whatever order",
    [Picks, Faults, Picks],
    ([picks, dealt, sizes]) =>
      Effect.gen(function*() {
        const { client, server } = yield* connect()
        const running = yield* Effect.forEach(Array.from({ length: COUNT }), (_, index) =>
          Effect.gen(function*() {
            const fault = dealt[index % dealt.length] ?? "none"
            const threadId = `thread-${index % 7}`
            const fiber = yield* fork(Effect.scoped(Effect.gen(function*() {
              const turn = yield* client.openTurn("turn/start", Wire.startParams(threadId), {
                read: index % 2 === 0 ? "once" : "replay"
              })
              const events: Array<TurnEvent> = []
              const reading = yield* fork(
                fault === "unread" ?
                  Effect.void :
                  Stream.runForEach(turn.events, (event) => Effect.sync(() => events.push(event)))
              )
              const exit = yield* Effect.exit(turn.result)
              yield* Fiber.await(reading)
              return { exit, events: events.length }
            })))
            const request = yield* server.request("turn/start")
            return { fault, fiber, messages: [...script(request, threadId, `turn-${index}`, fault)] }
          }))
        const rest = running.map(({ messages }) => messages)
        const merged: Array<unknown> = []
        for (let step = 0; rest.some((messages) => messages.length > 0); step++) {
          const open = rest.filter((messages) => messages.length > 0)
          merged.push(open[((picks[step % picks.length] ?? 0) + step) % open.length]?.shift())
        }
        const bytes = encode(...merged)
        for (let at = 0, step = 0; at < bytes.length; step++) {
          const size = 1 + (sizes[step % sizes.length] ?? 0) * 40
          yield* server.pushBytes(bytes.subarray(at, at + size))
          at += size
        }
        yield* server.end(new TransportError({ operation: "read", description: "gone" }))
        for (const { fault, fiber } of running) {
          const exit = yield* Fiber.await(fiber)
          const told = Exit.isFailure(exit) ? tagOf(exit) : Exit.match(exit.value.exit, {
            onSuccess: ({ status }) => status,
            onFailure: (cause) => tagOf(Exit.failCause(cause))
          })
          assert.strictEqual(told, expected[fault])
        }
      }),
    { arbitrary: { runs: 60 } }
  )
})
