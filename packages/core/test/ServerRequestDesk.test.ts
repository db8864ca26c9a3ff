import { Approvals, type AppServerClient, type ServerRequests, TransportError } from "@effect-codex/core"
import {
  type ServerRequestMethod,
  type ServerRequestParams,
  ServerRequests as Definitions
} from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"
import * as Thread from "../src/Thread.ts"
import { collect, fork, until } from "./support/observe.ts"
import { connect, encode, type ScriptedServer } from "./support/ScriptedServer.ts"
import { answersIn, caughtUp, command, connectWith, params, results } from "./support/serverRequests.ts"
import { threadResponse } from "./support/threads.ts"
import * as Wire from "./support/wire.ts"

const SECRET = "s3nt1nel"

const methods = Object.values(Definitions).map(({ method }) => method)

const approval = "item/commandExecution/requestApproval"

const ask = (id: number | string, method: ServerRequestMethod, fields: object = {}) => ({
  id,
  method,
  params: { ...params[method], ...fields }
})

class Failure extends Schema.TaggedError<Failure>()("Failure", { detail: Schema.String }) {}

/** A handler that tells when it begins, ends or is interrupted, and that ends when it is told to. */
const gated = Effect.sync(() => {
  const gates = new Map<string, Deferred.Deferred<Approvals.Decision>>()
  const begun: Array<string> = []
  const ended: Array<string> = []
  const interrupted: Array<string> = []
  const gate = (itemId: string) => {
    const known = gates.get(itemId) ?? Deferred.makeUnsafe<Approvals.Decision>()
    gates.set(itemId, known)
    return known
  }
  const wait = (itemId: string) =>
    Effect.suspend(() => {
      begun.push(itemId)
      return Deferred.await(gate(itemId))
    }).pipe(
      Effect.tap(() => Effect.sync(() => ended.push(itemId))),
      Effect.onInterrupt(() => Effect.sync(() => interrupted.push(itemId)))
    )
  return {
    begun,
    ended,
    interrupted,
    release: (itemId: string, exit: Exit.Exit<Approvals.Decision> = Exit.succeed(Approvals.accept)) =>
      Deferred.done(gate(itemId), exit),
    decide: (request: Approvals.ApprovalRequest) => wait(request.itemId),
    call: ({ callId }: ServerRequestParams["item/tool/call"]) => Effect.as(wait(callId), results["item/tool/call"])
  }
})

describe("every method of the server", () => {
  it("is known here", () => {
    assert.deepStrictEqual([...methods].sort(), Object.keys(params).sort())
    assert.strictEqual(methods.length, 11)
  })

  it.effect.each(methods)("%s is answered by its handler", (method) =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const handler = <M extends ServerRequestMethod>(method: M) => (given: unknown) =>
        Effect.sync(() => {
          seen.push(given)
          return results[method]
        })
      const { server } = yield* connectWith({
        handlers: {
          "item/commandExecution/requestApproval": handler("item/commandExecution/requestApproval"),
          "item/fileChange/requestApproval": handler("item/fileChange/requestApproval"),
          "item/permissions/requestApproval": handler("item/permissions/requestApproval"),
          "item/tool/requestUserInput": handler("item/tool/requestUserInput"),
          "item/tool/call": handler("item/tool/call"),
          "mcpServer/elicitation/request": handler("mcpServer/elicitation/request"),
          "account/chatgptAuthTokens/refresh": handler("account/chatgptAuthTokens/refresh"),
          "attestation/generate": handler("attestation/generate"),
          "currentTime/read": handler("currentTime/read"),
          "applyPatchApproval": handler("applyPatchApproval"),
          "execCommandApproval": handler("execCommandApproval")
        }
      })
      yield* server.push(ask(0, method))
      assert.deepStrictEqual(yield* server.next, { id: 0, result: results[method] })
      assert.deepStrictEqual(seen, [params[method]])
    }))

  const rejection = { decision: { denied: { rejection: "Declined" } } }
  const unanswered: { readonly [M in ServerRequestMethod]: unknown } = {
    "item/commandExecution/requestApproval": { decision: "decline" },
    "item/fileChange/requestApproval": { decision: "decline" },
    "item/permissions/requestApproval": { permissions: {} },
    "item/tool/requestUserInput": -32601,
    "item/tool/call": {
      success: false,
      contentItems: [{ type: "inputText", text: "There is no tool lookup on this thread." }]
    },
    "mcpServer/elicitation/request": { action: "decline" },
    "account/chatgptAuthTokens/refresh": -32601,
    "attestation/generate": -32601,
    "currentTime/read": { currentTimeAt: 90 },
    "applyPatchApproval": rejection,
    "execCommandApproval": rejection
  }
  it.effect.each(methods)("%s is declined, refused or known without one", (method) =>
    Effect.gen(function*() {
      const { server } = yield* connect()
      yield* TestClock.setTime(90_500)
      yield* server.push(ask(0, method))
      const { error, id, result } = yield* server.next
      assert.strictEqual(id, 0)
      assert.deepStrictEqual(error === undefined ? result : error.code, unanswered[method])
    }))

  it.effect.each(methods)(
    "%s with other params is refused as that, and they are not repeated",
    (method) =>
      Effect.gen(function*() {
        const { server } = yield* connectWith({ policy: Approvals.acceptAll })
        yield* server.push({ id: 0, method, params: [SECRET] }, { id: 1, method }, {
          id: 2,
          method,
          params: Object.fromEntries(Object.keys(params[method]).map((key) => [key, [SECRET]]))
        })
        for (const id of method === "attestation/generate" ? [0, 1] : [0, 1, 2]) {
          const { error, ...answer } = yield* server.next
          assert.deepStrictEqual(answer, { id })
          assert.strictEqual(error?.code, -32602)
          assert.notInclude(error?.message ?? "", SECRET)
        }
      })
  )

  it.effect.each(methods)(
    "%s whose handler fails, dies, throws or gives up is an error without what it said",
    (method) =>
      Effect.gen(function*() {
        const bad: ReadonlyArray<readonly [() => Effect.Effect<never, Failure>, string]> = [
          [() => Effect.fail(new Failure({ detail: SECRET })), "Failure"],
          [() => Effect.die(new Error(SECRET)), "a defect"],
          [() => {
            throw new Error(SECRET)
          }, "a defect"],
          [() => Effect.interrupt, "interrupted"]
        ]
        for (const [handler, reason] of bad) {
          const handlers: ServerRequests.Handlers<Failure> = Object.fromEntries(
            methods.map((method) => [method, handler])
          )
          const { server } = yield* connectWith({ handlers })
          yield* server.push(ask(0, method))
          const { error, ...answer } = yield* server.next
          assert.deepStrictEqual(answer, { id: 0 })
          assert.strictEqual(error?.code, -32603)
          assert.strictEqual(error?.message, `${method}: the handler failed: ${reason}`)
          // Nothing happened to the client.
          yield* server.barrier
        }
      })
  )

  it.effect("that is unknown is refused, and its params are not repeated", () =>
    Effect.gen(function*() {
      const { server } = yield* connectWith({ policy: Approvals.acceptAll })
      yield* server.push({ id: "x", method: "item/future/request", params: { secret: SECRET } })
      const { error, id } = yield* server.next
      assert.strictEqual(id, "x")
      assert.strictEqual(error?.code, -32601)
      assert.strictEqual(error?.message, "Unknown method: item/future/request")
    }))

  it.effect("that is named like a member of every object is unknown", () =>
    Effect.gen(function*() {
      const { server } = yield* connect()
      for (const method of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
        yield* server.push({ id: method, method, params: {} })
        assert.strictEqual((yield* server.next).error?.code, -32601)
      }
    }))

  it.effect("whose answer is not one is an error", () =>
    Effect.gen(function*() {
      const { server } = yield* connectWith({
        handlers: { "currentTime/read": () => Effect.succeed({ currentTimeAt: Number.NaN }) }
      })
      yield* server.push(ask(0, "currentTime/read"))
      assert.strictEqual((yield* server.next).error?.code, -32603)
    }))

  it.effect("that is longer than a line may be is refused", () =>
    Effect.gen(function*() {
      const { server } = yield* connectWith({ policy: Approvals.acceptAll }, { maxLineBytes: 4_096 })
      const { id, method, params } = ask(7, approval, { reason: "x".repeat(8_192) })
      yield* server.pushBytes(encode({ method, id, params }), encode({ id: 8, method, params }))
      assert.deepStrictEqual([yield* server.next, yield* server.next].map(({ error, id }) => [id, error?.code]), [
        [7, -32602],
        [8, -32602]
      ])
    }))
})

describe("a request is answered once", () => {
  const isGiven = <A>(_value: unknown): _value is A => true
  /** What a program that nobody has type-checked gives. */
  const given = <A>(value: unknown): A => isGiven<A>(value) ? value : assert.fail()

  /** Asks for an approval and calls a tool; answers with what was said to each. */
  const answersOf = Effect.fnUntraced(function*(answers: Approvals.Options<Failure>, layer: Layer.Layer<never>) {
    const { client, server } = yield* connectWith(answers).pipe(Effect.provide(layer))
    const records = yield* collect(client.decisions)
    yield* server.push(ask(0, approval), ask(1, "item/tool/call"))
    yield* Effect.andThen(server.next, server.next)
    yield* server.barrier
    yield* server.end(new TransportError({ operation: "read", description: "gone" }))
    yield* Fiber.await(records.fiber)
    const [decided, ...others] = [...answersIn(server, 0), ...answersIn(server, 1)]
    assert.lengthOf(others, 1)
    return {
      decided: decided?.result,
      called: others[0]?.error?.message,
      by: records.seen.map(({ by }) => by)
    }
  })

  const failed = (reason: string): Effect.Success<ReturnType<typeof answersOf>> => ({
    decided: { decision: "decline" },
    called: `item/tool/call: the handler failed: ${reason}`,
    by: ["failure"]
  })

  const throwing = Logger.layer([Logger.make(() => {
    throw new Error("disk full")
  })])

  it.effect("where what answers fails, and so does the logger", () =>
    Effect.gen(function*() {
      const bad: ReadonlyArray<readonly [Effect.Effect<never, Failure>, string]> = [
        [Effect.fail(new Failure({ detail: SECRET })), "Failure"],
        [Effect.die(new Error(SECRET)), "a defect"]
      ]
      for (const [effect, reason] of bad) {
        const answers = { policy: () => effect, handlers: { "item/tool/call": () => effect } }
        assert.deepStrictEqual(yield* answersOf(answers, throwing), failed(reason))
      }
    }))

  it.effect("where what it is about does not decode, and the logger fails", () =>
    Effect.gen(function*() {
      const { server } = yield* connectWith({ policy: Approvals.acceptAll }).pipe(Effect.provide(throwing))
      yield* server.push({ id: 0, method: approval, params: {} })
      const { error, id } = yield* server.next
      assert.deepStrictEqual([id, error?.code], [0, -32602])
    }))

  it.effect("where what answers gives no Effect, or one that goes on with none", () =>
    Effect.gen(function*() {
      for (const value of [Promise.resolve(Option.some(Approvals.accept)), Approvals.accept, 5, "accept", undefined]) {
        const none = () => given<Effect.Effect<never>>(value)
        const policies: ReadonlyArray<Approvals.Policy> = [
          none,
          Approvals.ask(none),
          Approvals.firstMatch(none, Approvals.acceptAll),
          () => Effect.flatMap(Effect.void, none),
          // An Effect, but not of an Option.
          () => Effect.succeed(given<Option.Option<Approvals.Decision>>(value))
        ]
        for (const policy of policies) {
          const answers = { policy, handlers: { "item/tool/call": () => Effect.flatMap(Effect.void, none) } }
          assert.deepStrictEqual(yield* answersOf(answers, Layer.empty), failed("a defect"))
        }
        const handlers = { "item/tool/call": none, [approval]: none }
        const { called } = yield* answersOf({ handlers }, Layer.empty)
        assert.strictEqual(called, "item/tool/call: the handler failed: a defect")
      }
    }))

  it.effect("where its answer cannot be written", () =>
    Effect.gen(function*() {
      const content = Object.defineProperty({}, "toJSON", {
        value: () => {
          throw new Error(SECRET)
        }
      })
      const form = "mcpServer/elicitation/request"
      const { server } = yield* connectWith({
        handlers: { [form]: () => Effect.succeed({ action: "accept", content }) }
      })
      yield* server.push(ask(0, form))
      assert.deepStrictEqual(yield* server.next, {
        id: 0,
        error: { code: -32603, message: `${form}: the answer could not be written` }
      })
      yield* server.barrier
      assert.lengthOf(answersIn(server, 0), 1)
    }))

  it.effect("where the tracer fails, which costs no more than the span", () =>
    Effect.gen(function*() {
      const answers = {
        policy: Approvals.acceptAll,
        handlers: { "item/tool/call": () => Effect.fail(new Failure({ detail: SECRET })) }
      }
      const fail = () => {
        throw new Error("No luck")
      }
      const isAsked = (name: string) => name === approval || name === "item/tool/call"
      const spanOf = (options: ConstructorParameters<typeof Tracer.NativeSpan>[0], member: "attribute" | "end") =>
        Object.assign(new Tracer.NativeSpan(options), isAsked(options.name) ? { [member]: fail } : {})
      const tracers = [
        Tracer.make({ span: (options) => isAsked(options.name) ? fail() : new Tracer.NativeSpan(options) }),
        Tracer.make({ span: (options) => spanOf(options, "attribute") }),
        Tracer.make({ span: (options) => spanOf(options, "end") })
      ]
      for (const tracer of tracers) {
        for (const loggers of [Layer.empty, throwing]) {
          const layer = Layer.merge(Layer.succeed(Tracer.Tracer, tracer), loggers)
          assert.deepStrictEqual(yield* answersOf(answers, layer), {
            decided: { decision: "accept" },
            called: "item/tool/call: the handler failed: Failure",
            by: ["layer"]
          })
        }
      }
    }))
})

describe("while a request waits", () => {
  it.effect("everything else flows", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { client, server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
      const events = yield* collect(client.notifications)
      yield* server.push(ask(0, approval), Wire.delta("A", "T", "msg", "and on"))
      yield* events.atLeast(1)
      const response = yield* fork(client.request("turn/interrupt", { threadId: "A", turnId: "T" }))
      yield* server.respond(yield* server.request("turn/interrupt"), {})
      yield* Fiber.join(response)
      assert.deepStrictEqual(handler.begun, ["call"])
      yield* handler.release("call")
      assert.deepStrictEqual(yield* server.next, { id: 0, result: { decision: "accept" } })
    }))

  it.effect("its handler may call the server", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      yield* client.answerThread(
        "A",
        yield* Approvals.make({
          policy: Approvals.ask(() =>
            Effect.as(client.request("thread/read", { threadId: "A", includeTurns: false }), Approvals.accept)
          )
        })
      )
      yield* server.push(ask(0, approval))
      yield* server.refuse(yield* server.request("thread/read"), -32600, "thread not loaded: A")
      // The failure of what it called is the policy's, so that the answer is no.
      assert.deepStrictEqual(yield* server.next, { id: 0, result: { decision: "decline" } })
    }))

  it.effect("tools run beside it, however many they are, and may wait for turns that call them too", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const outer = Array.from({ length: 500 }, (_, index) => `outer-${index}`)
      const { server } = yield* connectWith({
        handlers: {
          "item/tool/call": (call) =>
            call.turnId === "T"
              ? handler.call(call)
              : Effect.as(handler.release(call.callId), results["item/tool/call"]),
          "account/chatgptAuthTokens/refresh": () => Effect.succeed(results["account/chatgptAuthTokens/refresh"])
        }
      })
      yield* server.push(
        ...outer.map((callId) => ask(callId, "item/tool/call", { callId })),
        ask("tokens", "account/chatgptAuthTokens/refresh")
      )
      assert.strictEqual((yield* server.next).id, "tokens")
      assert.deepStrictEqual(handler.begun, outer)
      yield* server.push(
        ...outer.map((callId, id) => ask(id, "item/tool/call", { turnId: "U", callId }))
      )
      for (let answers = 0; answers < 1_000; answers++) yield* server.next
      assert.deepStrictEqual([...handler.ended].sort(), [...outer].sort())
    }))

  it.effect("no question waits for people who think, however many they are", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
      const items = Array.from({ length: 1_000 }, (_, index) => `item-${index}`)
      yield* server.push(...items.map((itemId, id) => ask(id, approval, { itemId })))
      yield* server.push({ id: "now", method: "currentTime/read", params: { threadId: "A" } })
      assert.strictEqual((yield* server.next).id, "now")
      assert.deepStrictEqual(handler.begun, items)
      yield* handler.release("item-999")
      assert.strictEqual((yield* server.next).id, 999)
    }))

  it.effect("no more than 1024 are taken; the next is refused as overload", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
      yield* server.push(...Array.from({ length: 1_025 }, (_, id) => ask(id, approval, { itemId: `item-${id}` })))
      const { error, id } = yield* server.next
      assert.deepStrictEqual([id, error?.code], [1_024, -32001])
      yield* handler.release("item-0")
      assert.strictEqual((yield* server.next).id, 0)
      yield* server.push(ask("again", approval, { itemId: "again" }))
      yield* server.barrier
      assert.deepStrictEqual(answersIn(server, "again"), [])
    }))
})

describe("the fiber of a handler is interrupted", () => {
  it.effect("when the question is settled elsewhere, and nothing is answered then", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
      yield* server.push(ask(0, approval), ask("two", approval, { itemId: "other" }))
      yield* until(() => handler.begun.length === 2)
      yield* server.push({ method: "serverRequest/resolved", params: { threadId: "A", requestId: 0 } })
      yield* until(() => handler.interrupted.length === 1)
      yield* server.barrier
      assert.deepStrictEqual(handler.interrupted, ["call"])
      assert.deepStrictEqual(answersIn(server, 0), [])
      yield* server.push({ method: "serverRequest/resolved", params: { threadId: "A", requestId: "two" } })
      yield* until(() => handler.interrupted.length === 2)
      yield* server.barrier
      assert.deepStrictEqual(answersIn(server, "two"), [])
    }))

  it.effect("when its turn ends, and the request is refused", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
      yield* server.push(ask(0, approval), ask(1, approval, { turnId: "U", itemId: "other" }))
      yield* until(() => handler.begun.length === 2)
      yield* server.push(Wire.turnCompleted("A", "T", { status: "interrupted" }))
      assert.deepStrictEqual(yield* server.next, { id: 0, error: { code: -32603, message: "The turn has ended" } })
      assert.deepStrictEqual(handler.interrupted, ["call"])
      yield* handler.release("other")
      assert.deepStrictEqual(yield* server.next, { id: 1, result: { decision: "accept" } })
    }))

  it.effect("when the connection ends", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
      yield* server.push(ask(0, approval))
      yield* until(() => handler.begun.length === 1)
      yield* server.end(new TransportError({ operation: "read", description: "gone" }))
      yield* until(() => handler.interrupted.length === 1)
      assert.deepStrictEqual(answersIn(server, 0), [])
    }))

  it.effect("when the client closes, which waits for what it still does", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const handler = yield* gated
      const { server } = yield* Scope.provide(connectWith({ policy: Approvals.ask(handler.decide) }), scope)
      yield* server.push(ask(0, approval))
      yield* until(() => handler.begun.length === 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(handler.interrupted, ["call"])
      assert.deepStrictEqual(answersIn(server, 0), [])
    }))

  it.effect("also for a tool, a question and a form", () =>
    Effect.gen(function*() {
      const interrupted: Array<string> = []
      let begun = 0
      const wait = (name: string) => () =>
        Effect.suspend(() => {
          begun++
          return Effect.never
        }).pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted.push(name))))
      const { server } = yield* connectWith({
        handlers: {
          "item/tool/call": wait("tool"),
          "item/tool/requestUserInput": wait("question"),
          "mcpServer/elicitation/request": wait("form")
        }
      })
      yield* server.push(
        ask(0, "item/tool/call"),
        ask(1, "item/tool/requestUserInput"),
        ask(2, "mcpServer/elicitation/request")
      )
      yield* until(() => begun === 3)
      yield* server.push(Wire.turnCompleted("A", "T"))
      const ids = [(yield* server.next).id, (yield* server.next).id, (yield* server.next).id]
      assert.deepStrictEqual(ids, [0, 1, 2])
      assert.deepStrictEqual([...interrupted].sort(), ["form", "question", "tool"])
    }))
})

describe("a request that a resumed thread asks again", () => {
  it.effect("is the one that waits: it is asked and answered once", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
      yield* server.push(ask(0, approval))
      yield* until(() => handler.begun.length === 1)
      yield* server.push(ask(0, approval))
      yield* server.barrier
      assert.deepStrictEqual(answersIn(server, 0), [])
      yield* handler.release("call")
      assert.deepStrictEqual(yield* server.next, { id: 0, result: { decision: "accept" } })
      yield* server.barrier
      assert.deepStrictEqual([handler.begun, answersIn(server, 0).length], [["call"], 1])
    }))

  it.effect("is a new one where nobody waits with it any more", () =>
    Effect.gen(function*() {
      const { server } = yield* connectWith({ policy: Approvals.acceptAll })
      for (const _ of [1, 2]) {
        yield* server.push(ask(0, approval))
        assert.deepStrictEqual(yield* server.next, { id: 0, result: { decision: "accept" } })
      }
    }))
})

describe("who answers on a thread", () => {
  const says = (answers: Array<string>, name: string): Approvals.Policy => (request) =>
    Effect.andThen(Effect.sync(() => answers.push(`${name} ${request.threadId}`)), Effect.succeedNone)

  it.effect("the thread's handler, its policy, the connection's handler, its policy, in this order", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const { client, server } = yield* connectWith({ policy: says(order, "layer") })
      yield* client.answerThread("A", yield* Approvals.make({ policy: says(order, "thread") }))
      yield* server.push(ask(0, approval), ask(1, approval, { threadId: "B" }))
      yield* server.next
      yield* server.next
      assert.deepStrictEqual([...order].sort(), ["layer A", "layer B", "thread A"])

      const decides = (decision: Approvals.Decision) => Approvals.ask(() => Effect.succeed(decision))
      const handles = (decision: "accept" | "cancel") => ({ [approval]: () => Effect.succeed({ decision }) })
      const first = Effect.fnUntraced(function*(own: Approvals.Options, layer: Approvals.Options) {
        const { client, server } = yield* connectWith(layer)
        yield* client.answerThread("A", yield* Approvals.make(own))
        yield* server.push(ask(0, approval))
        return (yield* server.next).result
      })
      const own = { decision: "acceptForSession" }
      assert.deepStrictEqual(
        yield* first({ policy: decides(Approvals.acceptForSession) }, { handlers: handles("cancel") }),
        own
      )
      assert.deepStrictEqual(
        yield* first({ policy: Approvals.firstMatch() }, { handlers: handles("cancel"), policy: Approvals.acceptAll }),
        { decision: "cancel" }
      )
      assert.deepStrictEqual(
        yield* first({ handlers: handles("cancel"), policy: Approvals.acceptAll }, { policy: Approvals.acceptAll }),
        { decision: "cancel" }
      )
      assert.deepStrictEqual(
        yield* first({ policy: Approvals.firstMatch() }, { policy: Approvals.acceptAll }),
        { decision: "accept" }
      )
      assert.deepStrictEqual(yield* first({}, {}), { decision: "decline" })
    }))

  it.effect("nobody of its own after it is closed, archived or deleted", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const own = yield* Approvals.make({ policy: Approvals.acceptAll })
      for (const method of ["thread/closed", "thread/archived", "thread/deleted"]) {
        yield* client.answerThread("A", own)
        yield* server.push(ask(0, approval))
        assert.deepStrictEqual((yield* server.next).result, { decision: "accept" })
        yield* server.push({ method, params: { threadId: "A" } }, ask(1, approval))
        assert.deepStrictEqual((yield* server.next).result, { decision: "decline" })
      }
      yield* client.answerThread("A", own)
      yield* client.answerThread("A", undefined)
      yield* server.push(ask(2, approval))
      assert.deepStrictEqual((yield* server.next).result, { decision: "decline" })
    }))
})

describe("a thread that cannot be loaded", () => {
  const who = Effect.fnUntraced(function*(server: ScriptedServer, id: number, threadId = "A") {
    yield* server.push(ask(id, approval, { threadId }))
    return (yield* server.next).result
  })
  const accepts = Approvals.make({ policy: Approvals.acceptAll })
  const cancels = Approvals.make({ policy: Approvals.ask(() => Effect.succeed(Approvals.cancel)) })
  const load = (client: AppServerClient["Service"], policy: Approvals.Policy) =>
    fork(Effect.exit(Thread.resume(client, "A", { approvals: { policy } })))
  const cancelAll = Approvals.ask(() => Effect.succeed(Approvals.cancel))

  it.effect("is answered by what answered before: when it is refused, and when nobody waits for it any more", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      yield* client.answerThread("A", yield* accepts)
      const refused = yield* load(client, cancelAll)
      const request = yield* server.request("thread/resume")
      // What waits on the thread is asked again as soon as it is loaded, which may be before the answer.
      assert.deepStrictEqual(yield* who(server, 0), { decision: "cancel" })
      yield* server.refuse(request, -32_600, "no rollout found")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(refused)))
      assert.deepStrictEqual(yield* who(server, 1), { decision: "accept" })
      const given = yield* load(client, cancelAll)
      yield* server.request("thread/resume")
      yield* Fiber.interrupt(given)
      assert.deepStrictEqual(yield* who(server, 2), { decision: "accept" })
      const loaded = yield* load(client, cancelAll)
      yield* server.respond(yield* server.request("thread/resume"), threadResponse("A"))
      yield* Fiber.join(loaded)
      assert.deepStrictEqual(yield* who(server, 3), { decision: "cancel" })
    }))

  it.effect("leaves what a later load has brought, and what was there before both", () =>
    Effect.gen(function*() {
      for (const order of [[0, 1], [1, 0]]) {
        const { client, server } = yield* connect()
        yield* client.answerThread("A", yield* accepts)
        const loads = [yield* load(client, cancelAll), yield* load(client, Approvals.declineAll)]
        const requests = [yield* server.request("thread/resume"), yield* server.request("thread/resume")]
        for (const [at, which] of order.entries()) {
          const [request, fiber] = [requests[which], loads[which]]
          if (request === undefined || fiber === undefined) return assert.fail()
          yield* server.refuse(request, -32_600, "no rollout found")
          yield* Fiber.join(fiber)
          const last = at === 1 ? "accept" : which === 0 ? "decline" : "cancel"
          assert.deepStrictEqual(yield* who(server, at), { decision: last })
        }
      }
      const { client, server } = yield* connect()
      const first = yield* load(client, Approvals.declineAll)
      const second = yield* load(client, cancelAll)
      const requests = [yield* server.request("thread/resume"), yield* server.request("thread/resume")] as const
      yield* server.respond(requests[1], threadResponse("A"))
      yield* Fiber.join(second)
      yield* server.refuse(requests[0], -32_600, "no rollout found")
      yield* Fiber.join(first)
      assert.deepStrictEqual(yield* who(server, 0), { decision: "cancel" })
    }))

  it.effect("keeps nothing that was taken away, or that went with the thread, meanwhile", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      for (
        const away of [
          client.answerThread("A", undefined),
          server.push({ method: "thread/closed", params: { threadId: "A" } })
        ]
      ) {
        yield* client.answerThread("A", yield* cancels)
        const refused = yield* load(client, Approvals.acceptAll)
        const request = yield* server.request("thread/resume")
        yield* away
        yield* server.refuse(request, -32_600, "no rollout found")
        yield* Fiber.join(refused)
        assert.deepStrictEqual(yield* who(server, 0), { decision: "decline" })
      }
    }))
})

describe("the agents of a thread", () => {
  const spawned = (threadId: string, turnId: string, child: string, fields: object = {}) =>
    Wire.itemCompleted(threadId, turnId, {
      type: "collabAgentToolCall",
      id: `spawn-${child}`,
      tool: "spawnAgent",
      status: "completed",
      senderThreadId: threadId,
      receiverThreadIds: [child],
      prompt: "Look",
      agentsStates: {},
      ...fields
    })

  /** Who was asked, in their order, about a command on the thread; none of them has anything to say. */
  const askedAbout = Effect.gen(function*() {
    const order: Array<string> = []
    const says = (name: string): Approvals.Policy => () =>
      Effect.andThen(Effect.sync(() => order.push(name)), Effect.succeedNone)
    const { client, server } = yield* connectWith({ policy: says("layer") })
    let id = 0
    return {
      client,
      server,
      answers: (threadId: string) =>
        Effect.flatMap(Approvals.make({ policy: says(threadId) }), (own) => client.answerThread(threadId, own)),
      on: (threadId: string) =>
        Effect.gen(function*() {
          order.length = 0
          yield* server.push(ask(id++, approval, { threadId }))
          yield* server.next
          return [...order]
        })
    }
  })

  it.effect("are answered by what answers the thread, once the first turn of theirs or their item is there", () =>
    Effect.gen(function*() {
      const { answers, on, server } = yield* askedAbout
      yield* answers("A")
      yield* server.push(Wire.turnStarted("A", "T"))
      assert.deepStrictEqual(yield* on("C"), ["layer"])
      yield* server.push(Wire.turnStarted("C", "V", "T"))
      assert.deepStrictEqual(yield* on("C"), ["A", "layer"])
      yield* server.push(spawned("A", "T", "D"))
      assert.deepStrictEqual(yield* on("D"), ["A", "layer"])
      // They work on when the turn has ended.
      yield* server.push(Wire.turnCompleted("A", "T"), Wire.turnStarted("C", "W"))
      assert.deepStrictEqual(yield* on("C"), ["A", "layer"])
      assert.deepStrictEqual(yield* on("B"), ["layer"])
    }))

  it.effect("have agents that are answered by all of them, the nearest first", () =>
    Effect.gen(function*() {
      const { answers, on, server } = yield* askedAbout
      yield* answers("A")
      // The turn's root is the first one's; the item says who is nearest.
      yield* server.push(
        Wire.turnStarted("A", "T"),
        Wire.turnStarted("C", "V", "T"),
        Wire.turnStarted("G", "W", "T"),
        spawned("C", "V", "G")
      )
      assert.deepStrictEqual(yield* on("G"), ["A", "layer"])
      yield* answers("C")
      assert.deepStrictEqual(yield* on("G"), ["C", "A", "layer"])
      yield* answers("G")
      assert.deepStrictEqual(yield* on("G"), ["G", "C", "A", "layer"])
      assert.deepStrictEqual(yield* on("A"), ["A", "layer"])
    }))

  it.effect("do not become the agents of those they speak to, nor those theirs", () =>
    Effect.gen(function*() {
      const { answers, on, server } = yield* askedAbout
      yield* answers("C")
      yield* server.push(
        Wire.turnStarted("A", "T"),
        spawned("A", "T", "C"),
        spawned("A", "T", "D"),
        spawned("C", "V", "A", { tool: "sendInput" }),
        spawned("C", "V", "D", { tool: "sendInput" }),
        spawned("C", "V", "A")
      )
      assert.deepStrictEqual(yield* on("A"), ["layer"])
      assert.deepStrictEqual(yield* on("D"), ["layer"])
    }))

  it.effect("are known when they are resumed, and forgotten when they are closed", () =>
    Effect.gen(function*() {
      const { answers, client, on, server } = yield* askedAbout
      yield* answers("A")
      const resumed = yield* fork(Thread.resume<never, never>(client, "C"))
      const { thread, ...rest } = threadResponse("C")
      yield* server.respond(yield* server.request("thread/resume"), {
        ...rest,
        thread: { ...thread, parentThreadId: "A" }
      })
      yield* Fiber.join(resumed)
      assert.deepStrictEqual(yield* on("C"), ["A", "layer"])
      yield* server.push({ method: "thread/closed", params: { threadId: "C" } })
      assert.deepStrictEqual(yield* on("C"), ["layer"])
    }))

  it.effect("have the thread's tools", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      yield* client.answerThread(
        "A",
        yield* Approvals.make({
          handlers: { "item/tool/call": () => Effect.succeed(results["item/tool/call"]) }
        })
      )
      yield* server.push(spawned("A", "T", "C"), ask(0, "item/tool/call", { threadId: "C" }))
      assert.deepStrictEqual((yield* server.next).result, results["item/tool/call"])
    }))
})

describe("the files of a change", () => {
  const change = {
    type: "fileChange",
    id: "patch",
    status: "inProgress",
    changes: [
      { path: "/project/a", kind: { type: "add" }, diff: "" },
      { path: "/project/b", kind: { type: "update", move_path: "/etc/c" }, diff: "" },
      { path: "/project/d", kind: { type: "update", move_path: null }, diff: "" }
    ]
  }

  it.effect("are known from its item, where it moves them included, until it has completed", () =>
    Effect.gen(function*() {
      const seen: Array<ReadonlyArray<string>> = []
      const { server } = yield* connectWith({
        policy: (request) =>
          Effect.sync(() => {
            if (request._tag === "FileChange") seen.push(request.paths)
          }).pipe(Effect.andThen(Effect.succeedNone))
      })
      yield* server.push(
        Wire.itemStarted("A", "T", change),
        ask(0, "item/fileChange/requestApproval"),
        ask(1, "item/fileChange/requestApproval", { threadId: "B" }),
        ask(2, "applyPatchApproval", {
          fileChanges: { "/project/b": { type: "update", unified_diff: "", move_path: "/etc/c" } }
        }),
        Wire.itemCompleted("A", "T", { ...change, status: "completed" }),
        ask(3, "item/fileChange/requestApproval"),
        Wire.itemStarted("A", "T", change),
        Wire.turnCompleted("A", "T"),
        ask(4, "item/fileChange/requestApproval", { turnId: "U" })
      )
      yield* until(() => [0, 1, 2, 3, 4].every((id) => answersIn(server, id).length === 1))
      assert.deepStrictEqual(seen, [
        ["/project/a", "/project/b", "/etc/c", "/project/d"],
        [],
        ["/project/b", "/etc/c"],
        [],
        []
      ])
    }))
})

describe("the audit", () => {
  it.effect("has no decision where there is none that fits, and none of a handler that throws", () =>
    Effect.gen(function*() {
      for (
        const options of [
          { policy: () => Effect.succeedSome(JSON.parse("{\"_tag\":\"Maybe\"}")) },
          { handlers: { [approval]: () => Effect.succeed(JSON.parse("{\"decision\":\"maybe\"}")) } },
          {
            handlers: {
              [approval]: () => {
                throw new Error(SECRET)
              }
            }
          }
        ]
      ) {
        const { client, server } = yield* connectWith(options)
        const audit = yield* collect(client.decisions)
        yield* server.push(ask(0, approval))
        assert.strictEqual((yield* server.next).error?.code, -32603)
        yield* audit.atLeast(1)
        assert.deepStrictEqual(audit.seen.map(({ by, decision }) => [by, decision]), [["failure", null]])
      }
    }))

  it.effect("has every decision with who made it, and what was withdrawn", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { client, server } = yield* connectWith({
        policy: Approvals.orElse(
          Approvals.acceptCommands(["git"], { scope: "session" }),
          Approvals.orElse(Approvals.declineCommands(["rm"]), (request: Approvals.ApprovalRequest) =>
            request._tag === "Permissions"
              ? Effect.fail(new Failure({ detail: SECRET }))
              : request.itemId.startsWith("held")
              ? Effect.asSome(handler.decide(request))
              : Effect.succeedNone)
        )
      })
      yield* client.answerThread("B", yield* Approvals.make({ policy: Approvals.acceptAll }))
      yield* TestClock.setTime(5_000)
      const audit = yield* collect(client.decisions)
      const line = (command: string, itemId: string) =>
        ask(itemId, approval, { command, itemId })
      yield* server.push(line("git log", "session"))
      yield* server.next
      yield* server.push(line("rm x", "declined"))
      yield* server.next
      yield* server.push(ask("failed", "item/permissions/requestApproval"))
      assert.deepStrictEqual((yield* server.next).result, { permissions: {} })
      yield* server.push(line("ls", "nobody"))
      yield* server.next
      yield* server.push(ask("own", approval, command("B", "V", "own")))
      yield* server.next
      yield* server.push(line("ls", "held-resolved"), line("ls", "held-ended"))
      yield* until(() =>
        handler.begun.length === 2
      )
      yield* server.push({ method: "serverRequest/resolved", params: { threadId: "A", requestId: "held-resolved" } })
      yield* audit.atLeast(6)
      yield* server.push(Wire.turnCompleted("A", "T"))
      yield* audit.atLeast(7)
      assert.deepStrictEqual(
        audit.seen.map(({ by, decision, request }) => [request.itemId, by, decision]),
        [
          ["session", "layer", Approvals.acceptForSession],
          ["declined", "layer", Approvals.decline],
          ["permissions", "failure", Approvals.decline],
          ["nobody", "default", Approvals.decline],
          ["own", "thread", Approvals.accept],
          ["held-resolved", "layer", null],
          ["held-ended", "layer", null]
        ]
      )
      const [first] = audit.seen
      assert.strictEqual(first?.at.epochMilliseconds, 5_000)
      assert.deepStrictEqual(first?.request, {
        _tag: "Command",
        threadId: "A",
        turnId: "T",
        itemId: "session",
        reason: null,
        command: "git log",
        cwd: "/project",
        network: null,
        additionalPermissions: null,
        mayHidePermissions: false,
        params: { ...command("A", "T", "session"), command: "git log" }
      })
    }))

  it.effect("has what handlers answer, what of it was granted, and that one failed or was withdrawn", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { client, server } = yield* connectWith({
        policy: Approvals.acceptAll,
        handlers: {
          [approval]: ({ itemId }) =>
            itemId === "rule"
              ? Effect.succeed({ decision: { acceptWithExecpolicyAmendment: { execpolicy_amendment: ["ls"] } } })
              : itemId === "no"
              ? Effect.succeed({ decision: "decline" })
              : itemId === "held"
              ? Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => handler.begun.push(itemId))))
              : Effect.fail(new Failure({ detail: SECRET }))
        }
      })
      const audit = yield* collect(client.decisions)
      for (const itemId of ["rule", "no", "fails"]) {
        yield* server.push(ask(itemId, approval, { itemId }))
        yield* server.next
      }
      yield* server.push(ask("granted", "item/permissions/requestApproval"))
      yield* server.next
      // What cannot be told to the server is not granted, whatever the policy says.
      const entry = { access: "a future one", path: { type: "path", path: "/" } }
      yield* server.push(ask("future", "item/permissions/requestApproval", {
        permissions: { fileSystem: { entries: [entry] } }
      }))
      assert.deepStrictEqual((yield* server.next).result, { permissions: {}, scope: "turn" })
      yield* server.push(ask("held", approval, { itemId: "held" }), Wire.turnCompleted("A", "T"))
      yield* audit.atLeast(6)
      assert.deepStrictEqual(
        audit.seen.map(({ by, decision, request }) => [request.itemId, by, decision]),
        [
          ["rule", "layer", Approvals.acceptForSession],
          ["no", "layer", Approvals.decline],
          ["fails", "failure", null],
          ["permissions", "layer", Approvals.accept],
          ["permissions", "layer", Approvals.decline],
          ["held", "layer", null]
        ]
      )
    }))

  it.effect("ends with the connection, after what became of those who were asked", () =>
    Effect.gen(function*() {
      const handler = yield* gated
      const { client, server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
      const audit = yield* collect(client.decisions)
      yield* server.push(ask(0, approval))
      yield* until(() => handler.begun.length === 1)
      const end = new TransportError({ operation: "read", description: "gone" })
      yield* server.end(end)
      assert.strictEqual(yield* Effect.flip(Fiber.join(audit.fiber)), end)
      assert.deepStrictEqual(audit.seen.map(({ by, decision }) => [by, decision]), [["layer", null]])
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(client.decisions)), end)
    }))

  it.effect("drops the oldest for a reader that is behind, and never holds up an answer", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connectWith({ policy: Approvals.acceptAll })
      const gate = yield* Deferred.make<void>()
      const seen: Array<string> = []
      yield* fork(client.decisions.pipe(
        Stream.rechunk(1),
        Stream.runForEach(({ request }) =>
          Effect.andThen(Effect.sync(() => seen.push(request.itemId)), Deferred.await(gate))
        )
      ))
      for (let id = 0; id < 3_000; id++) {
        yield* server.push(ask(id, approval, { itemId: `item-${id}` }))
        yield* server.next
      }
      yield* Deferred.succeed(gate, undefined)
      yield* until(() => seen.includes("item-2999"))
      assert.strictEqual(seen[0], "item-0")
      assert.isBelow(seen.length, 3_000)
    }))
})

const Actions = Schema.Array(Schema.Struct({
  kind: Schema.Literals(["ask", "ask", "ask", "replay", "resolve", "accept", "die", "end", "flush"]),
  which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
})).check(Schema.isMaxLength(24))

describe("whatever comes in whatever order", () => {
  it.effect.prop(
    "each request is answered once, unless it is settled elsewhere first",
    [Actions],
    ([actions]) =>
      Effect.gen(function*() {
        const handler = yield* gated
        const { server } = yield* connectWith({ policy: Approvals.ask(handler.decide) })
        const asked = new Set<number>()
        const told = new Set<number>()
        const resolved = new Set<number>()
        let markers = 0
        let chunk: Array<unknown> = []
        const flush = Effect.suspend(() => {
          const messages = chunk
          chunk = []
          return messages.length === 0 ? Effect.void : server.push(...messages)
        })
        const request = (id: number) => ask(id, approval, { itemId: `item-${id}`, turnId: `T${id % 2}` })
        for (const { kind, which } of actions) {
          const waits = asked.has(which) && !told.has(which)
          switch (kind) {
            case "ask":
              if (asked.has(which)) break
              asked.add(which)
              chunk.push(request(which))
              break
            case "replay":
              if (!waits) break
              chunk.push(request(which))
              yield* flush
              // The server asks again only as long as it has no answer.
              yield* caughtUp(server, `marker-${markers++}`)
              break
            case "resolve":
              if (!waits) break
              told.add(which)
              resolved.add(which)
              chunk.push({ method: "serverRequest/resolved", params: { threadId: "A", requestId: which } })
              break
            case "end":
              for (const id of asked) if (id % 2 === which % 2) told.add(id)
              chunk.push(Wire.turnCompleted("A", `T${which % 2}`))
              break
            case "accept":
            case "die":
              if (!waits) break
              told.add(which)
              yield* handler.release(
                `item-${which}`,
                kind === "die" ? Exit.die(SECRET) : Exit.succeed(Approvals.accept)
              )
              break
            case "flush":
              yield* flush
          }
        }
        chunk.push(Wire.turnCompleted("A", "T0"), Wire.turnCompleted("A", "T1"))
        yield* flush
        yield* until(() => [...asked].every((id) => resolved.has(id) || answersIn(server, id).length > 0))
        yield* caughtUp(server, "last")
        for (const id of asked) {
          const answers = answersIn(server, id)
          assert.isAtMost(answers.length, 1)
          if (!resolved.has(id)) assert.strictEqual(answers.length, 1)
        }
        assert.notInclude(JSON.stringify(server.sent), SECRET)
      }),
    { arbitrary: { runs: 300 } }
  )
})
