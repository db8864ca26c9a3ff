/**
 * Turns of this client, from before the request that starts one is written until nobody holds it: whoever closes the
 * last scope has it interrupted.
 */
import type { ClientRequestParams } from "@effect-codex/generated"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { OpenTurn, OpenTurnOptions, TurnStartMethod } from "../AppServerClient.ts"
import { DecodeError, type InvalidRequest, type RequestError, RequestTimeout } from "../CodexError.ts"
import type { ChildEvent, TurnEvent } from "../Notification.ts"
import type { Agents } from "./agents.ts"
import { readerOf } from "./eventLog.ts"
import { Family, isOwn } from "./family.ts"
import * as Log from "./log.ts"
import { type TurnStart, turnStarts } from "./methodTraits.ts"
import { idAt } from "./notifications.ts"
import type { Settings } from "./options.ts"
import type { Call } from "./requester.ts"
import { duringMethod, type Router } from "./router.ts"
import type { Desk } from "./serverRequestDesk.ts"
import type { Limits } from "./subscription.ts"
import * as Tracing from "./tracing.ts"
import type { TurnState } from "./turn.ts"
import type { Start, TurnsTelemetry } from "./turnTelemetry.ts"
import * as Watchdog from "./watchdog.ts"

/** How long an ending scope waits for the end of the turn that it interrupts. */
export const interruptGrace = Duration.seconds(10)

/** How much of that it waits for the start, without which the server refuses: it is asked all the same then. */
const startGrace = Duration.seconds(5)

/** After which time a turn should be known that an answer does not name. */
const expectationGrace = Duration.seconds(1)

/** How far the end of a turn may be behind the server's word that it has ended. */
const refusalGrace = Duration.seconds(2)

export const make = Effect.fnUntraced(function*(options: {
  readonly call: Call
  readonly router: Router
  readonly desk: Pick<Desk, "isAsking" | "lineage">
  readonly agents: Pick<Agents, "stop">
  readonly settings: Settings
  readonly turnLimits: Limits
  readonly turns: TurnsTelemetry
}) {
  const { agents, call, desk, router, turnLimits, turns } = options
  const { requestTimeout, turnIdleTimeout } = options.settings
  /** The requests that start turns. */
  const starts = yield* FiberSet.make()
  const run = yield* FiberSet.makeRuntime<never>()

  const interruptTurn = (
    turn: TurnState,
    untilStarted: Duration.Duration = requestTimeout
  ): Effect.Effect<void, RequestError> =>
    // Between its start and `turn/started` the server refuses to interrupt a turn and runs it.
    Deferred.await(turn.started).pipe(
      Effect.timeoutOption(untilStarted),
      Effect.andThen(Effect.suspend(() =>
        turn.isDone
          ? Effect.void
          : call("turn/interrupt", { threadId: turn.threadId, turnId: turn.activeId }).pipe(
            Effect.catchTag("InvalidRequest", (refusal) => endedMeanwhile(turn, refusal)),
            // An answer that is late or lost is not waited for once the turn has ended.
            Effect.raceFirst(Effect.exit(Deferred.await(turn.done))),
            Effect.andThen(Effect.exit(Deferred.await(turn.done))),
            Effect.andThen(agents.stop(turn))
          )
      ))
    )

  const letGo = (turn: TurnState): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (!router.release(turn)) return Effect.void
      return interruptTurn(turn, startGrace).pipe(
        Effect.timeoutOrElse({
          duration: interruptGrace,
          orElse: () =>
            Log.warning(
              `Turn ${turn.turnId} did not end within ${Duration.format(interruptGrace)} of its interruption`
            )
        }),
        Effect.catch((error) =>
          router.closed === undefined
            ? Log.warning(`Could not interrupt turn ${turn.turnId}: ${error.message}`)
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
      // Hardly any turn falls silent.
      lookUp: Effect.suspend(() =>
        Watchdog.lookUp(
          turn,
          (includeTurns) => call("thread/read", { threadId: turn.threadId, includeTurns })
        )
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
      let isOut = false
      let family: Family | undefined
      const claim = (claimed: TurnState): void => {
        desk.lineage.own(claimed.turnId)
        if (abandoned) run(letGo(claimed))
        else {
          turn = claimed
          if (options?.includeChildren === true) family = router.follow(new Family(claimed, turnLimits))
        }
        // Last: whatever becomes of the record, the turn is somebody's to interrupt.
        turns.record(claimed, caller, startOf(method, params))
      }
      const leaveFamily = Effect.sync(() => {
        if (family !== undefined) router.unfollow(family)
      })
      // The fiber below would be interrupted with the client before it could tell why.
      if (router.closed !== undefined) return yield* duringMethod(router.closed, method)
      const pending = router.startPending(threadId, start._tag === "Event" ? start.matches : undefined)
      const expected = pending.expectation
      const request = call(method, params, (result) => {
        // On the reader, before the next message: later events find the turn.
        const turnId = start._tag === "Response" ? idAt(result, start.turnId) : undefined
        if (turnId !== undefined) claim(router.claim(threadId, turnId, pending))
      }, (out) => {
        isOut = out
      }).pipe(
        Effect.tap(() =>
          expected === undefined ? Effect.void : Deferred.await(expected.turn).pipe(
            Effect.timeoutOrElse({
              duration: expectationGrace,
              orElse: () => {
                router.startOverdue(pending)
                return Deferred.await(expected.turn)
              }
            }),
            Effect.mapError((error) => duringMethod(error, method)),
            Effect.map(claim),
            Effect.timeoutOrElse({
              duration: requestTimeout,
              orElse: () => Effect.fail(new RequestTimeout({ method, timeout: requestTimeout }))
            })
          )
        ),
        Effect.ensuring(Effect.sync(() => router.startAnswered(pending)))
      )
      // A request that is out goes on when the caller is interrupted: only its answer names the turn to interrupt.
      const fiber = yield* FiberSet.run(starts, request, { startImmediately: true })
      const response = yield* restore(Fiber.join(fiber)).pipe(
        Effect.onExit((exit) =>
          Exit.isSuccess(exit)
            ? Effect.void
            : Effect.suspend(() => isOut ? Effect.timeoutOption(Fiber.await(fiber), interruptGrace) : Effect.void).pipe(
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
        spent: Effect.sync(() => opened.spent),
        interrupt: interruptTurn(opened)
      }
    }))

  /** Interrupts whatever turn somebody holds, also those that are just being started. */
  const stopAll = FiberSet.awaitEmpty(starts).pipe(
    Effect.timeoutOption(interruptGrace),
    Effect.andThen(Effect.suspend(() =>
      Effect.forEach(
        router.atWork().turns,
        (turn) => Effect.ignore(Effect.timeoutOption(interruptTurn(turn), interruptGrace)),
        { concurrency: "unbounded", discard: true }
      )
    ))
  )

  return { open: openTurn, interrupt: interruptTurn, stopAll }
})

const same = <A>(events: A): { readonly events: A; readonly family: A } => ({ events, family: events })

const withOwn = <E>(family: Stream.Stream<TurnEvent | ChildEvent, E>) => ({
  events: Stream.filter(family, isOwn),
  family
})

const startOf = (method: string, params: unknown): Start => ({ method, model: idAt(params, ["model"]) })

/**
 * The server refuses to interrupt a turn that is no longer active: then its end
 * is on the way. Any other refusal stands.
 */
const endedMeanwhile = (turn: TurnState, refusal: InvalidRequest): Effect.Effect<void, InvalidRequest> =>
  Effect.exit(Deferred.await(turn.done)).pipe(
    Effect.timeoutOrElse({ duration: refusalGrace, orElse: () => Effect.fail(refusal) }),
    Effect.asVoid
  )
