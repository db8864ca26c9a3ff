import { AppServerExited, type TurnEvent } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { EventHub } from "../src/internal/eventHub.ts"
import { Framer } from "../src/internal/framer.ts"
import { Router, type SendError } from "../src/internal/router.ts"
import type { Start } from "../src/internal/starting.ts"
import * as Wire from "./support/wire.ts"

const limits = { events: 100, bytes: 1_000_000 }

const question = { method: "model/list", params: {}, onResult: undefined }

const make = () =>
  new Router({
    hub: new EventHub(limits),
    turnLimits: limits,
    desk: { open: () => {}, observe: () => {}, close: () => {} }
  })

const receiveLine = (router: Router, line: string) =>
  new Framer(limits.bytes).push(
    new TextEncoder().encode(`${line}\n`),
    (frame, bytes, source, start) => router.receive(frame, bytes, source, start)
  )

const receive = (router: Router, ...messages: ReadonlyArray<unknown>) => {
  for (const message of messages) receiveLine(router, JSON.stringify(message))
}

/** How many entries each table has. */
const sizes = (router: Router) => ({
  waiters: router["waiters"].size,
  turns: router["turns"].size,
  starting: router["starting"].size
})

const textsOf = (router: Router): number => router["deltas"]["texts"].size

const empty = { waiters: 0, turns: 0, starting: 0 }

describe("Router", () => {
  it("gives a result to who waits for it, also where what is done with it first throws", () => {
    const router = make()
    const exits: Array<Exit.Exit<unknown, SendError>> = []
    const onResult = () => {
      throw new Error("No luck")
    }
    router.await(1, { question: { ...question, onResult }, settle: (exit) => exits.push(exit) })
    receive(router, { id: 1, result: "models" })
    assert.deepStrictEqual(exits, [Exit.succeed("models")])
    assert.deepStrictEqual(sizes(router), empty)
  })

  it("holds nothing of a turn that has ended", () => {
    const router = make()
    for (let index = 0; index < 1000; index++) {
      const turnId = `T${index}`
      const start = router.startPending("A")
      const [started, ...rest] = Wire.textTurn("A", turnId, ["a", "b"])
      receive(router, started)
      router.claim("A", turnId)
      router.startAnswered(start)
      assert.deepStrictEqual(sizes(router), { waiters: 0, turns: 1, starting: 0 })
      receive(router, ...rest)
      assert.deepStrictEqual(sizes(router), empty)
    }
  })

  it("gives every delta of a text to its turn, and knows no text of a turn that is over", () => {
    const router = make()
    const deltas = (...texts: ReadonlyArray<string>) => texts.map((text) => Wire.delta("A", "T", "m", text))
    const told = ({ unread }: ReturnType<Router["claim"]>) =>
      unread.map(({ event }) => event.method === "item/agentMessage/delta" ? event.params.delta : event.method)
    const start = router.startPending("A")
    receive(router, Wire.turnStarted("A", "T"), ...deltas("a", "b"))
    const turn = router.claim("A", "T")
    router.startAnswered(start)
    receive(router, ...deltas("c", "d"))
    assert.deepStrictEqual(told(turn), ["turn/started", "a", "b", "c", "d"])
    assert.strictEqual(textsOf(router), 1)
    receive(router, Wire.turnCompleted("A", "T"))
    assert.strictEqual(textsOf(router), 0)
    receive(router, ...deltas("late", "later"))
    assert.strictEqual(told(turn).length, 6)
    assert.strictEqual(textsOf(router), 1)
    const again = router.claim("A", "T")
    receive(router, ...deltas("e", "f"), Wire.delta("A", "T", "only", "g"))
    assert.strictEqual(textsOf(router), 2)
    assert.deepStrictEqual(told(again), ["e", "f", "g"])
    router.release(again)
    router.abandon(again)
    assert.strictEqual(textsOf(router), 0)
    receive(router, ...deltas("late", "later"))
    assert.deepStrictEqual(told(again), ["e", "f", "g"])
    router.close(new AppServerExited({ exitCode: 1, stderr: "" }))
    assert.strictEqual(textsOf(router), 0)
  })

  it("gives a turn nothing of another thread whose history has a turn of that id", () => {
    const router = make()
    const turn = router.claim("A", "T")
    receive(router, Wire.turnStarted("A", "T"), Wire.delta("B", "T", "i", "b"), Wire.turnCompleted("B", "T"))
    assert.isFalse(turn.isDone)
    assert.deepStrictEqual(turn.unread.map(({ event }) => event.method), ["turn/started"])
    receive(router, Wire.turnCompleted("A", "T"))
    assert.isTrue(turn.isDone)
  })

  it("takes a turn that is over before anything came of it for the oldest that is expected, if all are", () => {
    const compacts = (event: TurnEvent) => event.method === "item/started"
    const isFound = ({ expectation }: Start) => expectation !== undefined && Deferred.isDoneUnsafe(expectation.turn)
    const [started, over] = [Wire.turnStarted("A", "T"), Wire.turnCompleted("A", "T", { status: "interrupted" })]
    const router = make()
    const starts = [1, 2].map(() => router.startPending("A", compacts))
    // What it takes the place of began before.
    receive(router, Wire.turnCompleted("A", "before", { status: "interrupted" }))
    assert.deepStrictEqual(starts.map(isFound), [false, false])
    receive(router, started, over)
    assert.deepStrictEqual(starts.map(isFound), [true, false])
    // Where something else is being started it may be that.
    const other = make()
    const expected = other.startPending("A", compacts)
    const start = other.startPending("A")
    receive(other, started, over)
    assert.isFalse(isFound(expected))
    other.startAnswered(start)
    // It may be what the one that is expected takes the place of, as long as that one may still come.
    assert.isFalse(isFound(expected))
    other.startOverdue(expected)
    assert.isTrue(isFound(expected))
  })

  it("gives nobody a turn that another one has found, be it let go of since", () => {
    const router = make()
    const start = router.startPending("A", () => true)
    receive(router, Wire.turnStarted("A", "T"))
    const { expectation } = start
    assert.isTrue(expectation !== undefined && Deferred.isDoneUnsafe(expectation.turn))
    const turn = router["turns"].get("T") ?? assert.fail("Nobody has the turn")
    assert.isTrue(router.release(turn))
    const { expectation: second } = router.startPending("A", () => true)
    receive(router, Wire.delta("A", "T", "m", "still"))
    assert.isFalse(second === undefined || Deferred.isDoneUnsafe(second.turn))
  })

  it("leaves a thread once nothing is at work on it, be it that what was to start has not", () => {
    const router = make()
    const left: Array<string> = []
    const leave = () => router.onceIdle("A", () => left.push("A"))
    const [first, second] = [router.startPending("A"), router.startPending("A")]
    leave()
    router.startAnswered(first)
    router.startAnswered(first)
    assert.deepStrictEqual(left, [])
    router.startAnswered(second)
    assert.deepStrictEqual(left, ["A"])
    const turn = router.claim("A", "T")
    leave()
    assert.deepStrictEqual(left, ["A"])
    receive(router, Wire.turnCompleted("A", "T"))
    assert.isTrue(turn.isDone)
    assert.deepStrictEqual(left, ["A", "A"])
  })

  it("holds nothing of a turn that ended before its request was answered", () => {
    const router = make()
    const start = router.startPending("A")
    receive(router, ...Wire.textTurn("A", "T", ["a"]), ...Wire.textTurn("A", "foreign", ["b"]))
    const turn = router.claim("A", "T")
    assert.isTrue(turn.isDone)
    router.startAnswered(start)
    assert.deepStrictEqual(sizes(router), empty)
  })

  it("holds nothing of turns that nobody has asked for", () => {
    const router = make()
    for (let index = 0; index < 100; index++) {
      receive(router, ...Wire.textTurn("A", `T${index}`, ["a"]).slice(0, 3), Wire.tokenUsage("A", `old-${index}`, 5))
    }
    assert.deepStrictEqual(sizes(router), empty)
  })

  it("holds nothing of turns that come on other threads while one is being started", () => {
    const router = make()
    const start = router.startPending("A")
    receive(router, ...Wire.textTurn("B", "foreign", ["a"]))
    assert.strictEqual(router["starting"].get("A")?.held.size, 0)
    router.startAnswered(start)
    assert.deepStrictEqual(sizes(router), empty)
  })

  it("holds nothing of a turn that was let go of, even if it goes on", () => {
    const router = make()
    const turn = router.claim("A", "T")
    receive(router, Wire.turnStarted("A", "T"))
    assert.isTrue(router.release(turn))
    router.abandon(turn)
    assert.deepStrictEqual(sizes(router), empty)
    receive(router, Wire.delta("A", "T", "m", "late"))
    assert.deepStrictEqual(sizes(router), empty)
  })

  it("keeps a turn that somebody else holds", () => {
    const router = make()
    const turn = router.claim("A", "T")
    assert.strictEqual(router.claim("A", "T"), turn)
    assert.isFalse(router.release(turn))
    router.abandon(turn)
    assert.strictEqual(router["turns"].get("T"), turn)
  })

  it.effect("holds nothing of the readers that have gone", () =>
    Effect.gen(function*() {
      const router = make()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Effect.asVoid(router.hub.subscribe)
        yield* Effect.asVoid(router.hub.subscribeUnowned)
        yield* Effect.asVoid(router.hub.subscribeThread("A"))
        yield* Effect.asVoid(router.hub.subscribeThread("A"))
        assert.strictEqual(router.hub["threads"].get("A")?.["readers"].size, 2)
      }))
      assert.deepStrictEqual(
        [router.hub["everything"].isUnread, router.hub["unowned"].isUnread, router.hub["threads"].size],
        [true, true, 0]
      )
      const turn = router.claim("A", "T")
      yield* Effect.scoped(Effect.asVoid(turn.attach("all")))
      assert.strictEqual(turn["log"]["readers"].length, 0)
    }))

  it.effect("holds nothing once it is closed, and keeps the first cause", () =>
    Effect.gen(function*() {
      const router = make()
      const settled: Array<Exit.Exit<unknown, SendError>> = []
      router.await(1, { question, settle: (exit) => settled.push(exit) })
      const { expectation: expected } = router.startPending("B", () => true)
      const turn = router.claim("A", "T")
      const events = yield* turn.attach("all")
      receive(router, Wire.turnStarted("A", "T"))
      router.close(new AppServerExited({ exitCode: 1, stderr: "first" }))
      router.close(new AppServerExited({ exitCode: 2, stderr: "second" }))
      assert.deepStrictEqual(sizes(router), empty)
      const errors = [
        yield* Effect.flip(settled[0] ?? Effect.void),
        yield* Effect.flip(Deferred.await(expected?.turn ?? assert.fail("Nothing is expected"))),
        yield* Effect.flip(Deferred.await(turn.done)),
        yield* Effect.flip(Deferred.await(router.claim("A", "later").done)),
        yield* Effect.flip(Stream.runDrain(events)),
        yield* Effect.flip(Stream.runDrain(yield* router.hub.subscribe))
      ]
      for (const error of errors) {
        assert.instanceOf(error, AppServerExited)
        assert.strictEqual(error.exitCode, 1)
      }
      assert.deepStrictEqual(sizes(router), empty)
    }))

  it("forgets a request that is no longer waited for", () => {
    const router = make()
    const settled: Array<Exit.Exit<unknown, SendError>> = []
    router.await(1, { question, settle: (exit) => settled.push(exit) })
    router.forget(1)
    receive(router, { id: 1, result: {} })
    assert.deepStrictEqual(settled, [])
    assert.deepStrictEqual(sizes(router), empty)
  })

  it("does not mind a payload that is nested deeper than the stack", () => {
    const router = make()
    const deep = `{"method":"turn/diff/updated","params":${"[".repeat(200_000)}${"]".repeat(200_000)}}`
    receiveLine(router, deep)
    const turn = router.claim("A", "T")
    receive(router, Wire.turnStarted("A", "T"), Wire.turnCompleted("A", "T"))
    assert.isTrue(turn.isDone)
  })
})
