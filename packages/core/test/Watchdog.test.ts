import { type AppServerClientOptions, TransportError, TurnStalled } from "@effect-codex/core"
import type { ServerRequestResults } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { collect, fork } from "./support/observe.ts"
import { connect, type ScriptedServer } from "./support/ScriptedServer.ts"
import { command, connectWith } from "./support/serverRequests.ts"
import * as Wire from "./support/wire.ts"

/** A thread as `thread/read` has it. */
const threadWith = (turns: ReadonlyArray<Wire.TurnFields>, status = "idle") => ({
  thread: {
    id: "A",
    sessionId: "A",
    preview: "",
    ephemeral: false,
    modelProvider: "offline",
    createdAt: 1,
    updatedAt: 1,
    projectId: null,
    status: status === "active" ? { type: status, activeFlags: [] } : { type: status },
    cwd: "/",
    cliVersion: "0.169.0",
    source: "cli",
    turns: turns.map((fields) => Wire.turn(fields))
  }
})

type Connection = Effect.Success<ReturnType<typeof connect>>

/** A turn that has started and said something, with the fiber that waits for its result. */
const silentTurn = ({ client, server }: Connection) =>
  Effect.gen(function*() {
    const opening = yield* fork(client.openTurn("turn/start", Wire.startParams("A")))
    const request = yield* server.request("turn/start")
    yield* server.push(
      { id: request.id, result: { turn: Wire.turn({ id: "T" }) } },
      Wire.turnStarted("A", "T"),
      Wire.itemCompleted("A", "T", Wire.agentMessage("m1", "first", "commentary"))
    )
    const turn = yield* Fiber.join(opening)
    yield* server.barrier
    const events = yield* collect(turn.events)
    const result = yield* fork(Effect.exit(turn.result))
    return { turn, events, result }
  })

const silent = (options: AppServerClientOptions = { turnIdleTimeout: "1 minute" }) =>
  Effect.gen(function*() {
    const connection = yield* connect(options)
    return { ...connection, ...yield* silentTurn(connection) }
  })

const errorOf = <E>(exit: Exit.Exit<unknown, E>): E =>
  Option.getOrElse(Exit.findErrorOption(exit), () => assert.fail(`It should have failed: ${String(exit)}`))

const stalled = (exit: Exit.Exit<unknown, unknown>): TurnStalled => {
  const error = errorOf(exit)
  return error instanceof TurnStalled ? error : assert.fail(`It should have stalled: ${String(error)}`)
}

const withTurns = (server: ScriptedServer) =>
  Effect.map(server.request("thread/read"), (request) => {
    assert.deepStrictEqual(request.params, { threadId: "A", includeTurns: true })
    return request
  })

describe("the watchdog of a turn", () => {
  it.effect("settles a turn whose end was not heard as the server's record has it, with all of its items", () =>
    Effect.gen(function*() {
      const { events, result, server } = yield* silent()
      yield* TestClock.adjust("1 minute")
      const items = [Wire.agentMessage("m1", "first", "commentary"), Wire.agentMessage("m2", "second")]
      yield* server.respond(
        yield* withTurns(server),
        threadWith([{ id: "other", status: "failed" }, {
          id: "T",
          status: "completed",
          items,
          itemsView: "full",
          durationMs: 7
        }])
      )
      const exit = yield* Fiber.join(result)
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) {
        assert.deepStrictEqual(exit.value.items.map(({ id }) => id), ["m1", "m2"])
        assert.deepStrictEqual([exit.value.finalResponse, exit.value.durationMs], ["second", 7])
      }
      yield* Fiber.join(events.fiber)
      assert.strictEqual(events.seen.at(-1)?.method, "turn/completed")
    }))

  it.effect("settles a turn that failed unheard with its error and what is known of it", () =>
    Effect.gen(function*() {
      const { result, server } = yield* silent()
      yield* TestClock.adjust("1 minute")
      yield* server.respond(
        yield* withTurns(server),
        threadWith([{ id: "T", status: "failed", error: { message: "broken" }, itemsView: "summary" }])
      )
      const exit = yield* Fiber.join(result)
      const error = errorOf(exit)
      assert.strictEqual(error._tag, "TurnFailed")
      assert.strictEqual(error.message, "Turn T failed: broken")
      if (error._tag === "TurnFailed") assert.deepStrictEqual(error.result.items.map(({ id }) => id), ["m1"])
    }))

  it.effect("asks again after the same time while the turn still runs", () =>
    Effect.gen(function*() {
      const { result, server } = yield* silent()
      for (let round = 0; round < 3; round++) {
        yield* TestClock.adjust("1 minute")
        yield* server.respond(yield* withTurns(server), threadWith([{ id: "T" }], "active"))
        yield* server.barrier
      }
      yield* server.push(Wire.turnCompleted("A", "T"))
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(result)))
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(server.methods().filter((method) => method === "thread/read").length, 3)
    }))

  it.effect("does not ask while events come", () =>
    Effect.gen(function*() {
      const { server } = yield* silent()
      for (let round = 0; round < 20; round++) {
        yield* TestClock.adjust("30 seconds")
        yield* server.push(Wire.delta("A", "T", "m2", "x"))
        yield* server.barrier
      }
      assert.notInclude(server.methods(), "thread/read")
      yield* server.push(Wire.turnCompleted("A", "T"))
      yield* server.barrier
    }))

  it.effect("concludes nothing from an answer that was overtaken by an event", () =>
    Effect.gen(function*() {
      const { result, server } = yield* silent()
      yield* TestClock.adjust("1 minute")
      const read = yield* withTurns(server)
      yield* server.push(Wire.delta("A", "T", "m2", "x"))
      // What the server knew when it answered is older than that.
      yield* server.respond(read, threadWith([]))
      yield* server.barrier
      assert.isUndefined(result.pollUnsafe())
      yield* server.push(Wire.turnCompleted("A", "T"))
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(result)))
    }))

  it.effect("does not ask while somebody is asked to decide something, and does afterwards", () =>
    Effect.gen(function*() {
      const decision = yield* Deferred.make<ServerRequestResults["item/commandExecution/requestApproval"]>()
      const connection = yield* connectWith({
        handlers: { "item/commandExecution/requestApproval": () => Deferred.await(decision) }
      }, { turnIdleTimeout: "1 minute" })
      const { server } = connection
      const { result } = yield* silentTurn(connection)
      yield* server.push({ id: 0, method: "item/commandExecution/requestApproval", params: command("A", "T", "call") })
      yield* server.barrier
      yield* TestClock.adjust("2 hours")
      assert.notInclude(server.methods(), "thread/read")
      yield* Deferred.succeed(decision, { decision: "accept" })
      assert.strictEqual((yield* server.next).id, 0)
      yield* TestClock.adjust("1 minute")
      yield* server.respond(yield* withTurns(server), threadWith([{ id: "T", status: "completed" }]))
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(result)))
    }))

  it.effect("reports a stall of a turn that the server does not know, with what there was by then", () =>
    Effect.gen(function*() {
      const { events, result, server } = yield* silent()
      yield* TestClock.adjust("1 minute")
      yield* server.respond(yield* withTurns(server), threadWith([{ id: "other", status: "completed" }]))
      const error = stalled(yield* Fiber.join(result))
      assert.deepStrictEqual([error.threadId, error.turnId, error.reason], ["A", "T", "unknownTurn"])
      assert.isTrue(Duration.equals(error.idle, Duration.minutes(1)))
      assert.strictEqual(error.message, "Turn T has been silent for 1m, and the server does not know how it ended")
      assert.deepStrictEqual(error.result.items.map(({ id }) => id), ["m1"])
      yield* Fiber.join(events.fiber)
      // There is nothing to interrupt.
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["turn/start", "thread/read"])
    }))

  it.effect("reports a stall when the server does not answer, and has the turn interrupted", () =>
    Effect.gen(function*() {
      const { result, server } = yield* silent({ turnIdleTimeout: "1 minute", requestTimeout: "10 seconds" })
      yield* TestClock.adjust("1 minute")
      yield* withTurns(server)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(stalled(yield* Fiber.join(result)).reason, "noAnswer")
      assert.deepStrictEqual((yield* server.request("turn/interrupt")).params, { threadId: "A", turnId: "T" })
    }))

  it.effect("goes by the thread's status where its turns cannot be read", () =>
    Effect.gen(function*() {
      const { result, server } = yield* silent()
      const refuse = Effect.flatMap(
        withTurns(server),
        (request) => server.refuse(request, -32600, "ephemeral threads do not support includeTurns")
      )
      yield* TestClock.adjust("1 minute")
      yield* refuse
      yield* server.respond(yield* server.request("thread/read"), threadWith([], "active"))
      yield* server.barrier
      yield* TestClock.adjust("1 minute")
      yield* refuse
      yield* server.respond(yield* server.request("thread/read"), threadWith([], "idle"))
      assert.strictEqual(stalled(yield* Fiber.join(result)).reason, "unknownTurn")
    }))

  it.effect("reports a stall of a turn whose thread cannot be read at all", () =>
    Effect.gen(function*() {
      const { result, server } = yield* silent()
      yield* TestClock.adjust("1 minute")
      yield* server.refuse(yield* withTurns(server), -32600, "thread not found: A")
      yield* server.refuse(yield* server.request("thread/read"), -32600, "thread not found: A")
      assert.strictEqual(stalled(yield* Fiber.join(result)).reason, "unknownTurn")
    }))

  it.effect("finds a review by the id that it has, or by the one that it runs as", () =>
    Effect.forEach(["R", "X"], (id) =>
      Effect.gen(function*() {
        const { client, server } = yield* connect({ turnIdleTimeout: "1 minute" })
        const opening = yield* fork(
          client.openTurn("review/start", { threadId: "A", target: { type: "uncommittedChanges" } })
        )
        const request = yield* server.request("review/start")
        yield* server.push(
          { id: request.id, result: { turn: Wire.turn({ id: "R", rootTurnId: null }), reviewThreadId: "A" } },
          Wire.turnStarted("A", "X", "R")
        )
        const turn = yield* Fiber.join(opening)
        const result = yield* fork(turn.result)
        yield* server.barrier
        yield* TestClock.adjust("1 minute")
        yield* server.respond(yield* withTurns(server), threadWith([{ id, status: "completed" }]))
        const { status, turnId } = yield* Fiber.join(result)
        assert.deepStrictEqual([turnId, status], ["R", "completed"])
      })))

  it.effect("leaves the end of the connection to say why", () =>
    Effect.gen(function*() {
      const { result, server } = yield* silent()
      yield* TestClock.adjust("1 minute")
      yield* withTurns(server)
      yield* server.end(new TransportError({ operation: "read", description: "gone" }))
      const exit = yield* Fiber.join(result)
      const error = errorOf(exit)
      assert.strictEqual(error._tag, "TransportError")
    }))

  it.effect("asks once for all who hold the turn, and goes with the last of them", () =>
    Effect.gen(function*() {
      const connection = yield* connect({ turnIdleTimeout: "1 minute" })
      const { client, server } = connection
      const scopes = [yield* Scope.make(), yield* Scope.make()]
      for (const scope of scopes) {
        const opening = yield* fork(Scope.provide(client.openTurn("turn/start", Wire.startParams("A")), scope))
        yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id: "T" }) })
        yield* Fiber.join(opening)
      }
      yield* server.push(Wire.turnStarted("A", "T"))
      yield* server.barrier
      yield* TestClock.adjust("1 minute")
      yield* server.respond(yield* withTurns(server), threadWith([{ id: "T" }], "active"))
      yield* server.barrier
      assert.strictEqual(server.methods().filter((method) => method === "thread/read").length, 1)
      const closing = yield* fork(Effect.forEach(scopes, (scope) => Scope.close(scope, Exit.void)))
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* Fiber.join(closing)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(server.methods().filter((method) => method === "thread/read").length, 1)
    }))

  it.effect("can be turned off", () =>
    Effect.gen(function*() {
      const { server } = yield* silent({ turnIdleTimeout: Duration.infinity })
      yield* TestClock.adjust("365 days")
      assert.notInclude(server.methods(), "thread/read")
      yield* server.push(Wire.turnCompleted("A", "T"))
      yield* server.barrier
    }))
})
