import { AppServerClient, Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { asked, closable, echo, failure, halfway, live, prompts } from "./support.ts"

layer(OfflineCodex.layer({ model: echo }), live)("a thread in a scope", (it) => {
  /** What the server says to one who would unsubscribe now. */
  const subscription = (threadId: string) =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const { status } = yield* client.request("thread/unsubscribe", { threadId })
      return status
    })

  it.effect("is unsubscribed from when the scope closes", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const scope = yield* closable
      const thread = yield* scope.use(codex.thread({ model: "gpt-5.4" }))
      assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
      yield* scope.close
      assert.strictEqual(yield* subscription(thread.id), "notSubscribed")
    }))

  it.effect("may be a stored one", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { id } = yield* Effect.scoped(Effect.tap(codex.thread(), (thread) => thread.run("One")))
      const scope = yield* closable
      const thread = yield* scope.use(codex.thread({ resume: id }))
      assert.strictEqual(thread.id, id)
      yield* thread.run("Two")
      const items = yield* Stream.runCollect(thread.items())
      assert.deepStrictEqual(prompts(items.map(({ item }) => item)), ["One", "Two"])
      yield* scope.close
      assert.strictEqual(yield* subscription(id), "notSubscribed")
    }))

  it.effect("is kept as long as another scope has it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const [first, second] = [yield* closable, yield* closable]
      const thread = yield* first.use(codex.thread())
      yield* thread.run("One")
      const same = yield* second.use(codex.thread({ resume: thread.id }))
      yield* first.close
      assert.strictEqual((yield* same.run("Two")).finalResponse, "Answer to: Two")
      yield* second.close
      assert.strictEqual(yield* subscription(thread.id), "notSubscribed")
    }))

  it.effect("is not there where it cannot be resumed", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const error = yield* failure(
        Effect.scoped(codex.thread({ resume: "01a1fd1c-f116-7653-9f7f-6042d480ee9f" })),
        "InvalidRequest"
      )
      assert.strictEqual(error.method, "thread/resume")
    }))

  it.effect("lets a turn of an inner scope end before it goes", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["So ", OfflineModel.hold(gate), "far"]))
      const turn = yield* Effect.scoped(Effect.gen(function*() {
        const thread = yield* codex.thread()
        const turn = yield* thread.turn("Go")
        yield* gate.reached
        return turn
      }))
      yield* failure(turn.result, "TurnInterrupted")
    }))

  /** A model that waits in the middle of its answer to the next request. */
  const halfway = Effect.gen(function*() {
    const model = yield* OfflineModel
    const gate = yield* OfflineModel.gate
    yield* model.enqueue(OfflineModel.text(["So ", OfflineModel.hold(gate), "far"]))
    return gate
  })

  /** The end of the subscription, which comes in its own time. */
  const gone = (threadId: string) =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const { data } = yield* client.request("thread/loaded/list", {})
      if (data.includes(threadId)) return yield* Effect.fail("loaded" as const)
    }).pipe(Effect.retry({ schedule: Schedule.spaced("20 millis") }))

  const config = { thread_unload_delay_secs: 0 }

  it.effect("is let go of after a turn of an outer scope, which that scope ends", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const gate = yield* halfway
      const outer = yield* closable
      const thread = yield* Effect.scoped(Effect.gen(function*() {
        const thread = yield* codex.thread({ config })
        yield* outer.use(thread.turn("Go"))
        yield* gate.reached
        return thread
      }))
      const { outcome } = yield* asked(thread.id)
      assert.deepStrictEqual((yield* thread.read()).status, { type: "active", activeFlags: [] })
      yield* outer.close
      assert.strictEqual(yield* outcome, "disconnected")
      yield* gone(thread.id)
    }))

  it.effect("is let go of after the run of a fiber that ends later", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const gate = yield* halfway
      const id = yield* Effect.scoped(Effect.gen(function*() {
        const thread = yield* codex.thread({ config })
        yield* Effect.forkChild(thread.run("Go"))
        yield* gate.reached
        return thread.id
      })).pipe(Effect.forkChild, Effect.flatMap(Fiber.join))
      const { outcome } = yield* asked(id)
      assert.strictEqual(yield* outcome, "disconnected")
      yield* gone(id)
    }))

  it.effect("does not disturb a run that somebody else has begun, nor is let go of when it is wanted again", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ config })
      yield* thread.run("One")
      const gate = yield* halfway
      const running = yield* Effect.forkChild(thread.run("Go"))
      yield* gate.reached
      yield* Effect.scoped(codex.thread({ resume: thread.id }))
      yield* Effect.scoped(codex.thread({ resume: thread.id }))
      yield* codex.resumeThread(thread.id)
      yield* gate.open
      assert.strictEqual((yield* Fiber.join(running)).finalResponse, "So far")
      assert.strictEqual(yield* subscription(thread.id), "unsubscribed")
    }))

  it.effect("pauses a goal that a fiber works on which ends later", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const gate = yield* halfway
      const id = yield* Effect.scoped(Effect.gen(function*() {
        const thread = yield* codex.thread()
        yield* Effect.forkChild(thread.runGoal("Go"))
        yield* gate.reached
        return thread.id
      })).pipe(Effect.forkChild, Effect.flatMap(Fiber.join))
      const { outcome } = yield* asked(id)
      assert.strictEqual(yield* outcome, "disconnected")
      const thread = yield* codex.resumeThread(id)
      assert.strictEqual((yield* thread.goal.get)?.status, "paused")
    }))

  it.effect("is not left loaded by a start that is interrupted", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const before = (yield* client.request("thread/loaded/list", {})).data
      const started = yield* Effect.forkChild(
        codex.events.pipe(
          Stream.filter((event) => event.method === "thread/started"),
          Stream.take(2),
          Stream.runCollect
        ),
        { startImmediately: true }
      )
      for (const start of [Effect.scoped(codex.thread({ config })), codex.startThread({ config })]) {
        const starting = yield* Effect.forkChild(start, { startImmediately: true })
        yield* Fiber.interrupt(starting)
      }
      for (const { threadId } of yield* Fiber.join(started)) yield* gone(threadId ?? assert.fail("Whose?"))
      assert.deepStrictEqual((yield* client.request("thread/loaded/list", {})).data.toSorted(), before.toSorted())
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("a thread that was unsubscribed from", (it) => {
  it.effect("is resumed before its next turn", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      yield* thread.run("One")
      assert.strictEqual(yield* thread.unsubscribe, "unsubscribed")
      assert.strictEqual(yield* thread.unsubscribe, "notSubscribed")
      // Without that the turn would run unheard, and its result would never come.
      assert.strictEqual((yield* thread.run("Two")).finalResponse, "Answer to: Two")
      const turn = yield* thread.turn("Three")
      assert.strictEqual((yield* turn.result).finalResponse, "Answer to: Three")
      assert.strictEqual(yield* thread.unsubscribe, "unsubscribed")
      yield* thread.compact
    }))

  it.effect("is resumed before the work on a goal", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* thread.run("One")
      yield* thread.unsubscribe
      yield* model.enqueue(
        OfflineModel.functionCall({ name: "update_goal", arguments: { status: "complete" } }),
        OfflineModel.text("Done")
      )
      assert.strictEqual((yield* thread.runGoal("Go")).finalResponse, "Done")
    }))

  it.effect("fails its turns where it was never stored", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const ephemeral = yield* codex.startThread({ ephemeral: true })
      yield* ephemeral.run("One")
      const fresh = yield* codex.startThread()
      for (const thread of [ephemeral, fresh]) {
        yield* thread.unsubscribe
        const error = yield* failure(thread.run("Two"), "InvalidRequest")
        assert.strictEqual(error.method, "thread/resume")
        assert.include(error.message, "no rollout found")
      }
    }))

  it.effect("fails the turn that runs, which goes on unheard", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { gate, thread, turn } = yield* halfway
      yield* thread.unsubscribe
      const error = yield* failure(turn.result, "TransportError")
      assert.include(error.message, "unsubscribed")
      yield* failure(Stream.runDrain(turn.events), "TransportError")
      const idle = yield* Effect.forkChild(
        codex.events.pipe(
          Stream.filter((event) => event.method === "thread/status/changed" && event.threadId === thread.id),
          Stream.runHead
        ),
        { startImmediately: true }
      )
      yield* gate.open
      yield* Fiber.join(idle)
      const [last] = yield* Stream.runCollect(thread.turns())
      assert.deepStrictEqual([last?.id, last?.status], [turn.id, "completed"])
      // Other threads' turns do not notice.
      const other = yield* codex.startThread()
      assert.strictEqual((yield* other.run("Hello")).finalResponse, "Answer to: Hello")
    }))

  it.effect("is resumed too when the server has unloaded it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ config: { thread_unload_delay_secs: 0 } })
      yield* thread.run("One")
      const closed = yield* Effect.forkChild(
        codex.events.pipe(
          Stream.filter((event) => event.method === "thread/closed" && event.threadId === thread.id),
          Stream.runHead
        ),
        { startImmediately: true }
      )
      yield* thread.unsubscribe
      yield* Fiber.join(closed)
      assert.strictEqual((yield* thread.run("Two")).finalResponse, "Answer to: Two")
    }))
})

layer(OfflineCodex.layer({ model: echo, codex: { config: { thread_unload_delay_secs: 0 } } }), live)(
  "a thread that the server closes as soon as it is let go of",
  (it) => {
    it.effect("is had by one scope after the other", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const { id } = yield* Effect.scoped(Effect.tap(codex.thread(), (thread) => thread.run("Begin")))
        for (const text of ["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight"]) {
          const { finalResponse } = yield* Effect.scoped(
            Effect.flatMap(codex.thread({ resume: id }), (thread) => thread.run(text))
          )
          assert.strictEqual(finalResponse, `Answer to: ${text}`)
        }
      }))

    it.effect("is resumed before its next turn", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const thread = yield* codex.startThread()
        yield* thread.run("Begin")
        for (const text of ["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight"]) {
          yield* thread.unsubscribe
          assert.strictEqual((yield* thread.run(text)).finalResponse, `Answer to: ${text}`)
        }
      }))
  }
)
