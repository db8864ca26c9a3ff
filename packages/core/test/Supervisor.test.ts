import {
  Approvals,
  AppServerClient,
  AppServerExited,
  AppServerSpawnError,
  Codex,
  type ConnectionError,
  InvalidOptions,
  RequestTimeout,
  type RestartCause,
  Supervisor,
  SupervisorGaveUp,
  TransportError
} from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { collect, fork } from "./support/observe.ts"
import { initializeResult, type ScriptedServer, start } from "./support/ScriptedServer.ts"
import * as ServerRequests from "./support/serverRequests.ts"
import { threadResponse } from "./support/threads.ts"
import * as Wire from "./support/wire.ts"

const killed = new AppServerExited({ signal: "SIGKILL", stderr: "last words" })

const broken = new AppServerSpawnError({ reason: "SpawnFailed", description: "Not this time" })

const everySecond = Schedule.spaced("1 second")

const models = { data: [], nextCursor: null }

/** An agent whose connections are to the scripted servers that come, in order, or to what stands for one that does not start. */
const supervised = (options: Supervisor.RestartOptions & Pick<Supervisor.Options<never>, "client"> = {}) =>
  Effect.gen(function*() {
    const coming = yield* Queue.unbounded<ScriptedServer | AppServerSpawnError>()
    const log = { open: 0, closed: 0 }
    const transport = Effect.gen(function*() {
      const next = yield* Queue.take(coming)
      if (next instanceof AppServerSpawnError) return yield* next
      log.open++
      yield* Effect.addFinalizer(() => Effect.sync(() => log.closed++))
      return next.transport
    })
    const first = yield* start()
    yield* Queue.offer(coming, first)
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const context = yield* Scope.provide(
      Supervisor.make({ restart: everySecond, ...options, transport }),
      scope
    )
    return {
      codex: Context.get(context, Codex),
      client: Context.get(context, AppServerClient),
      first,
      log,
      close: Scope.close(scope, Exit.void),
      /** The server that the next connection is made to. */
      next: Effect.tap(start(), (server) => Queue.offer(coming, server)),
      /** The next connection fails. */
      nextFails: (error: AppServerSpawnError) => Queue.offer(coming, error)
    }
  })

/** Ends a connection, and lets everybody do what they do about it, up to the next wait. */
const ends = (server: ScriptedServer, error: AppServerExited) =>
  Effect.andThen(server.end(error), Effect.repeat(Effect.yieldNow, { times: 200 }))

const gaveUp = (error: ConnectionError | RequestTimeout | { readonly _tag: string }) => {
  assert.instanceOf(error, SupervisorGaveUp)
  return error
}

describe("a supervised connection", () => {
  it.effect("is made again, and tells so where events and notifications are read", () =>
    Effect.gen(function*() {
      const { client, codex, first, log, next } = yield* supervised()
      const events = yield* collect(codex.events)
      const notifications = yield* collect(client.notifications)
      const closed = yield* collect(client.on("thread/closed"))
      yield* first.push({ method: "thread/closed", params: { threadId: "before" } })
      yield* ends(first, killed)
      const second = yield* next
      yield* TestClock.adjust("1 second")
      yield* events.atLeast(2)
      yield* second.push({ method: "thread/closed", params: { threadId: "after" } })
      yield* closed.atLeast(2)
      const expected = ["thread/closed", "client/restarted", "thread/closed"]
      assert.deepStrictEqual((yield* events.atLeast(3)).map(({ method }) => method), expected)
      assert.deepStrictEqual((yield* notifications.atLeast(3)).map(({ method }) => method), expected)
      const [, restarted] = events.seen
      assert.deepStrictEqual(restarted?.params, { attempt: 1, cause: killed, resumed: [], failed: [] })
      assert.deepStrictEqual(log, { open: 2, closed: 1 })
    }))

  it.effect("fails what was under way and what belongs to it, at once and for good", () =>
    Effect.gen(function*() {
      const { client, codex, first, next } = yield* supervised()
      const starting = yield* fork(codex.startThread())
      yield* first.respond(yield* first.request("thread/start"), threadResponse("A"))
      const thread = yield* Fiber.join(starting)
      const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const opening = yield* fork(Scope.provide(thread.turn("Go"), scope))
      const request = yield* first.request("turn/start")
      yield* first.respond(request, { turn: Wire.turn({ id: "T" }) })
      const turn = yield* Fiber.join(opening)
      const login = yield* fork(Scope.provide(codex.loginChatgpt, scope))
      yield* first.respond(yield* first.request("account/login/start"), {
        type: "chatgpt",
        loginId: "L",
        authUrl: "https://example.com/"
      })
      const pending = yield* Fiber.join(login)
      const waiters: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.flip(turn.result),
        Effect.flip(Stream.runDrain(turn.events)),
        Effect.flip(Stream.runDrain(thread.events)),
        Effect.flip(pending.wait),
        Effect.flip(client.request("model/list", {}))
      ]
      const waiting = yield* Effect.forEach(waiters, (waiter) => fork(waiter))
      yield* first.request("model/list")
      yield* ends(first, killed)
      // Nothing needs the next connection for this.
      for (const fiber of waiting) {
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, AppServerExited)
        assert.strictEqual(error.signal, "SIGKILL")
      }
      const second = yield* next
      const again = yield* fork(client.request("model/list", {}))
      yield* TestClock.adjust("1 second")
      yield* second.respond(yield* second.request("model/list"), models)
      yield* Fiber.join(again)
      const later: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.asVoid(thread.run("Too late")),
        Effect.asVoid(thread.read()),
        turn.steer("Too late"),
        Stream.runDrain(thread.events),
        pending.cancel
      ]
      for (const effect of later) assert.instanceOf(yield* Effect.flip(effect), AppServerExited)
      assert.deepStrictEqual(second.methods(), ["model/list"])
    }))

  it.effect("has threads and watches of scopes, which are over with it", () =>
    Effect.gen(function*() {
      const { codex, first, next } = yield* supervised()
      const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
      const starting = yield* fork(Scope.provide(codex.thread(), scope))
      yield* first.respond(yield* first.request("thread/start"), threadResponse("A"))
      const thread = yield* Fiber.join(starting)
      const watching = yield* fork(Scope.provide(codex.files.watcher("/src"), scope))
      yield* first.respond(yield* first.request("fs/watch"), { path: "/src" })
      const { changes } = yield* Fiber.join(watching)
      yield* ends(first, killed)
      assert.instanceOf(yield* Effect.flip(thread.run("Too late")), AppServerExited)
      assert.instanceOf(yield* Effect.flip(Stream.runDrain(changes)), AppServerExited)
      // Nothing needs the next connection for this.
      yield* Scope.close(scope, Exit.void)
      const second = yield* next
      const another = yield* Scope.make()
      const later = yield* fork(Scope.provide(codex.files.watcher("/src"), another))
      yield* TestClock.adjust("1 second")
      const request = yield* second.request("fs/watch")
      yield* second.respond(request, { path: "/src" })
      const watcher = yield* Fiber.join(later)
      const { watchId } = yield* Schema.decodeUnknownEffect(Schema.Struct({ watchId: Schema.String }))(request.params)
      yield* second.push({ method: "fs/changed", params: { watchId, changedPaths: ["/src/a"] } })
      const change = yield* Effect.flatMap(Stream.runHead(watcher.changes), Effect.fromOption)
      assert.deepStrictEqual(change.paths, ["/src/a"])
      const closing = yield* fork(Scope.close(another, Exit.void))
      yield* second.respond(yield* second.request("fs/unwatch"), {})
      yield* Fiber.join(closing)
      assert.deepStrictEqual(second.methods(), ["fs/watch", "fs/unwatch"])
    }))

  it.effect("keeps what answers on a thread when one leaves who had it before", () =>
    Effect.gen(function*() {
      const { codex, first, next } = yield* supervised()
      const asked: Array<string> = []
      const held = (server: ScriptedServer, name: string) =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          const policy = () => Effect.as(Effect.sync(() => asked.push(name)), Option.some(Approvals.accept))
          const starting = yield* fork(Scope.provide(codex.thread({ resume: "A", approvals: { policy } }), scope))
          yield* TestClock.adjust("1 second")
          yield* server.respond(yield* server.request("thread/resume"), threadResponse("A"))
          yield* Fiber.join(starting)
          return scope
        })
      const before = yield* held(first, "before")
      yield* ends(first, killed)
      const second = yield* next
      yield* held(second, "after")
      yield* Scope.close(before, Exit.void)
      const params = ServerRequests.command("A", "T", "call")
      yield* second.push({ id: 1, method: "item/commandExecution/requestApproval", params })
      yield* second.next
      assert.deepStrictEqual(asked, ["after"])
    }))

  it.effect("lets calls wait for the next one, no longer than their deadline", () =>
    Effect.gen(function*() {
      const { client, codex, first, next, nextFails } = yield* supervised({ client: { requestTimeout: "3 seconds" } })
      const failing = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* first.request("model/list")
      yield* ends(first, killed)
      assert.instanceOf(yield* Fiber.join(failing), AppServerExited)
      yield* nextFails(broken)
      const early = yield* fork(Effect.flip(client.request("thread/loaded/list", {})))
      yield* TestClock.adjust("1 second")
      const late = yield* fork(codex.models())
      const { metadata } = codex
      assert.strictEqual(metadata.userAgent, initializeResult.userAgent)
      // The second try waits for the server: the first call does not, once its deadline has passed.
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(early)
      assert.instanceOf(error, RequestTimeout)
      assert.strictEqual(error.method, "thread/loaded/list")
      const second = yield* next
      yield* second.respond(yield* second.request("model/list"), models)
      assert.deepStrictEqual(yield* Fiber.join(late), [])
      assert.deepStrictEqual(second.methods(), ["model/list"])
    }))

  it.effect("loads the named threads again, before anything else is sent, with what answers for them", () =>
    Effect.gen(function*() {
      const { client, codex, first, next } = yield* supervised({
        resumeThreads: Effect.succeed([
          "A",
          { id: "B", options: { sandbox: "readOnly" } },
          "C"
        ])
      })
      const policy: Approvals.Policy = () => Effect.succeedSome(Approvals.accept)
      for (const id of ["A", "D"]) {
        const starting = yield* fork(codex.startThread({ approvals: { policy } }))
        yield* first.respond(yield* first.request("thread/start"), threadResponse(id))
        yield* Fiber.join(starting)
      }
      const decisions = yield* collect(codex.decisions)
      const events = yield* collect(codex.events)
      yield* ends(first, killed)
      const call = yield* fork(client.request("model/list", {}))
      const second = yield* next
      yield* TestClock.adjust("1 second")
      for (const id of ["A", "B", "C"]) {
        const request = yield* second.request("thread/resume")
        assert.deepInclude(request.params, { threadId: id, ...(id === "B" ? { sandbox: "read-only" } : {}) })
        if (id === "C") yield* second.refuse(request, -32_600, "no rollout found")
        else yield* second.respond(request, threadResponse(id))
      }
      yield* second.respond(yield* second.request("model/list"), models)
      yield* Fiber.join(call)
      const [restarted] = yield* events.atLeast(1)
      assert.strictEqual(restarted?.method, "client/restarted")
      if (restarted?.method !== "client/restarted") return
      assert.deepStrictEqual(restarted.params.resumed, ["A", "B"])
      assert.deepStrictEqual(
        restarted.params.failed.map(({ error, threadId }) => [threadId, error._tag]),
        [["C", "InvalidRequest"]]
      )
      // What was given for A answers again; what was given for D went with its connection.
      for (const [id, threadId] of [[1, "A"], [2, "D"]] as const) {
        yield* second.push({
          id,
          method: "item/commandExecution/requestApproval",
          params: ServerRequests.command(threadId, "T", "I")
        })
        const answer = yield* second.next
        assert.deepStrictEqual(answer, { id, result: { decision: id === 1 ? "accept" : "decline" } })
      }
      assert.deepStrictEqual((yield* decisions.atLeast(2)).map(({ by }) => by), ["thread", "default"])
    }))

  it.effect("keeps what answers for a named thread, however its id is written", () =>
    Effect.gen(function*() {
      const id = "01a22fac-8cad-76c3-8653-649c2c348b00"
      const { codex, first, next } = yield* supervised({ resumeThreads: [id.toUpperCase()] })
      const policy: Approvals.Policy = () => Effect.succeedSome(Approvals.accept)
      const starting = yield* fork(codex.startThread({ approvals: { policy } }))
      yield* first.respond(yield* first.request("thread/start"), threadResponse(id))
      yield* Fiber.join(starting)
      yield* ends(first, killed)
      const second = yield* next
      yield* TestClock.adjust("1 second")
      yield* second.respond(yield* second.request("thread/resume"), threadResponse(id))
      yield* second.push({
        id: 1,
        method: "item/commandExecution/requestApproval",
        params: ServerRequests.command(id, "T", "I")
      })
      assert.deepStrictEqual(yield* second.next, { id: 1, result: { decision: "accept" } })
    }))

  it.effect("has an audit that goes on, and ends when it is given up", () =>
    Effect.gen(function*() {
      const { codex, first, next } = yield* supervised({ restart: Schedule.recurs(1) })
      const decisions = yield* collect(codex.decisions)
      const asks = (server: ScriptedServer, itemId: string) =>
        server.push({
          id: itemId,
          method: "item/commandExecution/requestApproval",
          params: ServerRequests.command("A", "T", itemId)
        })
      yield* asks(first, "first")
      yield* decisions.atLeast(1)
      yield* ends(first, killed)
      const second = yield* next
      yield* asks(second, "second")
      yield* decisions.atLeast(2)
      yield* ends(second, killed)
      assert.instanceOf(yield* Effect.flip(Fiber.join(decisions.fiber)), SupervisorGaveUp)
      assert.deepStrictEqual(decisions.seen.map(({ request }) => request.itemId), ["first", "second"])
      assert.instanceOf(yield* Effect.flip(Stream.runDrain(codex.decisions)), SupervisorGaveUp)
    }))

  it.effect("is tried again when it ends while its threads are resumed", () =>
    Effect.gen(function*() {
      const { codex, first, next } = yield* supervised({ resumeThreads: ["A"] })
      const events = yield* collect(codex.events)
      yield* ends(first, killed)
      const second = yield* next
      yield* TestClock.adjust("1 second")
      yield* second.request("thread/resume")
      const again = new AppServerExited({ exitCode: 9, stderr: "" })
      yield* ends(second, again)
      const third = yield* next
      yield* TestClock.adjust("1 second")
      yield* third.respond(yield* third.request("thread/resume"), threadResponse("A"))
      const [restarted] = yield* events.atLeast(1)
      assert.deepStrictEqual(restarted?.params, { attempt: 2, cause: again, resumed: ["A"], failed: [] })
    }))

  it.effect("is given up when the schedule is exhausted, and everything is told", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const restart = everySecond.pipe(
        Schedule.setInputType<RestartCause>(),
        Schedule.tap(({ input }) => Effect.sync(() => seen.push(input._tag))),
        Schedule.upTo({ times: 2 })
      )
      const { client, codex, first, next, nextFails } = yield* supervised({ restart })
      const events = yield* fork(Effect.flip(Stream.runDrain(codex.events)))
      const closed = yield* fork(client.closed)
      yield* ends(first, killed)
      yield* nextFails(broken)
      const second = yield* next
      const waiting = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      yield* second.request("model/list")
      yield* ends(second, killed)
      assert.instanceOf(yield* Fiber.join(waiting), AppServerExited)
      const error = gaveUp(yield* Fiber.join(closed))
      assert.deepStrictEqual(
        [error.reason, error.attempts, error.restarts, error.lastCause],
        ["scheduleExhausted", 2, 1, killed]
      )
      assert.strictEqual(yield* Fiber.join(events), error)
      for (
        const later of [
          client.request("model/list", {}),
          codex.startThread(),
          codex.resumeThread("A"),
          Stream.runDrain(codex.events),
          Stream.runDrain(client.notifications)
        ]
      ) {
        assert.strictEqual(gaveUp(yield* Effect.flip(later)), error)
      }
      assert.deepStrictEqual(seen.slice(0, 2), ["AppServerExited", "AppServerSpawnError"])
      assert.include(error.message, "its schedule is exhausted")
      assert.include(error.message, "SIGKILL")
    }))

  it.effect("is given up at once where no restart mends what is wrong", () =>
    Effect.gen(function*() {
      const { client, first, nextFails } = yield* supervised()
      const missing = new AppServerSpawnError({ reason: "BinaryNotFound", description: "It was taken away" })
      yield* nextFails(missing)
      const waiting = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* first.request("model/list")
      yield* ends(first, killed)
      yield* Fiber.join(waiting)
      const call = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* TestClock.adjust("1 second")
      const error = gaveUp(yield* Fiber.join(call))
      assert.deepStrictEqual([error.reason, error.attempts, error.restarts], ["cannotBeMended", 1, 0])
      assert.strictEqual(error.lastCause, missing)
    }))

  it.effect("begins its schedule anew after a long healthy run", () =>
    Effect.gen(function*() {
      const { client, first, next } = yield* supervised({
        restart: everySecond.pipe(Schedule.upTo({ times: 1 })),
        healthyAfter: "1 minute"
      })
      const events = yield* collect(client.on("thread/closed"))
      let server = first
      for (let run = 1; run <= 4; run++) {
        yield* TestClock.adjust("1 minute")
        yield* ends(server, killed)
        server = yield* next
        yield* TestClock.adjust("1 second")
        yield* server.push({ method: "thread/closed", params: { threadId: "A" } })
        yield* events.atLeast(run)
      }
      const closed = yield* fork(client.closed)
      yield* TestClock.adjust("59 seconds")
      yield* ends(server, killed)
      const error = gaveUp(yield* Fiber.join(closed))
      assert.deepStrictEqual([error.attempts, error.restarts], [1, 4])
    }))

  it.effect("ends with its scope, in the middle of a restart too", () =>
    Effect.gen(function*() {
      const running = yield* supervised()
      const restarting = yield* supervised()
      const waiters = yield* Effect.forEach([running, restarting], ({ client, codex }) =>
        Effect.all([
          fork(Effect.flip(Stream.runDrain(codex.events))),
          fork(Effect.flip(Stream.runDrain(client.notifications))),
          fork(client.closed)
        ]))
      yield* ends(restarting.first, killed)
      const waiting = yield* fork(Effect.flip(restarting.client.request("model/list", {})))
      yield* running.close
      yield* restarting.close
      const errors = [
        ...(yield* Effect.forEach(waiters.flat(), (fiber) => Fiber.join<unknown, unknown>(fiber))),
        yield* Fiber.join(waiting)
      ]
      for (const error of errors) {
        assert.instanceOf(error, TransportError)
        assert.strictEqual(error.operation, "close")
      }
      for (const { client, log } of [running, restarting]) {
        assert.strictEqual(log.open, log.closed)
        assert.instanceOf(yield* Effect.flip(client.request("model/list", {})), TransportError)
      }
    }))

  it.effect("says nothing when its scope closes after a restart: nothing is made again", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const { close, codex, first, next } = yield* supervised().pipe(
        Effect.provide(Logger.layer([Logger.make(({ message }) => logged.push(message))]))
      )
      const events = yield* collect(codex.events)
      yield* ends(first, killed)
      yield* next
      yield* TestClock.adjust("1 second")
      yield* events.atLeast(1)
      assert.lengthOf(logged, 1)
      yield* close
      assert.lengthOf(logged, 1)
    }))

  it.effect("is made again where a logger throws", () =>
    Effect.gen(function*() {
      const throwing = Logger.make(() => {
        throw new Error("No luck")
      })
      const { client, codex, first, next, nextFails } = yield* Effect.provide(supervised(), Logger.layer([throwing]))
      const events = yield* collect(codex.events)
      yield* ends(first, killed)
      yield* nextFails(broken)
      yield* next
      yield* TestClock.adjust("2 seconds")
      const seen = yield* Effect.raceFirst(events.atLeast(1), Effect.flatMap(client.closed, Effect.fail))
      assert.deepStrictEqual(seen.map(({ method }) => method), ["client/restarted"])
    }))

  it.effect("is ended where what names its threads dies", () =>
    Effect.gen(function*() {
      const { client, first, log, next } = yield* supervised({ resumeThreads: Effect.die("No luck") })
      yield* ends(first, killed)
      yield* next
      yield* TestClock.adjust("1 second")
      const error = yield* client.closed
      assert.instanceOf(error, TransportError)
      assert.strictEqual(error.description, "The supervisor died")
      yield* Effect.repeat(Effect.yieldNow, { times: 200 })
      assert.deepStrictEqual(log, { open: 2, closed: 2 })
    }))

  it.effect("is not made with options that cannot be", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(supervised({ healthyAfter: "-1 seconds" })))
      assert.instanceOf(error, InvalidOptions)
      assert.deepStrictEqual(error.issues.map(({ path }) => path), ["healthyAfter"])
    }))
})
