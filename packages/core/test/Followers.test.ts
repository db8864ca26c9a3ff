import { AppServerExited, type ChildEvent, type TurnEvent } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { collect, fork, until } from "./support/observe.ts"
import { connect, connectToDaemon, type ScriptedServer } from "./support/ScriptedServer.ts"
import { threadResponse } from "./support/threads.ts"
import * as Wire from "./support/wire.ts"

const collab = (id: string, receiverThreadIds: ReadonlyArray<string>) => ({
  type: "collabAgentToolCall",
  id,
  tool: "spawnAgent",
  status: "completed",
  senderThreadId: "A",
  receiverThreadIds,
  agentsStates: {}
})

const { goal, goalUpdated } = Wire

const goalCleared = (threadId: string): Wire.Notification => ({ method: "thread/goal/cleared", params: { threadId } })

/** Answers the next request for a turn. */
const answerStart = (server: ScriptedServer, turnId: string) =>
  Effect.flatMap(
    server.request("turn/start"),
    (request) => server.respond(request, { turn: Wire.turn({ id: turnId }) })
  )

/** Runs the effect, up to the end of its scope, and gives what was logged. */
const logsOf = <E>(effect: (logged: ReadonlyArray<string>) => Effect.Effect<void, E, Scope.Scope>) =>
  Effect.suspend(() => {
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => {
      logged.push(String(message))
    })
    return effect(logged).pipe(Effect.scoped, Effect.provide(Logger.layer([logger])), Effect.as(logged))
  })

const lineage = (events: ReadonlyArray<TurnEvent | ChildEvent>) =>
  events.map((event) =>
    event.method === "client/childEvent"
      ? [event.params.childThreadId, event.params.parentThreadId, event.params.parentItemId, event.params.event.method]
      : event.method
  )

describe("the family of a turn", () => {
  const open = Effect.gen(function*() {
    const { client, server } = yield* connect()
    const opening = yield* fork(
      client.openTurn("turn/start", Wire.startParams("A"), { includeChildren: true })
    )
    yield* answerStart(server, "T")
    const turn = yield* Fiber.join(opening)
    yield* server.push(Wire.turnStarted("A", "T"))
    return { client, server, turn }
  })

  it.effect("has its children and theirs, each with whose it is, and no strangers", () =>
    Effect.gen(function*() {
      const { server, turn } = yield* open
      yield* server.push(
        Wire.turnStarted("stranger", "S"),
        Wire.itemCompleted("A", "T", collab("spawn", ["child"])),
        Wire.threadStatus("child", "active"),
        Wire.itemCompleted("child", "C", collab("deeper", ["grandchild"])),
        Wire.delta("grandchild", "G", "m", "Hi"),
        Wire.delta("stranger", "S", "m", "Ho"),
        Wire.turnCompleted("A", "T"),
        Wire.delta("child", "C", "m", "Too late")
      )
      yield* server.barrier
      assert.deepStrictEqual(lineage(yield* Stream.runCollect(turn.family)), [
        "turn/started",
        "item/completed",
        ["child", "A", "spawn", "thread/status/changed"],
        ["child", "A", "spawn", "item/completed"],
        ["grandchild", "child", "deeper", "item/agentMessage/delta"],
        "turn/completed"
      ])
      assert.deepStrictEqual(
        (yield* Stream.runCollect(turn.events)).map(({ method }) => method),
        ["turn/started", "item/completed", "turn/completed"]
      )
    }))

  it.effect("has a child whose first word comes before the item that names it", () =>
    Effect.gen(function*() {
      const { server, turn } = yield* open
      yield* server.push(
        Wire.turnStarted("child", "C", "T"),
        Wire.itemCompleted("A", "T", collab("spawn", ["child"])),
        Wire.delta("child", "C", "m", "Hi"),
        Wire.turnCompleted("A", "T")
      )
      yield* server.barrier
      assert.deepStrictEqual(lineage(yield* Stream.runCollect(turn.family)), [
        "turn/started",
        ["child", "A", null, "turn/started"],
        "item/completed",
        ["child", "A", "spawn", "item/agentMessage/delta"],
        "turn/completed"
      ])
    }))

  it.effect("is whole where some of it comes before the answer names the turn, or all of it", () =>
    Effect.forEach([
      { isLate: false, early: 2 },
      { isLate: true, early: 3 }
    ], ({ early, isLate }) =>
      Effect.gen(function*() {
        const { client, server } = yield* connect()
        const opening = yield* fork(
          client.openTurn("turn/start", Wire.startParams("A"), { includeChildren: true })
        )
        const request = yield* server.request("turn/start")
        const own = [
          Wire.turnStarted("A", "T"),
          Wire.itemCompleted("A", "T", collab("spawn", ["child"])),
          Wire.turnCompleted("A", "T")
        ]
        yield* server.push(...own.slice(0, early))
        yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
        yield* server.push(Wire.threadStatus("child", "active"), ...own.slice(early))
        const turn = yield* Fiber.join(opening)
        assert.deepStrictEqual(lineage(yield* Stream.runCollect(turn.family)), [
          "turn/started",
          "item/completed",
          ...(isLate ? [] : [["child", "A", "spawn", "thread/status/changed"]]),
          "turn/completed"
        ])
      })))

  it.effect("is not followed any more once its scope is closed", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const scope = yield* Scope.make()
      const opening = yield* fork(
        client.openTurn("turn/start", Wire.startParams("A"), { includeChildren: true }).pipe(Scope.provide(scope))
      )
      yield* answerStart(server, "T")
      const turn = yield* Fiber.join(opening)
      yield* server.push(Wire.turnStarted("A", "T"))
      const closing = yield* fork(Scope.close(scope, Exit.void))
      const request = yield* server.request("turn/interrupt")
      yield* server.respond(request, {})
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* Fiber.join(closing)
      yield* server.push(Wire.delta("A", "T", "m", "Hi"))
      yield* server.barrier
      assert.strictEqual((yield* Stream.runCollect(turn.family)).at(-1)?.method, "turn/completed")
    }))
})

describe("a goal", () => {
  /** Answers that the goal is active, on a thread of this status. */
  const lookedUp = Effect.fnUntraced(function*(server: ScriptedServer, status: { readonly type: string }) {
    const { thread } = threadResponse("A")
    yield* server.respond(yield* server.request("thread/goal/get"), { goal: goal("A", "active") })
    yield* server.respond(yield* server.request("thread/read"), { thread: { ...thread, status } })
  })

  const opening = Effect.gen(function*() {
    const { client, server } = yield* connect()
    const fiber = yield* fork(client.openGoal({ threadId: "A", objective: "Go" }))
    const request = yield* server.request("thread/goal/set")
    assert.deepStrictEqual(request.params, { threadId: "A", objective: "Go", status: "active" })
    return { client, server, fiber, answer: server.respond(request, { goal: goal("A", "active") }) }
  })

  /** A goal that the server has taken. */
  const begun = Effect.gen(function*() {
    const { answer, client, fiber, server } = yield* opening
    yield* answer
    return { client, run: yield* Fiber.join(fiber), server }
  })

  /** A goal of a scope, with its turn running. */
  const atWork = Effect.gen(function*() {
    const { client, server } = yield* connect()
    const scope = yield* Scope.make()
    const fiber = yield* fork(client.openGoal({ threadId: "A", objective: "Go" }).pipe(Scope.provide(scope)))
    yield* server.respond(yield* server.request("thread/goal/set"), { goal: goal("A", "active") })
    const run = yield* Fiber.join(fiber)
    yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T"))
    return { client, run, scope, server }
  })

  it.effect("is told of before or after the answer, behind late word of the one before it", () =>
    Effect.gen(function*() {
      for (const toldFirst of [true, false]) {
        const { answer, fiber, server } = yield* opening
        const late = [goalUpdated("A", "paused"), goalUpdated("A", "active", "Another"), goalCleared("A")]
        if (toldFirst) {
          yield* server.push(...late, goalUpdated("A", "active"))
          yield* answer
        } else {
          yield* answer
          yield* server.push(...late, goalUpdated("A", "active"))
        }
        const run = yield* Fiber.join(fiber)
        yield* server.push(...Wire.textTurn("A", "T1", ["One"]))
        yield* server.push(...Wire.textTurn("A", "T2", ["Two"]), goalUpdated("A", "complete"))
        const end = yield* run.result
        assert.deepStrictEqual(
          [end.outcome, end.turns.map(({ finalResponse }) => finalResponse)],
          ["complete", ["One", "Two"]]
        )
        const events = yield* Stream.runCollect(run.events)
        assert.deepStrictEqual(
          [events[0]?.method, events.at(-1)?.method],
          ["thread/goal/updated", "thread/goal/updated"]
        )
      }
    }))

  it.effect("may be over by the time that it is answered, or somebody else's to go on with", () =>
    Effect.gen(function*() {
      for (const status of ["complete", "paused"]) {
        const { answer, fiber, server } = yield* opening
        yield* server.push(goalCleared("A"), goalUpdated("A", "active"), ...Wire.textTurn("A", "T", ["One"]))
        yield* server.push(goalUpdated("A", status))
        yield* answer
        const run = yield* Fiber.join(fiber)
        const { outcome, turns } = yield* run.result
        assert.deepStrictEqual([outcome, turns.map(({ finalResponse }) => finalResponse)], [status, ["One"]])
      }
    }))

  it.effect("that one of its turns ends has what all of them had come to, and took as long as all of them", () =>
    Effect.gen(function*() {
      const failed = { message: "No luck", codexErrorInfo: null, additionalDetails: null }
      for (const [status, error, tag] of [["failed", failed, "TurnFailed"], ["interrupted", null, "TurnInterrupted"]]) {
        const { run, server } = yield* begun
        yield* server.push(
          goalUpdated("A", "active"),
          ...Wire.textTurn("A", "T1", ["One"]),
          Wire.turnStarted("A", "T2")
        )
        yield* server.push({
          method: "turn/completed",
          params: {
            threadId: "A",
            turn: { ...Wire.turn({ id: "T2", startedAt: 1_795_243_300, durationMs: 9 }), status, error }
          }
        })
        const ended = yield* Effect.flip(run.result)
        if (ended._tag !== "TurnFailed" && ended._tag !== "TurnInterrupted") return assert.fail(ended._tag)
        const { durationMs, items, startedAt } = ended.result
        assert.deepStrictEqual([ended._tag, ended.turnId, items.length], [tag, "T2", 1])
        assert.deepStrictEqual([startedAt?.epochMilliseconds, durationMs], [1_795_243_254_000, 150])
        yield* server.push(goalUpdated("A", "paused"))
        yield* server.barrier
      }
    }))

  it.effect("that is reached ends with its turn", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T"), goalUpdated("A", "complete"))
      yield* server.barrier
      const result = yield* fork(run.result)
      yield* server.barrier
      assert.isUndefined(result.pollUnsafe())
      yield* server.push(Wire.turnCompleted("A", "T"))
      assert.strictEqual((yield* Fiber.join(result)).turns.length, 1)
    }))

  it.effect("that was taken away is not another one that is set while its turn runs", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      const heard = yield* collect(run.events)
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T"))
      yield* server.push(
        goalCleared("A"),
        goalUpdated("A", "active", "Another"),
        goalUpdated("A", "complete", "Another")
      )
      yield* server.push(Wire.turnCompleted("A", "T"))
      const { goal: left, outcome, turns } = yield* run.result
      assert.deepStrictEqual([outcome, left, turns.length], ["cleared", null, 1])
      yield* Fiber.join(heard.fiber)
      assert.deepStrictEqual(
        heard.seen.map(({ method }) => method),
        ["thread/goal/updated", "turn/started", "thread/goal/cleared", "turn/completed"]
      )
    }))

  it.effect("that was taken away leaves the one in its place alone when its scope closes", () =>
    Effect.gen(function*() {
      const { run, scope, server } = yield* atWork
      yield* server.push(goalCleared("A"), goalUpdated("A", "active", "Another"))
      yield* server.barrier
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Effect.flip(run.result))._tag, "TurnInterrupted")
    }))

  it.effect("takes no turns of other threads, of this client or of a chain that began elsewhere", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      const unowned = yield* collect(client.unownedNotifications)
      yield* server.push(goalUpdated("A", "active"))
      const mine = yield* fork(
        Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)
      )
      yield* answerStart(server, "mine")
      yield* server.push(
        ...Wire.textTurn("A", "mine", ["Mine"]),
        ...Wire.textTurn("B", "theirs", ["Theirs"]),
        Wire.turnStarted("A", "delegated", "elsewhere"),
        Wire.turnCompleted("A", "delegated"),
        Wire.turnStarted("A", "its own"),
        Wire.turnStarted("A", "beside"),
        Wire.turnCompleted("A", "beside"),
        Wire.turnCompleted("A", "its own"),
        goalUpdated("A", "blocked")
      )
      assert.strictEqual((yield* Fiber.join(mine)).finalResponse, "Mine")
      assert.deepStrictEqual((yield* run.result).turns.map(({ turnId }) => turnId), ["its own"])
      yield* server.barrier
      assert.deepStrictEqual(
        unowned.seen.map(({ turnId }) => turnId),
        [...Wire.textTurn("B", "theirs", ["Theirs"]).map(() => "theirs"), "delegated", "delegated", "beside", "beside"]
      )
    }))

  it.effect("has its turn, and nobody else has, also while a turn of this client is being started", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      const unowned = yield* collect(client.unownedNotifications)
      const mine = yield* fork(
        Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)
      )
      const request = yield* server.request("turn/start")
      yield* server.push(
        goalUpdated("A", "active"),
        ...Wire.textTurn("A", "T", ["Its own"])
      )
      yield* server.respond(request, { turn: Wire.turn({ id: "mine" }) })
      yield* server.push(...Wire.textTurn("A", "mine", ["Mine"]), goalUpdated("A", "blocked"))
      assert.strictEqual((yield* Fiber.join(mine)).finalResponse, "Mine")
      assert.deepStrictEqual((yield* run.result).turns.map(({ finalResponse }) => finalResponse), ["Its own"])
      yield* server.push(Wire.threadStatus("A", "idle"))
      const seen = yield* unowned.atLeast(1)
      assert.deepStrictEqual(seen.map(({ method, turnId }) => [method, turnId]), [["thread/status/changed", undefined]])
    }))

  it.effect("that is paused while it is not known yet whose a turn is ends with that turn, or behind it", () =>
    Effect.gen(function*() {
      for (const isMine of [true, false]) {
        const { client, run, server } = yield* begun
        yield* server.push(goalUpdated("A", "active"))
        const mine = yield* fork(
          Effect.exit(Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result))
        )
        const request = yield* server.request("turn/start")
        yield* server.push(
          Wire.turnStarted("A", "T"),
          { method: "thread/goal/updated", params: { threadId: "A", turnId: "T", goal: goal("A", "active") } },
          goalUpdated("A", "paused")
        )
        const result = yield* fork(run.result)
        yield* server.barrier
        assert.isUndefined(result.pollUnsafe())
        yield* isMine
          ? server.respond(request, { turn: Wire.turn({ id: "T" }) })
          : server.refuse(request, -32_603, "not now")
        yield* server.push(Wire.turnCompleted("A", "T"))
        yield* Fiber.join(mine)
        const { goal: left, outcome, turns } = yield* Fiber.join(result)
        assert.deepStrictEqual(
          [outcome, left?.status, turns.map(({ turnId }) => turnId)],
          ["paused", "paused", isMine ? [] : ["T"]]
        )
      }
    }))

  it.effect("has its own word that comes in a turn of somebody else's, and nothing else of that", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      const unowned = yield* collect(client.unownedNotifications)
      const compaction = yield* fork(
        Effect.flatMap(client.openTurn("thread/compact/start", { threadId: "A" }), (turn) => turn.result)
      )
      yield* server.respond(yield* server.request("thread/compact/start"), {})
      yield* server.push(
        goalUpdated("A", "active"),
        // It had begun before.
        Wire.itemCompleted("A", "theirs", Wire.agentMessage("m", "Theirs")),
        { method: "thread/goal/updated", params: { threadId: "A", turnId: "theirs", goal: goal("A", "active") } },
        Wire.turnCompleted("A", "theirs", { status: "interrupted" }),
        Wire.turnStarted("A", "mine"),
        Wire.itemStarted("A", "mine", { type: "contextCompaction", id: "c" }),
        Wire.turnCompleted("A", "mine"),
        goalUpdated("A", "complete")
      )
      yield* Fiber.join(compaction)
      assert.strictEqual((yield* run.result).turns.length, 0)
      assert.strictEqual((yield* Stream.runCollect(run.events)).length, 3)
      assert.deepStrictEqual(
        (yield* unowned.atLeast(2)).map(({ method, turnId }) => [method, turnId]),
        [["item/completed", "theirs"], ["turn/completed", "theirs"]]
      )
    }))

  it.effect("goes on behind another turn of this client that its own gives way to", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T1"))
      yield* server.barrier
      const compaction = yield* fork(
        Effect.flatMap(client.openTurn("thread/compact/start", { threadId: "A" }), (turn) => turn.result)
      )
      yield* server.respond(yield* server.request("thread/compact/start"), {})
      yield* server.push(
        Wire.turnCompleted("A", "T1", { status: "interrupted" }),
        Wire.turnStarted("A", "mine"),
        Wire.itemStarted("A", "mine", { type: "contextCompaction", id: "c" }),
        { method: "thread/goal/updated", params: { threadId: "A", turnId: "mine", goal: goal("A", "active") } },
        Wire.turnCompleted("A", "mine"),
        ...Wire.textTurn("A", "T2", ["Two"]),
        goalUpdated("A", "complete")
      )
      assert.strictEqual((yield* Fiber.join(compaction)).turnId, "mine")
      const { outcome, turns } = yield* run.result
      assert.deepStrictEqual(
        [outcome, ...turns.map(({ status, turnId }) => [turnId, status])],
        ["complete", ["T1", "interrupted"], ["T2", "completed"]]
      )
      const seen = yield* Stream.runCollect(run.events)
      assert.deepStrictEqual(
        seen.filter(({ method }) => method.startsWith("turn/")).map(({ method, turnId }) => [method, turnId]),
        [["turn/started", "T1"], ["turn/completed", "T1"], ["turn/started", "T2"], ["turn/completed", "T2"]]
      )
    }))

  it.effect("knows by the answer to a start whose turn it was that began before", () =>
    Effect.gen(function*() {
      for (const isMine of [true, false]) {
        const { client, run, server } = yield* begun
        yield* server.push(goalUpdated("A", "active"))
        const mine = yield* fork(
          Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)
        )
        const request = yield* server.request("turn/start")
        yield* server.push(
          Wire.turnStarted("A", "T"),
          Wire.tokenUsage("A", "T", 7),
          { method: "thread/goal/updated", params: { threadId: "A", turnId: "T", goal: goal("A", "complete") } }
        )
        yield* server.respond(request, { turn: Wire.turn({ id: isMine ? "T" : "mine" }) })
        yield* server.push(Wire.turnCompleted("A", "T"), ...isMine ? [] : Wire.textTurn("A", "mine", ["Mine"]))
        yield* Fiber.join(mine)
        const { outcome, turns } = yield* run.result
        assert.deepStrictEqual(
          [outcome, ...turns.map(({ turnId, usage }) => [turnId, usage?.total.totalTokens])],
          isMine ? ["complete"] : ["complete", ["T", 7]]
        )
        const seen = yield* Stream.runCollect(run.events)
        assert.deepStrictEqual(
          seen.map(({ method }) => method),
          isMine
            ? ["thread/goal/updated", "thread/goal/updated"]
            : [
              "thread/goal/updated",
              "turn/started",
              "thread/tokenUsage/updated",
              "thread/goal/updated",
              "turn/completed"
            ]
        )
      }
    }))

  it.effect("leaves what begins on other threads to nobody, also while turns of this client are being started there", () =>
    Effect.gen(function*() {
      const { client, server } = yield* begun
      const unowned = yield* collect(client.unownedNotifications)
      const mine = yield* fork(
        Effect.flatMap(client.openTurn("turn/start", Wire.startParams("B")), (turn) => turn.result)
      )
      const request = yield* server.request("turn/start")
      const theirs = Wire.textTurn("B", "theirs", ["Theirs"])
      yield* server.push(goalUpdated("A", "active"), ...theirs)
      yield* server.respond(request, { turn: Wire.turn({ id: "mine" }) })
      yield* server.push(...Wire.textTurn("B", "mine", ["Mine"]), goalUpdated("A", "complete"))
      yield* Fiber.join(mine)
      yield* server.barrier
      assert.deepStrictEqual(unowned.seen.map(({ method }) => method), theirs.map(({ method }) => method))
    }))

  it.effect("that ended while it was active is paused when its scope closes, and what the server does for it is interrupted", () =>
    Effect.gen(function*() {
      for (const isRunning of [true, false]) {
        const { run, scope, server } = yield* atWork
        yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
        assert.strictEqual((yield* Effect.flip(run.result))._tag, "TurnInterrupted")
        const seen = yield* Stream.runCollect(run.events)
        // The server goes on behind a turn of somebody else's, which is not its own.
        yield* server.push(Wire.turnStarted("A", "theirs"))
        if (isRunning) yield* server.push(Wire.turnCompleted("A", "theirs"), Wire.turnStarted("A", "next"))
        yield* server.barrier
        const closing = yield* fork(Scope.close(scope, Exit.void))
        const pause = yield* server.request("thread/goal/set")
        assert.deepStrictEqual(pause.params, { threadId: "A", status: "paused" })
        yield* server.push(goalUpdated("A", "paused"))
        yield* server.respond(pause, { goal: goal("A", "paused") })
        if (isRunning) {
          const interrupt = yield* server.request("turn/interrupt")
          assert.deepStrictEqual(interrupt.params, { threadId: "A", turnId: "next" })
          yield* server.respond(interrupt, {})
          yield* server.push(Wire.turnCompleted("A", "next", { status: "interrupted" }))
        }
        yield* Fiber.join(closing)
        assert.deepStrictEqual(yield* Stream.runCollect(run.events), seen)
      }
    }))

  it.effect("that was taken up again is no longer paused by who has held it before", () =>
    Effect.gen(function*() {
      const { client, scope, server } = yield* atWork
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* server.barrier
      const again = yield* fork(client.openGoal({ threadId: "A" }))
      yield* server.respond(yield* server.request("thread/goal/set"), { goal: goal("A", "active") })
      const { result } = yield* Fiber.join(again)
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T2"))
      yield* Scope.close(scope, Exit.void)
      yield* server.push(Wire.turnCompleted("A", "T2"), goalUpdated("A", "complete"))
      const { outcome, turns } = yield* result
      assert.deepStrictEqual([outcome, turns.map(({ turnId }) => turnId)], ["complete", ["T2"]])
      assert.deepStrictEqual(server.methods(), ["thread/goal/set", "thread/goal/set"])
    }))

  it.effect("ends with its thread, however that ends", () =>
    Effect.gen(function*() {
      for (const method of ["thread/closed", "thread/archived", "thread/deleted"]) {
        const { run, server } = yield* begun
        yield* server.push(goalUpdated("A", "active"), { method, params: { threadId: "B" } })
        yield* server.barrier
        const result = yield* fork(run.result)
        assert.isUndefined(result.pollUnsafe())
        yield* server.push({ method, params: { threadId: "A" } })
        assert.strictEqual((yield* Fiber.join(result)).outcome, "stopped")
      }
    }))

  it.effect("stops with a turn of somebody else's that is interrupted, and with none that ends otherwise", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"), Wire.turnCompleted("A", "first"))
      yield* server.barrier
      const result = yield* fork(run.result)
      assert.isUndefined(result.pollUnsafe())
      yield* server.push(Wire.turnCompleted("A", "second", { status: "interrupted" }))
      assert.strictEqual((yield* Fiber.join(result)).outcome, "stopped")
      yield* server.push(goalUpdated("A", "paused"))
      yield* server.barrier
    }))

  it.effect("keeps its turn when a handle that has steered it is let go of", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T"))
      yield* server.barrier
      const steered = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      yield* answerStart(server, "T")
      yield* Fiber.join(steered)
      yield* server.push(...Wire.textTurn("A", "T", ["Done"]).slice(1), goalUpdated("A", "complete"))
      const { outcome, turns } = yield* run.result
      assert.deepStrictEqual([outcome, turns.map(({ turnId }) => turnId)], ["complete", ["T"]])
      assert.deepStrictEqual(server.methods(), ["thread/goal/set", "turn/start"])
    }))

  it.effect("stops with a turn of this client that has been interrupted by the time it is known for that", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"))
      const over = [Wire.turnStarted("A", "mine"), Wire.turnCompleted("A", "mine", { status: "interrupted" })]
      const mine = yield* fork(
        Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => Effect.flip(turn.result))
      )
      const request = yield* server.request("turn/start")
      yield* server.push(...over)
      yield* server.respond(request, { turn: Wire.turn({ id: "mine" }) })
      assert.strictEqual((yield* Fiber.join(mine))._tag, "TurnInterrupted")
      assert.strictEqual((yield* run.result).outcome, "stopped")
      yield* server.push(goalUpdated("A", "paused"))
      yield* server.barrier
    }))

  it.effect("stops where nothing comes of the turn of this client that its own seemed to give way to", () =>
    Effect.gen(function*() {
      for (const isRefused of [true, false]) {
        const { client, run, server } = yield* begun
        yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T"))
        yield* server.barrier
        const mine = yield* fork(
          Effect.exit(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
        )
        const request = yield* server.request("turn/start")
        yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
        yield* isRefused
          ? server.refuse(request, -32_603, "not now")
          : server.respond(request, { turn: Wire.turn({ id: "T" }) })
        yield* Fiber.join(mine)
        const { outcome, turns } = yield* run.result
        assert.deepStrictEqual([outcome, turns.map(({ turnId }) => turnId)], ["stopped", ["T"]])
        yield* server.push(goalUpdated("A", "paused"))
        yield* server.barrier
      }
    }))

  it.effect("stops with a turn of this client that is interrupted by the end of its scope", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"))
      const scope = yield* Scope.make()
      const opening = yield* fork(Scope.provide(client.openTurn("turn/start", Wire.startParams("A")), scope))
      yield* answerStart(server, "mine")
      yield* server.push(Wire.turnStarted("A", "mine"))
      yield* Fiber.join(opening)
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.push(Wire.turnCompleted("A", "mine", { status: "interrupted" }))
      yield* Fiber.join(closing)
      assert.strictEqual((yield* run.result).outcome, "stopped")
      yield* server.push(goalUpdated("A", "paused"))
      yield* server.barrier
    }))

  it.effect("is not looked up while something is heard of it or of its turn", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      const events = yield* collect(run.events)
      const told = [
        goalUpdated("A", "active"),
        Wire.turnStarted("A", "T"),
        Wire.delta("A", "T", "m", "Hi"),
        Wire.turnCompleted("A", "T"),
        goalUpdated("A", "active"),
        goalUpdated("A", "complete")
      ]
      for (const [index, notification] of told.entries()) {
        yield* server.push(notification)
        yield* events.atLeast(index + 1)
        // Between two turns less is to be expected.
        yield* TestClock.adjust(notification.method === "turn/completed" ? "4 seconds" : "4 minutes")
      }
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["thread/goal/set"])
    }))

  it.effect("is paused and its turn interrupted when its scope closes", () =>
    Effect.gen(function*() {
      const { run, scope, server } = yield* atWork
      yield* server.barrier
      const closing = yield* fork(Scope.close(scope, Exit.void))
      const pause = yield* server.request("thread/goal/set")
      assert.deepStrictEqual(pause.params, { threadId: "A", status: "paused" })
      yield* server.respond(pause, { goal: goal("A", "paused") })
      const interrupt = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(interrupt.params, { threadId: "A", turnId: "T" })
      yield* server.respond(interrupt, {})
      yield* server.push(goalUpdated("A", "paused"), Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* Fiber.join(closing)
      const exit = yield* Effect.exit(run.result)
      assert.isTrue(Exit.isFailure(exit))
    }))

  it.effect("that was not answered in time, or not readably, is paused and its turn interrupted", () =>
    Effect.gen(function*() {
      for (const what of ["RequestTimeout", "DecodeError"]) {
        const { client, server } = yield* connect()
        const fiber = yield* fork(Effect.flip(Effect.scoped(client.openGoal({ threadId: "A", objective: "Go" }))))
        const request = yield* server.request("thread/goal/set")
        yield* server.push(Wire.turnStarted("A", "T"))
        if (what === "DecodeError") yield* server.respond(request, { goal: 1 })
        else yield* TestClock.adjust("1 minute")
        const pause = yield* server.request("thread/goal/set")
        assert.deepStrictEqual(pause.params, { threadId: "A", status: "paused" })
        yield* server.respond(pause, { goal: goal("A", "paused") })
        const interrupt = yield* server.request("turn/interrupt")
        assert.deepStrictEqual(interrupt.params, { threadId: "A", turnId: "T" })
        yield* server.respond(interrupt, {})
        yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
        assert.strictEqual((yield* Fiber.join(fiber))._tag, what)
      }
    }))

  it.effect("that is paused has the turn interrupted that the server tells of only then", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"))
      const pausing = yield* fork(run.interrupt)
      yield* server.respond(yield* server.request("thread/goal/set"), { goal: goal("A", "paused") })
      yield* server.push(goalUpdated("A", "paused"))
      const { thread } = threadResponse("A")
      yield* server.respond(yield* server.request("thread/read"), {
        thread: { ...thread, status: { type: "active", activeFlags: [] } }
      })
      yield* server.push(Wire.turnStarted("A", "T"))
      const interrupt = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(interrupt.params, { threadId: "A", turnId: "T" })
      yield* server.respond(interrupt, {})
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      yield* Fiber.join(pausing)
    }))

  it.effect("that is paused beside a turn of this client does not wait for one of its own", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      const mine = yield* fork(
        Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)
      )
      yield* answerStart(server, "mine")
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "mine"))
      const pausing = yield* fork(run.interrupt)
      yield* server.respond(yield* server.request("thread/goal/set"), { goal: goal("A", "paused") })
      yield* server.push(goalUpdated("A", "paused"))
      const { thread } = threadResponse("A")
      yield* server.respond(yield* server.request("thread/read"), {
        thread: { ...thread, status: { type: "active", activeFlags: [] } }
      })
      yield* Fiber.join(pausing)
      assert.strictEqual((yield* run.result).outcome, "paused")
      yield* server.push(Wire.turnCompleted("A", "mine"))
      yield* Fiber.join(mine)
    }))

  it.effect("that was cleared while it is being paused needs no pause; any other refusal is told, unless its thread is gone", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"))
      const refused = yield* fork(Effect.flip(run.interrupt))
      yield* server.refuse(yield* server.request("thread/goal/set"), -32_600, "not now")
      assert.strictEqual((yield* Fiber.join(refused))._tag, "InvalidRequest")
      const pausing = yield* fork(run.interrupt)
      const pause = yield* server.request("thread/goal/set")
      yield* server.push(goalCleared("A"))
      yield* server.refuse(pause, -32_600, "no goal exists")
      yield* server.respond(yield* server.request("thread/read"), threadResponse("A"))
      yield* Fiber.join(pausing)
      assert.strictEqual((yield* run.result).outcome, "cleared")
      const { run: other, server: another } = yield* begun
      yield* another.push(goalUpdated("A", "active"))
      const late = yield* fork(other.interrupt)
      const refusal = yield* another.request("thread/goal/set")
      yield* another.push({ method: "thread/deleted", params: { threadId: "A" } })
      yield* another.refuse(refusal, -32_600, "thread not found")
      yield* Fiber.join(late)
      assert.strictEqual((yield* other.result).outcome, "stopped")
      yield* another.push(goalCleared("A"))
      yield* another.barrier
    }))

  it.effect("that was cleared while it is being paused has its turn interrupted all the same", () =>
    Effect.gen(function*() {
      const logged = yield* logsOf(() =>
        Effect.gen(function*() {
          const { run, scope, server } = yield* atWork
          yield* server.barrier
          const closing = yield* fork(Scope.close(scope, Exit.void))
          const pause = yield* server.request("thread/goal/set")
          yield* server.push(goalCleared("A"))
          yield* server.refuse(pause, -32_600, "no goal exists")
          yield* server.respond(yield* server.request("turn/interrupt"), {})
          yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
          yield* Fiber.join(closing)
          assert.strictEqual((yield* Effect.flip(run.result))._tag, "TurnInterrupted")
        })
      )
      assert.deepStrictEqual(logged, [])
    }))

  it.effect("whose pause is refused, or not answered, does not keep its scope, nor whoever waits for its end", () =>
    Effect.gen(function*() {
      const closed = (isAnswered: boolean) =>
        logsOf(() =>
          Effect.gen(function*() {
            const { run, scope, server } = yield* atWork
            const result = yield* fork(Effect.flip(run.result))
            yield* server.barrier
            const closing = yield* fork(Scope.close(scope, Exit.void))
            const pause = yield* server.request("thread/goal/set")
            if (isAnswered) yield* server.refuse(pause, -32_603, "broken")
            else yield* TestClock.adjust("10 seconds")
            yield* Fiber.join(closing)
            assert.strictEqual((yield* Fiber.join(result))._tag, "TransportError")
          })
        )
      const [warning, ...others] = yield* closed(true)
      assert.match(warning ?? "", /^Could not pause the goal of thread A: .*broken/)
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(yield* closed(false), [])
    }))

  it.effect("can be given up while it is not answered", () =>
    Effect.gen(function*() {
      const { fiber, server } = yield* opening
      const leaving = yield* fork(Fiber.interrupt(fiber))
      yield* server.barrier
      yield* TestClock.adjust("10 seconds")
      // The server may have it all the same.
      const pause = yield* server.request("thread/goal/set")
      assert.deepStrictEqual(pause.params, { threadId: "A", status: "paused" })
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(leaving)
    }))

  it.effect("that was not asked for yet is withdrawn at once", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ maxInFlight: 1 })
      const other = yield* fork(client.request("thread/loaded/list", {}))
      const first = yield* server.request("thread/loaded/list")
      const setting = yield* fork(Effect.scoped(client.openGoal({ threadId: "A", objective: "Go" })))
      // The clock stands still.
      yield* Fiber.interrupt(setting)
      yield* server.respond(first, { data: [] })
      yield* Fiber.join(other)
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["thread/loaded/list"])
    }))

  it.effect("that was given up and is not there needs no pause; another refusal is told in the log", () =>
    Effect.gen(function*() {
      const givenUp = (code: number) =>
        logsOf(() =>
          Effect.gen(function*() {
            const { fiber, server } = yield* opening
            const leaving = yield* fork(Fiber.interrupt(fiber))
            yield* server.barrier
            yield* TestClock.adjust("10 seconds")
            yield* server.refuse(yield* server.request("thread/goal/set"), code, "refused")
            yield* Fiber.join(leaving)
          })
        )
      assert.deepStrictEqual(yield* givenUp(-32_600), [])
      const [warning, ...others] = yield* givenUp(-32_603)
      assert.match(warning ?? "", /^Could not pause the goal of thread A: .*refused/)
      assert.deepStrictEqual(others, [])
    }))

  it.effect("that was refused, or whose scope is closed, does not keep its thread from being left", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const refused = yield* fork(Effect.flip(Effect.scoped(client.openGoal({ threadId: "A", objective: "Go" }))))
      yield* server.refuse(yield* server.request("thread/goal/set"), -32_600, "thread not found")
      yield* Fiber.join(refused)
      const leaving = yield* fork(client.leaveThread("A"))
      yield* server.respond(yield* server.request("thread/unsubscribe"), { status: "notLoaded" })
      yield* Fiber.join(leaving)

      const scope = yield* Scope.make()
      const held = yield* fork(client.openGoal({ threadId: "B", objective: "Go" }).pipe(Scope.provide(scope)))
      yield* server.respond(yield* server.request("thread/goal/set"), { goal: goal("B", "active") })
      yield* Fiber.join(held)
      yield* client.leaveThread("B")
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* server.refuse(yield* server.request("thread/goal/set"), -32_603, "broken")
      yield* Fiber.join(closing)
      assert.deepStrictEqual((yield* server.request("thread/unsubscribe")).params, { threadId: "B" })
    }))

  it.effect("that is let go of while it is being answered is paused", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const fiber = yield* fork(Effect.scoped(client.openGoal({ threadId: "A", objective: "Go" })))
      const request = yield* server.request("thread/goal/set")
      const leaving = yield* fork(Fiber.interrupt(fiber))
      yield* server.respond(request, { goal: goal("A", "active") })
      yield* server.push(goalUpdated("A", "active"))
      yield* server.respond(yield* server.request("thread/goal/set"), { goal: goal("A", "paused") })
      yield* server.push(goalUpdated("A", "paused"))
      yield* server.respond(yield* server.request("thread/read"), threadResponse("A"))
      yield* Fiber.join(leaving)
    }))

  it.effect("that is set anew by who waits for its end does not take that end for its own", () =>
    Effect.gen(function*() {
      const { client, run, server } = yield* begun
      const again = yield* fork(
        Effect.flatMap(
          Effect.flip(run.result),
          () => Effect.flatMap(client.openGoal({ threadId: "A" }), (run) => run.result)
        )
      )
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T1"))
      yield* server.push(Wire.turnCompleted("A", "T1", { status: "interrupted" }))
      yield* server.respond(yield* server.request("thread/goal/set"), { goal: goal("A", "active") })
      yield* server.push(goalUpdated("A", "active"), ...Wire.textTurn("A", "T2", ["Two"]), goalUpdated("A", "complete"))
      const end = yield* Fiber.join(again)
      assert.deepStrictEqual([end.outcome, end.turns.length], ["complete", 1])
    }))

  it.effect("that was refused is left as it is", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const fiber = yield* fork(Effect.flip(Effect.scoped(client.openGoal({ threadId: "A", objective: "Go" }))))
      yield* server.refuse(yield* server.request("thread/goal/set"), -32_600, "thread not found")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "InvalidRequest")
      assert.deepStrictEqual(server.methods(), ["thread/goal/set"])
    }))

  it.effect("is looked up when nothing is heard of it: its turn first, then the goal", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T"))
      const events = yield* collect(run.events)
      yield* events.atLeast(2)
      const result = yield* fork(run.result)
      yield* TestClock.adjust("5 minutes")
      const read = yield* server.request("thread/read")
      assert.deepStrictEqual(read.params, { threadId: "A", includeTurns: true })
      const { thread } = threadResponse("A")
      const items = [Wire.agentMessage("m", "Done")]
      const record = Wire.turn({ id: "T", status: "completed", itemsView: "full", items })
      yield* server.respond(read, { thread: { ...thread, turns: [record] } })
      yield* events.atLeast(3)
      yield* TestClock.adjust("5 minutes")
      yield* server.respond(yield* server.request("thread/goal/get"), { goal: goal("A", "complete") })
      yield* server.respond(yield* server.request("thread/read"), { thread })
      const end = yield* Fiber.join(result)
      assert.deepStrictEqual(
        [end.outcome, end.turns.map(({ finalResponse }) => finalResponse)],
        ["complete", ["Done"]]
      )
    }))

  it.effect("that nobody works on is stopped, and goes on while somebody does", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      const result = yield* fork(run.result)
      for (const status of [{ type: "active", activeFlags: [] }, { type: "idle" }]) {
        yield* server.barrier
        assert.isUndefined(result.pollUnsafe())
        yield* TestClock.adjust("5 minutes")
        yield* lookedUp(server, status)
      }
      assert.strictEqual((yield* Fiber.join(result)).outcome, "stopped")
      yield* server.push(goalUpdated("A", "paused"))
      yield* server.barrier
    }))

  it.effect("that the server does not go on with behind a turn is stopped, and goes on while somebody works on it", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"), ...Wire.textTurn("A", "T", ["One"]))
      const result = yield* fork(run.result)
      for (const status of [{ type: "active", activeFlags: [] }, { type: "idle" }]) {
        yield* server.barrier
        assert.isUndefined(result.pollUnsafe())
        yield* TestClock.adjust("5 seconds")
        yield* lookedUp(server, status)
        yield* server.push(Wire.turnCompleted("A", "theirs"))
      }
      const { outcome, turns } = yield* Fiber.join(result)
      assert.deepStrictEqual([outcome, turns.map(({ turnId }) => turnId)], ["stopped", ["T"]])
      yield* server.push(goalUpdated("A", "paused"))
      yield* server.barrier
    }))

  it.effect("that the server cannot be asked about has stalled, and is paused", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T"))
      yield* server.push(Wire.itemCompleted("A", "T", Wire.agentMessage("m", "Half")))
      const result = yield* fork(Effect.flip(run.result))
      yield* server.barrier
      yield* TestClock.adjust("5 minutes")
      yield* server.request("thread/read")
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(result)
      if (error._tag !== "TurnStalled") return assert.fail(error._tag)
      assert.strictEqual(error.result.finalResponse, "Half")
      const pause = yield* server.request("thread/goal/set")
      assert.deepStrictEqual(pause.params, { threadId: "A", status: "paused" })
      yield* server.respond(pause, { goal: goal("A", "paused") })
      assert.deepStrictEqual((yield* server.request("turn/interrupt")).params, { threadId: "A", turnId: "T" })
    }))

  it.effect("ends with the connection", () =>
    Effect.gen(function*() {
      const { run, server } = yield* begun
      yield* server.push(goalUpdated("A", "active"), Wire.turnStarted("A", "T"))
      const events = yield* collect(run.events)
      yield* events.atLeast(2)
      yield* server.end(new AppServerExited({ exitCode: 1, stderr: "" }))
      assert.strictEqual((yield* Effect.flip(run.result))._tag, "AppServerExited")
      assert.strictEqual((yield* Effect.flip(Fiber.join(events.fiber)))._tag, "AppServerExited")
    }))
})

describe("a thread that was unsubscribed from", () => {
  it.effect("is resumed once, before its next turn", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const leaving = yield* fork(client.request("thread/unsubscribe", { threadId: "A" }))
      yield* server.respond(yield* server.request("thread/unsubscribe"), { status: "unsubscribed" })
      yield* Fiber.join(leaving)
      const turns = yield* fork(Effect.forEach(
        ["One", "Two"],
        (text) =>
          Effect.scoped(
            Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A", text)), (turn) => turn.result)
          )
      ))
      const resume = yield* server.request("thread/resume")
      assert.deepStrictEqual(resume.params, { threadId: "A", excludeTurns: true })
      yield* server.refuse(resume, -32600, "no rollout found")
      const error = yield* Effect.flip(Fiber.join(turns))
      assert.strictEqual(error._tag, "InvalidRequest")
      yield* until(() => server.methods().length === 2)
      assert.deepStrictEqual(server.methods(), ["thread/unsubscribe", "thread/resume"])
    }))

  it.effect("lets go of its own turns and goal, and of nobody else's", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const open = Effect.fnUntraced(function*(threadId: string) {
        const opening = yield* fork(client.openGoal({ threadId, objective: "Go" }))
        yield* server.respond(yield* server.request("thread/goal/set"), { goal: goal(threadId, "active") })
        const run = yield* Fiber.join(opening)
        yield* server.push(goalUpdated(threadId, "active"))
        return run
      })
      const [own, other] = [yield* open("A"), yield* open("B")]
      const leaving = yield* fork(client.request("thread/unsubscribe", { threadId: "A" }))
      yield* server.respond(yield* server.request("thread/unsubscribe"), { status: "unsubscribed" })
      yield* Fiber.join(leaving)
      assert.strictEqual((yield* Effect.flip(own.result))._tag, "TransportError")
      yield* server.push(...Wire.textTurn("B", "T", ["Done"]), goalUpdated("B", "complete"))
      assert.strictEqual((yield* other.result).outcome, "complete")
    }))

  it.effect("is waited for by a turn that begins meanwhile, which hears of itself", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const leaving = yield* fork(client.request("thread/unsubscribe", { threadId: "A" }))
      const unsubscribe = yield* server.request("thread/unsubscribe")
      const opening = yield* fork(Effect.scoped(Effect.flatMap(
        client.openTurn("turn/start", Wire.startParams("A")),
        ({ result }) => result
      )))
      yield* server.barrier
      assert.notInclude(server.methods(), "turn/start")
      yield* server.respond(unsubscribe, { status: "unsubscribed" })
      yield* Fiber.join(leaving)
      yield* server.respond(yield* server.request("thread/resume"), threadResponse("A"))
      yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id: "T" }) })
      yield* server.push(Wire.turnCompleted("A", "T"))
      assert.strictEqual((yield* Fiber.join(opening)).status, "completed")
    }))

  it.effect("is waited for until the last one who asked for that is answered", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const leaving = yield* fork(client.request("thread/unsubscribe", { threadId: "A" }))
      const first = yield* server.request("thread/unsubscribe")
      yield* fork(client.request("thread/unsubscribe", { threadId: "A" }))
      const second = yield* server.request("thread/unsubscribe")
      yield* server.respond(first, { status: "unsubscribed" })
      yield* Fiber.join(leaving)
      yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["thread/unsubscribe", "thread/unsubscribe"])
      yield* server.respond(second, { status: "notSubscribed" })
      yield* server.request("thread/resume")
    }))

  it.effect("is resumed where nobody knows whether the server has heard it", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const leaving = yield* fork(client.request("thread/unsubscribe", { threadId: "A" }))
      yield* server.request("thread/unsubscribe")
      yield* Fiber.interrupt(leaving)
      yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      yield* server.request("thread/resume")
    }))

  const closing = "thread A is closing; retry thread/resume after the thread is closed"

  it.effect("is resumed when the server has closed it", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const resuming = yield* fork(client.request("thread/resume", { threadId: "A" }))
      const first = yield* server.request("thread/resume")
      yield* server.refuse(first, -32600, closing)
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["thread/resume"])
      yield* TestClock.adjust("250 millis")
      const second = yield* server.request("thread/resume")
      assert.deepStrictEqual(second.params, first.params)
      yield* server.respond(second, threadResponse("A"))
      assert.strictEqual((yield* Fiber.join(resuming)).thread.id, "A")
    }))

  it.effect("is not resumed while the server does not get it closed, for as long as the request may take", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ requestTimeouts: { "thread/resume": "1 second" } })
      const resuming = yield* fork(Effect.flip(client.request("thread/resume", { threadId: "A" })))
      const refusing = yield* fork(Effect.forever(
        Effect.flatMap(server.request("thread/resume"), (request) => server.refuse(request, -32600, closing))
      ))
      while (resuming.pollUnsafe() === undefined) yield* TestClock.adjust("50 millis")
      const error = yield* Fiber.join(resuming)
      assert.strictEqual(error._tag, "InvalidRequest")
      assert.include(error.message, closing)
      const count = server.methods().length
      assert.isAtLeast(count, 2)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(server.methods().length, count)
      yield* Fiber.interrupt(refusing)
    }))

  it.effect("that was not loaded is none", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const leaving = yield* fork(client.request("thread/unsubscribe", { threadId: "A" }))
      yield* server.respond(yield* server.request("thread/unsubscribe"), { status: "notLoaded" })
      yield* Fiber.join(leaving)
      const turn = yield* fork(client.openTurn("turn/start", Wire.startParams("A")))
      yield* answerStart(server, "T")
      yield* Fiber.join(turn)
      yield* server.push(Wire.turnCompleted("A", "T"))
    }))

  it.effect("without success is resumed only where it may have been left", () =>
    Effect.gen(function*() {
      for (const next of ["turn/start", "thread/resume"] as const) {
        const { client, server } = yield* connect()
        const leaving = yield* fork(Effect.flip(client.request("thread/unsubscribe", { threadId: "A" })))
        const request = yield* server.request("thread/unsubscribe")
        if (next === "turn/start") yield* server.refuse(request, -32_600, "not now")
        else yield* TestClock.adjust("1 minute")
        yield* Fiber.join(leaving)
        const opening = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
        yield* server.refuse(yield* server.request(next), -32_600, "not now either")
        assert.strictEqual((yield* Effect.flip(Fiber.join(opening)))._tag, "InvalidRequest")
      }
    }))

  it.effect("and archived or deleted since is not resumed", () =>
    Effect.gen(function*() {
      for (const method of ["thread/archive", "thread/delete"] as const) {
        const { client, server } = yield* connect()
        const leaving = yield* fork(client.request("thread/unsubscribe", { threadId: "A" }))
        yield* server.respond(yield* server.request("thread/unsubscribe"), { status: "unsubscribed" })
        yield* Fiber.join(leaving)
        const going = yield* fork(client.request(method, { threadId: "A" }))
        yield* server.respond(yield* server.request(method), {})
        yield* Fiber.join(going)
        const opening = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
        yield* server.refuse(yield* server.request("turn/start"), -32_600, "thread not found")
        assert.strictEqual((yield* Effect.flip(Fiber.join(opening)))._tag, "InvalidRequest")
      }
    }))
})

describe("a thread that is left", () => {
  it.effect("takes along the agents of its turns, and nobody else's", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const mine = yield* fork(
        Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)
      )
      yield* answerStart(server, "T")
      yield* server.push(
        Wire.turnStarted("A", "T"),
        Wire.itemCompleted("A", "T", { ...collab("s1", ["child"]), tool: "spawnAgent" }),
        Wire.turnStarted("child", "C1", "T"),
        Wire.turnCompleted("A", "T"),
        Wire.turnStarted("A", "theirs"),
        Wire.itemCompleted("A", "theirs", { ...collab("s2", ["stranger"]), tool: "spawnAgent" }),
        Wire.turnStarted("stranger", "C2", "theirs")
      )
      yield* Fiber.join(mine)
      yield* server.barrier
      const leaving = yield* fork(client.leaveThread("A"))
      const interrupt = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(interrupt.params, { threadId: "child", turnId: "C1" })
      yield* server.respond(interrupt, {})
      yield* server.respond(yield* server.request("thread/unsubscribe"), { status: "unsubscribed" })
      yield* Fiber.join(leaving)
      assert.deepStrictEqual(server.methods(), ["turn/start", "turn/interrupt", "thread/unsubscribe"])
    }))

  it.effect("leaves no agents to a server that goes on behind the connection", () =>
    Effect.gen(function*() {
      const { client, scope, server } = yield* connectToDaemon
      const mine = yield* fork(Effect.scoped(
        Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result)
      ))
      yield* answerStart(server, "T")
      yield* server.push(
        Wire.turnStarted("A", "T"),
        Wire.itemCompleted("A", "T", { ...collab("s", ["child"]), tool: "spawnAgent" }),
        Wire.turnStarted("child", "C", "T"),
        Wire.turnCompleted("A", "T")
      )
      yield* Fiber.join(mine)
      const closing = yield* fork(Scope.close(scope, Exit.void))
      const interrupt = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(interrupt.params, { threadId: "child", turnId: "C" })
      yield* server.respond(interrupt, {})
      yield* Fiber.join(closing)
    }))

  it.effect("while nothing is at work on it is unsubscribed from at once, and a refusal is told", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const leaving = yield* fork(Effect.flip(client.leaveThread("A")))
      yield* server.refuse(yield* server.request("thread/unsubscribe"), -32_600, "not now")
      assert.strictEqual((yield* Fiber.join(leaving))._tag, "InvalidRequest")
    }))

  const leaving = Effect.gen(function*() {
    const { client, server } = yield* connect()
    const opening = yield* fork(client.openTurn("turn/start", Wire.startParams("A")))
    yield* answerStart(server, "T")
    const turn = yield* Fiber.join(opening)
    yield* client.leaveThread("A")
    yield* server.barrier
    assert.deepStrictEqual(server.methods(), ["turn/start"])
    return { client, server, turn }
  })

  it.effect("is unsubscribed from once its turn has ended", () =>
    Effect.gen(function*() {
      const { server, turn } = yield* leaving
      yield* server.push(Wire.turnCompleted("A", "T"))
      assert.deepStrictEqual((yield* server.request("thread/unsubscribe")).params, { threadId: "A" })
      assert.strictEqual((yield* turn.result).status, "completed")
    }))

  it.effect("is told of in the log where that is refused, unless the connection is over anyway", () =>
    Effect.gen(function*() {
      const left = (end: "refusal" | "connection") =>
        logsOf((logged) =>
          Effect.gen(function*() {
            const { server } = yield* leaving
            yield* server.push(Wire.turnCompleted("A", "T"))
            const request = yield* server.request("thread/unsubscribe")
            if (end === "connection") return yield* server.end(new AppServerExited({ exitCode: 1, stderr: "" }))
            yield* server.refuse(request, -32_603, "broken")
            yield* until(() => logged.length > 0)
          })
        )
      const [warning, ...others] = yield* left("refusal")
      assert.match(warning ?? "", /^Could not unsubscribe from thread A: .*broken/)
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(yield* left("connection"), [])
    }))

  it.effect("stays when it is resumed before that", () =>
    Effect.gen(function*() {
      const { client, server, turn } = yield* leaving
      const resuming = yield* fork(client.request("thread/resume", { threadId: "A" }))
      yield* server.respond(yield* server.request("thread/resume"), threadResponse("A"))
      yield* Fiber.join(resuming)
      yield* server.push(Wire.turnCompleted("A", "T"))
      yield* turn.result
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["turn/start", "thread/resume"])
    }))

  it.effect("before its start or fork is answered is unsubscribed from then, as one whose answer cannot be read", () =>
    Effect.gen(function*() {
      for (const method of ["thread/start", "thread/fork"] as const) {
        for (const isReadable of [true, false]) {
          const { client, server } = yield* connect()
          const starting = yield* fork(Effect.exit(
            method === "thread/start" ? client.request(method, {}) : client.request(method, { threadId: "A" })
          ))
          const request = yield* server.request(method)
          if (isReadable) yield* Fiber.interrupt(starting)
          yield* server.respond(request, isReadable ? threadResponse("B") : { thread: { id: "B" } })
          assert.deepStrictEqual((yield* server.request("thread/unsubscribe")).params, { threadId: "B" })
        }
      }
    }))

  it.effect("is not one that somebody has waited for", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const starting = yield* fork(client.request("thread/start", {}))
      yield* server.respond(yield* server.request("thread/start"), threadResponse("B"))
      yield* Fiber.join(starting)
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["thread/start"])
    }))
})
