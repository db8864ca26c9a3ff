import { AppServerClient, Codex, type TurnEvent, type TurnHandle } from "@effect-codex/core"
import { type Gate, OfflineCodex, OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { asked, closable, echo, failure, live, messages, methods, spoken } from "./support.ts"

describe("a connection", () => {
  it.live("is independent of another one", () =>
    Effect.gen(function*() {
      const start = Layer.build(OfflineCodex.layer({ model: echo }))
      const scope = yield* closable
      const [left, right] = yield* Effect.all([scope.use(start), start], { concurrency: 2 })
      const both = [Context.get(left, Codex), Context.get(right, Codex)] as const
      assert.notStrictEqual(both[0].metadata.codexHome, both[1].metadata.codexHome)
      const results = yield* Effect.forEach(both, (codex, index) =>
        Effect.flatMap(codex.startThread(), (thread) => thread.run(`Side ${index}`)), { concurrency: 2 })
      assert.deepStrictEqual(
        results.map((result) =>
          result.finalResponse
        ),
        ["Answer to: Side 0", "Answer to: Side 1"]
      )
      const unknown = yield* failure(both[1].readThread(results[0]?.threadId ?? ""), "InvalidRequest")
      assert.strictEqual(unknown.method, "thread/read")
      // The end of one leaves the other as it is.
      yield* scope.close
      assert.strictEqual(
        (yield* (yield* both[1].startThread()).run("Still here")).finalResponse,
        "Answer to: Still here"
      )
    }))

  it.live("is spared what it says that it can do without", () =>
    Effect.gen(function*() {
      const services = yield* Layer.build(OfflineCodex.layer({
        model: echo,
        codex: { capabilities: { optOutNotificationMethods: ["item/agentMessage/delta"] } }
      }))
      const thread = yield* Context.get(services, Codex).startThread()
      const events = yield* Stream.runCollect(thread.stream("Hello"))
      assert.notInclude(methods(events), "item/agentMessage/delta")
      assert.include(methods(events), "item/completed")
      assert.strictEqual((yield* thread.run("Again")).finalResponse, "Answer to: Again")
    }))

  it.live("fails whatever comes after its end, at once", () =>
    Effect.gen(function*() {
      const scope = yield* closable
      const services = yield* scope.use(Layer.build(OfflineCodex.layer({ model: echo })))
      const codex = Context.get(services, Codex)
      const client = Context.get(services, AppServerClient)
      const thread = yield* codex.startThread()
      yield* thread.run("Hello")
      yield* scope.close
      const ends = [
        Effect.asVoid(codex.startThread()),
        Effect.asVoid(thread.run("Too late")),
        Effect.scoped(Effect.asVoid(thread.turn("Too late"))),
        Stream.runDrain(thread.stream("Too late")),
        thread.compact,
        Effect.asVoid(thread.read()),
        Stream.runDrain(codex.threads()),
        Stream.runDrain(codex.events),
        Stream.runDrain(thread.events),
        Stream.runDrain(client.notifications),
        Effect.asVoid(client.request("thread/list", {}))
      ]
      for (const end of ends) {
        const error = yield* failure(end, "TransportError")
        assert.strictEqual(error.operation, "close")
      }
    }))

  it.live("ends what waits with it", () =>
    Effect.gen(function*() {
      const scope = yield* closable
      const services = yield* scope.use(Layer.build(OfflineCodex.layer()))
      const codex = Context.get(services, Codex)
      const model = Context.get(services, OfflineModel)
      const gate = yield* OfflineModel.gate
      yield* model.respond(() => OfflineModel.text(["Half ", OfflineModel.hold(gate), "and whole"]))
      const thread = yield* codex.startThread()
      const turnScope = yield* closable
      const turn = yield* turnScope.use(thread.turn("Go"))
      const waiting = yield* Effect.forkChild(
        Effect.all([
          failure(turn.result, "TransportError"),
          failure(Stream.runDrain(turn.events), "TransportError"),
          failure(Stream.runDrain(turn.text), "TransportError"),
          failure(Stream.runDrain(codex.events), "TransportError"),
          failure(Stream.runDrain(thread.events), "TransportError"),
          failure(thread.run("On top"), "TransportError")
        ], { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* gate.reached
      yield* scope.close
      const errors = yield* Fiber.join(waiting)
      assert.deepStrictEqual(new Set(errors.map((error) => error.operation)), new Set(["close"]))
      yield* turnScope.close
    }))

  it.live("lets a new process go on with the threads of the home", () =>
    Effect.gen(function*() {
      const model = yield* OfflineModel
      const codexHome = yield* OfflineHome.make({ baseUrl: model.baseUrl })
      const inProcess = Effect.provide(OfflineCodex.layerCodex({ codex: { codexHome } }), { local: true })
      const first = yield* inProcess(Effect.gen(function*() {
        const codex = yield* Codex
        const thread = yield* codex.startThread({ approvalMode: "denyAll", model: "gpt-5.2" })
        yield* thread.run("Remember the number 7")
        yield* thread.setName("Numbers")
        return thread.id
      }))
      yield* inProcess(Effect.gen(function*() {
        const codex = yield* Codex
        const listed = yield* Stream.runCollect(codex.threads())
        assert.deepStrictEqual(listed.map(({ id, name }) => [id, name]), [[first, "Numbers"]])
        const { turns } = yield* codex.readThread(first, { includeTurns: true })
        assert.deepStrictEqual(turns.map((turn) => messages(turn.items)), [["Answer to: Remember the number 7"]])
        const client = yield* AppServerClient
        const { approvalPolicy } = yield* client.request("thread/resume", { threadId: first, excludeTurns: true })
        assert.strictEqual(approvalPolicy, "never")
        const thread = yield* codex.resumeThread(first)
        assert.strictEqual((yield* thread.run("Which number?")).finalResponse, "Answer to: Which number?")
      }))
      const request = yield* asked(first, 2)
      assert.include(JSON.stringify(request.input), "Remember the number 7")
      assert.strictEqual(request.model, "gpt-5.2")
    }).pipe(Effect.provide(Layer.merge(OfflineModel.layer(echo), NodeServices.layer))))

  it.live("lets another process of the home read a thread, and go on with it once this one has ended", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* OfflineModel
      const codexHome = yield* OfflineHome.make({ baseUrl })
      const start = Layer.build(Layer.fresh(OfflineCodex.layerCodex({ codex: { codexHome } })))
      const scope = yield* closable
      const first = Context.get(yield* scope.use(start), Codex)
      const second = Context.get(yield* start, Codex)
      const thread = yield* first.startThread()
      yield* thread.run("One")
      assert.strictEqual((yield* second.readThread(thread.id)).preview, "One")
      const error = yield* failure(second.resumeThread(thread.id), "InvalidRequest")
      assert.include(error.message, "already has an active writer")
      yield* scope.close
      const resumed = yield* second.resumeThread(thread.id)
      assert.strictEqual((yield* resumed.run("Two")).finalResponse, "Answer to: Two")
    }).pipe(Effect.provide(Layer.merge(OfflineModel.layer(echo), NodeServices.layer))))
})

layer(OfflineCodex.layer({ model: echo, codex: { turnBuffer: { events: 8, bytes: 1024 * 1024 } } }), live)(
  "a small turn buffer",
  (it) => {
    const long = "word ".repeat(100).trimEnd()

    it.effect("fails a reader that comes too late, and only it", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        yield* model.enqueue(OfflineModel.text(long))
        const thread = yield* codex.startThread()
        const turn = yield* thread.turn("Talk")
        const result = yield* turn.result
        assert.strictEqual(result.finalResponse, long)
        const error = yield* failure(Stream.runDrain(turn.events), "TurnLagged")
        assert.strictEqual(error.turnId, turn.id)
        assert.strictEqual(error.threadId, thread.id)
        assert.strictEqual(error.bufferEvents, 8)
      }))

    /** Reads a turn, but takes its second event only when the turn is over. */
    const readLate = (turn: TurnHandle, gate: Gate, onEvent: (event: TurnEvent) => void) =>
      Stream.runForEach(turn.events, (event) => {
        onEvent(event)
        return Effect.andThen(gate.open, turn.result)
      })

    it.effect("fails a reader that is too slow, and only it", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        const gate = yield* OfflineModel.gate
        const messages = Array.from({ length: 12 }, (_, index) => OfflineModel.text(`Message ${index}`))
        yield* model.enqueue([OfflineModel.text([OfflineModel.hold(gate), "First"]), ...messages])
        const thread = yield* codex.startThread()
        const turn = yield* thread.turn("Talk")
        const slow = yield* Effect.forkChild(readLate(turn, gate, () => {}))
        assert.strictEqual((yield* turn.result).finalResponse, "Message 11")
        yield* failure(Fiber.join(slow), "TurnLagged")
      }))

    it.effect("keeps all of a long text for a reader that is slow", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        const gate = yield* OfflineModel.gate
        yield* model.enqueue(OfflineModel.text([OfflineModel.hold(gate), ...long.split(/(?<= )/)]))
        const thread = yield* codex.startThread()
        const turn = yield* thread.turn("Talk")
        let text = ""
        yield* readLate(turn, gate, (event) => {
          if (event.method === "item/agentMessage/delta") text += event.params.delta
        })
        assert.strictEqual(text, long)
      }))

    it.effect("does not matter to a stream that keeps up, nor to run", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        // Every word waits until the one before it was read.
        const turns = yield* Queue.unbounded<void>()
        yield* Queue.offer(turns, undefined)
        const words = Array.from({ length: 30 }, (_, index) => `${index} `)
        yield* model.enqueue(OfflineModel.text(words.flatMap((word) => [OfflineModel.hold(Queue.take(turns)), word])))
        const thread = yield* codex.startThread()
        const events = yield* thread.stream("Count").pipe(
          Stream.tap((event) =>
            event.method === "item/agentMessage/delta" ? Queue.offer(turns, undefined) : Effect.void
          ),
          Stream.runCollect
        )
        assert.strictEqual(spoken(events), words.join(""))
        assert.strictEqual(methods(events).at(-1), "turn/completed")
        yield* model.enqueue(OfflineModel.text(long))
        assert.strictEqual((yield* thread.run("Talk")).finalResponse, long)
      }))
  }
)
