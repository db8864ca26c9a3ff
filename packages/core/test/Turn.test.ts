import { type AppServerClient, AppServerExited } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { collect, fork, until } from "./support/observe.ts"
import { connect, type ScriptedServer } from "./support/ScriptedServer.ts"
import * as Wire from "./support/wire.ts"

type Client = AppServerClient["Service"]

const noActiveTurn = "no active turn to interrupt"

/** A turn `T` of thread `A` that has started, in a scope of its own. */
const begin = (
  { client, server }: { readonly client: Client; readonly server: ScriptedServer },
  options: { readonly read?: "replay" | "once" | "never"; readonly started?: boolean } = {}
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const opening = yield* fork(
      client.openTurn("turn/start", Wire.startParams("A"), { read: options.read }).pipe(Scope.provide(scope))
    )
    const request = yield* server.request("turn/start")
    yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
    if (options.started !== false) yield* server.push(Wire.turnStarted("A", "T"))
    const turn = yield* Fiber.join(opening)
    yield* server.barrier
    return { scope, turn, close: Scope.close(scope, Exit.void) }
  })

const interrupted = Wire.turnCompleted("A", "T", { status: "interrupted" })

const errorOf = <A, E>(effect: Effect.Effect<A, E>) => Effect.flip(effect)

describe("interruption", () => {
  it.effect("while the turn is being started waits for its start, then interrupts it once and waits for its end", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const running = yield* fork(
        Effect.scoped(Effect.flatMap(client.openTurn("turn/start", Wire.startParams("A")), (turn) => turn.result))
      )
      const request = yield* server.request("turn/start")
      const interrupting = yield* fork(Fiber.interrupt(running))
      yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["turn/start"], "before the turn has started it would be refused")
      yield* server.push(Wire.turnStarted("A", "T"))
      const interrupt = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(interrupt.params, { threadId: "A", turnId: "T" })
      yield* server.respond(interrupt, {})
      yield* server.barrier
      assert.isUndefined(interrupting.pollUnsafe(), "the turn has not ended yet")
      yield* server.push(interrupted)
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(server.methods(), ["turn/start", "turn/interrupt"])
    }))

  it.effect("while the turn is being started is not asked for when the turn ends by itself", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const running = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      const request = yield* server.request("turn/start")
      const interrupting = yield* fork(Fiber.interrupt(running))
      yield* server.push(
        ...Wire.textTurn("A", "T", ["x"]),
        { id: request.id, result: { turn: Wire.turn({ id: "T" }) } }
      )
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(server.methods(), ["turn/start"])
    }))

  it.effect("while the turn is being started is not asked for when nothing but the end of it comes", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const running = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      const request = yield* server.request("turn/start")
      const interrupting = yield* fork(Fiber.interrupt(running))
      yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
      yield* server.push(Wire.turnCompleted("A", "T", { status: "failed" }))
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(server.methods(), ["turn/start"])
    }))

  it.effect("while the turn is being started has nothing to do when the request is refused", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const running = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      const request = yield* server.request("turn/start")
      const interrupting = yield* fork(Fiber.interrupt(running))
      yield* server.refuse(request, -32600, "thread not found: A")
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(server.methods(), ["turn/start"])
    }))

  it.effect("while the request waits for its place withdraws it at once", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ maxInFlight: 1 })
      const other = yield* fork(client.request("thread/loaded/list", {}))
      const first = yield* server.request("thread/loaded/list")
      const opening = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      // The clock stands still.
      yield* Fiber.interrupt(opening)
      yield* server.respond(first, { data: [] })
      yield* Fiber.join(other)
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["thread/loaded/list"])
    }))

  it.effect("while the request waits to be sent again withdraws it at once", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const opening = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      yield* server.refuse(yield* server.request("turn/start"), -32001, "Server overloaded; retry later.")
      yield* server.barrier
      yield* Fiber.interrupt(opening)
      yield* TestClock.adjust("1 minute")
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["turn/start"])
    }))

  it.effect("takes along the agents that it has at work, and what they begin then, and nobody else's", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const opening = yield* fork(client.openTurn("turn/start", Wire.startParams("A")))
      yield* server.respond(yield* server.request("turn/start"), { turn: Wire.turn({ id: "T" }) })
      const turn = yield* Fiber.join(opening)
      yield* server.push(
        Wire.turnStarted("A", "T"),
        Wire.turnStarted("child", "C1", "T"),
        Wire.turnStarted("over", "C2", "T"),
        Wire.turnCompleted("over", "C2"),
        Wire.turnStarted("other", "C3", "before"),
        Wire.turnStarted("stranger", "S")
      )
      yield* server.barrier
      const interrupting = yield* fork(turn.interrupt)
      const asked = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(asked.params, { threadId: "A", turnId: "T" })
      yield* server.respond(asked, {})
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      const child = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(child.params, { threadId: "child", turnId: "C1" })
      yield* server.refuse(child, -32600, "no active turn to interrupt")
      yield* Fiber.join(interrupting)
      yield* server.push(Wire.turnStarted("late", "C4", "T"), Wire.turnStarted("A", "T2"))
      const late = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(late.params, { threadId: "late", turnId: "C4" })
      yield* server.respond(late, {})
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["turn/start", ...Array.from({ length: 3 }, () => "turn/interrupt")])
    }))

  it.effect("by the handle waits for the end, and does nothing once that has come", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { close, turn } = yield* begin(connection)
      const interrupting = yield* fork(turn.interrupt)
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.barrier
      assert.isUndefined(interrupting.pollUnsafe())
      yield* server.push(interrupted)
      yield* Fiber.join(interrupting)
      assert.strictEqual((yield* errorOf(turn.result))._tag, "TurnInterrupted")
      yield* turn.interrupt
      yield* close
      assert.deepStrictEqual(server.methods(), ["turn/start", "turn/interrupt"])
    }))

  it.effect("that is refused because the turn has ended meanwhile is none", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      const interrupting = yield* fork(turn.interrupt)
      const request = yield* server.request("turn/interrupt")
      yield* server.push({ id: request.id, error: { code: -32600, message: noActiveTurn } })
      yield* server.barrier
      assert.isUndefined(interrupting.pollUnsafe(), "the end may be behind the refusal")
      yield* server.push(Wire.turnCompleted("A", "T"))
      yield* Fiber.join(interrupting)
      assert.strictEqual((yield* turn.result).status, "completed")
    }))

  it.effect("does not wait for its answer once the turn has ended", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      const interrupting = yield* fork(turn.interrupt)
      yield* server.request("turn/interrupt")
      yield* server.push(interrupted)
      yield* Fiber.join(interrupting)
    }))

  it.effect("that is refused while the turn goes on is told", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      const interrupting = yield* fork(errorOf(turn.interrupt))
      yield* server.refuse(yield* server.request("turn/interrupt"), -32600, noActiveTurn)
      yield* server.barrier
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(interrupting)
      assert.strictEqual(error._tag, "InvalidRequest")
      assert.include(error.message, noActiveTurn)
    }))

  it.effect("of a review names the id it runs as", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const scope = yield* Scope.make()
      const opening = yield* fork(
        client.openTurn("review/start", { threadId: "A", target: { type: "uncommittedChanges" } }).pipe(
          Scope.provide(scope)
        )
      )
      const request = yield* server.request("review/start")
      const entered = { type: "enteredReviewMode", id: "r1", review: "changes" }
      yield* server.push(
        { id: request.id, result: { turn: Wire.turn({ id: "R", rootTurnId: null }), reviewThreadId: "A" } },
        Wire.itemStarted("A", "R", entered),
        Wire.itemCompleted("A", "R", entered)
      )
      yield* Fiber.join(opening)
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["review/start"])
      yield* server.push(Wire.turnStarted("A", "S", "R"))
      const interrupt = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(interrupt.params, { threadId: "A", turnId: "S" })
      yield* server.respond(interrupt, {})
      yield* server.push(Wire.turnCompleted("A", "R", { status: "interrupted" }))
      yield* Fiber.join(closing)
    }))
})

describe("the end of a turn's scope", () => {
  it.effect("interrupts the unfinished turn once and waits for its end", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { close } = yield* begin(connection)
      const closing = yield* fork(close)
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.barrier
      assert.isUndefined(closing.pollUnsafe())
      yield* server.push(interrupted)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(server.methods(), ["turn/start", "turn/interrupt"])
    }))

  it.effect("does nothing after the end of the turn", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { close, turn } = yield* begin(connection)
      yield* server.push(Wire.turnCompleted("A", "T"))
      yield* turn.result
      yield* close
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["turn/start"])
    }))

  it.effect("does not wait for ever for a turn that does not end", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const unowned = yield* collect(connection.client.unownedNotifications)
      const { close, turn } = yield* begin(connection)
      const closing = yield* fork(close)
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.barrier
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual((yield* errorOf(turn.result))._tag, "TransportError")
      assert.strictEqual((yield* errorOf(Stream.runDrain(turn.events)))._tag, "TransportError")
      // What still comes of it is nobody's.
      yield* server.push(interrupted)
      assert.deepStrictEqual((yield* unowned.atLeast(1)).map((event) => event.turnId), ["T"])
    }))

  it.effect("does not wait for ever for a turn that does not start", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { close } = yield* begin(connection, { started: false })
      const closing = yield* fork(close)
      yield* connection.server.barrier
      yield* TestClock.adjust("5 seconds")
      // It is interrupted all the same.
      yield* connection.server.request("turn/interrupt")
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
    }))

  it.effect("goes on when the interruption is refused", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { close } = yield* begin(connection)
      const closing = yield* fork(close)
      yield* server.refuse(yield* server.request("turn/interrupt"), -32603, "broken")
      yield* Fiber.join(closing)
    }))

  it.effect("does not wait when the connection is over", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { close, turn } = yield* begin(connection)
      yield* server.end(new AppServerExited({ signal: "SIGKILL", stderr: "" }))
      assert.strictEqual((yield* errorOf(turn.result))._tag, "AppServerExited")
      yield* close
      assert.deepStrictEqual(server.methods(), ["turn/start"])
    }))

  it.effect("waits for the last one of those who share a turn", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const one = yield* begin(connection)
      const two = yield* begin(connection, { started: false })
      yield* one.close
      yield* server.barrier
      assert.deepStrictEqual(server.methods(), ["turn/start", "turn/start"])
      const closing = yield* fork(two.close)
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.push(interrupted)
      yield* Fiber.join(closing)
      assert.strictEqual((yield* errorOf(one.turn.result))._tag, "TurnInterrupted")
      assert.deepStrictEqual(server.methods(), ["turn/start", "turn/start", "turn/interrupt"])
    }))

  it.effect("comes for a turn whose response does not fit, too", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const opening = yield* fork(errorOf(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A")))))
      const { id } = yield* server.request("turn/start")
      yield* server.push({ id, result: { turn: { id: "T", items: 5 } } }, Wire.turnStarted("A", "T"))
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* server.push(interrupted)
      assert.strictEqual((yield* Fiber.join(opening))._tag, "DecodeError")
    }))
})

describe("the events of a turn", () => {
  it.effect("can be read by many, each from the first one, also after the end", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      const early = yield* collect(turn.events)
      const rest = Wire.textTurn("A", "T", ["a", "b"]).slice(1)
      yield* server.push(...rest.slice(0, 2))
      yield* early.atLeast(3)
      const late = yield* collect(turn.events)
      assert.strictEqual((yield* late.atLeast(3)).length, 3)
      yield* server.push(...rest.slice(2))
      yield* Fiber.join(early.fiber)
      yield* Fiber.join(late.fiber)
      const after = yield* Stream.runCollect(turn.events)
      const expected = ["turn/started", ...rest.map((message) => message.method)]
      for (const seen of [early.seen, late.seen, after]) {
        assert.deepStrictEqual(seen.map((event) => event.method), expected)
      }
    }))

  it.effect("are joined for a slow reader where they are deltas of one text, and none of it is lost", () =>
    Effect.gen(function*() {
      const connection = yield* connect({ turnBuffer: { events: 4, bytes: 1_000_000 } })
      const { server } = connection
      const { turn } = yield* begin(connection, { read: "once" })
      const words = Array.from({ length: 1_000 }, (_, index) => `${index} `)
      yield* server.push(
        ...words.map((word) => Wire.delta("A", "T", "m", word)),
        Wire.delta("A", "T", "n", "other"),
        Wire.turnCompleted("A", "T")
      )
      yield* turn.result
      const events = yield* Stream.runCollect(turn.events)
      assert.isAtMost(events.length, 6)
      const text = (itemId: string) =>
        events.map((event) =>
          event.method === "item/agentMessage/delta" && event.params.itemId === itemId ? event.params.delta : ""
        ).join("")
      assert.strictEqual(text("m"), words.join(""))
      assert.strictEqual(text("n"), "other")
    }))

  it.effect("fail with TurnLagged for the slow reader alone", () =>
    Effect.gen(function*() {
      const connection = yield* connect({ turnBuffer: { events: 4, bytes: 1_000_000 } })
      const { server } = connection
      const { turn } = yield* begin(connection)
      let release = false
      const slow = yield* fork(
        errorOf(Stream.runForEach(turn.events, () => until(() => release)))
      )
      const fast = yield* collect(turn.events)
      for (let index = 0; index < 20; index++) {
        yield* server.push(Wire.tokenUsage("A", "T", index))
        yield* fast.atLeast(index + 2)
      }
      yield* server.push(Wire.turnCompleted("A", "T"))
      yield* Fiber.join(fast.fiber)
      assert.strictEqual(fast.seen.length, 22)
      assert.strictEqual((yield* turn.result).status, "completed")
      release = true
      const error = yield* Fiber.join(slow)
      assert.strictEqual(error._tag, "TurnLagged")
      if (error._tag !== "TurnLagged") return
      assert.deepStrictEqual([error.turnId, error.bufferEvents, error.bufferBytes], ["T", 4, 1_000_000])
      // The first events are gone, and saying nothing would be a lie.
      assert.strictEqual((yield* errorOf(Stream.runDrain(turn.events)))._tag, "TurnLagged")
    }))

  it.effect("are bounded in bytes too", () =>
    Effect.gen(function*() {
      const connection = yield* connect({ turnBuffer: { events: 1000, bytes: 2000 } })
      const { server } = connection
      const { turn } = yield* begin(connection)
      yield* server.push(Wire.delta("A", "T", "m", "x".repeat(3000)), Wire.turnCompleted("A", "T"))
      yield* turn.result
      assert.strictEqual((yield* errorOf(Stream.runDrain(turn.events)))._tag, "TurnLagged")
    }))

  it.effect("are there for the one reader that was announced, from the first one", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection, { read: "once" })
      yield* server.push(...Wire.textTurn("A", "T", ["a"]).slice(1))
      yield* turn.result
      const events = yield* Stream.runCollect(turn.events)
      assert.deepStrictEqual(events.map((event) => event.method), [
        "turn/started",
        "item/started",
        "item/agentMessage/delta",
        "item/completed",
        "thread/tokenUsage/updated",
        "turn/completed"
      ])
    }))

  it.effect("stay for one who holds the turn when another one does not want them", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const one = yield* begin(connection)
      yield* begin(connection, { started: false, read: "never" })
      yield* server.push(Wire.turnCompleted("A", "T"))
      const events = yield* Stream.runCollect(one.turn.events)
      assert.deepStrictEqual(events.map((event) => event.method), ["turn/started", "turn/completed"])
    }))

  it.effect("of a turn that turns out to be nobody's are told as such, with the number of those that could not be kept", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ turnBuffer: { events: 3, bytes: 1_000_000 } })
      const unowned = yield* collect(client.unownedNotifications)
      const foreign = Array.from({ length: 5 }, (_, index) => Wire.delta("A", "F", "m", `${index}`))
      const short = Wire.textTurn("A", "short", []).slice(0, 2)
      const opening = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      const request = yield* server.request("turn/start")
      yield* server.push(...foreign, ...short)
      yield* server.barrier
      assert.deepStrictEqual(unowned.seen, [])
      yield* server.refuse(request, -32_600, "thread not found")
      yield* Effect.exit(Fiber.join(opening))
      yield* server.push(Wire.delta("A", "F", "m", "last"))
      assert.deepStrictEqual(
        (yield* unowned.atLeast(short.length + 2)).map(({ method, params, threadId, turnId }) => [
          method === "client/lagged" ? params : String(method),
          threadId,
          turnId
        ]),
        [
          [{ dropped: 5 }, "A", "F"],
          ...short.map(({ method }) => [method, "A", "short"]),
          ["item/agentMessage/delta", "A", "F"]
        ]
      )
    }))

  it.effect("of a turn whose request is never answered are told as nobody's when the connection ends", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const unowned = yield* collect(client.unownedNotifications)
      const opening = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      yield* server.request("turn/start")
      yield* server.push(Wire.turnStarted("A", "T"))
      yield* server.barrier
      assert.deepStrictEqual(unowned.seen, [])
      yield* server.end(new AppServerExited({ exitCode: 1, stderr: "" }))
      yield* Effect.exit(Fiber.join(opening))
      yield* Effect.exit(Fiber.join(unowned.fiber))
      assert.deepStrictEqual(unowned.seen.map(({ method }) => String(method)), ["turn/started"])
    }))

  it.effect("that do not fit stand among the others, and on the streams of everything", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const all = yield* collect(connection.client.notifications)
      const unowned = yield* collect(connection.client.unownedNotifications)
      const { turn } = yield* begin(connection)
      yield* server.push(
        { method: "item/completed", params: { threadId: "A", turnId: "T", item: { type: "agentMessage", id: 5 } } },
        Wire.itemCompleted("A", "T", Wire.agentMessage("m", "fine")),
        Wire.turnCompleted("A", "T")
      )
      const expected = ["turn/started", "client/decodeFailure", "item/completed", "turn/completed"]
      assert.deepStrictEqual((yield* Stream.runCollect(turn.events)).map((event) => event.method), expected)
      assert.deepStrictEqual((yield* all.atLeast(4)).map((event) => event.method), expected)
      assert.deepInclude({ ...all.seen[1] }, { threadId: "A", turnId: "T" })
      assert.deepStrictEqual(unowned.seen, [])
      assert.strictEqual((yield* turn.result).finalResponse, "fine")
    }))
})

describe("the result of a turn", () => {
  it.effect("is a DecodeError when the turn's last word does not fit", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { close, turn } = yield* begin(connection)
      yield* server.push({ method: "turn/completed", params: { threadId: "A", turn: { id: "T", items: "none" } } })
      const error = yield* errorOf(turn.result)
      assert.strictEqual(error._tag, "DecodeError")
      if (error._tag === "DecodeError") assert.strictEqual(error.method, "turn/completed")
      const events = yield* Stream.runCollect(turn.events)
      assert.deepStrictEqual(events.map((event) => event.method), ["turn/started", "client/decodeFailure"])
      yield* close
      assert.deepStrictEqual(server.methods(), ["turn/start"])
    }))

  it.effect("of a failed turn is TurnFailed with the server's error and what there was", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      const error = {
        message: "unexpected status 401",
        codexErrorInfo: { httpConnectionFailed: { httpStatusCode: 401 } },
        additionalDetails: null,
        misalignment: null
      }
      yield* server.push(
        Wire.itemCompleted("A", "T", Wire.agentMessage("m", "partial")),
        Wire.itemCompleted("A", "T", { type: "futureItem", id: "f", extra: { a: [1] } }),
        Wire.itemCompleted("A", "T", { type: "otherFutureItem" }),
        Wire.tokenUsage("A", "T", 5),
        { method: "error", params: { error, willRetry: false, threadId: "A", turnId: "T" } },
        Wire.turnCompleted("A", "T", { status: "failed", error })
      )
      const failure = yield* errorOf(turn.result)
      assert.strictEqual(failure._tag, "TurnFailed")
      if (failure._tag !== "TurnFailed") return
      assert.strictEqual(failure.error?.message, "unexpected status 401")
      assert.deepStrictEqual({ ...failure.error }, error)
      assert.strictEqual(failure.result.finalResponse, "partial")
      assert.deepStrictEqual(failure.result.items.map((item) => item.type).map(String), [
        "agentMessage",
        "futureItem",
        "otherFutureItem"
      ])
      assert.strictEqual(failure.result.usage?.total.totalTokens, 5)
      assert.strictEqual((yield* Stream.runCollect(turn.events)).length, 7)
    }))

  it.effect("of a failed turn has the server's words without those of the prompt, and only without those", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      const prompt = { type: "text", text: "a private prompt" }
      yield* server.push(
        Wire.itemCompleted("A", "T", { type: "userMessage", id: "u", clientId: null, content: [prompt] }),
        Wire.itemCompleted("A", "T", Wire.agentMessage("m", "usage limit")),
        Wire.turnCompleted("A", "T", { status: "failed", error: { message: "usage limit at: a private prompt" } })
      )
      const failure = yield* errorOf(turn.result)
      assert.strictEqual(failure._tag === "TurnFailed" ? failure.error?.message : undefined, "usage limit at: …")
    }))

  it.effect("of an interrupted turn is TurnInterrupted with what there was", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      yield* server.push(Wire.itemCompleted("A", "T", Wire.agentMessage("m", "partial")), interrupted)
      const failure = yield* errorOf(turn.result)
      assert.strictEqual(failure._tag, "TurnInterrupted")
      if (failure._tag !== "TurnInterrupted") return
      assert.deepInclude({ ...failure.result }, { finalResponse: "partial", status: "interrupted" })
    }))

  it.effect("has each item once, as it was completed, and those that only the end tells of", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      yield* server.push(
        Wire.itemCompleted("A", "T", Wire.agentMessage("a", "one")),
        Wire.itemCompleted("A", "T", Wire.agentMessage("b", "two", "commentary")),
        Wire.turnCompleted("A", "T", { items: [Wire.agentMessage("a", "ONE"), Wire.agentMessage("c", "three")] })
      )
      const result = yield* turn.result
      assert.deepStrictEqual(
        result.items.map((item) => item.type === "agentMessage" ? `${item.id}: ${item.text}` : ""),
        ["a: one", "b: two", "c: three"]
      )
      assert.strictEqual(result.finalResponse, "three")
    }))

  it.effect("has each item once where its end names others than messages, too", () =>
    Effect.gen(function*() {
      const connection = yield* connect()
      const { server } = connection
      const { turn } = yield* begin(connection)
      const plan = { type: "plan", id: "p", text: "First this" }
      yield* server.push(
        Wire.itemCompleted("A", "T", plan),
        Wire.itemCompleted("A", "T", Wire.agentMessage("a", "one")),
        Wire.turnCompleted("A", "T", { items: [plan, Wire.agentMessage("a", "one")] })
      )
      assert.deepStrictEqual((yield* turn.result).items.map(({ id }) => id), ["p", "a"])
    }))

  it.effect("comes though nobody reads the events", () =>
    Effect.gen(function*() {
      const connection = yield* connect({ turnBuffer: { events: 2, bytes: 100 } })
      const { server } = connection
      const { turn } = yield* begin(connection, { read: "never" })
      const deltas = Array.from({ length: 1000 }, (_, index) => Wire.delta("A", "T", "m", String(index)))
      yield* server.push(...deltas, ...Wire.textTurn("A", "T", ["all"]).slice(3))
      assert.strictEqual((yield* turn.result).finalResponse, "all")
    }))
})

describe("turn/start", () => {
  it.effect("that is answered too late has its turn interrupted", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ requestTimeout: "10 seconds" })
      const opening = yield* fork(errorOf(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A")))))
      const request = yield* server.request("turn/start")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(opening))._tag, "RequestTimeout")
      yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
      yield* server.push(Wire.turnStarted("A", "T"))
      const interrupt = yield* server.request("turn/interrupt")
      assert.deepStrictEqual(interrupt.params, { threadId: "A", turnId: "T" })
      yield* server.respond(interrupt, {})
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      const unowned = yield* collect(client.unownedNotifications)
      yield* server.push(Wire.turnStarted("A", "T2"))
      assert.strictEqual((yield* unowned.atLeast(1)).length, 1)
    }))

  it.effect("that nobody waits for any more does not keep its caller", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const opening = yield* fork(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A"))))
      const request = yield* server.request("turn/start")
      const stopping = yield* fork(Fiber.interrupt(opening))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      yield* server.respond(request, { turn: Wire.turn({ id: "T" }) })
      yield* server.push(Wire.turnStarted("A", "T"))
      assert.deepStrictEqual((yield* server.request("turn/interrupt")).params, { threadId: "A", turnId: "T" })
    }))

  it.effect("that is answered without a turn fails", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const opening = yield* fork(errorOf(Effect.scoped(client.openTurn("turn/start", Wire.startParams("A")))))
      yield* server.respond(yield* server.request("turn/start"), {})
      assert.strictEqual((yield* Fiber.join(opening))._tag, "DecodeError")
    }))

  it.effect("is sent again when the server is overloaded, and its turn is whole", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const running = yield* fork(Effect.scoped(Effect.gen(function*() {
        const turn = yield* client.openTurn("turn/start", Wire.startParams("A"))
        return yield* Stream.runCollect(turn.events)
      })))
      yield* server.refuse(yield* server.request("turn/start"), -32001, "Server overloaded")
      yield* server.barrier
      yield* TestClock.adjust("1 second")
      const { id } = yield* server.request("turn/start")
      const events = Wire.textTurn("A", "T", ["x"])
      yield* server.push(...events, { id, result: { turn: Wire.turn({ id: "T" }) } })
      assert.strictEqual((yield* Fiber.join(running)).length, events.length)
    }))
})
