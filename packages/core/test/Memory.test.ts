import { type AppServerClientOptions, type ConnectionError, Transport } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { make } from "../src/AppServerClient.ts"
import { usedMiB } from "./support/heap.ts"
import { fork } from "./support/observe.ts"
import { encode, initializeResult } from "./support/ScriptedServer.ts"
import * as Wire from "./support/wire.ts"

const decodeMessage = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({
  id: Schema.optionalKey(Schema.Int),
  method: Schema.optionalKey(Schema.String)
})))

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A client of a server that keeps nothing: each turn that is started says something and ends, unless told otherwise. */
const connect = (options: AppServerClientOptions & { readonly ends?: boolean } = {}) =>
  Effect.gen(function*() {
    const output = yield* Queue.unbounded<Uint8Array, ConnectionError>()
    const answer = { id: "REQUEST", result: { turn: Wire.turn({ id: "TURN" }) } }
    const [started, ...rest] = Wire.textTurn("A", "TURN", ["one ", "two"])
    // Written once: this test is about the client.
    const scripted = decoder.decode(encode(answer, ...(options.ends === false ? [] : [started, rest[1], rest.at(-1)])))
    let turns = 0
    const client = yield* make(options).pipe(Effect.provideService(
      Transport,
      Transport.of({
        incoming: Stream.fromQueue(output),
        send: (line) =>
          Effect.sync(() => {
            const { id, method } = decodeMessage(line)
            if (method === "initialize") Queue.offerUnsafe(output, encode({ id, result: initializeResult }))
            if (method !== "turn/start") return
            const bytes = scripted.replaceAll("TURN", `turn-${turns++}`).replace("\"REQUEST\"", String(id))
            Queue.offerUnsafe(output, encoder.encode(bytes))
          })
      })
    ))
    /** Writes the same bytes again and again, while the reader keeps up. */
    const flood = (bytes: Uint8Array, times: number) =>
      Effect.gen(function*() {
        for (let index = 0; index < times; index++) {
          yield* Queue.offer(output, bytes)
          while (Queue.sizeUnsafe(output) > 0) yield* Effect.yieldNow
        }
      })
    return { client, flood }
  })

const filler = "x".repeat(1_000)

/** How far above the start the memory in use may end up. */
const SLACK_MIB = 8

describe("the memory in use stays flat", () => {
  it.live("through 100,000 turns of one connection", () =>
    Effect.gen(function*() {
      const { client } = yield* connect()
      const thousand = Effect.forEach(
        Array.from({ length: 1_000 }),
        () =>
          Effect.scoped(Effect.flatMap(
            client.openTurn("turn/start", Wire.startParams("A"), { read: "never" }),
            (turn) => turn.result
          )),
        { concurrency: 32, discard: true }
      ).pipe(Effect.andThen(Effect.sleep(1)))
      const turns = (count: number) =>
        Effect.forEach(Array.from({ length: count / 1_000 }), () => thousand, { discard: true })
      yield* turns(5_000)
      const before = yield* usedMiB
      yield* turns(100_000)
      assert.isBelow((yield* usedMiB) - before, SLACK_MIB)
    }), 240_000)

  it.live("while a turn is never read, and its result completes", () =>
    Effect.gen(function*() {
      const limit = 4
      const { client, flood } = yield* connect({
        ends: false,
        turnBuffer: { events: 100_000, bytes: limit * 1024 * 1024 }
      })
      const before = yield* usedMiB
      const turn = yield* client.openTurn("turn/start", Wire.startParams("A"))
      const stuck = yield* fork(Effect.scoped(Stream.runForEach(turn.events, () => Effect.never)))
      const tool = Wire.itemStarted("A", turn.turnId, Wire.agentMessage("m", filler))
      yield* flood(encode(...Array.from({ length: 100 }, () => Wire.delta("A", turn.turnId, "m", filler))), 500)
      yield* flood(encode(...Array.from({ length: 100 }, () => tool)), 500)
      assert.isBelow((yield* usedMiB) - before, 4 * limit + SLACK_MIB)
      yield* flood(encode(Wire.turnCompleted("A", turn.turnId)), 1)
      assert.strictEqual((yield* turn.result).status, "completed")
      yield* Fiber.interrupt(stuck)
    }), 120_000)

  it.live("while nobody reads an event, or the one who does never goes on", () =>
    Effect.gen(function*() {
      const { client, flood } = yield* connect()
      const before = yield* usedMiB
      const events = encode(...Array.from({ length: 100 }, (_, index) => Wire.delta("A", `T${index}`, "m", filler)))
      yield* flood(events, 500)
      const stuck = yield* fork(Stream.runForEach(client.notifications, () => Effect.never))
      yield* flood(events, 500)
      // What is kept for the one reader: 4,096 events of a kilobyte.
      assert.isBelow((yield* usedMiB) - before, 16 + SLACK_MIB)
      yield* Fiber.interrupt(stuck)
      assert.isBelow((yield* usedMiB) - before, SLACK_MIB)
    }), 120_000)
})
