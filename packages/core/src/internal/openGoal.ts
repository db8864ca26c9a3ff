/** Goals of this client, from the request that sets one until its scope closes, which pauses it. */
import { ClientRequests } from "@effect-codex/generated"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import type { AppServerClient } from "../AppServerClient.ts"
import type { RequestError } from "../CodexError.ts"
import { readerOf } from "./eventLog.ts"
import { GoalRun } from "./goalRun.ts"
import { interruptGrace } from "./openTurn.ts"
import type { Settings } from "./options.ts"
import * as Payload from "./payload.ts"
import type { Call } from "./requester.ts"
import type { Router } from "./router.ts"
import type { Desk } from "./serverRequestDesk.ts"
import type { Limits } from "./subscription.ts"
import * as Tracing from "./tracing.ts"
import type { TurnState } from "./turn.ts"
import type { TurnsTelemetry } from "./turnTelemetry.ts"
import { mayBeDone } from "./uncertain.ts"
import * as Watchdog from "./watchdog.ts"

export const make = Effect.fnUntraced(function*(options: {
  readonly call: Call
  readonly interruptTurn: (turn: TurnState) => Effect.Effect<void, RequestError>
  readonly router: Router
  readonly desk: Pick<Desk, "isAsking">
  readonly settings: Settings
  readonly turnLimits: Limits
  readonly turns: TurnsTelemetry
}) {
  const { call, desk, interruptTurn, router, turnLimits, turns } = options
  const { turnIdleTimeout } = options.settings
  const run = yield* FiberSet.makeRuntime<never>()

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

  /** Pauses whatever goal somebody holds. */
  const stopAll = Effect.suspend(() =>
    Effect.forEach(
      router.atWork().followers.filter((follower) => follower instanceof GoalRun),
      letGoalGo,
      { concurrency: "unbounded", discard: true }
    )
  )

  return { open: openGoal, stopAll }
})
