/**
 * The protocol client: typed requests, typed notifications, and turns whose
 * events are kept from before the request that starts them is written.
 *
 * @since 0.1.0
 */
import type {
  ClientRequestMethod,
  ClientRequestParams,
  ClientRequestResults,
  InitializeCapabilities,
  InitializeResponse,
  ServerNotificationMethod,
  StableClientRequestMethod,
  StableClientRequestParams,
  ThreadGoal,
  ThreadGoalSetParams,
  ThreadGoalStatus,
  TokenUsageBreakdown
} from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Approvals from "./Approvals.ts"
import {
  type ConnectionError,
  type InvalidOptions,
  type RequestError,
  TransportError,
  type TurnLagged,
  type UnsupportedRuntime
} from "./CodexError.ts"
import * as CodexMetrics from "./CodexMetrics.ts"
import * as Agents from "./internal/agents.ts"
import { closed, isClosed } from "./internal/closed.ts"
import * as Envelope from "./internal/envelope.ts"
import { EventHub, type Listener } from "./internal/eventHub.ts"
import { Framer, type OnFrame } from "./internal/framer.ts"
import type { AddressedMethod } from "./internal/methodTraits.ts"
import * as Metrics from "./internal/metrics.ts"
import { isOf } from "./internal/notifications.ts"
import * as OpenGoals from "./internal/openGoal.ts"
import * as OpenTurns from "./internal/openTurn.ts"
import { resolve } from "./internal/options.ts"
import { Outlet } from "./internal/outlet.ts"
import { Pace } from "./internal/pace.ts"
import * as Requester from "./internal/requester.ts"
import { Router } from "./internal/router.ts"
import * as ServerRequestDesk from "./internal/serverRequestDesk.ts"
import { unlessGone } from "./internal/stoppable.ts"
import * as ThreadId from "./internal/threadId.ts"
import * as ThreadSubscriptions from "./internal/threadSubscriptions.ts"
import * as Tracing from "./internal/tracing.ts"
import type { TurnFailure } from "./internal/turn.ts"
import { TurnsTelemetry } from "./internal/turnTelemetry.ts"
import type { ChildEvent, CodexEvent, TurnEvent } from "./Notification.ts"
import type * as RetryPolicy from "./RetryPolicy.ts"
import type { RunResult } from "./RunResult.ts"
import * as RuntimeVersion from "./RuntimeVersion.ts"
import { Transport } from "./Transport.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * Who the client says it is; shown in the server's logs and sent upstream.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientInfo {
  /** A short name, as `my_service`. */
  readonly name: string
  /** A title for people. */
  readonly title?: string | undefined
  /** The program's version. */
  readonly version: string
}

/**
 * What the handshake says of the client, as the protocol's `initialize` has it. What
 * comes from options and handlers of their own is not said here.
 *
 * With `optOutNotificationMethods` the server leaves notifications out, as the deltas
 * of what nobody streams. Those that the client cannot do without, as `turn/completed`,
 * are refused with `InvalidOptions`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Capabilities extends Omit<InitializeCapabilities, "experimentalApi" | "requestAttestation"> {}

/**
 * How much of a stream of events is kept for a reader that is behind.
 *
 * @since 0.1.0
 * @category models
 */
export interface BufferLimits {
  /** At most so many events. */
  readonly events: number
  /** At most so many bytes, measured on the wire. */
  readonly bytes: number
}

/**
 * Options of `make` and `layer`; every one has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Who the client says it is. */
  readonly clientInfo?: ClientInfo | undefined
  /** Asks the server for its experimental methods and fields. Default: false. */
  readonly experimental?: boolean | undefined
  /** What else the handshake says of the client. */
  readonly capabilities?: Capabilities | undefined
  /**
   * Ends the connection with a `TransportError` at the first notification that is
   * unknown or does not decode: for tests that watch a runtime's protocol. Default: false.
   */
  readonly strict?: boolean | undefined
  /** The deadline of a request, from the moment it is written. Default: 60 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
  /**
   * Deadlines of single methods, before `requestTimeout`; `Duration.infinity` for none. A request that is open for long by
   * its nature, as `command/exec` and `mcpServer/tool/call`, has one only here.
   */
  readonly requestTimeouts?: { readonly [M in ClientRequestMethod]?: Duration.Input | undefined } | undefined
  /** The deadline of `initialize`. Default: 30 seconds. */
  readonly handshakeTimeout?: Duration.Input | undefined
  /**
   * How long a turn may be silent, while no request of the server waits for an answer,
   * until the server is asked what became of it. A turn that still runs goes on, one
   * that has ended settles as the server says, and else it fails with `TurnStalled`.
   * The same holds for the work on a goal, which is paused when it has stalled.
   * Default: 5 minutes; `Duration.infinity` to wait for ever.
   */
  readonly turnIdleTimeout?: Duration.Input | undefined
  /** What to do when the server refuses work because it is full. Default: `RetryPolicy.overload`. */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /**
   * How many requests may be unanswered at once; the others wait their turn. The server refuses some when more than 129
   * come at once. Default: 112.
   */
  readonly maxInFlight?: number | undefined
  /** The longest line accepted, in bytes; a longer message fails alone. Default: 32 MiB. */
  readonly maxLineBytes?: number | undefined
  /** How much is kept for a reader of a turn's events. Default: 16,384 events or 16 MiB. */
  readonly turnBuffer?: BufferLimits | undefined
}

/**
 * A method that starts a turn.
 *
 * @since 0.1.0
 * @category models
 */
export type TurnStartMethod = "turn/start" | "review/start" | "thread/compact/start" | "thread/queue/start"

/**
 * How the events of a turn are going to be read.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenTurnOptions {
  /**
   * - `"replay"` (default): any number of times, each time from the first event,
   *   as long as the buffer holds them;
   * - `"once"`: by one reader, which is there from the start (of a turn that the
   *   request steers, from now on); nothing is kept beyond what it has not read yet;
   * - `"never"`: not at all, only the result counts.
   */
  readonly read?: "replay" | "once" | "never" | undefined
  /** Whether `family` has the events of the agents that the turn has at work. Default: false. */
  readonly includeChildren?: boolean | undefined
}

/**
 * A turn of this client, from the request that started it until its scope
 * closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenTurn<M extends TurnStartMethod> {
  /** The thread it runs on. */
  readonly threadId: string
  /** Its id. */
  readonly turnId: string
  /** The response to the request. */
  readonly response: ClientRequestResults[M]
  /**
   * Every event of the turn from its first one, each time it is run. Ends after
   * `turn/completed`. A reader that falls behind by more than `turnBuffer`, or
   * that comes when the first events are no longer kept, fails with `TurnLagged`.
   */
  readonly events: Stream.Stream<TurnEvent, ConnectionError | TurnLagged>
  /**
   * The same with the events of the agents that the turn has at work among them, as
   * long as the turn runs; without `includeChildren` there are none. With `read:
   * "once"` either this or `events` is read.
   */
  readonly family: Stream.Stream<TurnEvent | ChildEvent, ConnectionError | TurnLagged>
  /** Waits for the end of the turn. Does not depend on anybody reading `events`. */
  readonly result: Effect.Effect<RunResult, TurnFailure>
  /**
   * The tokens of all requests to the model that the turn has made so far, by what the
   * thread has taken in all: what the server only tells again is not among them.
   */
  readonly spent: Effect.Effect<TokenUsageBreakdown>
  /**
   * Asks the server to interrupt the turn and waits until the turn has ended,
   * however it did; then those of the agents that it has at work are interrupted. Nothing
   * happens when it has ended already.
   */
  readonly interrupt: Effect.Effect<void, RequestError>
}

/**
 * How a goal ended: with a status of its own; `"cleared"` when it was taken away;
 * `"stopped"` when it is left active on a thread that does not go on with it by
 * itself, because it was archived or closed or another turn of it was interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export type GoalOutcome = Exclude<ThreadGoalStatus, "active"> | "cleared" | "stopped"

/**
 * What a goal came to.
 *
 * @since 0.1.0
 * @category models
 */
export interface GoalEnd {
  /** How it ended. */
  readonly outcome: GoalOutcome
  /** The goal as the server last told it; null when it was cleared. */
  readonly goal: ThreadGoal | null
  /** The turns that the server ran for it, in that order. */
  readonly turns: ReadonlyArray<RunResult>
}

/**
 * A goal that this client has set, from the request on until its scope closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenGoal {
  /** The thread that works on it. */
  readonly threadId: string
  /** The goal as it was set. */
  readonly goal: ThreadGoal
  /** The events of all turns that the server runs for it, and of the goal itself, as `OpenTurn.events` has them. */
  readonly events: Stream.Stream<TurnEvent, ConnectionError | TurnLagged>
  /** Waits until the goal is not active any more and no turn of it runs. Fails with the turn that failed or was interrupted. */
  readonly result: Effect.Effect<GoalEnd, TurnFailure>
  /** Pauses the goal, interrupts its turn and waits until that has ended. Nothing happens when it has ended already. */
  readonly interrupt: Effect.Effect<void, RequestError>
}

// =============================================================================
// Service
// =============================================================================

/**
 * One connection to an app-server, after its handshake.
 *
 * ```ts
 * import { AppServerClient } from "@effect-codex/core"
 * import { Effect } from "effect"
 *
 * const model = Effect.gen(function*() {
 *   const client = yield* AppServerClient
 *   const { config } = yield* client.request("config/read", {})
 *   return config.model
 * })
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class AppServerClient extends Context.Service<AppServerClient, {
  /** What the server said of itself in the handshake. */
  readonly server: InitializeResponse
  /**
   * Sends a request and waits for its response. The params are checked before
   * anything is written (`InvalidParams` with `sent: false`), the result is
   * decoded. Interrupting it forgets the request; the server may still carry it
   * out. This is the stable protocol; `experimental` has the rest.
   */
  readonly request: <M extends StableClientRequestMethod>(
    method: M,
    ...params: Params<StableClientRequestParams[M]>
  ) => Effect.Effect<ClientRequestResults[M], RequestError>
  /** The experimental protocol, for layers with `experimental: true`. */
  readonly experimental: {
    /**
     * The same for every method and every field. Without `experimental: true` on the
     * layer, what is not stable fails with `ExperimentalApiRequired` before anything
     * is sent.
     */
    readonly request: <M extends ClientRequestMethod>(
      method: M,
      ...params: Params<ClientRequestParams[M]>
    ) => Effect.Effect<ClientRequestResults[M], RequestError>
  }
  /** Waits until the connection is over, and tells why. */
  readonly closed: Effect.Effect<ConnectionError>
  /** Sends a notification. The protocol has one, which the handshake sends. */
  readonly notify: (method: "initialized") => Effect.Effect<void, ConnectionError>
  /**
   * Starts a turn. Its events are kept from before the request is written, so
   * none is missed whatever the order they arrive in. Closing the scope before
   * the turn has ended interrupts it and waits for its end. A request that
   * steers a running turn answers with that turn: the turn is then interrupted
   * when the last scope that holds it closes. A thread that this connection has
   * unsubscribed from is resumed first.
   */
  readonly openTurn: <M extends TurnStartMethod>(
    method: M,
    params: ClientRequestParams[M],
    options?: OpenTurnOptions
  ) => Effect.Effect<OpenTurn<M>, RequestError, Scope.Scope>
  /**
   * Sets a thread's goal and makes it active, or the stored one active again. The
   * turns that the server runs for it are this client's. Closing the scope before
   * the goal has ended pauses it, interrupts its turn and waits for its end.
   */
  readonly openGoal: (
    params: Omit<ThreadGoalSetParams, "status">,
    options?: Pick<OpenTurnOptions, "read">
  ) => Effect.Effect<OpenGoal, RequestError, Scope.Scope>
  /**
   * Unsubscribes from a thread as soon as nothing of this client is at work on it. What
   * is, a turn or a goal that somebody holds, goes on until its own scope ends it, and
   * is not waited for here. To resume the thread before that takes it back. Mirrors
   * `thread/unsubscribe`.
   */
  readonly leaveThread: (threadId: string) => Effect.Effect<void, RequestError>
  /** Everything the server tells, from the moment the stream runs. A slow reader misses the oldest events and is told so. */
  readonly notifications: Stream.Stream<CodexEvent, ConnectionError>
  /** What the server tells that belongs to no turn of this client. */
  readonly unownedNotifications: Stream.Stream<CodexEvent, ConnectionError>
  /** What the server tells about one thread, its turns included. */
  readonly threadNotifications: (threadId: string) => Stream.Stream<CodexEvent, ConnectionError>
  /** Whether the program has something to say to what the server asks (`Approvals`), on threads without answers of their own. */
  readonly hasApprovals: boolean
  /**
   * Gives a thread answers of its own, which go before the connection's, for its agents'
   * threads too; undefined takes them away. With `insteadOf` those alone give way, where
   * they still answer on it. They are let go when the thread is closed, archived or deleted.
   */
  readonly answerThread: (
    threadId: string,
    answers: Approvals.Service | undefined,
    options?: { readonly insteadOf?: Approvals.Service | undefined }
  ) => Effect.Effect<void>
  /**
   * The same from the start of an effect that loads the thread: what waits for an answer
   * on it is asked again at once. When the effect fails or is interrupted, whatever
   * answered before does so again.
   */
  readonly answerThreadIf: <A, E, R>(
    threadId: string,
    answers: Approvals.Service,
    load: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  /** Every decision on what the agent asked permission for, while the stream runs. A slow reader misses the oldest. */
  readonly decisions: Stream.Stream<Approvals.DecisionRecord, ConnectionError>
  /**
   * Listens to what the server tells about one thing that this client has named: a
   * command, a process, a watch or a search; until the scope closes. The listener runs
   * on the reader, before the next message is looked at, so it must be quick and never
   * throw. Who listens first and then sends the request misses nothing, whatever the
   * order of the answer and the notifications.
   */
  readonly listen: <M extends AddressedMethod>(
    method: M,
    id: string,
    listener: Listener<M>
  ) => Effect.Effect<void, never, Scope.Scope>
  /** The notifications of one method. */
  readonly on: <M extends ServerNotificationMethod>(
    method: M
  ) => Stream.Stream<Extract<CodexEvent, { readonly method: M }>, ConnectionError>
}>()("@effect-codex/core/AppServerClient") {
  /** The client over whatever `Transport` there is; fails when the handshake does. */
  static layer(options?: Options): Layer.Layer<AppServerClient, HandshakeError, Transport> {
    return Layer.effect(AppServerClient, make(options))
  }

  /** Fails when an option has a value that it cannot have; for those who start something before the client. */
  static checkOptions(options: Options = {}): Effect.Effect<void, InvalidOptions> {
    return Effect.asVoid(resolve(options))
  }
}

/**
 * Why there is no client: an option, the handshake or the runtime's version.
 *
 * @since 0.1.0
 * @category errors
 */
export type HandshakeError = RequestError | InvalidOptions | UnsupportedRuntime

/**
 * The params argument of a method: optional where the method has none or may do
 * without.
 *
 * @since 0.1.0
 * @category models
 */
export type Params<P> = undefined extends P ? [params?: P] : [params: P]

// =============================================================================
// Constructors
// =============================================================================

/**
 * Reads the transport, shakes hands and gives the client. When the scope closes,
 * everything that waits fails with a `TransportError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fn("AppServerClient.make")(function*(options: Options = {}) {
  const transport = yield* Transport
  const origin = yield* Tracing.origin
  const { context } = origin
  const settings = yield* resolve(options)
  const framer = new Framer(settings.maxLineBytes)
  const answers = Option.getOrUndefined(yield* Effect.serviceOption(Approvals.Approvals))
  const outlet = yield* Outlet
  const turns = new TurnsTelemetry()
  const desk = yield* ServerRequestDesk.make({
    send: transport.send,
    answers,
    experimental: settings.experimental,
    outlet,
    turns
  })
  const connection = Tracing.connection(origin, settings.clientInfo.name)

  const pace = yield* Effect.withFiber((fiber) => Effect.succeed(new Pace(fiber.currentDispatcher)))
  const turnLimits = { ...settings.turnBuffer, pace }
  const router = new Router({
    hub: new EventHub(
      { ...settings.hubBuffer, pace },
      outlet?.hub,
      () => CodexMetrics.eventsDropped.updateUnsafe(1, context)
    ),
    turnLimits,
    strict: settings.strict,
    desk,
    dropped: (reason) => Metrics.responsesDropped[reason].updateUnsafe(1, context),
    undecoded: (payload) => Metrics.decodeFailures[payload].updateUnsafe(1, context)
  })

  const close = (error: ConnectionError): void => {
    router.close(error)
    connection.end(isClosed(router.closed) ? undefined : router.closed)
  }

  const receive: OnFrame = (frame, bytes, source, start) => router.receive(frame, bytes, source, start)
  yield* transport.incoming.pipe(
    Stream.runForEachArray((chunks) =>
      Effect.sync(() => {
        for (const chunk of chunks) framer.push(chunk, receive)
        pace.flow()
      })
    ),
    Effect.onExit((exit) => Effect.sync(() => close(endOf(exit)))),
    Effect.forkScoped
  )

  const call = yield* Requester.make({ transport, router, settings, context })
  const agents = yield* Agents.make({ call, lineage: desk.lineage })
  const threads = yield* ThreadSubscriptions.make({ call, router, desk, agents, settings })
  const held = { call, router, desk, agents, settings, turnLimits, turns }
  const turnOpener = yield* OpenTurns.make(held)
  const goalOpener = yield* OpenGoals.make({ ...held, interruptTurn: turnOpener.interrupt })

  // Added last, so that it runs first: whoever waits is told before the fibers that carry requests are interrupted.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      // A server that goes on would be at work for nobody.
      transport.serverGoesOn === true
        ? goalOpener.stopAll.pipe(
          Effect.andThen(turnOpener.stopAll),
          Effect.andThen(Effect.catch(
            Effect.timeoutOption(agents.leave(), OpenTurns.interruptGrace),
            unlessGone("interrupt the agents of this client")
          ))
        )
        : Effect.void,
      Effect.sync(() => close(closed()))
    )
  )

  // ---------------------------------------------------------------------------
  // Handshake
  // ---------------------------------------------------------------------------

  const { name, title, version } = settings.clientInfo
  const server = yield* connection.enclose(call(
    "initialize",
    {
      clientInfo: { name, version, title: title ?? null },
      capabilities: {
        ...settings.capabilities,
        experimentalApi: settings.experimental,
        // The server asks for one only where it has been told that there is somebody to ask.
        ...(answers?.handles("attestation/generate") === true ? { requestAttestation: true } : {})
      }
    }
  ))
  connection.annotate({
    "codex.version": RuntimeVersion.fromUserAgent(server.userAgent),
    "os.type": server.platformOs
  })
  yield* RuntimeVersion.check(server.userAgent)
  yield* transport.send(Envelope.encodeNotification("initialized", undefined))

  return AppServerClient.of({
    server,
    request: (method, ...[params]) => threads.request(method, params),
    experimental: { request: (method, ...[params]) => threads.request(method, params) },
    closed: router.ended,
    notify: (method) => transport.send(Envelope.encodeNotification(method, undefined)),
    openTurn: (method, params, options) => {
      const named = ThreadId.inParams(params)
      return Effect.andThen(threads.ensureSubscribed(named.threadId), turnOpener.open(method, named, options))
    },
    openGoal: (params, options) => {
      const named = ThreadId.inParams(params)
      return Effect.andThen(threads.ensureSubscribed(named.threadId), goalOpener.open(named, options))
    },
    notifications: Stream.unwrap(router.hub.subscribe),
    unownedNotifications: Stream.unwrap(router.hub.subscribeUnowned),
    threadNotifications: (threadId) => Stream.unwrap(router.hub.subscribeThread(threadId)),
    hasApprovals: answers !== undefined,
    answerThread: (threadId, answers, options) =>
      Effect.sync(() => desk.answers.assign(threadId, answers, options?.insteadOf)),
    leaveThread: (threadId) => threads.leaveThread(ThreadId.canonical(threadId)),
    answerThreadIf: (threadId, answers, load) => desk.answers.assignIf(threadId, answers, load),
    decisions: Stream.unwrap(Effect.map(desk.decisions.subscribe, ({ stream }) => stream)),
    listen: (method, id, listener) => router.hub.listen(method, id, listener),
    on: <M extends ServerNotificationMethod>(method: M) =>
      Stream.unwrap(router.hub.subscribeMethod(method)).pipe(Stream.filter(isOf(method)))
  })
})

/** Why the reader stopped, as everything that waits is told. */
const endOf = (exit: Exit.Exit<void, ConnectionError>): ConnectionError =>
  Exit.match(exit, {
    onSuccess: () => new TransportError({ operation: "read", description: "The server closed the connection" }),
    onFailure: (cause) =>
      Option.getOrElse(Cause.findErrorOption(cause), () =>
        Cause.hasDies(cause)
          ? new TransportError({ operation: "read", description: "The reader died", cause: Cause.squash(cause) })
          : closed())
  })
