import { Approvals, type ChildEvent, Codex, type CodexEvent, CodexTools, type TurnEvent } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import { Tool, Toolkit } from "effect/ai"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { echo, itemsOf, live, messages, spoken } from "./support.ts"

const agents = "multi_agent_v1"

const spawn = (callId: string, message: string) =>
  OfflineModel.functionCall({ namespace: agents, name: "spawn_agent", arguments: { message }, callId })

/** The agent is asked again for each word of an agent of its own. */
const answer = /^(Both looked)+$/

const childEvents = (events: ReadonlyArray<TurnEvent | ChildEvent>): ReadonlyArray<ChildEvent> =>
  events.filter((event) => event.method === "client/childEvent")

const ownEvents = (events: ReadonlyArray<TurnEvent | ChildEvent>): ReadonlyArray<TurnEvent> =>
  events.filter((event): event is TurnEvent => event.method !== "client/childEvent")

layer(OfflineCodex.layer({ model: echo }), live)("the agents that a turn has at work", (it) => {
  /**
   * A thread whose turn gives work to two agents and says so once both have done it;
   * each agent answers what it was given.
   */
  const delegating = Effect.gen(function*() {
    const codex = yield* Codex
    const model = yield* OfflineModel
    const thread = yield* codex.startThread()
    const finished = yield* OfflineModel.gate
    let answered = 0
    yield* model.respond((request) => {
      if (request.threadId !== thread.id) {
        return OfflineModel.text(`Child answer to: ${request.text}`)
      }
      return request.toolOutput("first") === undefined
        ? [spawn("first", "Look left"), spawn("second", "Look right")]
        : [OfflineModel.hold(finished), OfflineModel.text("Both looked")]
    })
    // The turn goes on once both agents have, as the server tells of them.
    yield* Effect.forkScoped(
      codex.events.pipe(
        Stream.filter((event) => event.method === "turn/completed" && event.threadId !== thread.id),
        Stream.runForEach(() => ++answered === 2 ? finished.open : Effect.void)
      ),
      { startImmediately: true }
    )
    return { codex, thread, model }
  })

  it.effect("are heard in its stream where asked, with whose they are", () =>
    Effect.gen(function*() {
      const { codex, thread } = yield* delegating
      const events = yield* Stream.runCollect(thread.stream("Look around", { includeChildren: true }))
      const own = ownEvents(events)
      const children = childEvents(events)
      for (const event of own) {
        assert.isTrue(event.threadId === undefined || event.threadId === thread.id)
      }
      assert.match(spoken(own), answer)
      assert.strictEqual(events.at(-1)?.method, "turn/completed")

      const spawned = itemsOf(
        own.flatMap((event) => event.method === "item/completed" ? [event.params.item] : []),
        "collabAgentToolCall"
      )
      assert.deepStrictEqual(spawned.map(({ id, tool }) => [id, tool]), [["first", "spawnAgent"], [
        "second",
        "spawnAgent"
      ]])
      for (const { id, prompt, receiverThreadIds: [childThreadId = ""] } of spawned) {
        const its = children.filter(({ params }) => params.childThreadId === childThreadId)
        for (const { params, threadId } of its) {
          assert.deepStrictEqual(
            [threadId, params.parentThreadId, params.parentItemId, params.event.threadId],
            [thread.id, thread.id, id, childThreadId]
          )
        }
        const said = its.map(({ params }) => params.event)
        assert.strictEqual(spoken(said), `Child answer to: ${prompt}`)
        assert.strictEqual(said.filter(({ method }) => method === "turn/started").length, 1)
        assert.strictEqual(said.filter(({ method }) => method === "turn/completed").length, 1)
        // They are threads of their own.
        assert.strictEqual((yield* codex.readThread(childThreadId)).parentThreadId, thread.id)
      }
      assert.strictEqual(new Set(children.map(({ params }) => params.childThreadId)).size, 2)
    }))

  it.effect("are heard by its handle, each time from the start; what it says and comes to is its own", () =>
    Effect.gen(function*() {
      const { thread } = yield* delegating
      const turn = yield* thread.turn("Look around", { includeChildren: true })
      const result = yield* turn.result
      assert.deepStrictEqual(Array.from(new Set(messages(result.items))), ["Both looked"])
      const once = yield* Stream.runCollect(turn.events)
      const again = yield* Stream.runCollect(turn.events)
      assert.deepStrictEqual(again, once)
      assert.isAbove(childEvents(once).length, 0)
      assert.match((yield* Stream.runCollect(turn.text)).join(""), answer)
    }))

  it.effect("are never heard in its stream where that was not asked", () =>
    Effect.gen(function*() {
      const { thread } = yield* delegating
      const events = yield* Stream.runCollect(thread.stream("Look around"))
      for (const event of events) assert.strictEqual(event.threadId, thread.id)
      assert.match(spoken(events), answer)
    }))

  it.effect("are never in the thread's own events, with or without", () =>
    Effect.gen(function*() {
      const { thread } = yield* delegating
      const seen: Array<string | undefined> = []
      yield* Effect.forkScoped(
        Stream.runForEach(thread.events, (event) => Effect.sync(() => seen.push(event.threadId))),
        { startImmediately: true }
      )
      yield* Stream.runDrain(thread.stream("Look around", { includeChildren: true }))
      assert.isAbove(seen.length, 0)
      assert.deepStrictEqual(Array.from(new Set(seen)), [thread.id])
    }))

  it.effect("that work on after the turn are not heard any more", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      const gate = yield* OfflineModel.gate
      yield* model.respond((request) =>
        request.threadId !== thread.id
          ? OfflineModel.text(["Still ", OfflineModel.hold(gate), "at it"])
          : request.toolOutput("only") === undefined
          ? spawn("only", "Take your time")
          : [OfflineModel.hold(gate.reached), OfflineModel.text("Not waiting")]
      )
      const turn = yield* thread.turn("Delegate", { includeChildren: true })
      yield* turn.result
      const ended = codex.events.pipe(
        Stream.filter((event) => event.method === "turn/completed" && event.threadId !== thread.id),
        Stream.runHead
      )
      yield* Effect.all([ended, gate.open], { concurrency: "unbounded" })
      const events = yield* Stream.runCollect(turn.events)
      assert.strictEqual(events.at(-1)?.method, "turn/completed")
      assert.notInclude(childEvents(events).map(({ params }) => params.event.method), "turn/completed")
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("agents that nobody waits for any more", (it) => {
  /** A thread whose turn has an agent at work, and goes on as told once that is so. */
  const working = (ends: boolean) =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.thread()
      const agent = yield* OfflineModel.gate
      yield* model.respond((request) =>
        request.threadId !== thread.id
          ? OfflineModel.text(["Looking ", OfflineModel.hold(agent)])
          : request.toolOutput("only") === undefined
          ? spawn("only", "Look left")
          : OfflineModel.text(["Wait ", OfflineModel.hold(ends ? agent.reached : Effect.never)])
      )
      const end = yield* Effect.forkDetach(
        codex.events.pipe(
          Stream.filter((event) => event.method === "turn/completed" && event.threadId !== thread.id),
          Stream.runHead
        ),
        { startImmediately: true }
      )
      return { agent, end, thread }
    })

  const isInterrupted = (end: Option.Option<CodexEvent>): boolean =>
    Option.exists(end, (event) => event.method === "turn/completed" && event.params.turn.status === "interrupted")

  it.effect("are interrupted with their turn", () =>
    Effect.gen(function*() {
      const { agent, end, thread } = yield* working(false)
      const run = yield* Effect.forkChild(thread.run("Look around"))
      yield* agent.reached
      yield* Fiber.interrupt(run)
      assert.isTrue(isInterrupted(yield* Fiber.join(end)))
    }))

  it.effect("work on when it ends by itself, until the scope of their thread closes", () =>
    Effect.gen(function*() {
      const { end } = yield* Effect.scoped(Effect.gen(function*() {
        const { end, thread } = yield* working(true)
        assert.strictEqual((yield* thread.run("Look around")).finalResponse, "Wait ")
        assert.isUndefined(end.pollUnsafe())
        return { end }
      }))
      assert.isTrue(isInterrupted(yield* Fiber.join(end)))
    }))
})

const Kit = Toolkit.make(
  Tool.make("weather", { parameters: Schema.Struct({ city: Schema.String }), success: Schema.String })
)

layer(OfflineCodex.layer({ model: echo, codex: { experimental: true } }), live)(
  "what the agents of a thread ask for",
  (it) => {
    it.effect("is decided by the approvals of the thread; its tools are not offered to them", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const model = yield* OfflineModel
        const asked: Array<Approvals.ApprovalRequest> = []
        const cities: Array<string> = []
        const tools = CodexTools.fromToolkit(Kit)
        const thread = yield* codex.startThread({
          tools,
          approvals: {
            policy: Approvals.ask((request) => Effect.as(Effect.sync(() => asked.push(request)), Approvals.accept))
          }
        }).pipe(Effect.provide(Kit.toLayer({
          weather: ({ city }) => Effect.as(Effect.sync(() => cities.push(city)), "sunny")
        })))
        const audit = yield* Effect.forkScoped(codex.decisions.pipe(Stream.take(1), Stream.runCollect), {
          startImmediately: true
        })
        const finished = yield* OfflineModel.gate
        const outputs: Array<unknown> = []
        yield* model.respond((request) => {
          if (request.threadId === thread.id) {
            return request.toolOutput("only") === undefined
              ? spawn("only", "Look left")
              : [OfflineModel.hold(finished), OfflineModel.text("It looked")]
          }
          if (request.toolOutput("run") === undefined) {
            return OfflineModel.functionCall({
              name: "exec_command",
              callId: "run",
              arguments: { cmd: "echo hi", sandbox_permissions: "require_escalated", justification: "It has to be" }
            })
          }
          if (request.toolOutput("call") === undefined) {
            return OfflineModel.functionCall({ name: "weather", callId: "call", arguments: { city: "Rome" } })
          }
          outputs.push(request.toolOutput("run"), request.toolOutput("call"))
          return OfflineModel.text("Looked")
        })
        yield* Effect.forkScoped(
          codex.events.pipe(
            Stream.filter((event) => event.method === "turn/completed" && event.threadId !== thread.id),
            Stream.runForEach(() => finished.open)
          ),
          { startImmediately: true }
        )
        yield* thread.run("Look around")
        assert.deepStrictEqual(asked.map(({ itemId }) => itemId), ["run"])
        assert.notStrictEqual(asked[0]?.threadId, thread.id)
        assert.deepStrictEqual((yield* Fiber.join(audit)).map(({ by, decision }) => [by, decision]), [
          ["thread", Approvals.accept]
        ])
        assert.include(JSON.stringify(outputs[0]), "hi")
        assert.deepStrictEqual([cities, outputs[1]], [[], "unsupported call: weather"])
      }))
  }
)
