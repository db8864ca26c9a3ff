import { AppServerClient, Codex, type Thread } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import {
  asked,
  askedCount,
  closable,
  echo,
  failure,
  heard,
  live,
  messages,
  methods,
  prompts,
  spoken
} from "./support.ts"

layer(OfflineCodex.layer({ model: echo }), live)("interrupting a turn", (it) => {
  /** A thread with a model that says half of its answer to the next request and then waits. */
  const halfway = Effect.gen(function*() {
    const codex = yield* Codex
    const model = yield* OfflineModel
    const gate = yield* OfflineModel.gate
    yield* model.enqueue([
      OfflineModel.commentary("Let me see."),
      OfflineModel.text(["Half ", OfflineModel.hold(gate), "and whole."])
    ])
    return { thread: yield* codex.startThread(), gate }
  })

  /** What is left of an interrupted turn: nothing at the model, the word of the server, and a thread that goes on. */
  const leftBehind = (thread: Thread) =>
    Effect.gen(function*() {
      const request = yield* asked(thread.id)
      assert.strictEqual(yield* request.outcome, "disconnected")
      const next = yield* thread.run("Next")
      assert.strictEqual(next.finalResponse, "Answer to: Next")
      assert.deepStrictEqual(prompts(next.items), ["Next"])
      const { status, turns } = yield* thread.read({ includeTurns: true })
      assert.deepStrictEqual(turns.map((turn) => turn.status), ["interrupted", "completed"])
      assert.strictEqual(turns[1]?.id, next.turnId)
      assert.deepStrictEqual(status, { type: "idle" })
    })

  it.effect("by its handle fails the result with what there was", () =>
    Effect.gen(function*() {
      const { thread } = yield* halfway
      const turn = yield* thread.turn("Go")
      yield* heard(turn, "Half ")
      yield* turn.interrupt
      const error = yield* failure(turn.result, "TurnInterrupted")
      assert.strictEqual(error.threadId, thread.id)
      assert.strictEqual(error.turnId, turn.id)
      assert.isNull(error.error)
      assert.strictEqual(error.result.status, "interrupted")
      assert.strictEqual(error.result.finalResponse, null)
      assert.deepStrictEqual(messages(error.result.items), ["Let me see."])
      assert.isNotNull(error.result.completedAt)
      const events = yield* Stream.runCollect(turn.events)
      assert.strictEqual(methods(events).at(-1), "turn/completed")
      yield* leftBehind(thread)
    }))

  it.effect("by its handle ends a stream of its text after what was said", () =>
    Effect.gen(function*() {
      const { thread } = yield* halfway
      const turn = yield* thread.turn("Go")
      const said = yield* turn.text.pipe(
        Stream.tap((delta) => delta === "Half " ? turn.interrupt : Effect.void),
        Stream.runCollect
      )
      assert.strictEqual(said.join(""), "Let me see.Half ")
      yield* leftBehind(thread)
    }))

  it.effect("by the fiber in run waits for the turn's end", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      const running = yield* Effect.forkChild(thread.run("Go"))
      yield* gate.reached
      yield* Fiber.interrupt(running)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(running)))
      assert.deepStrictEqual((yield* thread.read()).status, { type: "idle" })
      yield* leftBehind(thread)
    }))

  it.effect("by a timeout of run", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      // Stands for the time that runs out: the other side wins as soon as the turn is halfway.
      const winner = yield* Effect.raceFirst(thread.run("Go"), Effect.as(gate.reached, "out of time"))
      assert.strictEqual(winner, "out of time")
      yield* leftBehind(thread)
    }))

  it.effect("by the end of its scope", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      const scope = yield* closable
      const turn = yield* scope.use(thread.turn("Go"))
      yield* gate.reached
      yield* scope.close
      yield* failure(turn.result, "TurnInterrupted")
      yield* leftBehind(thread)
    }))

  it.effect("by the failure of the program that holds it", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      const program = Effect.scoped(Effect.gen(function*() {
        yield* thread.turn("Go")
        yield* gate.reached
        return yield* Effect.fail({ _tag: "Broken" } as const)
      }))
      yield* failure(program, "Broken")
      yield* leftBehind(thread)
    }))

  it.effect("by taking only the beginning of its stream", () =>
    Effect.gen(function*() {
      const { thread } = yield* halfway
      const events = yield* thread.stream("Go").pipe(
        Stream.takeUntil((event) => event.method === "item/agentMessage/delta" && event.params.delta === "Half "),
        Stream.runCollect
      )
      assert.strictEqual(spoken(events), "Let me see.Half ")
      yield* leftBehind(thread)
    }))

  it.effect("by a stream's reader that fails", () =>
    Effect.gen(function*() {
      const { thread } = yield* halfway
      yield* failure(
        thread.stream("Go").pipe(
          Stream.mapEffect((event) =>
            event.method === "item/agentMessage/delta" ? Effect.fail({ _tag: "Disliked" } as const) : Effect.void
          ),
          Stream.runDrain
        ),
        "Disliked"
      )
      const { status, turns } = yield* thread.read({ includeTurns: true })
      assert.deepStrictEqual(turns.map((turn) => turn.status), ["interrupted"])
      assert.deepStrictEqual(status, { type: "idle" })
    }))

  it.effect("by the fiber that reads its stream", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      const reading = yield* Effect.forkChild(Stream.runDrain(thread.stream("Go")))
      yield* gate.reached
      yield* Fiber.interrupt(reading)
      yield* leftBehind(thread)
    }))

  it.effect("by the fiber that reads its stream comes before what stands behind the stream", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      const reading = yield* thread.stream("Go").pipe(
        Stream.map(({ method }) => method),
        Stream.ensuring(Effect.ignore(thread.unsubscribe)),
        Stream.runDrain,
        Effect.forkChild
      )
      yield* gate.reached
      yield* Fiber.interrupt(reading)
      yield* leftBehind(thread)
    }))

  it.effect("from outside fails the stream after its last event", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const { gate, thread } = yield* halfway
      const seen: Array<string> = []
      const reading = yield* thread.stream("Go").pipe(
        Stream.runForEach((event) => Effect.sync(() => seen.push(event.method))),
        Effect.forkChild
      )
      yield* gate.reached
      const { turnId } = yield* asked(thread.id)
      yield* client.request("turn/interrupt", {
        threadId: thread.id,
        turnId: turnId ?? assert.fail("The model was not told the turn")
      })
      const error = yield* failure(Fiber.join(reading), "TurnInterrupted")
      assert.strictEqual(error.turnId, turnId)
      assert.strictEqual(seen.at(-1), "turn/completed")
      yield* leftBehind(thread)
    }))

  it.effect("as soon as its handle is there", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      // Until turn/started the server refuses to interrupt, and runs the turn. Held answers prove it did not.
      yield* model.respond((request) =>
        request.text.startsWith("Go") ? OfflineModel.text([OfflineModel.hold(Effect.never)]) : echo.respond?.(request)
      )
      yield* Effect.forEach([1, 2, 3, 4, 5], (round) =>
        Effect.gen(function*() {
          const thread = yield* codex.startThread()
          const turn = yield* thread.turn(`Go ${round}`)
          yield* turn.interrupt
          yield* failure(turn.result, "TurnInterrupted")
          assert.strictEqual((yield* thread.run("Next")).finalResponse, "Answer to: Next")
        }))
      yield* model.respond((request) => echo.respond?.(request))
    }))

  it.effect("before its start has been answered", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.respond((request) =>
        request.text === "Go" ? OfflineModel.text([OfflineModel.hold(Effect.never)]) : echo.respond?.(request)
      )
      const thread = yield* codex.startThread()
      // It runs on the spot up to the wait for the answer, so the request has been written.
      const running = yield* Effect.forkChild(thread.run("Go"), { startImmediately: true })
      yield* Fiber.interrupt(running)
      const { status, turns } = yield* thread.read({ includeTurns: true })
      assert.deepStrictEqual(turns.map((turn) => turn.status), ["interrupted"])
      assert.deepStrictEqual(status, { type: "idle" })
      assert.strictEqual((yield* thread.run("Next")).finalResponse, "Answer to: Next")
      yield* model.respond((request) => echo.respond?.(request))
    }))

  it.effect("twice at once", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      const turn = yield* thread.turn("Go")
      yield* gate.reached
      yield* Effect.all([turn.interrupt, turn.interrupt], { concurrency: 2 })
      yield* failure(turn.result, "TurnInterrupted")
      yield* leftBehind(thread)
    }))

  it.effect("that has ended does nothing", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("One")
      const result = yield* turn.result
      yield* turn.interrupt
      // Not even to the turn that runs now.
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["Still ", OfflineModel.hold(gate), "here"]))
      const next = yield* thread.turn("Two")
      yield* gate.reached
      yield* turn.interrupt
      yield* gate.open
      assert.strictEqual((yield* next.result).finalResponse, "Still here")
      assert.deepStrictEqual(yield* turn.result, result)
    }))

  it.effect("leaves the turn beside it alone", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      const turn = yield* thread.turn("Go")
      yield* gate.reached
      const other = yield* halfway
      const untouched = yield* other.thread.turn("Go too")
      yield* other.gate.reached
      yield* turn.interrupt
      yield* failure(turn.result, "TurnInterrupted")
      yield* other.gate.open
      assert.strictEqual((yield* untouched.result).finalResponse, "Half and whole.")
    }))

  it.effect("waiting for its result does not hold the turn: giving up the wait lets it run", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* halfway
      const turn = yield* thread.turn("Go")
      const waiting = yield* Effect.forkChild(turn.result)
      yield* gate.reached
      yield* Fiber.interrupt(waiting)
      yield* gate.open
      assert.strictEqual((yield* turn.result).finalResponse, "Half and whole.")
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("a turn that is started on a busy thread", (it) => {
  const busy = Effect.gen(function*() {
    const codex = yield* Codex
    const model = yield* OfflineModel
    const gate = yield* OfflineModel.gate
    yield* model.enqueue(
      [OfflineModel.commentary("Noted."), OfflineModel.text(["Well, ", OfflineModel.hold(Effect.never)])],
      OfflineModel.text(["Answer ", OfflineModel.hold(gate), "to both"])
    )
    const thread = yield* codex.startThread()
    const scopes = [yield* closable, yield* closable] as const
    const first = yield* scopes[0].use(thread.turn("First"))
    yield* heard(first, "Well, ")
    const second = yield* scopes[1].use(thread.turn("Second"))
    yield* gate.reached
    return { thread, goOn: gate.open, scopes, first, second }
  })

  it.effect("is the one that runs: it takes the input up", () =>
    Effect.gen(function*() {
      const { first, goOn, second, thread } = yield* busy
      assert.strictEqual(second.id, first.id)
      yield* goOn
      const [left, right] = yield* Effect.all([first.result, second.result])
      assert.deepStrictEqual(right, left)
      assert.deepStrictEqual(prompts(left.items), ["First", "Second"])
      assert.deepStrictEqual(messages(left.items), ["Noted.", "Answer to both"])
      const request = yield* asked(thread.id, 2)
      assert.strictEqual(request.turnId, first.id)
      assert.strictEqual(request.text, "Second")
      const { turns } = yield* thread.read({ includeTurns: true })
      assert.deepStrictEqual(turns.map((turn) => turn.id), [first.id])
      const events = yield* Stream.runCollect(first.events)
      assert.strictEqual(methods(events)[0], "turn/started")
      assert.deepStrictEqual(yield* Stream.runCollect(second.events), events)
    }))

  it.effect("goes on while one of its holders is left", () =>
    Effect.gen(function*() {
      const { goOn, scopes, second } = yield* busy
      yield* scopes[0].close
      yield* goOn
      const result = yield* second.result
      assert.strictEqual(result.status, "completed")
      assert.strictEqual(result.finalResponse, "Answer to both")
    }))

  it.effect("is interrupted when the last holder leaves", () =>
    Effect.gen(function*() {
      const { scopes, second, thread } = yield* busy
      yield* scopes[1].close
      assert.deepStrictEqual((yield* thread.read()).status, { type: "active", activeFlags: [] })
      yield* scopes[0].close
      yield* failure(second.result, "TurnInterrupted")
      assert.strictEqual(yield* (yield* asked(thread.id, 2)).outcome, "disconnected")
      assert.strictEqual(yield* askedCount(thread.id), 2)
    }))
})
