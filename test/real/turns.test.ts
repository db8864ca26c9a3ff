import { Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { asked, echo, live, messages, methods, prompts, spoken } from "./support.ts"

layer(OfflineCodex.layer({ model: echo }), live)("a turn", (it) => {
  it.effect("runs to its answer", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue([
        OfflineModel.text("Hello there"),
        OfflineModel.usage({ input: 30, cachedInput: 4, output: 7, reasoningOutput: 2 })
      ])
      const thread = yield* codex.startThread()
      const result = yield* thread.run("Say hello")
      assert.strictEqual(result.threadId, thread.id)
      assert.strictEqual(result.status, "completed")
      assert.strictEqual(result.finalResponse, "Hello there")
      assert.deepStrictEqual(result.items.map((item) => item.type), ["userMessage", "agentMessage"])
      assert.deepStrictEqual(prompts(result.items), ["Say hello"])
      assert.deepStrictEqual(result.usage?.last, {
        totalTokens: 37,
        inputTokens: 30,
        cachedInputTokens: 4,
        cacheWriteInputTokens: 0,
        outputTokens: 7,
        reasoningOutputTokens: 2
      })
      assert.isNotNull(result.startedAt)
      assert.isNotNull(result.completedAt)
      // The server gives seconds: a date in 1970 would be milliseconds taken for them.
      assert.isAbove(DateTime.toEpochMillis(result.startedAt), Date.UTC(2020, 0))
      assert.isAtLeast(DateTime.toEpochMillis(result.completedAt), DateTime.toEpochMillis(result.startedAt))
      assert.isAtLeast(result.durationMs ?? -1, 0)
      const request = yield* asked(thread.id)
      assert.strictEqual(request.text, "Say hello")
      assert.strictEqual(request.turnId, result.turnId)
      assert.strictEqual(request.kind, "turn")
    }))

  it.effect("keeps the thread's history from turn to turn", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const first = yield* thread.run("One")
      const second = yield* thread.run("Two")
      const third = yield* thread.run("Three")
      assert.deepStrictEqual([first, second, third].map((result) => result.finalResponse), [
        "Answer to: One",
        "Answer to: Two",
        "Answer to: Three"
      ])
      assert.strictEqual(new Set([first.turnId, second.turnId, third.turnId]).size, 3)
      // Each turn has its own items only; the model gets them all.
      assert.deepStrictEqual(prompts(third.items), ["Three"])
      const request = yield* asked(thread.id, 3)
      const sent = JSON.stringify(request.input)
      const order = ["One", "Answer to: One", "Two", "Answer to: Two", "Three"].map((text) =>
        sent.indexOf(JSON.stringify(text))
      )
      assert.notInclude(order, -1)
      assert.deepStrictEqual(order, order.toSorted((a, b) => a - b))
      assert.strictEqual(third.usage?.total.totalTokens, 45)
      assert.strictEqual(third.usage?.last.totalTokens, 15)
    }))

  it.effect("streams its events in order", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const events = yield* Stream.runCollect(thread.stream("Say three words"))
      assert.strictEqual(spoken(events), "Answer to: Say three words")
      const seen = methods(events)
      assert.strictEqual(seen[0], "turn/started")
      assert.strictEqual(seen.at(-1), "turn/completed")
      assert.strictEqual(seen.filter((method) => method === "item/completed").length, 2)
      const turnIds = new Set(events.map((event) => event.turnId))
      assert.strictEqual(turnIds.size, 1)
      assert.isTrue(events.every((event) => event.threadId === thread.id))
    }))

  it.effect("streams beside another turn, each with its own events", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gates = { left: yield* Queue.unbounded<void>(), right: yield* Queue.unbounded<void>() }
      yield* model.respond((request) => {
        const gate = request.text === "left" ? gates.left : gates.right
        const step = OfflineModel.hold(Queue.take(gate))
        return OfflineModel.text([`${request.text}1 `, step, `${request.text}2 `, step, `${request.text}3`])
      })
      const order: Array<string> = []
      // A delta of one turn lets the other turn go on: neither can end before both have been read in turns.
      const read = (side: "left" | "right", other: Queue.Queue<void>) =>
        Effect.gen(function*() {
          const thread = yield* codex.startThread()
          return yield* thread.stream(side).pipe(
            Stream.tap((event) => {
              if (event.method !== "item/agentMessage/delta") return Effect.void
              order.push(event.params.delta.trim())
              return Queue.offer(other, undefined)
            }),
            Stream.runCollect
          )
        })
      const [left, right] = yield* Effect.all([read("left", gates.right), read("right", gates.left)], {
        concurrency: 2
      })
      yield* model.respond(echo.respond ?? (() => undefined))
      assert.strictEqual(spoken(left), "left1 left2 left3")
      assert.strictEqual(spoken(right), "right1 right2 right3")
      assert.isBelow(order.indexOf("left1"), order.indexOf("right2"))
      assert.isBelow(order.indexOf("right1"), order.indexOf("left2"))
      assert.isBelow(order.indexOf("left2"), order.indexOf("right3"))
      assert.isBelow(order.indexOf("right2"), order.indexOf("left3"))
    }))

  it.effect("runs beside nineteen others on the same connection", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.respond((request) => OfflineModel.text(["Answer ", OfflineModel.hold(gate), "to: ", request.text]))
      const running = yield* Effect.forkChild(Effect.forEach(
        Array.from({ length: 20 }, (_, index) => `prompt ${index}`),
        (prompt) =>
          Effect.gen(function*() {
            const thread = yield* codex.startThread()
            const [result, events] = yield* Effect.scoped(Effect.gen(function*() {
              const turn = yield* thread.turn(prompt)
              return yield* Effect.all([turn.result, Stream.runCollect(turn.events)], { concurrency: 2 })
            }))
            return { prompt, thread, result, events }
          }),
        { concurrency: 20 }
      ))
      // All twenty are with the model before the first one may go on.
      yield* model.requestStream.pipe(
        Stream.filter((request) => request.text.startsWith("prompt ")),
        Stream.take(20),
        Stream.runDrain
      )
      yield* gate.open
      const runs = yield* Fiber.join(running)
      yield* model.respond(echo.respond ?? (() => undefined))
      assert.strictEqual(new Set(runs.map((run) => run.thread.id)).size, 20)
      for (const { events, prompt, result, thread } of runs) {
        assert.strictEqual(result.threadId, thread.id)
        assert.strictEqual(result.finalResponse, `Answer to: ${prompt}`)
        assert.deepStrictEqual(prompts(result.items), [prompt])
        assert.strictEqual(spoken(events), `Answer to: ${prompt}`)
        assert.isTrue(events.every((event) => event.threadId === thread.id && event.turnId === result.turnId))
      }
    }))

  it.effect("takes a model, an effort and a summary that hold for the turns after it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ model: "gpt-5.3" })
      yield* thread.run("One")
      yield* thread.run("Two", { model: "gpt-5.2", effort: "high", summary: "detailed" })
      yield* thread.run("Three")
      const [first, second, third] = [
        yield* asked(thread.id, 1),
        yield* asked(thread.id, 2),
        yield* asked(thread.id, 3)
      ]
      assert.strictEqual(first.model, "gpt-5.3")
      for (const request of [second, third]) {
        assert.strictEqual(request.model, "gpt-5.2")
        assert.strictEqual(request.effort, "high")
        assert.strictEqual(request.summary, "detailed")
      }
      assert.notStrictEqual(first.effort, "high")
    }))

  it.effect("starts with the thread's instructions", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({
        baseInstructions: "Speak like a pirate.",
        developerInstructions: "Never mention rum."
      })
      yield* thread.run("Hello")
      const request = yield* asked(thread.id)
      assert.strictEqual(request.instructions, "Speak like a pirate.")
      assert.include(JSON.stringify(request.input), "Never mention rum.")
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("the handle of a turn", (it) => {
  it.effect("replays its events from the first one, each time", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Repeat yourself")
      const during = yield* Stream.runCollect(turn.events)
      const result = yield* turn.result
      const after = yield* Stream.runCollect(turn.events)
      assert.strictEqual(turn.threadId, thread.id)
      assert.strictEqual(turn.id, result.turnId)
      assert.strictEqual(methods(during)[0], "turn/started")
      assert.strictEqual(methods(during).at(-1), "turn/completed")
      assert.deepStrictEqual(after, during)
    }))

  it.effect("gives two readers everything at the same time", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("To both of you")
      const [left, right] = yield* Effect.all([Stream.runCollect(turn.events), Stream.runCollect(turn.events)], {
        concurrency: 2
      })
      assert.strictEqual(spoken(left), "Answer to: To both of you")
      assert.deepStrictEqual(right, left)
    }))

  it.effect("gives the text as it is said", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["The first half ", OfflineModel.hold(gate), "and the second."]))
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Slowly, please")
      // The gate opens only once the first half was read, so the text cannot have waited for the answer's end.
      const said = yield* turn.text.pipe(
        Stream.tap((delta) => delta === "The first half " ? gate.open : Effect.void),
        Stream.runCollect
      )
      const result = yield* turn.result
      assert.deepStrictEqual(said, ["The first half ", "and the second."])
      assert.strictEqual(result.finalResponse, said.join(""))
    }))

  it.effect("gives the result when nobody reads the events", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Anybody there?")
      const result = yield* turn.result
      assert.strictEqual(result.finalResponse, "Answer to: Anybody there?")
      assert.strictEqual((yield* turn.result).finalResponse, "Answer to: Anybody there?")
    }))

  it.effect("shows the agent's reasoning among the items", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue([OfflineModel.reasoning("**Think**"), OfflineModel.text("Done")])
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Think first")
      const result = yield* turn.result
      assert.deepStrictEqual(result.items.map((item) => item.type), ["userMessage", "reasoning", "agentMessage"])
      assert.deepStrictEqual(messages(result.items), ["Done"])
      const events = yield* Stream.runCollect(turn.events)
      const thoughts = events.flatMap((event) =>
        event.method === "item/reasoning/summaryTextDelta" ? [event.params.delta] : []
      )
      assert.deepStrictEqual(thoughts, ["**Think**"])
    }))
})
