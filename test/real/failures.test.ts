import { Codex, Input } from "@effect-codex/core"
import { OfflineCodex, OfflineModel, type Reply } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { asked, echo, failure, itemsOf, live, messages, methods, prompts, spoken } from "./support.ts"

layer(OfflineCodex.layer({ model: echo }), live)("a turn that fails", (it) => {
  it.effect("tells why, and what there was", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(
        [
          OfflineModel.commentary("First a tool."),
          OfflineModel.functionCall({ name: "no_such_tool" }),
          OfflineModel.usage({ input: 20, output: 3 })
        ],
        OfflineModel.failed({ code: "rate_limit_exceeded", message: "slow down" })
      )
      const thread = yield* codex.startThread()
      const error = yield* failure(thread.run("Read it all"), "TurnFailed")
      assert.strictEqual(error.threadId, thread.id)
      assert.strictEqual(error.error?.codexErrorInfo, "rateLimitExceeded")
      assert.include(error.message, error.turnId)
      assert.include(error.message, error.error?.message ?? assert.fail("The server gave no reason"))
      assert.strictEqual(error.result.status, "failed")
      assert.strictEqual(error.result.turnId, error.turnId)
      assert.isNull(error.result.finalResponse)
      assert.deepStrictEqual(prompts(error.result.items), ["Read it all"])
      assert.deepStrictEqual(messages(error.result.items), ["First a tool."])
      assert.strictEqual(error.result.usage?.total.totalTokens, 23)
      const { turns } = yield* thread.read({ includeTurns: true })
      assert.deepStrictEqual(turns.map((turn) => turn.status), ["failed"])
    }))

  it.effect("says nothing of what it was asked, by the user or by somebody else", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const words = "the-words-of-the-letter"
      const said = (input: Input.TurnInput) =>
        Effect.gen(function*() {
          yield* model.enqueue(OfflineModel.failed({ code: "invalid_prompt", message: `Cannot take: ${words}` }))
          const { message } = yield* failure((yield* codex.startThread()).run(input), "TurnFailed")
          assert.include(message, "Cannot take: ")
          assert.notInclude(message, words)
        })
      yield* said(words)
      yield* said(Input.externalMessage({ toolName: "inbox", content: words }))
      yield* said(Input.externalMessage({ toolName: "inbox", content: [{ type: "input_text", text: words }] }))
    }))

  it.effect("keeps an answer that was complete", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue([OfflineModel.text("As far as I got"), OfflineModel.incomplete("max_output_tokens")])
      const thread = yield* codex.startThread()
      const error = yield* failure(thread.run("Tell me everything"), "TurnFailed")
      assert.include(error.message, "max_output_tokens")
      assert.strictEqual(error.result.finalResponse, "As far as I got")
    }))

  it.effect("names the HTTP status that the model answered", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(OfflineModel.httpError(401, "no key"))
      const thread = yield* codex.startThread()
      const error = yield* failure(thread.run("Hello"), "TurnFailed")
      assert.deepStrictEqual(error.error?.codexErrorInfo, { httpConnectionFailed: { httpStatusCode: 401 } })
      assert.include(error.message, "401")
    }))

  it.effect("tells a model that is full by its code, and not by the HTTP status alone", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      const infoOf = Effect.fnUntraced(function*(reply: Reply) {
        yield* model.enqueue(reply)
        return (yield* failure(thread.run("Hello"), "TurnFailed")).error?.codexErrorInfo
      })
      const full = { code: "server_is_overloaded", message: "Full" }
      assert.deepStrictEqual(yield* infoOf(OfflineModel.httpError(503)), {
        httpConnectionFailed: { httpStatusCode: 503 }
      })
      assert.strictEqual(yield* infoOf(OfflineModel.httpError(503, { error: full })), "serverOverloaded")
      assert.strictEqual(yield* infoOf(OfflineModel.failed(full)), "serverOverloaded")
    }))

  it.effect("fails its stream after its last event", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue([OfflineModel.text(["Half "]), OfflineModel.cut])
      const thread = yield* codex.startThread()
      const seen: Array<string> = []
      const error = yield* failure(
        Stream.runForEach(thread.stream("Hello"), (event) => Effect.sync(() => seen.push(event.method))),
        "TurnFailed"
      )
      assert.include(error.message, "stream disconnected")
      assert.strictEqual(seen.at(-1), "turn/completed")
      assert.include(seen, "error")
    }))

  it.effect("ends the events of its handle, and only the result fails", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(OfflineModel.failed({ code: "context_length_exceeded", message: "too long" }))
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Hello")
      const events = yield* Stream.runCollect(turn.events)
      assert.strictEqual(methods(events).at(-1), "turn/completed")
      const error = yield* failure(turn.result, "TurnFailed")
      assert.strictEqual(error.error?.codexErrorInfo, "contextWindowExceeded")
      const [told] = events.flatMap((event) => event.method === "error" ? [event.params] : [])
      assert.isFalse(told?.willRetry)
      assert.deepStrictEqual(told?.error, error.error)
    }))

  it.effect("does not keep the thread from its next turn", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(OfflineModel.httpError(500, "broken"))
      const thread = yield* codex.startThread()
      const error = yield* failure(thread.run("One"), "TurnFailed")
      assert.strictEqual(error.error?.codexErrorInfo, "internalServerError")
      assert.deepStrictEqual((yield* thread.read()).status, { type: "systemError" })
      assert.strictEqual((yield* thread.run("Two")).finalResponse, "Answer to: Two")
    }))

  it.effect("leaves the turn beside it alone", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["All ", OfflineModel.hold(gate), "is well"]))
      const calm = yield* (yield* codex.startThread()).turn("How are you?")
      yield* gate.reached
      yield* model.enqueue(OfflineModel.failed({ code: "server_error", message: "model broke" }))
      const error = yield* failure((yield* codex.startThread()).run("And you?"), "TurnFailed")
      assert.include(error.message, "model broke")
      yield* gate.open
      assert.strictEqual((yield* calm.result).finalResponse, "All is well")
    }))

  it.effect("because a model is refused carries the model's words", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(OfflineModel.httpError(400, "no such model"))
      const thread = yield* codex.startThread({ model: "gpt-none" })
      const error = yield* failure(thread.run("Hello"), "TurnFailed")
      assert.include(error.message, "no such model")
      assert.strictEqual((yield* asked(thread.id)).model, "gpt-none")
    }))
})

layer(OfflineCodex.layer({ model: echo, home: { streamRetries: 2 } }), live)(
  "a turn that the server tries again",
  (it) => {
    it.effect("completes, and the error on the way is only told", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        yield* model.enqueue([OfflineModel.text(["Cut "]), OfflineModel.cut])
        const thread = yield* codex.startThread()
        const turn = yield* thread.turn("Hold on")
        const result = yield* turn.result
        assert.strictEqual(result.status, "completed")
        assert.strictEqual(result.finalResponse, "Answer to: Hold on")
        const events = yield* Stream.runCollect(turn.events)
        const told = events.flatMap((event) => event.method === "error" ? [event.params.willRetry] : [])
        assert.deepStrictEqual(told, [true])
        assert.strictEqual(spoken(events).endsWith("Answer to: Hold on"), true)
        assert.strictEqual((yield* asked(thread.id, 2)).text, "Hold on")
        const answers = itemsOf(result.items, "agentMessage").filter((item) => item.text === "Answer to: Hold on")
        assert.strictEqual(answers.length, 1)
      }))

    it.effect("does not fail the stream", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        yield* model.enqueue(OfflineModel.cut)
        const thread = yield* codex.startThread()
        const events = yield* Stream.runCollect(thread.stream("Hold on"))
        assert.include(methods(events), "error")
        assert.strictEqual(spoken(events), "Answer to: Hold on")
      }))

    it.effect("fails when all tries are used up", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        yield* model.enqueue(OfflineModel.cut, OfflineModel.cut, OfflineModel.cut)
        const thread = yield* codex.startThread()
        const turn = yield* thread.turn("Hold on")
        yield* failure(turn.result, "TurnFailed")
        const events = yield* Stream.runCollect(turn.events)
        const told = events.flatMap((event) => event.method === "error" ? [event.params.willRetry] : [])
        assert.deepStrictEqual(told, [true, true, false])
        assert.strictEqual(yield* model.remaining, 0)
      }))
  }
)
