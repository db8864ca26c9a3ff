import { Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel, type Reply } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { live, messages } from "./support.ts"

const { commentary, finalAnswer, functionCall, text } = OfflineModel

layer(OfflineCodex.layer(), live)("the answer of a turn", (it) => {
  const answerTo = (...replies: ReadonlyArray<Reply>) =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(...replies)
      const thread = yield* codex.startThread()
      const result = yield* thread.run("Well?")
      assert.strictEqual(yield* model.remaining, 0)
      return { said: messages(result.items), answer: result.finalResponse }
    })

  it.effect("is the message without a phase", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answerTo(text("Plain")), { said: ["Plain"], answer: "Plain" })
    }))

  it.effect("is the last of several messages without a phase", () =>
    Effect.gen(function*() {
      const { answer, said } = yield* answerTo([text("First"), text("Second")])
      assert.deepStrictEqual(said, ["First", "Second"])
      assert.strictEqual(answer, "Second")
    }))

  it.effect("is the final answer, also when commentary comes after it", () =>
    Effect.gen(function*() {
      const { answer, said } = yield* answerTo([commentary("Before"), finalAnswer("The answer"), commentary("After")])
      assert.deepStrictEqual(said, ["Before", "The answer", "After"])
      assert.strictEqual(answer, "The answer")
    }))

  it.effect("is the final answer, also when a message without a phase comes after it", () =>
    Effect.gen(function*() {
      const { answer, said } = yield* answerTo([finalAnswer("The answer"), text("By the way")])
      assert.deepStrictEqual(said, ["The answer", "By the way"])
      assert.strictEqual(answer, "The answer")
    }))

  it.effect("is the last of several final answers", () =>
    Effect.gen(function*() {
      const { answer } = yield* answerTo([finalAnswer("Draft"), finalAnswer("Fair copy")])
      assert.strictEqual(answer, "Fair copy")
    }))

  it.effect("is the message without a phase, not the commentary after it", () =>
    Effect.gen(function*() {
      const { answer } = yield* answerTo([text("Plain"), commentary("Done now")])
      assert.strictEqual(answer, "Plain")
    }))

  it.effect("is null when there is only commentary", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answerTo(commentary("Hm")), { said: ["Hm"], answer: null })
    }))

  it.effect("is null when the agent says nothing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answerTo([]), { said: [], answer: null })
    }))

  it.effect("is an empty string when the final answer is empty", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answerTo([text("Plain"), finalAnswer("")]), { said: ["Plain", ""], answer: "" })
    }))

  it.effect("is an empty string when the last message without a phase is empty", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* answerTo([text("Plain"), text("")]), { said: ["Plain", ""], answer: "" })
    }))

  it.effect("counts the messages of every model request of the turn", () =>
    Effect.gen(function*() {
      const { answer, said } = yield* answerTo(
        [commentary("Let me call a tool"), functionCall({ name: "no_such_tool" })],
        finalAnswer("It does not exist")
      )
      assert.deepStrictEqual(said, ["Let me call a tool", "It does not exist"])
      assert.strictEqual(answer, "It does not exist")
    }))
})
