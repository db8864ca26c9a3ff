import { type AppServerClient, CodexMetrics, Transport, TransportError } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { make, type Options } from "../src/AppServerClient.ts"
import { fork } from "./support/observe.ts"
import { type ScriptedServer, start } from "./support/ScriptedServer.ts"
import * as Wire from "./support/wire.ts"

type Client = AppServerClient["Service"]

/** A registry of its own, so that no other connection counts. */
const alone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

const connect = (options?: Options) =>
  Effect.gen(function*() {
    const server = yield* start()
    const scope = yield* Scope.make()
    const client: Client = yield* make(options).pipe(
      Effect.provideService(Transport, server.transport),
      Scope.provide(scope)
    )
    return { client, server, close: Scope.close(scope, Exit.void) }
  })

const gauges = Effect.gen(function*() {
  const { value: inFlight } = yield* Metric.value(CodexMetrics.requestsInFlight)
  const { value: queued } = yield* Metric.value(CodexMetrics.requestsQueued)
  const { value: window } = yield* Metric.value(CodexMetrics.requestWindow)
  return { inFlight, queued, window }
})

const count = (counter: Metric.Counter<number>, attributes: Record<string, string> = {}) =>
  Effect.map(Metric.value(Metric.withAttributes(counter, attributes)), ({ count }) => count)

const empty = { data: [], nextCursor: null }

const runTurn = (
  { client, server }: { readonly client: Client; readonly server: ScriptedServer },
  id: string,
  events: ReadonlyArray<Wire.Notification>
) =>
  Effect.gen(function*() {
    const fiber = yield* fork(Effect.exit(Effect.scoped(
      Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)
    )))
    yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id }) })
    yield* server.push(Wire.turnStarted("A", id))
    yield* server.barrier
    yield* TestClock.adjust("2 seconds")
    yield* server.push(...events)
    return yield* Fiber.join(fiber)
  })

describe("the metrics", () => {
  it.effect("of requests say how many are out, how many wait and how many may be out", () =>
    alone(Effect.gen(function*() {
      const { client, close, server } = yield* connect({ maxInFlight: 2, retry: Schedule.recurs(1) })
      assert.deepStrictEqual(yield* gauges, { inFlight: 0, queued: 0, window: 2 })
      const asking = yield* Effect.forEach([1, 2, 3, 4, 5], () => fork(client.request("thread/loaded/list", {})))
      const [one, two] = [yield* server.request("thread/loaded/list"), yield* server.request("thread/loaded/list")]
      assert.deepStrictEqual(yield* gauges, { inFlight: 2, queued: 3, window: 2 })

      // A refusal halves the window, and the request is sent again.
      yield* server.refuse(one, -32001, "full")
      yield* server.barrier
      assert.deepStrictEqual(yield* gauges, { inFlight: 1, queued: 4, window: 1 })
      yield* server.respond(two, empty)
      yield* fork(Effect.forever(Effect.flatMap(server.next, ({ id }) => server.push({ id, result: empty }))))
      yield* Effect.forEach(asking, Fiber.join)
      const after = yield* gauges
      assert.deepStrictEqual({ inFlight: after.inFlight, queued: after.queued }, { inFlight: 0, queued: 0 })
      assert.strictEqual(yield* count(CodexMetrics.requestRetries, { method: "thread/loaded/list" }), 1)

      yield* close
      assert.deepStrictEqual(yield* gauges, { inFlight: 0, queued: 0, window: 0 })
    })))

  it.effect("of requests forget those whose callers are interrupted, or whose connection ends", () =>
    alone(Effect.gen(function*() {
      const { client, close, server } = yield* connect({ maxInFlight: 1 })
      const out = yield* fork(Effect.exit(client.request("thread/loaded/list", {})))
      const waiting = yield* fork(client.request("thread/loaded/list", {}))
      yield* server.request("thread/loaded/list")
      assert.deepStrictEqual(yield* gauges, { inFlight: 1, queued: 1, window: 1 })
      yield* Fiber.interrupt(waiting)
      assert.deepStrictEqual(yield* gauges, { inFlight: 1, queued: 0, window: 1 })
      yield* server.end(new TransportError({ operation: "read", description: "gone" }))
      yield* Fiber.join(out)
      assert.deepStrictEqual(yield* gauges, { inFlight: 0, queued: 0, window: 1 })
      yield* close
    })))

  it.effect("of connections that share a registry are sums", () =>
    alone(Effect.gen(function*() {
      const one = yield* connect({ maxInFlight: 2 })
      const two = yield* connect({ maxInFlight: 3 })
      assert.strictEqual((yield* gauges).window, 5)
      yield* one.close
      assert.strictEqual((yield* gauges).window, 3)
      yield* two.close
    })))

  it.effect("count what does not decode, by what it is", () =>
    alone(Effect.gen(function*() {
      const { client, server } = yield* connect()
      const asking = yield* fork(Effect.exit(client.request("thread/loaded/list", {})))
      yield* server.respond(yield* server.request("thread/loaded/list"), { data: 5 })
      yield* Fiber.join(asking)
      yield* server.push({ method: "turn/started", params: 5 }, { method: "turn/started", params: {} }, { id: {} })
      yield* server.barrier
      assert.strictEqual(yield* count(CodexMetrics.decodeFailures, { payload: "result" }), 1)
      assert.strictEqual(yield* count(CodexMetrics.decodeFailures, { payload: "notification" }), 2)
      assert.strictEqual(yield* count(CodexMetrics.decodeFailures, { payload: "envelope" }), 1)
    })))

  it.effect("count the events that gave way, and the readers of a turn that were too slow", () =>
    alone(Effect.gen(function*() {
      const { client, server } = yield* connect({ turnBuffer: { events: 4, bytes: 1_000_000 } })
      // Somebody who is there and does not read.
      const isThere = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const pull = yield* Stream.toPull(client.notifications).pipe(Scope.provide(isThere))
      const first = yield* fork(pull)
      yield* server.push(Wire.threadStatus("B", "idle"))
      yield* Fiber.join(first)
      const opened = yield* fork(Effect.scoped(Effect.gen(function*() {
        const turn = yield* client.openTurn("turn/start", Wire.startParams("A"), { read: "once" })
        return yield* turn.result
      })))
      yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id: "T" }) })
      const items = Array.from(
        { length: 5_000 },
        (_, n) => Wire.itemCompleted("A", "T", Wire.agentMessage(`m${n}`, "x"))
      )
      yield* server.push(Wire.turnStarted("A", "T"), ...items, Wire.turnCompleted("A", "T"))
      yield* Fiber.join(opened)
      assert.strictEqual(yield* count(CodexMetrics.turnReadersLagged), 1)
      const [lagged] = yield* pull
      assert.strictEqual(lagged.method, "client/lagged")
      const dropped = lagged.method === "client/lagged" ? lagged.params.dropped : 0
      assert.isAbove(dropped, 0)
      assert.strictEqual(yield* count(CodexMetrics.eventsDropped), dropped)
    })))

  it.effect("of turns say how long they took, by how they ended", () =>
    alone(Effect.gen(function*() {
      const connection = yield* connect()
      yield* runTurn(connection, "one", [Wire.turnCompleted("A", "one")])
      yield* runTurn(connection, "two", [Wire.turnCompleted("A", "two", { status: "failed" })])
      yield* runTurn(connection, "three", [Wire.turnCompleted("A", "three", { status: "interrupted" })])
      const lost = yield* fork(runTurn(connection, "four", []))
      yield* Effect.yieldNow
      yield* TestClock.adjust("2 seconds")
      yield* connection.server.end(new TransportError({ operation: "read", description: "gone" }))
      yield* Fiber.join(lost)
      for (const status of ["completed", "failed", "interrupted", "unknown"]) {
        const { count, sum } = yield* Metric.value(Metric.withAttributes(CodexMetrics.turnDuration, { status }))
        assert.strictEqual(count, 1, status)
        assert.isAtLeast(sum, Duration.toMillis("2 seconds"), status)
      }
    })))

  it.effect("of turns count one that is over before the answer that names it", () =>
    alone(Effect.gen(function*() {
      const { client, server } = yield* connect()
      const opening = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      const request = yield* server.request("turn/start")
      yield* server.push(...Wire.textTurn("A", "T", ["x"]))
      yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
      yield* Fiber.join(opening)
      const ended = Metric.withAttributes(CodexMetrics.turnDuration, { status: "completed" })
      assert.strictEqual((yield* Metric.value(ended)).count, 1)
    })))

  it.effect("of turns and tokens count the turn of a goal that is steered once", () =>
    alone(Effect.gen(function*() {
      const { client, server } = yield* connect({ turnBuffer: { events: 8, bytes: 1_000_000 } })
      const setting = yield* fork(client.openGoal({ threadId: "A", objective: "Go" }, { read: "never" }))
      yield* server.respond(yield* server.request("thread/goal/set"), { goal: Wire.goal("A", "active") })
      const run = yield* Fiber.join(setting)
      yield* server.push(Wire.goalUpdated("A", "active"), Wire.turnStarted("A", "T"))
      yield* server.barrier
      const steering = yield* fork(client.openTurn("turn/start", Wire.startParams("A"), { read: "once" }))
      yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id: "T" }) })
      const { result } = yield* Fiber.join(steering)
      const items = Array.from({ length: 20 }, (_, n) => Wire.itemCompleted("A", "T", Wire.agentMessage(`m${n}`, "x")))
      yield* server.push(
        ...items,
        Wire.tokenUsage("A", "T", 15),
        Wire.turnCompleted("A", "T"),
        Wire.goalUpdated("A", "complete")
      )
      yield* result
      yield* run.result
      const ended = Metric.withAttributes(CodexMetrics.turnDuration, { status: "completed" })
      assert.strictEqual((yield* Metric.value(ended)).count, 1)
      assert.strictEqual(yield* count(CodexMetrics.tokens, { kind: "input" }), 15)
      // Who has steered it has not read what came of it.
      assert.strictEqual(yield* count(CodexMetrics.turnReadersLagged), 1)
    })))

  it.effect("of tokens count what turns use, each once, with the attributes of the caller", () =>
    alone(Effect.gen(function*() {
      const connection = yield* connect()
      const usage = (turnId: string, last: number, total: number): Wire.Notification => {
        const breakdown = (tokens: number) => ({
          totalTokens: tokens * 3,
          inputTokens: tokens * 2,
          cachedInputTokens: tokens,
          cacheWriteInputTokens: 0,
          outputTokens: tokens,
          reasoningOutputTokens: 0
        })
        return {
          method: "thread/tokenUsage/updated",
          params: {
            threadId: "A",
            turnId,
            tokenUsage: { last: breakdown(last), total: breakdown(total), modelContextWindow: null }
          }
        }
      }
      // The thread had used 100 before; the last word is said twice.
      yield* runTurn(connection, "one", [
        usage("one", 5, 105),
        usage("one", 2, 107),
        usage("one", 2, 107),
        Wire.turnCompleted("A", "one")
      ]).pipe(Effect.provideService(Metric.CurrentMetricAttributes, { tenant: "a" }))
      // The next turn begins with the same word, before it has used 1 itself.
      yield* runTurn(connection, "two", [
        usage("two", 2, 107),
        usage("two", 1, 108),
        usage("two", 1, 108),
        Wire.turnCompleted("A", "two", { status: "failed" })
      ]).pipe(Effect.exit, Effect.provideService(Metric.CurrentMetricAttributes, { tenant: "a" }))
      const kinds = ["input", "cached_input", "cache_write_input", "output", "reasoning_output"]
      const counts = yield* Effect.forEach(kinds, (kind) => count(CodexMetrics.tokens, { kind, tenant: "a" }))
      assert.deepStrictEqual(counts, [16, 8, 0, 8, 0])
    })))
})
