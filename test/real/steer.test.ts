import { Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { asked, askedCount, echo, failure, halfway, heard, live, messages, prompts, spoken } from "./support.ts"

layer(OfflineCodex.layer({ model: echo }), live)("steering a turn", (it) => {
  it.effect("brings a second model request on the same turn", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      // The model would wait for ever: the input is taken up in the middle of what it says.
      yield* model.enqueue([
        OfflineModel.commentary("On it."),
        OfflineModel.text(["Red ", OfflineModel.hold(Effect.never), "is done."])
      ])
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Paint it red")
      yield* heard(turn, "Red ")
      const steered = yield* turn.steer("No, blue")
      assert.strictEqual(steered.turnId, turn.id)
      const result = yield* turn.result
      assert.strictEqual(result.turnId, turn.id)
      assert.deepStrictEqual(prompts(result.items), ["Paint it red", "No, blue"])
      // What the model was saying was said, but is no completed message.
      assert.deepStrictEqual(messages(result.items), ["On it.", "Answer to: No, blue"])
      assert.strictEqual(result.finalResponse, "Answer to: No, blue")
      const [first, second] = [yield* asked(thread.id, 1), yield* asked(thread.id, 2)]
      assert.strictEqual(first.text, "Paint it red")
      assert.strictEqual(yield* first.outcome, "disconnected")
      assert.strictEqual(second.text, "No, blue")
      assert.strictEqual(second.turnId, first.turnId)
      assert.strictEqual(yield* askedCount(thread.id), 2)
      const events = yield* Stream.runCollect(turn.events)
      assert.strictEqual(events.filter((event) => event.method === "turn/completed").length, 1)
      assert.strictEqual(spoken(events), "On it.Red Answer to: No, blue")
      const messageEvents = (method: "item/started" | "item/completed") =>
        events.filter((event) => event.method === method && event.params.item.type === "agentMessage").length
      assert.deepStrictEqual([messageEvents("item/started"), messageEvents("item/completed")], [3, 2])
    }))

  it.effect("with a run is refused where that wants its answer in another form", () =>
    Effect.gen(function*() {
      const { gate, thread, turn } = yield* halfway
      const output = Schema.Struct({ city: Schema.String })
      const refused = yield* failure(thread.run("Where?", { output }), "InternalError")
      assert.include(refused.description, "ActiveTurnOutputSchemaMismatch")
      yield* gate.open
      assert.strictEqual((yield* turn.result).finalResponse, "So far")
    }))

  it.effect("takes several pieces of input, several times", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.respond((request) =>
        request.text.endsWith("Three")
          ? OfflineModel.text("Done")
          : OfflineModel.text([OfflineModel.hold(Effect.never)])
      )
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Start")
      yield* asked(thread.id, 1)
      yield* turn.steer(["One", "Two"])
      yield* turn.steer("Three")
      const result = yield* turn.result
      yield* model.respond((request) => echo.respond?.(request))
      assert.deepStrictEqual(prompts(result.items), ["Start", "One", "Two", "Three"])
      const last = yield* asked(thread.id, yield* askedCount(thread.id))
      const sent = JSON.stringify(last.input)
      for (const text of ["Start", "One", "Two", "Three"]) assert.include(sent, `"${text}"`)
    }))

  it.effect("that has ended fails", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Quick")
      yield* turn.result
      const error = yield* failure(turn.steer("Too late"), "StaleTurn")
      assert.strictEqual(error.method, "turn/steer")
      assert.deepStrictEqual(
        [error.threadId, error.expectedTurnId, error.actualTurnId],
        [thread.id, turn.id, null]
      )
      assert.notInclude(error.message, "Too late")
    }))

  it.effect("that has ended does not reach the turn after it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      const ended = yield* thread.turn("One")
      yield* ended.result
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["Two ", OfflineModel.hold(gate), "done"]))
      const running = yield* thread.turn("Two")
      yield* gate.reached
      const error = yield* failure(ended.steer("For the wrong one"), "StaleTurn")
      assert.deepStrictEqual(
        [error.threadId, error.expectedTurnId, error.actualTurnId],
        [thread.id, ended.id, running.id]
      )
      assert.notInclude(error.message, "For the wrong one")
      yield* gate.open
      const result = yield* running.result
      assert.deepStrictEqual(prompts(result.items), ["Two"])
      assert.strictEqual(result.finalResponse, "Two done")
    }))

  it.effect("with nothing is refused and leaves the turn alone", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["Calm ", OfflineModel.hold(gate), "down"]))
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Go")
      yield* gate.reached
      const error = yield* failure(turn.steer([]), "InvalidRequest")
      assert.include(error.message, "input must not be empty")
      yield* gate.open
      assert.strictEqual((yield* turn.result).finalResponse, "Calm down")
    }))
})
