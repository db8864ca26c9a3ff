import { AppServerClient, Codex, type Thread } from "@effect-codex/core"
import { type ModelRequest, OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { asked, askedCount, closable, echo, failure, live, messages, methods, spoken } from "./support.ts"

const settle = (status: "complete" | "blocked") =>
  OfflineModel.functionCall({ name: "update_goal", arguments: { status } })

/** Whether the request brings the result of a tool call. */
const isToolOutput = (request: ModelRequest): boolean => request.input.at(-1)?.type === "function_call_output"

layer(OfflineCodex.layer({ model: echo }), live)("a goal", (it) => {
  /** A thread whose model answers its `n`th request, from 1, as told; tool outputs are acknowledged. */
  const working = (answer: (n: number) => ReturnType<typeof OfflineModel.text> | ReturnType<typeof settle>) =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      let n = 0
      yield* model.respond((request) =>
        request.threadId !== thread.id
          ? echo.respond?.(request)
          : isToolOutput(request)
          ? OfflineModel.text("Noted")
          : answer(++n)
      )
      return thread
    })

  /** The same where the first turn waits at a gate. */
  const waiting = Effect.gen(function*() {
    const gate = yield* OfflineModel.gate
    const thread = yield* working((n) =>
      n === 1 ? OfflineModel.text(["So ", OfflineModel.hold(gate), "far"]) : settle("complete")
    )
    return { thread, gate }
  })

  const goalOf = (thread: Thread) =>
    Effect.map(thread.goal.get, (goal) => goal ?? assert.fail("The thread has no goal"))

  it.effect("is one run of all the turns that it takes", () =>
    Effect.gen(function*() {
      const thread = yield* working((n) => n < 3 ? OfflineModel.text(`Step ${n}`) : settle("complete"))
      const result = yield* thread.runGoal({ objective: "Take three steps", tokenBudget: 100_000 })
      assert.deepStrictEqual([result.threadId, result.outcome], [thread.id, "complete"])
      assert.deepStrictEqual(
        result.turns.map((turn) => messages(turn.items)),
        [["Step 1"], ["Step 2"], ["Noted"]]
      )
      assert.deepStrictEqual(messages(result.items), ["Step 1", "Step 2", "Noted"])
      assert.strictEqual(result.finalResponse, "Noted")
      assert.deepStrictEqual([result.goal?.status, result.goal?.objective], ["complete", "Take three steps"])
      assert.strictEqual(result.goal?.tokenBudget, 100_000)
      assert.isTrue(Duration.isDuration(result.goal?.timeUsed))
      assert.strictEqual(result.usage?.total.totalTokens, 60)
      assert.isTrue(result.startedAt !== null && result.completedAt !== null)
      assert.strictEqual(yield* askedCount(thread.id), 4)
    }))

  it.effect("has the events of all its turns in one stream, and nobody else has them", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* working((n) => n < 2 ? OfflineModel.text("One step") : settle("complete"))
      const unowned = yield* Effect.forkChild(
        codex.events.pipe(
          Stream.filter((event) => event.threadId === thread.id),
          Stream.takeUntil((event) => event.method === "turn/started"),
          Stream.runCollect
        ),
        { startImmediately: true }
      )
      const handle = yield* thread.startGoal("Take a step")
      assert.deepStrictEqual([handle.goal.status, handle.goal.objective], ["active", "Take a step"])
      const result = yield* handle.result
      const events = yield* Stream.runCollect(handle.events)
      assert.strictEqual(methods(events)[0], "thread/goal/updated")
      assert.strictEqual(methods(events).at(-1), "turn/completed")
      assert.deepStrictEqual(
        events.flatMap((event) => event.method === "turn/started" ? [event.params.turn.id] : []),
        result.turns.map(({ turnId }) => turnId)
      )
      assert.strictEqual(spoken(events), "One stepNoted")
      assert.strictEqual((yield* Stream.runCollect(handle.text)).join(""), "One stepNoted")
      // The first turn that is nobody's is another one, of which this client only hears.
      yield* thread.goal.set({ objective: "Another", status: "active" })
      const others = yield* Fiber.join(unowned)
      yield* thread.goal.clear
      assert.notInclude(methods(others), "item/agentMessage/delta")
    }))

  it.effect("may end blocked, or for its budget", () =>
    Effect.gen(function*() {
      const blocked = yield* working(() => settle("blocked"))
      const stuck = yield* blocked.runGoal("Something impossible")
      assert.deepStrictEqual([stuck.outcome, stuck.turns.length], ["blocked", 1])
      const greedy = yield* working((n) => OfflineModel.text(`Again ${n}`))
      const stopped = yield* greedy.runGoal({ objective: "Go on", tokenBudget: 20 })
      assert.deepStrictEqual([stopped.outcome, messages(stopped.items)], ["budgetLimited", ["Again 1", "Again 2"]])
    }))

  it.effect("that is cleared ends with the turn that runs", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* waiting
      const handle = yield* thread.startGoal("Go")
      yield* gate.reached
      assert.isTrue(yield* thread.goal.clear)
      assert.isFalse(yield* thread.goal.clear)
      yield* gate.open
      const result = yield* handle.result
      assert.deepStrictEqual([result.outcome, result.goal], ["cleared", null])
      assert.deepStrictEqual(messages(result.items), ["So far"])
      assert.isNull(yield* thread.goal.get)
    }))

  it.effect("that gives way to another one is cleared, whatever comes of that one", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* waiting
      const first = yield* thread.startGoal("First")
      yield* gate.reached
      const second = yield* thread.startGoal("Second")
      yield* gate.open
      const [one, other] = [yield* first.result, yield* second.result]
      assert.deepStrictEqual([one.outcome, one.goal, messages(one.items)], ["cleared", null, ["So far"]])
      assert.deepStrictEqual([other.outcome, other.goal?.objective], ["complete", "Second"])
    }))

  it.effect("is given another objective while it is worked on", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* waiting
      const handle = yield* thread.startGoal("Go")
      yield* gate.reached
      yield* thread.goal.set({ objective: "Go elsewhere" })
      yield* gate.open
      const result = yield* handle.result
      assert.deepStrictEqual([result.outcome, result.goal?.objective], ["complete", "Go elsewhere"])
      assert.include(JSON.stringify((yield* asked(thread.id, 2)).input), "objective was edited")
    }))

  it.effect("is paused by the interruption of its run, and resumed", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* waiting
      const run = yield* Effect.forkChild(thread.runGoal("Go"), { startImmediately: true })
      yield* gate.reached
      yield* Fiber.interrupt(run)
      const request = yield* asked(thread.id, 1)
      assert.strictEqual(yield* request.outcome, "disconnected")
      assert.strictEqual((yield* goalOf(thread)).status, "paused")
      // Another turn does not bring it back.
      const model = yield* OfflineModel
      yield* model.enqueue(OfflineModel.text("Hi"))
      yield* thread.run("Hello")
      assert.strictEqual((yield* goalOf(thread)).status, "paused")
      const result = yield* thread.runGoal({})
      assert.deepStrictEqual([result.outcome, result.goal?.objective], ["complete", "Go"])
    }))

  it.effect("is paused by its handle and by the end of its scope", () =>
    Effect.gen(function*() {
      const first = yield* waiting
      const handle = yield* first.thread.startGoal("Go")
      yield* first.gate.reached
      yield* handle.interrupt
      const error = yield* failure(handle.result, "TurnInterrupted")
      assert.strictEqual(error.threadId, first.thread.id)
      assert.strictEqual((yield* goalOf(first.thread)).status, "paused")
      yield* handle.interrupt

      const second = yield* waiting
      const scope = yield* closable
      const scoped = yield* scope.use(second.thread.startGoal("Go"))
      yield* second.gate.reached
      yield* scope.close
      yield* failure(scoped.result, "TurnInterrupted")
      assert.strictEqual((yield* goalOf(second.thread)).status, "paused")
    }))

  it.effect("fails with the turn that failed, and has what all turns had produced", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      yield* model.enqueue(OfflineModel.text("Step one"), [
        OfflineModel.text("Step two"),
        OfflineModel.failed({ code: "insufficient_quota", message: "No more" })
      ])
      const error = yield* failure(thread.runGoal("Go"), "TurnFailed")
      assert.deepStrictEqual(messages(error.result.items), ["Step one", "Step two"])
      assert.strictEqual(error.error?.codexErrorInfo, "usageLimitExceeded")
      assert.strictEqual((yield* goalOf(thread)).status, "usageLimited")
    }))

  it.effect("leaves the turns of this client to those who started them", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* waiting
      const turn = yield* thread.turn("Mine")
      yield* gate.reached
      const handle = yield* thread.startGoal("Go")
      yield* gate.open
      const mine = yield* turn.result
      assert.strictEqual(mine.finalResponse, "So far")
      const result = yield* handle.result
      assert.deepStrictEqual([result.outcome, messages(result.items)], ["complete", ["Noted"]])
      assert.notInclude(result.turns.map(({ turnId }) => turnId), mine.turnId)
    }))

  it.effect("is a new one each time, or the one that is there", () =>
    Effect.gen(function*() {
      const thread = yield* working((n) => n < 3 ? OfflineModel.text("Enough") : settle("complete"))
      const first = yield* thread.runGoal({ objective: "First", tokenBudget: 10 })
      assert.deepStrictEqual([first.outcome, first.goal?.tokensUsed], ["budgetLimited", 15])
      const more = yield* thread.goal.set({ tokenBudget: null })
      assert.deepStrictEqual([more.tokenBudget, more.objective, more.status], [null, "First", "budgetLimited"])
      const again = yield* thread.runGoal({})
      assert.deepStrictEqual([again.outcome, again.goal?.objective], ["complete", "First"])
      // The request that reaches it may or may not be counted by then.
      assert.isAtLeast(again.goal?.tokensUsed ?? 0, 30)
      const second = yield* thread.startGoal("Second")
      assert.deepStrictEqual([second.goal.tokensUsed, second.goal.tokenBudget, second.goal.status], [0, null, "active"])
      assert.strictEqual((yield* second.result).outcome, "complete")
    }))

  it.effect("gives way to no other one that the server would not take", () =>
    Effect.gen(function*() {
      const thread = yield* working(() => settle("complete"))
      yield* thread.goal.set({ objective: "Precious", status: "paused", tokenBudget: 100 })
      const stored = yield* thread.goal.get
      const wrong: ReadonlyArray<readonly [path: string, options: { readonly [option: string]: unknown }]> = [
        ["tokenBudget", { objective: "New", tokenBudget: Number.NaN }],
        ["tokenBudget", { objective: "New", tokenBudget: -5 }],
        ["tokenBudget", { objective: "New", tokenBudget: 0 }],
        ["tokenBudget", { objective: "New", tokenBudget: 1.5 }],
        ["objective", { objective: "" }],
        ["objective", { objective: "\u0085 \u2003" }],
        ["objective", { objective: 5 }],
        ["objective", { objective: null }],
        ["objective", { objective: "😀".repeat(4001) }],
        ["origin", { objective: "New", origin: "nobody" }],
        ["objectiv", { objectiv: "New" }]
      ]
      for (const [path, options] of wrong) {
        for (
          const start of [
            Effect.asVoid(thread.runGoal(options)),
            Effect.asVoid(Effect.scoped(thread.startGoal(options)))
          ]
        ) {
          const error = yield* failure(start, "InvalidParams")
          assert.deepStrictEqual([error.method, error.sent], ["thread/goal/set", false])
          assert.deepStrictEqual(Array.from(new Set(error.issues.map((issue) => issue.path))), [path])
        }
      }
      assert.deepStrictEqual(yield* thread.goal.get, stored)
      assert.strictEqual(yield* askedCount(thread.id), 0)
    }))

  it.effect("may be as long as the server counts it, in characters and without the blanks around them", () =>
    Effect.gen(function*() {
      const thread = yield* working(() => settle("complete"))
      const objective = "😀".repeat(4000)
      const result = yield* thread.runGoal({ objective: `\u0085 ${objective}\n`, tokenBudget: 1_000_000 })
      assert.deepStrictEqual([result.outcome, result.goal?.objective], ["complete", objective])
    }))

  it.effect("is there, and paused, whenever a run is interrupted that has it give way", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      // What answers at once may have completed the new one before it is paused.
      const thread = yield* working(() => OfflineModel.text(["So ", OfflineModel.hold(Effect.never)]))
      yield* thread.goal.set({ objective: "Precious", status: "paused" })
      const cleared = yield* Effect.forkChild(
        client.on("thread/goal/cleared").pipe(
          Stream.filter(({ threadId }) => threadId === thread.id),
          Stream.runHead
        ),
        { startImmediately: true }
      )
      const run = yield* Effect.forkChild(thread.runGoal("New"), { startImmediately: true })
      yield* Fiber.join(cleared)
      yield* Fiber.interrupt(run)
      assert.strictEqual((yield* goalOf(thread)).status, "paused")
    }))

  it.effect("goes on behind a compaction and a review that its turns give way to", () =>
    Effect.gen(function*() {
      const gate = yield* OfflineModel.gate
      const thread = yield* working((n) =>
        n === 1 || n === 3
          ? OfflineModel.text([`Begun ${n}`, OfflineModel.hold(n === 1 ? Effect.never : gate)])
          : n === 2
          ? OfflineModel.text("SUMMARY")
          : settle("complete")
      )
      const handle = yield* thread.startGoal("Go")
      const words = yield* Effect.forkChild(
        Stream.runHead(Stream.filter(handle.text, (text) => text.startsWith("Begun 3"))),
        { startImmediately: true }
      )
      yield* Stream.runHead(handle.text)
      yield* thread.compact
      yield* Fiber.join(words)
      yield* thread.review({ type: "custom", instructions: "Look" })
      const result = yield* handle.result
      assert.deepStrictEqual(
        [result.outcome, ...result.turns.map(({ status }) => status)],
        ["complete", "interrupted", "interrupted", "completed"]
      )
    }))

  it.effect("keeps its turn when a run that has steered it is interrupted", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* waiting
      const handle = yield* thread.startGoal("Go")
      yield* gate.reached
      const run = yield* Effect.forkChild(thread.run("And this"))
      yield* Stream.runHead(Stream.filter(handle.events, (event) =>
        event.method === "item/completed" && event.params.item.type === "userMessage"))
      yield* Fiber.interrupt(run)
      yield* gate.open
      const { outcome, turns } = yield* handle.result
      assert.deepStrictEqual([
        outcome,
        ...turns.map(({ status }) =>
          status
        )
      ], ["complete", "completed"])
    }))

  it.effect("that ended with an interrupted turn is not brought back by another turn", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const { thread } = yield* waiting
      const scope = yield* closable
      const handle = yield* scope.use(thread.startGoal("Go"))
      yield* Stream.runHead(handle.text)
      // As somebody else does it.
      yield* client.request("turn/interrupt", { threadId: thread.id, turnId: "" })
      yield* failure(handle.result, "TurnInterrupted")
      assert.strictEqual((yield* goalOf(thread)).status, "active")
      yield* scope.close
      assert.strictEqual((yield* goalOf(thread)).status, "paused")
      const model = yield* OfflineModel
      yield* model.enqueue(OfflineModel.text("Hi"))
      yield* thread.run("Hello")
      assert.strictEqual((yield* goalOf(thread)).status, "paused")
      assert.strictEqual(yield* askedCount(thread.id), 2)
    }))

  it.effect("is left alone by a thread whose own turn was interrupted", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* waiting
      const turn = yield* thread.turn("Mine")
      yield* gate.reached
      const handle = yield* thread.startGoal("Go")
      yield* turn.interrupt
      const result = yield* handle.result
      assert.deepStrictEqual([result.outcome, result.turns, result.goal?.status], ["stopped", [], "active"])
      yield* thread.goal.clear
    }))

  it.effect("ends with the thread that is archived", () =>
    Effect.gen(function*() {
      const { gate, thread } = yield* waiting
      const handle = yield* thread.startGoal("Go")
      yield* gate.reached
      yield* thread.archive
      yield* failure(handle.result, "TurnInterrupted")
    }))

  it.effect("is not for an ephemeral thread, and is not resumed where there is none", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const ephemeral = yield* codex.startThread({ ephemeral: true })
      const error = yield* failure(ephemeral.runGoal("Go"), "InvalidRequest")
      assert.include(error.message, "ephemeral thread does not support goals")
      const thread = yield* codex.startThread()
      const none = yield* failure(thread.runGoal({}), "InvalidRequest")
      assert.include(none.message, "no goal exists")
    }))
})
