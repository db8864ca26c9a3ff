import {
  AppServerClient,
  AppServerExited,
  AppServerSpawnError,
  Codex,
  type Thread,
  type TurnHandle
} from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Binary from "../../packages/node/src/internal/binary.ts"
import * as Fake from "../../packages/node/test/support/FakeExecutable.ts"
import * as FakeAppServer from "../support/FakeAppServer.ts"
import { left } from "../support/leftovers.ts"

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const connect = (options: NodeCodex.Options) =>
  Effect.map(Layer.build(NodeCodex.layer(options)), (context) => ({
    codex: Context.get(context, Codex),
    client: Context.get(context, AppServerClient)
  }))

const isKilled = (error: unknown): AppServerExited => {
  assert.instanceOf(error, AppServerExited)
  assert.strictEqual(error.signal, "SIGKILL")
  assert.isUndefined(error.exitCode)
  return error
}

/** The error of an effect or the end of a stream. */
const endOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, never, R> =>
  Effect.matchEffect(effect, {
    onFailure: (error) => Effect.succeed(error),
    onSuccess: () => Effect.sync(() => assert.fail("It should have failed"))
  })

/**
 * Waits for all that was under way. The clock of these tests stands still, so that
 * whatever waited for time to pass would never be told.
 */
const atOnce = (fibers: ReadonlyArray<Fiber.Fiber<unknown>>) => Effect.forEach(fibers, (fiber) => Fiber.join(fiber))

/** Everything that can wait on a connection with a turn, and everything that can be tried after its end. */
const waiters = (
  { client, codex }: { readonly client: AppServerClient["Service"]; readonly codex: Codex["Service"] },
  thread: Thread,
  turn: TurnHandle
): ReadonlyArray<Effect.Effect<unknown>> => [
  endOf(Stream.runDrain(client.notifications)),
  endOf(Stream.runDrain(client.unownedNotifications)),
  endOf(Stream.runDrain(client.threadNotifications(thread.id))),
  endOf(Stream.runDrain(client.on("thread/closed"))),
  client.closed,
  endOf(Stream.runDrain(codex.events)),
  endOf(Stream.runDrain(thread.events)),
  endOf(Stream.runDrain(turn.events)),
  endOf(Stream.runDrain(turn.text)),
  endOf(turn.result)
]

const calls = (
  { client, codex }: { readonly client: AppServerClient["Service"]; readonly codex: Codex["Service"] },
  thread: Thread,
  turn: TurnHandle
): ReadonlyArray<readonly [method: string | undefined, error: Effect.Effect<unknown>]> => [
  ["thread/list", endOf(client.request("thread/list", {}))],
  ["thread/start", endOf(codex.startThread())],
  ["thread/resume", endOf(codex.resumeThread(thread.id))],
  ["model/list", endOf(codex.models())],
  ["account/login/start", endOf(Effect.scoped(codex.loginChatgpt))],
  ["turn/start", endOf(thread.run("Too late"))],
  ["turn/start", endOf(Effect.scoped(thread.turn("Too late")))],
  ["turn/start", endOf(Stream.runDrain(thread.stream("Too late")))],
  ["thread/compact/start", endOf(thread.compact)],
  ["thread/read", endOf(thread.read())],
  ["turn/steer", endOf(turn.steer("Too late"))]
]

/** Says something on stderr, with a secret in it, and is ready to be killed. */
const lastWords = [{ say: "about to go, with sk-abcdefghijklmnop" }, { note: "asked" }] as const

layer(NodeServices.layer)("the app-server is killed", (it) => {
  it.effect("before the handshake: there is no agent, and the error says why", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({ on: { initialize: lastWords } })
      const starting = yield* fork(endOf(Effect.scoped(connect(fake.options))))
      yield* fake.noted("asked")
      yield* fake.kill("SIGKILL")
      const [error] = yield* atOnce([starting])
      assert.instanceOf(error, AppServerSpawnError)
      assert.deepStrictEqual(
        [error.reason, error.signal, error.stderr],
        ["ExitedEarly", "SIGKILL", "about to go, with <redacted>"]
      )
      yield* fake.gone
    }))

  it.effect("between a request and its response: the request knows its method, later ones fail at once", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({ on: { "thread/list": lastWords } })
      const { client, codex } = yield* connect(fake.options)
      const waiting = yield* Effect.forEach(
        Array.from({ length: 500 }),
        () => fork(endOf(client.request("thread/list", {})))
      )
      yield* fake.noted("asked")
      yield* fake.kill("SIGKILL")
      for (const error of yield* atOnce(waiting)) {
        const { method, stderr } = isKilled(error)
        assert.strictEqual(method, "thread/list")
        assert.include(stderr, "about to go, with <redacted>")
      }
      const later = yield* fork(endOf(codex.models()))
      assert.strictEqual(isKilled((yield* atOnce([later]))[0]).method, "model/list")
    }))

  it.effect("in the middle of a turn: whoever waits is told, and whoever comes later", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({ turn: { hold: true } })
      const connection = yield* connect(fake.options)
      const thread = yield* connection.codex.startThread()
      const turn = yield* thread.turn("Go")
      const running = yield* fork(endOf(thread.run("Go on")))
      const waiting = yield* Effect.forEach(waiters(connection, thread, turn), (waiter) => fork(waiter))
      yield* turn.events.pipe(Stream.take(3), Stream.runDrain)
      yield* fake.kill("SIGKILL")
      for (const error of yield* atOnce([running, ...waiting])) isKilled(error)
      const later = [
        ...calls(connection, thread, turn),
        ...waiters(connection, thread, turn).map((waiter) => [undefined, waiter] as const)
      ]
      const fibers = yield* Effect.forEach(later, ([, call]) => fork(call))
      const errors = yield* atOnce(fibers)
      assert.deepStrictEqual(errors.map((error) => isKilled(error).method), later.map(([method]) => method))
    }))

  it.effect("while a person is asked: the person is let go", () =>
    Effect.gen(function*() {
      const params = {
        threadId: "$threadId",
        turnId: "$turnId",
        itemId: "item",
        startedAtMs: 1,
        command: "ls",
        cwd: "/"
      }
      const fake = yield* FakeAppServer.make({
        turn: { hold: true },
        on: { "turn/start": [{ ordinary: true }, { ask: ["item/commandExecution/requestApproval", params] }] }
      })
      const asked = yield* Deferred.make<void>()
      const letGo = yield* Deferred.make<void>()
      const { codex } = yield* connect({
        ...fake.options,
        approvals: {
          policy: () =>
            Deferred.succeed(asked, undefined).pipe(
              Effect.andThen(Effect.never),
              Effect.onInterrupt(() => Deferred.succeed(letGo, undefined))
            )
        }
      })
      const thread = yield* codex.startThread()
      const running = yield* fork(endOf(thread.run("Go")))
      yield* Deferred.await(asked)
      yield* fake.kill("SIGKILL")
      const person = yield* fork(Deferred.await(letGo))
      const [, error] = yield* atOnce([person, running])
      isKilled(error)
    }))

  it.effect("while a login is waited for: the login has failed", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make()
      const { codex } = yield* connect(fake.options)
      const login = yield* codex.loginChatgpt
      const waiting = yield* fork(endOf(login.wait))
      yield* fake.kill("SIGKILL")
      isKilled((yield* atOnce([waiting]))[0])
      isKilled(yield* endOf(login.cancel))
    }))

  it.effect("while 1,000 turns stream: each of them, and each who reads one, is told", () =>
    Effect.gen(function*() {
      const count = 1_000
      const scope = yield* Effect.scope
      const fake = yield* FakeAppServer.make({ turn: { every: 20, burst: count } })
      const { client, codex } = yield* connect({ ...fake.options, maxInFlight: count })
      const streaming = yield* Deferred.make<void>()
      let heard = 0
      const waiting = yield* Effect.forEach(
        Array.from({ length: count }),
        () =>
          Effect.gen(function*() {
            const turn = yield* (yield* codex.startThread()).turn("Go")
            const hear = Effect.suspend(() => ++heard === count ? Deferred.succeed(streaming, undefined) : Effect.void)
            const reader = yield* Effect.forkIn(endOf(Stream.runDrain(turn.text)), scope)
            yield* turn.text.pipe(Stream.take(1), Stream.runDrain)
            yield* hear
            return [reader, yield* Effect.forkIn(endOf(turn.result), scope)] as const
          }),
        { concurrency: "unbounded" }
      )
      yield* Deferred.await(streaming)
      yield* fake.kill("SIGKILL")
      const errors = yield* atOnce(waiting.flat())
      assert.strictEqual(errors.length, 2 * count)
      for (const error of errors) isKilled(error)
      isKilled(yield* client.closed)
    }))

  it.effect("right after a turn has completed: the turn has its result", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({
        turn: { deltas: 2_000 },
        on: { "turn/start": [{ ordinary: true }, { signal: "SIGKILL" }] }
      })
      const { client, codex } = yield* connect(fake.options)
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Go")
      isKilled(yield* client.closed)
      const result = yield* turn.result
      assert.strictEqual(result.status, "completed")
      assert.strictEqual(result.finalResponse?.length, 16_000)
      assert.strictEqual(yield* Stream.runFold(turn.text, () => 0, (length, text) => length + text.length), 16_000)
      isKilled(yield* endOf(thread.run("Once more")))
    }))

  it.effect("while it is written to: a broken pipe is nobody's business", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({ on: { "thread/name/set": [{ signal: "SIGKILL" }] } })
      const { client } = yield* connect(fake.options)
      const fibers = yield* Effect.forEach(
        Array.from({ length: 200 }),
        () => fork(endOf(client.request("thread/name/set", { threadId: "A", name: "x".repeat(100_000) })))
      )
      // An error event that nobody listens to would end this process.
      for (const fiber of fibers) isKilled(yield* Fiber.join(fiber))
    }))

  it.effect("and leaves no fiber, listener, timer, pipe or open file", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({ turn: { hold: true } })
      const once = Effect.gen(function*() {
        const connection = yield* connect(fake.options)
        const thread = yield* connection.codex.startThread()
        const turn = yield* thread.turn("Go")
        const waiting = yield* Effect.forEach(waiters(connection, thread, turn), (waiter) => fork(waiter))
        yield* turn.events.pipe(Stream.take(3), Stream.runDrain)
        yield* fake.kill("SIGKILL")
        for (const fiber of waiting) isKilled(yield* Fiber.join(fiber))
        for (const [, call] of calls(connection, thread, turn)) isKilled(yield* call)
      }).pipe(Effect.scoped)
      // What is loaded once stays: modules, the runtime's own pipes.
      yield* once
      const counts = yield* left(Effect.repeat(once, { times: 4 }))
      assert.deepStrictEqual(counts, { fibers: 0, descriptors: 0, processes: 0, pipes: 0, listeners: 0, timers: 0 })
      yield* fake.gone
    }))
})

layer(NodeServices.layer)("the real app-server is killed", (it) => {
  const connectReal = Effect.gen(function*() {
    const fake = yield* Fake.recorded(yield* Binary.pinned())
    const context = yield* Layer.build(OfflineCodex.layer({ codex: { codexPath: fake.path } }))
    return {
      codex: Context.get(context, Codex),
      client: Context.get(context, AppServerClient),
      model: Context.get(context, OfflineModel),
      kill: Effect.map(fake.awaitValue("pid"), (pid) => process.kill(Number(pid), "SIGKILL"))
    }
  })

  it.effect("in the middle of a turn", () =>
    Effect.gen(function*() {
      const connection = yield* connectReal
      const gate = yield* OfflineModel.gate
      yield* connection.model.respond(() => OfflineModel.text(["Half ", OfflineModel.hold(gate), "and whole"]))
      const thread = yield* connection.codex.startThread()
      const turn = yield* thread.turn("Go")
      const waiting = yield* Effect.forEach(waiters(connection, thread, turn), (waiter) => fork(waiter))
      yield* turn.text.pipe(Stream.take(1), Stream.runDrain)
      yield* connection.kill
      for (const error of yield* atOnce(waiting)) isKilled(error)
      for (const [method, call] of calls(connection, thread, turn)) {
        assert.strictEqual(isKilled(yield* call).method, method)
      }
    }))

  it.effect("while a person is asked, while a command runs and while a login is waited for", () =>
    Effect.gen(function*() {
      const { client, codex, kill, model } = yield* connectReal
      const asked = yield* Deferred.make<void>()
      yield* model.respond(() =>
        OfflineModel.functionCall({
          name: "exec_command",
          arguments: { cmd: "echo hi", sandbox_permissions: "require_escalated", justification: "It has to be" }
        })
      )
      const thread = yield* codex.startThread({
        approvals: { policy: () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never) }
      })
      const login = yield* codex.loginChatgpt
      const waiting = yield* Effect.forEach(
        [
          endOf(thread.run("Say hi")),
          endOf(login.wait),
          endOf(
            client.request("command/exec", { command: ["sleep", "600"], sandboxPolicy: { type: "dangerFullAccess" } })
          )
        ],
        (waiter) => fork(waiter)
      )
      yield* Deferred.await(asked)
      yield* kill
      const [turn, , command] = yield* atOnce(waiting)
      isKilled(turn)
      assert.strictEqual(isKilled(command).method, "command/exec")
    }))
})
