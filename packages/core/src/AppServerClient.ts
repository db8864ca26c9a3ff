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
  InitializeResponse,
  ServerNotificationMethod,
  StableClientRequestMethod,
  StableClientRequestParams,
  ThreadGoal,
  ThreadGoalSetParams,
  ThreadGoalStatus
} from "@effect-codex/generated"
import { ClientRequests } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import * as Approvals from "./Approvals.ts"
import {
  type ConnectionError,
  DecodeError,
  ExperimentalApiRequired,
  formatIssues,
  type InvalidOptions,
  InvalidParams,
  type InvalidRequest,
  type PayloadIssue,
  type RequestError,
  RequestTimeout,
  type ResponseError,
  ServerOverloaded,
  TransportError,
  type TurnLagged,
  type UnsupportedRuntime
} from "./CodexError.ts"
import * as CodexMetrics from "./CodexMetrics.ts"
import * as Admission from "./internal/admission.ts"
import * as Envelope from "./internal/envelope.ts"
import { EventHub, type Listener } from "./internal/eventHub.ts"
import { Family, isOwn } from "./internal/family.ts"
import { Framer } from "./internal/framer.ts"
import { GoalRun } from "./internal/goalRun.ts"
import { type AddressedMethod, isOpenEnded, mayRepeat, type TurnStart, turnStarts } from "./internal/methodTraits.ts"
import * as Metrics from "./internal/metrics.ts"
import { idAt, isOf } from "./internal/notifications.ts"
import { resolve } from "./internal/options.ts"
import { Outlet } from "./internal/outlet.ts"
import { Pace } from "./internal/pace.ts"
import * as Payload from "./internal/payload.ts"
import { INVALID_PARAMS } from "./internal/responseError.ts"
import { retry as retryRefused } from "./internal/retry.ts"
import { duringMethod, Router } from "./internal/router.ts"
import * as ServerRequestDesk from "./internal/serverRequestDesk.ts"
import * as Tracing from "./internal/tracing.ts"
import type { TurnFailure, TurnState } from "./internal/turn.ts"
import { type Start, TurnsTelemetry } from "./internal/turnTelemetry.ts"
import { mayBeDone } from "./internal/uncertain.ts"
import * as Watchdog from "./internal/watchdog.ts"
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
  /**
   * Ends the connection with a `TransportError` at the first notification that is
   * unknown or does not decode: for tests that watch a runtime's protocol. Default: false.
   */
  readonly strict?: boolean | undefined
  /** The deadline of a request, from the moment it is written. Default: 60 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
  /** Deadlines of single methods, before `requestTimeout`; `Duration.infinity` for none. */
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
  /** How many requests may be unanswered at once; the others wait their turn. Default: 64. */
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
   * Asks the server to interrupt the turn and waits until the turn has ended,
   * however it did. Nothing happens when it has ended already.
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
   * threads too; undefined takes them away. They are let go when the thread is closed,
   * archived or deleted.
   */
  readonly answerThread: (threadId: string, answers: Approvals.Service | undefined) => Effect.Effect<void>
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

/** How long an ending scope waits for the end of the turn that it interrupts. */
const interruptGrace = Duration.seconds(10)

/** How far the end of a turn may be behind the server's word that it has ended. */
const refusalGrace = Duration.seconds(2)

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
  const { requestTimeout, retry, turnIdleTimeout } = settings
  const admission = yield* Admission.make(settings.maxInFlight, {
    window: (by) => CodexMetrics.requestWindow.modifyUnsafe(by, context),
    queued: (by) => CodexMetrics.requestsQueued.modifyUnsafe(by, context)
  })
  // So that it is shown before the first request.
  CodexMetrics.requestsInFlight.modifyUnsafe(0, context)
  CodexMetrics.requestsQueued.modifyUnsafe(0, context)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => CodexMetrics.requestWindow.modifyUnsafe(-admission.window(), context))
  )
  const framer = new Framer(settings.maxLineBytes)
  const requests = yield* Scope.fork(yield* Effect.scope)
  const answers = Option.getOrUndefined(yield* Effect.serviceOption(Approvals.Approvals))
  const run = yield* FiberSet.makeRuntime<never>()
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
    connection.end(router.closed === closed ? undefined : router.closed)
  }

  yield* transport.incoming.pipe(
    Stream.runForEachArray((chunks) =>
      Effect.sync(() => {
        for (const chunk of chunks) {
          framer.push(chunk, (frame, bytes) => router.receive(frame, bytes))
          pace.took(chunk.length)
        }
      })
    ),
    Effect.onExit((exit) => Effect.sync(() => close(endOf(exit)))),
    Effect.forkScoped
  )

  // ---------------------------------------------------------------------------
  // Requests
  // ---------------------------------------------------------------------------

  let nextId = 1

  const send = Effect.fnUntraced(function*(
    method: string,
    params: unknown,
    span: Tracer.Span | undefined,
    onResult?: (result: unknown) => void
  ): Effect.fn.Return<unknown, ConnectionError | ResponseError | DecodeError> {
    const id = nextId++
    if (span !== undefined) Tracing.annotate(span, { "jsonrpc.request.id": String(id) })
    CodexMetrics.requestsInFlight.modifyUnsafe(1, context)
    const response = Deferred.makeUnsafe<unknown, ResponseError | ConnectionError | DecodeError>()
    let written = false
    router.await(id, { method, params, response, onResult })
    return yield* transport.send(Envelope.encodeRequest(id, method, params, Tracing.carrier(span))).pipe(
      Effect.mapError((error) => duringMethod(error, method)),
      // A connection that is over answers with its cause, whatever writing to it says.
      Effect.catch((error) => router.closed === undefined ? Effect.fail(error) : Effect.void),
      Effect.andThen(Effect.suspend(() => {
        written = true
        return Deferred.await(response)
      })),
      Effect.ensuring(Effect.sync(() => {
        CodexMetrics.requestsInFlight.modifyUnsafe(-1, context)
        // A late answer still names the turn that nobody waits for any more.
        if (!written || onResult === undefined) router.forget(id)
      }))
    )
  })

  const call = <M extends ClientRequestMethod>(
    method: M,
    params: unknown,
    onResult?: (result: unknown) => void
  ): Effect.Effect<ClientRequestResults[M], RequestError> =>
    Tracing.request(
      method,
      idAt(params, ["threadId"]),
      (span): Effect.Effect<ClientRequestResults[M], RequestError> => {
        if (router.closed !== undefined) return Effect.fail(duringMethod(router.closed, method))
        const checked = Payload.outgoing(ClientRequests[method].params)(params)
        if (Exit.isFailure(checked)) {
          return Effect.fail(invalidParams(method, Payload.issuesOfCause(checked.cause)))
        }
        const experimental = settings.experimental ? undefined : needsExperimental(method, params)
        if (experimental !== undefined) return Effect.fail(experimental)
        const attempt = Effect.suspend(() => send(method, checked.value, span, onResult))
        const exchange = isOpenEnded(method)
          ? attempt
          // Made when there is a place for it: thousands may be waiting for one.
          : admission.admit(Effect.suspend(() => withDeadline(attempt, method, settings.timeoutOf(method))), isRefusal)
        return repeat(method, exchange).pipe(
          Effect.flatMap((result) => {
            const exit = Payload.incoming(ClientRequests[method].result)(result)
            if (Exit.isSuccess(exit)) return Effect.succeed(exit.value)
            Metrics.decodeFailures.result.updateUnsafe(1, context)
            return Effect.fail(
              new DecodeError({ method, payload: "result", issues: Payload.issuesOfCause(exit.cause) })
            )
          })
        )
      }
    )

  /** Tries again what is refused, and waits in between no longer than the connection lasts. */
  const repeat = <A, E>(method: ClientRequestMethod, exchange: Effect.Effect<A, E>) => {
    const counts = (error: E | ServerOverloaded): error is ServerOverloaded =>
      error instanceof ServerOverloaded && mayRepeat(method, error)
    return Effect.catch(exchange, (error) => {
      if (!counts(error)) return Effect.fail(error)
      let answer: Effect.Effect<A, E | ServerOverloaded> = Effect.fail(error)
      const again = Effect.andThen(Metric.update(Metrics.requestRetries(method), 1), exchange)
      const attempts = Effect.suspend(() => {
        const attempt = answer
        answer = again
        return attempt
      })
      return Effect.raceFirst(
        retryRefused(attempts, retry, counts),
        // An answer that came just before goes first.
        Effect.flatMap(Effect.tap(router.ended, Effect.yieldNow), (end) => Effect.fail(duringMethod(end, method)))
      )
    })
  }

  // ---------------------------------------------------------------------------
  // Turns
  // ---------------------------------------------------------------------------

  const interruptTurn = (turn: TurnState): Effect.Effect<void, RequestError> =>
    // Between its start and `turn/started` the server refuses to interrupt a turn and runs it.
    Deferred.await(turn.started).pipe(
      Effect.timeoutOption(requestTimeout),
      Effect.andThen(Effect.suspend(() =>
        turn.isDone
          ? Effect.void
          : call("turn/interrupt", { threadId: turn.threadId, turnId: turn.activeId }).pipe(
            Effect.catchTag("InvalidRequest", (refusal) => endedMeanwhile(turn, refusal))
          )
      )),
      Effect.andThen(Effect.exit(Deferred.await(turn.done))),
      Effect.asVoid
    )

  const letGo = (turn: TurnState): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (!router.release(turn)) return Effect.void
      return interruptTurn(turn).pipe(
        Effect.timeoutOption(interruptGrace),
        Effect.catch((error) =>
          router.closed === undefined
            ? Effect.logWarning(`Could not interrupt turn ${turn.turnId}: ${error.message}`)
            : Effect.void
        ),
        Effect.andThen(Effect.sync(() => router.abandon(turn)))
      )
    })

  /** Asks what became of a silent turn, for as long as somebody holds it. */
  const watch = (turn: TurnState): Effect.Effect<void> =>
    Watchdog.watch(turn, {
      idle: turnIdleTimeout,
      isAsking: () => desk.isAsking([turn.turnId, turn.activeId]),
      lookUp: Watchdog.lookUp(
        turn,
        (includeTurns) => call("thread/read", { threadId: turn.threadId, includeTurns })
      ),
      conclude: (verdict) => {
        router.conclude(turn, () =>
          verdict._tag === "Ended" ? turn.reconcile(verdict.turn) : turn.stall(verdict.reason, turnIdleTimeout))
        // It may still be at work: nobody here waits for it any more.
        if (verdict._tag === "Stalled" && verdict.reason === "noAnswer") {
          run(Effect.ignore(call("turn/interrupt", { threadId: turn.threadId, turnId: turn.activeId })))
        }
      }
    })

  const openTurn = <M extends TurnStartMethod>(
    method: M,
    params: ClientRequestParams[M],
    options?: OpenTurnOptions
  ): Effect.Effect<OpenTurn<M>, RequestError, Scope.Scope> =>
    Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
      const scope = yield* Effect.scope
      const caller = yield* Tracing.origin
      const { threadId } = params
      const start: TurnStart = turnStarts[method]
      let turn: TurnState | undefined
      let abandoned = false
      let family: Family | undefined
      const claim = (claimed: TurnState): void => {
        turns.record(claimed, caller, startOf(method, params))
        if (abandoned) return void run(letGo(claimed))
        turn = claimed
        if (options?.includeChildren === true) family = router.follow(new Family(claimed, turnLimits))
      }
      const leaveFamily = Effect.sync(() => {
        if (family !== undefined) router.unfollow(family)
      })
      // The fiber below would be interrupted with the client before it could tell why.
      if (router.closed !== undefined) return yield* duringMethod(router.closed, method)
      router.startPending(threadId)
      const expected = start._tag === "Event" ? router.expect(threadId, start.matches) : undefined
      const request = call(method, params, (result) => {
        // On the reader, before the next message: later events find the turn.
        const turnId = start._tag === "Response" ? idAt(result, start.turnId) : undefined
        if (turnId !== undefined) claim(router.claim(threadId, turnId))
      }).pipe(
        Effect.tap(() =>
          expected === undefined ? Effect.void : Deferred.await(expected.turn).pipe(
            Effect.mapError((error) => duringMethod(error, method)),
            Effect.map(claim),
            Effect.timeoutOrElse({
              duration: requestTimeout,
              orElse: () => Effect.fail(new RequestTimeout({ method, timeout: requestTimeout }))
            })
          )
        ),
        Effect.ensuring(Effect.sync(() => router.startAnswered(threadId, expected)))
      )
      // The request goes on when the caller is interrupted: only its answer names the turn to interrupt.
      const fiber = yield* Effect.forkIn(request, requests, { startImmediately: true })
      const response = yield* restore(Fiber.join(fiber)).pipe(
        Effect.onExit((exit) =>
          Exit.isSuccess(exit)
            ? Effect.void
            : Fiber.await(fiber).pipe(
              Effect.timeoutOption(interruptGrace),
              Effect.andThen(Effect.suspend(() => {
                abandoned = true
                return turn === undefined ? Fiber.interrupt(fiber) : Effect.ensuring(letGo(turn), leaveFamily)
              }))
            )
        )
      )
      if (turn === undefined) {
        return yield* new DecodeError({
          method,
          payload: "result",
          issues: [{ path: "turn.id", expected: "Expected string" }]
        })
      }
      const opened = turn
      yield* Scope.addFinalizer(scope, Effect.ensuring(letGo(opened), leaveFamily))
      if (Duration.isFinite(turnIdleTimeout)) yield* Effect.forkIn(watch(opened), scope)
      const read = options?.read ?? "replay"
      const streams = family === undefined
        ? same(yield* readerOf(opened, read))
        : withOwn(yield* readerOf(family, read))
      if (read !== "replay") family?.forgetHistory()
      // Somebody else who holds the turn may still want to read it from its start.
      if ((read !== "replay" || family !== undefined) && opened.owners === 1) opened.forgetHistory()
      return {
        threadId,
        turnId: opened.turnId,
        response,
        ...streams,
        result: Deferred.await(opened.done),
        interrupt: interruptTurn(opened)
      }
    }))

  // ---------------------------------------------------------------------------
  // Goals
  // ---------------------------------------------------------------------------

  const pauseGoal = (goal: GoalRun): Effect.Effect<void, RequestError> =>
    Effect.suspend(() => {
      if (goal.isDone) return Effect.void
      return call("thread/goal/set", { threadId: goal.threadId, status: "paused" }).pipe(
        // It has been cleared meanwhile.
        Effect.catchTag("InvalidRequest", (refusal) => goal.isDone ? Effect.void : Effect.fail(refusal)),
        // Whatever turn is there now is the last one.
        Effect.andThen(Effect.suspend(() => goal.running === undefined ? Effect.void : interruptTurn(goal.running))),
        Effect.andThen(Effect.exit(Deferred.await(goal.done))),
        Effect.asVoid
      )
    })

  const goalWarning = (goal: GoalRun) => (error: RequestError): Effect.Effect<void> =>
    router.closed === undefined
      ? Effect.logWarning(`Could not pause the goal of thread ${goal.threadId}: ${error.message}`)
      : Effect.void

  const letGoalGo = (goal: GoalRun): Effect.Effect<void> =>
    pauseGoal(goal).pipe(
      Effect.timeoutOption(interruptGrace),
      Effect.catch(goalWarning(goal)),
      Effect.andThen(Effect.sync(() => router.unfollow(goal)))
    )

  /** Pauses a goal of which nobody knows whether the server has it, and ends what it may have begun. */
  const abandonGoal = (goal: GoalRun): Effect.Effect<void> =>
    call("thread/goal/set", { threadId: goal.threadId, status: "paused" }).pipe(
      // The server tells of a turn that it has begun before it answers.
      Effect.andThen(Effect.suspend(() => goal.running === undefined ? Effect.void : interruptTurn(goal.running))),
      // There is none.
      Effect.catchTag("InvalidRequest", () => Effect.void),
      Effect.timeoutOption(interruptGrace),
      Effect.catch(goalWarning(goal)),
      Effect.asVoid
    )

  /** Asks what became of a silent goal, for as long as somebody holds it. */
  const watchGoal = (goal: GoalRun): Effect.Effect<void> => {
    const { threadId } = goal
    const read = (includeTurns: boolean) => call("thread/read", { threadId, includeTurns })
    const lookUpGoal = Watchdog.lookUpGoal(
      Effect.map(call("thread/goal/get", { threadId }), ({ goal }) => goal ?? null),
      Effect.suspend(() => read(false))
    )
    return Watchdog.watch(goal, {
      idle: turnIdleTimeout,
      isAsking: () => goal.running !== undefined && desk.isAsking([goal.running.turnId, goal.running.activeId]),
      lookUp: Effect.suspend((): Effect.Effect<Watchdog.Verdict | Watchdog.GoalVerdict> =>
        goal.running === undefined ? lookUpGoal : Watchdog.lookUp(goal.running, read)
      ),
      conclude: (verdict) => {
        switch (verdict._tag) {
          case "Ended":
            return goal.reconcile(verdict.turn)
          case "Told":
            return goal.refresh(verdict.goal, verdict.isStopped)
          case "Stalled": {
            const turn = goal.running
            goal.stall(verdict.reason, turnIdleTimeout)
            // It may still be at work: nobody here waits for it any more.
            const interrupt = turn === undefined
              ? Effect.void
              : call("turn/interrupt", { threadId, turnId: turn.activeId })
            return void run(Effect.ignore(Effect.andThen(
              Effect.exit(call("thread/goal/set", { threadId, status: "paused" })),
              interrupt
            )))
          }
        }
      }
    })
  }

  const openGoal: AppServerClient["Service"]["openGoal"] = Effect.fnUntraced(function*(params, options) {
    const caller = yield* Tracing.origin
    const run = new GoalRun(
      params.threadId,
      turnLimits,
      (turn) => turns.record(turn, caller, { method: "thread/goal/set" })
    )
    const { goal } = yield* Effect.acquireRelease(
      Effect.suspend(() => {
        router.follow(run)
        return call("thread/goal/set", { ...params, status: "active" }, (result) => {
          const answer = Payload.incoming(ClientRequests["thread/goal/set"].result)(result)
          if (Exit.isSuccess(answer)) run.begin(answer.value.goal)
        })
      }).pipe(
        Effect.tapError((error) => mayBeDone(error) ? abandonGoal(run) : Effect.void),
        Effect.onError(() => Effect.sync(() => router.unfollow(run)))
      ),
      () => letGoalGo(run)
    )
    if (Duration.isFinite(turnIdleTimeout)) yield* Effect.forkScoped(watchGoal(run))
    const read = options?.read ?? "replay"
    const events = yield* readerOf(run, read)
    if (read !== "replay") run.forgetHistory()
    return {
      threadId: run.threadId,
      goal,
      events,
      result: Deferred.await(run.done),
      interrupt: pauseGoal(run)
    }
  })

  // ---------------------------------------------------------------------------
  // Subscriptions
  // ---------------------------------------------------------------------------

  /** What the answer to a request says about who hears of the thread. */
  const hearing = (method: ClientRequestMethod, params: unknown): ((result: unknown) => void) | undefined => {
    const threadId = idAt(params, ["threadId"])
    if (threadId === undefined) return undefined
    switch (method) {
      case "thread/unsubscribe":
        return (result) => {
          if (idAt(result, ["status"]) !== "notLoaded") router.unsubscribed(threadId)
        }
      case "thread/resume":
        return (result) => {
          router.subscribed(threadId)
          const parentThreadId = idAt(result, ["thread", "parentThreadId"])
          if (parentThreadId !== undefined) desk.lineage.learn(threadId, parentThreadId)
        }
      case "thread/archive":
      case "thread/delete":
        return () => router.subscribed(threadId)
      default:
        return undefined
    }
  }

  const requestAny = <M extends ClientRequestMethod>(method: M, params: unknown) =>
    call(method, params, hearing(method, params))

  /** On a thread that the server does not tell about, a turn would never end. */
  const ensureSubscribed = (threadId: string): Effect.Effect<void, RequestError> =>
    Effect.suspend(() =>
      router.isUnheard(threadId)
        ? Effect.asVoid(requestAny("thread/resume", { threadId, excludeTurns: true }))
        : Effect.void
    )

  /** A server that goes on would be at work for nobody. */
  const stopWork = Effect.suspend(() => {
    const { followers, turns } = router.atWork()
    const goals = followers.filter((follower) => follower instanceof GoalRun)
    return Effect.all(
      [
        ...goals.map(letGoalGo),
        ...turns.map((turn) => Effect.ignore(Effect.timeoutOption(interruptTurn(turn), interruptGrace)))
      ],
      { concurrency: "unbounded", discard: true }
    )
  })

  // Added last, so that it runs first: whoever waits is told before the fibers that carry requests are interrupted.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      transport.serverGoesOn === true ? stopWork : Effect.void,
      Effect.sync(() => close(closed))
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
    request: (method, ...[params]) => requestAny(method, params),
    experimental: { request: (method, ...[params]) => requestAny(method, params) },
    closed: router.ended,
    notify: (method) => transport.send(Envelope.encodeNotification(method, undefined)),
    openTurn: (method, params, options) =>
      Effect.andThen(ensureSubscribed(params.threadId), openTurn(method, params, options)),
    openGoal: (params, options) => Effect.andThen(ensureSubscribed(params.threadId), openGoal(params, options)),
    notifications: Stream.unwrap(router.hub.subscribe),
    unownedNotifications: Stream.unwrap(router.hub.subscribeUnowned),
    threadNotifications: (threadId) => Stream.unwrap(router.hub.subscribeThread(threadId)),
    hasApprovals: answers !== undefined,
    answerThread: (threadId, answers) => Effect.sync(() => desk.answers.assign(threadId, answers)),
    answerThreadIf: (threadId, answers, load) => desk.answers.assignIf(threadId, answers, load),
    decisions: Stream.unwrap(Effect.map(desk.decisions.subscribe, ({ stream }) => stream)),
    listen: (method, id, listener) => router.hub.listen(method, id, listener),
    on: <M extends ServerNotificationMethod>(method: M) =>
      Stream.unwrap(router.hub.subscribe).pipe(Stream.filter(isOf(method)))
  })
})

/** Those who can be read: once by a reader who is there from now on, or each time from the first event. */
const readerOf = <A>(
  readable: {
    readonly attach: (
      which: "all" | "rest"
    ) => Effect.Effect<Stream.Stream<A, ConnectionError | TurnLagged>, never, Scope.Scope>
  },
  read: "replay" | "once" | "never"
): Effect.Effect<Stream.Stream<A, ConnectionError | TurnLagged>, never, Scope.Scope> =>
  read === "once" ? readable.attach("rest") : Effect.sync(() => Stream.unwrap(readable.attach("all")))

const same = <A>(events: A): { readonly events: A; readonly family: A } => ({ events, family: events })

const withOwn = <E>(family: Stream.Stream<TurnEvent | ChildEvent, E>) => ({
  events: Stream.filter(family, isOwn),
  family
})

const invalidParams = (method: string, issues: ReadonlyArray<PayloadIssue>): InvalidParams =>
  new InvalidParams({
    method,
    code: INVALID_PARAMS,
    description: `The params do not match the schema: ${formatIssues(issues)}`,
    sent: false,
    issues
  })

const withDeadline = <A, E>(
  effect: Effect.Effect<A, E>,
  method: string,
  timeout: Duration.Duration
): Effect.Effect<A, E | RequestTimeout> =>
  Duration.isFinite(timeout)
    ? Effect.timeoutOrElse(effect, {
      duration: timeout,
      orElse: () => Effect.fail(new RequestTimeout({ method, timeout }))
    })
    : effect

const startOf = (method: string, params: unknown): Start => ({ method, model: idAt(params, ["model"]) })

const isRefusal = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) &&
  Cause.findErrorOption(exit.cause).pipe(Option.exists((error) => error instanceof ServerOverloaded))

/** What of a request is not part of the stable protocol, if anything is. */
const needsExperimental = (method: ClientRequestMethod, params: unknown): ExperimentalApiRequired | undefined => {
  const { experimentalFields, stability } = ClientRequests[method]
  if (stability === "experimental") return new ExperimentalApiRequired({ method, fields: [] })
  const fields = experimentalFields.filter((field) =>
    Predicate.hasProperty(params, field) && params[field] !== undefined
  )
  return fields.length === 0 ? undefined : new ExperimentalApiRequired({ method, fields })
}

/** Why the reader stopped, as everything that waits is told. */
const endOf = (exit: Exit.Exit<void, ConnectionError>): ConnectionError =>
  Exit.match(exit, {
    onSuccess: () => new TransportError({ operation: "read", description: "The server closed the connection" }),
    onFailure: (cause) =>
      Option.getOrElse(Cause.findErrorOption(cause), () =>
        Cause.hasDies(cause)
          ? new TransportError({ operation: "read", description: "The reader died", cause: Cause.squash(cause) })
          : closed)
  })

const closed = new TransportError({ operation: "close", description: "The client was closed" })

/**
 * The server refuses to interrupt a turn that is no longer active: then its end
 * is on the way. Any other refusal stands.
 */
const endedMeanwhile = (turn: TurnState, refusal: InvalidRequest): Effect.Effect<void, InvalidRequest> =>
  Effect.exit(Deferred.await(turn.done)).pipe(
    Effect.timeoutOrElse({ duration: refusalGrace, orElse: () => Effect.fail(refusal) }),
    Effect.asVoid
  )
