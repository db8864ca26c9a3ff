/**
 * A connection that is made again when it ends: the agent of an app-server that may
 * die and come back, or that is reached over a network.
 *
 * @since 0.1.0
 */
import type { ServerNotificationMethod } from "@effect-codex/generated"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "./AppServerClient.ts"
import { AppServerClient } from "./AppServerClient.ts"
import * as Agent from "./Codex.ts"
import { Codex } from "./Codex.ts"
import {
  type AppServerSpawnError,
  type ConnectionError,
  type RequestError,
  RequestTimeout,
  type RestartCause,
  SupervisorGaveUp,
  TransportError
} from "./CodexError.ts"
import * as CodexMetrics from "./CodexMetrics.ts"
import { closed } from "./internal/closed.ts"
import { EventHub } from "./internal/eventHub.ts"
import * as Log from "./internal/log.ts"
import { isOf } from "./internal/notifications.ts"
import { OptionReader, resolve } from "./internal/options.ts"
import { Outlet } from "./internal/outlet.ts"
import { makeAudit } from "./internal/serverRequestDesk.ts"
import { ThreadAnswers } from "./internal/threadAnswers.ts"
import { unwrapScoped } from "./internal/unwrapScoped.ts"
import type { Restarted } from "./Notification.ts"
import * as RuntimeVersion from "./RuntimeVersion.ts"
import * as Thread from "./Thread.ts"
import { Transport } from "./Transport.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * A thread that is resumed after a restart, by its id alone or with options: what
 * the server does not store, as the sandbox, has to be given again.
 *
 * @since 0.1.0
 * @category models
 */
export type ThreadToResume = string | {
  readonly id: string
  readonly options?: Thread.ResumeThreadOptions | undefined
}

/**
 * When and how the app-server is started again.
 *
 * @since 0.1.0
 * @category models
 */
export interface RestartOptions {
  /** The wait before each try, and how many there are; it is told what went wrong. Default: `defaultRestart`. */
  readonly restart?: Schedule.Schedule<unknown, RestartCause> | undefined
  /** A run of this length begins the schedule anew. Default: 1 minute. */
  readonly healthyAfter?: Duration.Input | undefined
  /**
   * The threads that are resumed after each restart, before anything else is sent. An
   * effect is asked anew each time. The approvals and tools that were given for them
   * are kept; those of other threads are not.
   */
  readonly resumeThreads?:
    | ReadonlyArray<ThreadToResume>
    | Effect.Effect<ReadonlyArray<ThreadToResume>>
    | undefined
}

/**
 * Options of `layer`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R, E extends StartFailure = StartFailure> extends RestartOptions {
  /** Connects. The scope ends the connection, and what has been started for it. */
  readonly transport: Effect.Effect<Transport["Service"], E, R>
  /** Options of the client. */
  readonly client?: Client.Options | undefined
}

/**
 * Why there is no connection.
 *
 * @since 0.1.0
 * @category errors
 */
export type StartFailure = AppServerSpawnError | Client.HandshakeError

/**
 * Exponential from 200 milliseconds, at most 10 seconds apart, with jitter, eight
 * tries.
 *
 * @since 0.1.0
 * @category policies
 */
export const defaultRestart: Schedule.Schedule<unknown, RestartCause> = Schedule.min([
  Schedule.exponential("200 millis"),
  Schedule.spaced("10 seconds")
]).pipe(
  Schedule.jittered,
  Schedule.upTo({ times: 8 })
)

// =============================================================================
// Layers
// =============================================================================

/**
 * The agent and the client over connections that follow one another.
 *
 * - The first connection has to succeed, or the layer fails.
 * - What waits when a connection ends fails with its cause, and so do all its threads
 *   and turns, then and later; nothing is sent twice. Resume a thread to go on.
 * - Calls of the agent and the client made meanwhile wait for the next connection,
 *   no longer than their own deadline.
 * - `events`, `notifications` and the agent's other streams of changes go on, with
 *   `client/restarted` where a connection was made again.
 * - Once the schedule is exhausted, or the start fails in a way that no restart mends,
 *   everything fails with `SupervisorGaveUp`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R, E extends StartFailure>(
  options: Options<R, E>
): Layer.Layer<Codex | AppServerClient, E | Client.HandshakeError, Exclude<R, Scope.Scope>> =>
  Layer.effectContext(make(options))

// =============================================================================
// Constructors
// =============================================================================

/** One of the connections that follow one another. */
interface Connection {
  readonly client: AppServerClient["Service"]
  readonly codex: Codex["Service"]
  readonly scope: Scope.Closeable
  /** Becomes true before anybody learns from the client that the connection is over. */
  readonly line: { over: boolean }
  /** When it was there. */
  readonly since: number
  /** The connection after this one. */
  readonly next: Deferred.Deferred<Connection, ConnectionError>
}

/**
 * Connects, and from then on until the scope closes connects again.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fn("Supervisor.make")(function*<R, E extends StartFailure>(options: Options<R, E>) {
  const scope = yield* Effect.scope
  // Made before what supervises them, so that it is over first: their end is then no reason to connect again.
  const connections = yield* Scope.fork(scope)
  const settings = yield* resolve(options.client ?? {})
  const read = new OptionReader()
  const healthyAfter = read.duration("healthyAfter", options.healthyAfter, Duration.minutes(1))
  yield* read.check

  const answers = new ThreadAnswers()
  const context = yield* Effect.context<never>()
  const hub = new EventHub(
    settings.hubBuffer,
    undefined,
    () => CodexMetrics.eventsDropped.updateUnsafe(1, context)
  )
  const decisions = makeAudit()
  const ended = yield* Deferred.make<ConnectionError>()

  // ---------------------------------------------------------------------------
  // Connections
  // ---------------------------------------------------------------------------

  const establish = Effect.fnUntraced(function*(connectionScope: Scope.Closeable) {
    const line = { over: false }
    const transport = yield* options.transport
    const client = yield* Client.make(options.client).pipe(
      Effect.provideService(Outlet, { hub, answers, decisions }),
      Effect.provideService(
        Transport,
        Transport.of({
          ...transport,
          incoming: Stream.ensuring(transport.incoming, Effect.sync(() => line.over = true))
        })
      )
    )
    const connection: Connection = {
      client,
      codex: yield* Effect.provideService(Agent.make, AppServerClient, client),
      scope: connectionScope,
      line,
      since: yield* Clock.currentTimeMillis,
      next: yield* Deferred.make<Connection, ConnectionError>()
    }
    return connection
  })

  const connect = Effect.gen(function*() {
    const connectionScope = yield* Scope.fork(connections)
    return yield* Scope.provide(establish(connectionScope), connectionScope).pipe(
      Effect.onExit((exit) => Exit.isFailure(exit) ? Scope.close(connectionScope, exit) : Effect.void)
    )
  })

  const resumeThreads = Effect.fnUntraced(function*(client: AppServerClient["Service"]) {
    const { resumeThreads = [] } = options
    const named = Effect.isEffect(resumeThreads) ? yield* resumeThreads : resumeThreads
    const threads = named.map((thread) => typeof thread === "string" ? { id: thread } : thread)
    answers.keepOnly(threads.map(({ id }) => id))
    const results = yield* Effect.forEach(
      threads,
      ({ id, options }) =>
        Effect.map(Effect.result(Thread.resume(client, id, options)), (result) => ({ threadId: id, result })),
      { concurrency: RESUMING }
    )
    const resumed: Array<string> = []
    const failed: Array<{ readonly threadId: string; readonly error: RequestError }> = []
    for (const { result, threadId } of results) {
      if (Result.isSuccess(result)) resumed.push(threadId)
      else failed.push({ threadId, error: result.failure })
    }
    return { resumed, failed }
  })

  // ---------------------------------------------------------------------------
  // Restarts
  // ---------------------------------------------------------------------------

  let latest = yield* connect

  /** The end of all connections; the first reason stays. */
  const finish = (error: ConnectionError): void => {
    latest.line.over = true
    Deferred.doneUnsafe(latest.next, Exit.fail(error))
    hub.close(error)
    decisions.close(error)
    Deferred.doneUnsafe(ended, Exit.succeed(error))
  }

  const supervise = Effect.gen(function*() {
    let step = yield* Schedule.toStep(options.restart ?? defaultRestart)
    let attempts = 0
    let restarts = 0
    for (;;) {
      const previous = latest
      let cause = causeOf(yield* previous.client.closed)
      yield* Log.warning(`The connection to the app-server has ended and is made again: ${cause.message}`)
      yield* Scope.close(previous.scope, Exit.void)
      if ((yield* Clock.currentTimeMillis) - previous.since >= Duration.toMillis(healthyAfter)) {
        step = yield* Schedule.toStep(options.restart ?? defaultRestart)
        attempts = 0
      }
      for (;;) {
        const delay = yield* step(yield* Clock.currentTimeMillis, cause).pipe(
          Effect.map(([, delay]) => Option.some(delay)),
          Pull.catchDone(() => Effect.succeed(Option.none<Duration.Duration>()))
        )
        if (Option.isNone(delay)) {
          return new SupervisorGaveUp({ reason: "scheduleExhausted", attempts, restarts, lastCause: cause })
        }
        yield* Effect.sleep(delay.value)
        attempts++
        const started = yield* Effect.result(connect)
        if (Result.isFailure(started)) {
          cause = causeOf(started.failure)
          if (!canBeMended(cause)) {
            return new SupervisorGaveUp({ reason: "cannotBeMended", attempts, restarts, lastCause: cause })
          }
          yield* Log.warning(`The connection to the app-server could not be made again: ${cause.message}`)
          continue
        }
        const connection = started.success
        const { failed, resumed } = yield* resumeThreads(connection.client)
        if (connection.line.over) {
          cause = causeOf(yield* connection.client.closed)
          yield* Scope.close(connection.scope, Exit.void)
          continue
        }
        restarts++
        latest = connection
        const event = restarted({ attempt: attempts, cause, resumed, failed })
        hub.publish(event, 0)
        hub.publishUnowned(event, 0)
        Deferred.doneUnsafe(previous.next, Exit.succeed(connection))
        break
      }
    }
  })

  yield* supervise.pipe(
    Effect.onExit((exit) =>
      Effect.sync(() =>
        finish(
          Exit.isSuccess(exit)
            ? exit.value
            : Exit.hasInterrupts(exit)
            ? closed()
            : new TransportError({ operation: "open", description: "The supervisor died", cause: exit.cause })
        )
      ).pipe(
        // A connection that has just been made is nobody's where the supervisor died over it.
        Effect.andThen(Scope.close(connections, exit))
      )
    ),
    Effect.forkIn(scope, { startImmediately: true })
  )

  // ---------------------------------------------------------------------------
  // The connection there is, or the next one
  // ---------------------------------------------------------------------------

  const following = (connection: Connection): Effect.Effect<Connection, ConnectionError> =>
    Deferred.await(connection.next).pipe(Effect.filterOrElse((next) => !next.line.over, following))

  const current = (method: string): Effect.Effect<Connection, ConnectionError | RequestTimeout> =>
    Effect.suspend((): Effect.Effect<Connection, ConnectionError | RequestTimeout> => {
      if (!latest.line.over) return Effect.succeed(latest)
      const timeout = settings.timeoutOf(method)
      if (!Duration.isFinite(timeout)) return following(latest)
      return Effect.timeoutOrElse(following(latest), {
        duration: timeout,
        orElse: () => Effect.fail(new RequestTimeout({ method, timeout }))
      })
    })

  const connected: Effect.Effect<Connection, ConnectionError> = Effect.suspend(() =>
    latest.line.over ? following(latest) : Effect.succeed(latest)
  )

  /** The client of whatever connection there is, with streams that end with it or outlive it. */
  const clientWith = (
    streams: Pick<
      AppServerClient["Service"],
      "closed" | "decisions" | "notifications" | "on" | "threadNotifications" | "unownedNotifications"
    >
  ): AppServerClient["Service"] =>
    AppServerClient.of({
      ...streams,
      get server() {
        return latest.client.server
      },
      request: (method, ...params) =>
        Effect.flatMap(current(method), ({ client }) => client.request(method, ...params)),
      experimental: {
        request: (method, ...params) =>
          Effect.flatMap(current(method), ({ client }) => client.experimental.request(method, ...params))
      },
      notify: (method) => Effect.flatMap(connected, ({ client }) => client.notify(method)),
      openTurn: (method, params, options) =>
        Effect.flatMap(current(method), ({ client }) => client.openTurn(method, params, options)),
      openGoal: (params, options) =>
        Effect.flatMap(current("thread/goal/set"), ({ client }) => client.openGoal(params, options)),
      hasApprovals: latest.client.hasApprovals,
      answerThread: (threadId, service, options) =>
        Effect.sync(() => answers.assign(threadId, service, options?.insteadOf)),
      leaveThread: (threadId) =>
        Effect.flatMap(current("thread/unsubscribe"), ({ client }) => client.leaveThread(threadId)),
      answerThreadIf: (threadId, service, load) => answers.assignIf(threadId, service, load),
      listen: (method, id, listener) =>
        Effect.matchEffect(connected, {
          onFailure: (error) => Effect.sync(() => listener.closed(error)),
          onSuccess: ({ client }) => client.listen(method, id, listener)
        })
    })

  /** What belongs to one exchange, as the login to an MCP server, ends with the connection. */
  const exchanging = clientWith({
    closed: Effect.matchEffect(connected, {
      onFailure: Effect.succeed,
      onSuccess: ({ client }) => client.closed
    }),
    decisions: Stream.unwrap(Effect.map(connected, ({ client }) => client.decisions)),
    notifications: Stream.unwrap(Effect.map(connected, ({ client }) => client.notifications)),
    unownedNotifications: Stream.unwrap(Effect.map(connected, ({ client }) => client.unownedNotifications)),
    threadNotifications: (threadId) =>
      Stream.unwrap(Effect.map(connected, ({ client }) => client.threadNotifications(threadId))),
    on: <M extends ServerNotificationMethod>(method: M) =>
      Stream.unwrap(Effect.map(connected, ({ client }) => client.on(method)))
  })

  const lasting = clientWith({
    closed: Deferred.await(ended),
    decisions: Stream.unwrap(Effect.map(decisions.subscribe, ({ stream }) => stream)),
    notifications: Stream.unwrap(hub.subscribe),
    unownedNotifications: Stream.unwrap(hub.subscribeUnowned),
    threadNotifications: (threadId) => Stream.unwrap(hub.subscribeThread(threadId)),
    on: <M extends ServerNotificationMethod>(method: M) =>
      Stream.unwrap(hub.subscribeMethod(method)).pipe(Stream.filter(isOf(method)))
  })

  const exchanges = yield* Effect.provideService(Agent.make, AppServerClient, exchanging)
  const changes = yield* Effect.provideService(Agent.make, AppServerClient, lasting)

  const codex = Codex.of({
    ...exchanges,
    get metadata() {
      const { server } = latest.client
      return {
        version: RuntimeVersion.fromUserAgent(server.userAgent),
        userAgent: server.userAgent,
        codexHome: server.codexHome,
        platformFamily: server.platformFamily,
        platformOs: server.platformOs
      }
    },
    // What these give belongs to the connection that it was made on.
    startThread: (options) => Effect.flatMap(current("thread/start"), ({ codex }) => codex.startThread(options)),
    resumeThread: (id, options) =>
      Effect.flatMap(current("thread/resume"), ({ codex }) => codex.resumeThread(id, options)),
    thread: (options) =>
      Effect.flatMap(
        current(options !== undefined && "resume" in options ? "thread/resume" : "thread/start"),
        ({ codex }) => codex.thread(options)
      ),
    forkThread: (id, options) => Effect.flatMap(current("thread/fork"), ({ codex }) => codex.forkThread(id, options)),
    loginChatgpt: Effect.flatMap(current("account/login/start"), ({ codex }) => codex.loginChatgpt),
    loginChatgptDeviceCode: Effect.flatMap(
      current("account/login/start"),
      ({ codex }) => codex.loginChatgptDeviceCode
    ),
    exec: (command, options) => Effect.flatMap(current("command/exec"), ({ codex }) => codex.exec(command, options)),
    execOutput: (command, options) =>
      Effect.flatMap(current("command/exec"), ({ codex }) => codex.execOutput(command, options)),
    spawn: (command, options) => Effect.flatMap(current("process/spawn"), ({ codex }) => codex.spawn(command, options)),
    fileSearch: (roots) =>
      Effect.flatMap(current("fuzzyFileSearch/sessionStart"), ({ codex }) => codex.fileSearch(roots)),
    files: {
      ...exchanges.files,
      watch: (path) => unwrapScoped(Effect.map(current("fs/watch"), ({ codex }) => codex.files.watch(path))),
      watcher: (path) => Effect.flatMap(current("fs/watch"), ({ codex }) => codex.files.watcher(path))
    },
    events: changes.events,
    decisions: changes.decisions,
    rateLimits: { ...exchanges.rateLimits, updates: changes.rateLimits.updates },
    config: { ...exchanges.config, warnings: changes.config.warnings },
    skills: { ...exchanges.skills, changes: changes.skills.changes },
    hooks: { ...exchanges.hooks, runs: changes.hooks.runs },
    apps: { ...exchanges.apps, changes: changes.apps.changes },
    mcp: { ...exchanges.mcp, statuses: changes.mcp.statuses }
  })

  return Context.make(Codex, codex).pipe(Context.add(AppServerClient, lasting))
})

/** How many threads are resumed at once. */
const RESUMING = 8

const causeOf = (error: StartFailure | ConnectionError): RestartCause =>
  error._tag === "SupervisorGaveUp" ? error.lastCause : error

/** Whether another try may go better. */
const canBeMended = (cause: RestartCause): boolean => {
  switch (cause._tag) {
    case "AppServerSpawnError":
      return cause.reason !== "BinaryNotFound" && cause.reason !== "UnsupportedPlatform"
    case "InvalidOptions":
    case "UnsupportedRuntime":
      return false
    case "TransportError":
      return cause.reason !== "Unauthorized"
    default:
      return true
  }
}

const restarted = (params: Restarted["params"]): Restarted => ({
  method: "client/restarted",
  params,
  threadId: undefined,
  turnId: undefined,
  emittedAtMs: undefined
})
