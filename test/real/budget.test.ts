import { type BudgetError, Codex, type OutputError, type RunError } from "@effect-codex/core"
import { OfflineCodex, OfflineModel, type Reply } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { pixel } from "../../examples/pixel.ts"
import { askedCount, echo, failure, itemsOf, live } from "./support.ts"

const command = (callId: string) =>
  OfflineModel.functionCall({ name: "exec_command", callId, arguments: { cmd: `echo ${callId}` } })

const tokens = (total: number) => OfflineModel.usage({ input: total - 1, output: 1, total })

/** What the model says on a thread, request by request. A turn that is interrupted may leave some of it unsaid. */
const script = (threadId: string, ...replies: ReadonlyArray<Reply>) =>
  Effect.flatMap(OfflineModel, (model) => {
    let next = 0
    return model.respond((request) => request.threadId === threadId ? replies[next++] : undefined)
  })

layer(OfflineCodex.layer({ model: echo, home: { streamRetries: 1 } }), live)("the budget of a run", (it) => {
  it.effect("does nothing to a run within it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      yield* script(thread.id, [command("one"), tokens(40)], [OfflineModel.text("There."), tokens(60)])
      const result = yield* thread.run("Go", { budget: { toolCalls: 1, tokens: 100, wallTime: "1 minute" } })
      assert.strictEqual(result.finalResponse, "There.")
    }))

  it.effect("has to be one: what is no limit is refused before anything is sent", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const output = Schema.Struct({ a: Schema.String })
      const bad: Record<string, Effect.Effect<unknown, RunError | OutputError | BudgetError>> = {
        "budget.tokens": thread.run("Go", { budget: { tokens: Number.NaN } }),
        "budget.toolCalls": thread.run("Go", { budget: { toolCalls: -1 } }),
        // As from the environment, where nothing has checked it.
        "budget.wallTime": thread.run("Go", { budget: JSON.parse(`{"wallTime":"soon"}`) }),
        repairs: thread.run("Go", { output, repairs: Number.NaN })
      }
      const none = thread.run("Go", { budget: { wallTime: Number.NaN } })
      for (const [path, run] of [...Object.entries(bad), ["budget.wallTime", none] as const]) {
        const error = yield* failure(run, "InvalidParams")
        assert.isFalse(error.sent)
        assert.deepStrictEqual(error.issues.map((issue) => issue.path), [path])
      }
      assert.strictEqual(yield* askedCount(thread.id), 0)
    }))

  it.effect("of tool calls ends the turn at the first call too many, with what there was", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const gate = yield* OfflineModel.gate
      yield* script(thread.id, command("one"), command("two"), OfflineModel.text([OfflineModel.hold(gate), "Never."]))
      const error = yield* failure(thread.run("Go", { budget: { toolCalls: 1 } }), "BudgetExceeded")
      assert.strictEqual(error.limit, "toolCalls")
      assert.strictEqual(error.result.status, "interrupted")
      assert.strictEqual(error.result.finalResponse, null)
      assert.strictEqual(itemsOf(error.result.items, "commandExecution")[0]?.id, "one")
      yield* gate.open
      assert.strictEqual((yield* thread.read()).status.type, "idle")
    }))

  it.effect("of tool calls counts images that the agent looks at, as the spans of a turn do", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const path = `${codex.metadata.codexHome}/pixel.png`
      yield* codex.files.writeFile(path, Buffer.from(pixel, "base64"))
      const look = OfflineModel.functionCall({ name: "view_image", callId: "look", arguments: { path } })
      const gate = yield* OfflineModel.gate
      yield* script(thread.id, look, OfflineModel.text([OfflineModel.hold(gate), "Never."]))
      const error = yield* failure(thread.run("Go", { budget: { toolCalls: 0 } }), "BudgetExceeded")
      assert.strictEqual(error.limit, "toolCalls")
      yield* gate.open
    }))

  it.effect("of tokens ends the turn once they are used, those of earlier turns not counted", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const gate = yield* OfflineModel.gate
      yield* script(thread.id, [OfflineModel.text("Much."), tokens(5_000)])
      yield* thread.run("Before")
      yield* script(thread.id, [command("one"), tokens(101)], [OfflineModel.text([OfflineModel.hold(gate), "Never."])])
      const error = yield* failure(thread.run("Go", { budget: { tokens: 100 } }), "BudgetExceeded")
      assert.strictEqual(error.limit, "tokens")
      assert.strictEqual(error.result.status, "interrupted")
      yield* gate.open
    }))

  it.effect("of tokens has nothing of what the server tells again: behind a failure, a retry and a compaction", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const told: Array<number> = []
      yield* thread.events.pipe(
        Stream.runForEach((event) =>
          Effect.sync(() => {
            if (event.method === "thread/tokenUsage/updated") told.push(event.params.tokenUsage.total.totalTokens)
          })
        ),
        Effect.forkChild({ startImmediately: true })
      )
      const within = { budget: { tokens: 100 } }
      yield* script(thread.id, [OfflineModel.text("Much."), tokens(5_000)])
      yield* thread.run("Before")
      yield* script(thread.id, OfflineModel.failed({ code: "invalid_prompt", message: "Not this" }))
      yield* failure(thread.run("Fail", within), "TurnFailed")
      yield* script(
        thread.id,
        [OfflineModel.text("Half"), OfflineModel.cut],
        [OfflineModel.text("Whole"), tokens(60)]
      )
      assert.strictEqual((yield* thread.run("Again", within)).finalResponse, "Whole")
      yield* script(thread.id, [OfflineModel.text("Summary"), tokens(700)])
      yield* thread.compact
      yield* script(thread.id, [OfflineModel.text("Short"), tokens(50)])
      const { finalResponse, usage } = yield* thread.run("Go on", within)
      assert.deepStrictEqual([finalResponse, usage?.total.totalTokens], ["Short", 5_810])
      // It was told again, or this would show nothing.
      assert.isAtLeast(told.filter((total) => total === 5_000).length, 3)
    }))

  it.effect("of time ends the turn when it is over", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const gate = yield* OfflineModel.gate
      yield* script(thread.id, OfflineModel.text(["Begun", OfflineModel.hold(gate), "never ended."]))
      const error = yield* failure(thread.run("Go", { budget: { wallTime: "500 millis" } }), "BudgetExceeded")
      assert.strictEqual(error.limit, "wallTime")
      assert.strictEqual(error.result.status, "interrupted")
      assert.strictEqual((yield* thread.read()).status.type, "idle")
      yield* gate.open
    }))

  it.effect("is one for a run and its repairs", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const gate = yield* OfflineModel.gate
      const options = { output: Schema.Struct({ size: Schema.Int }), repairs: 5, budget: { tokens: 100 } }
      yield* script(
        thread.id,
        [OfflineModel.text("No JSON"), tokens(60)],
        [command("one"), tokens(60)],
        [OfflineModel.text([OfflineModel.hold(gate), "Never."])]
      )
      const error = yield* failure(thread.run("Go", options), "BudgetExceeded")
      assert.strictEqual(error.limit, "tokens")
      assert.isAtMost(yield* askedCount(thread.id), 3)
      yield* gate.open
    }))

  it.effect("that is used up has nothing for a repair", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const options = { output: Schema.Struct({ size: Schema.Int }), repairs: 5, budget: { tokens: 60 } }
      yield* script(thread.id, [OfflineModel.text("No JSON"), tokens(60)], OfflineModel.text("Never asked"))
      const error = yield* failure(thread.run("Go", options), "BudgetExceeded")
      assert.strictEqual(error.limit, "tokens")
      assert.strictEqual(error.result.finalResponse, "No JSON")
      assert.strictEqual(yield* askedCount(thread.id), 1)
    }))
})
