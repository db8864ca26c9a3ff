/** Goals of this client, from the request that sets one until its scope closes, which pauses it. */
import { ClientRequests, type ThreadGoal } from "@effect-codex/generated"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import type { AppServerClient } from "../AppServerClient.ts"
import type { RequestError } from "../CodexError.ts"
import { scopeClosed } from "./closed.ts"
import { readerOf } from "./eventLog.ts"
import { GoalRun } from "./goalRun.ts"
import * as Log from "./log.ts"
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

/** How far word of a turn may be behind the word that its thread is at work. */
const startGrace = Duration.seconds(2)

/** How long the server may take from one turn to the next before it is asked whether it goes on. */
const gapGrace = Duration.seconds(5)

export const make = Effect.fnUntraced(function*(options: {
  readonly call: Call
  readonly interruptTurn: (turn: TurnState) => Effect.Effect<void, RequestError>
  readonly router: Router
  readonly desk: Pick<Desk, "isAsking" | "lineage">
  readonly settings: Settings
  readonly turnLimits: Limits
  readonly turns: TurnsTelemetry
}) {
  const { call, desk, interruptTurn, router, turnLimits, turns } = options
  const { turnIdleTimeout } = options.settings
  const run = yield* FiberSet.makeRuntime<never>()
  /** The requests that set goals. */
  const starts = yield* FiberSet.make()

  /** The server may have begun a turn when it answers that the goal is paused, and tell of it only then. */
  const lastTurn = Effect.fnUntraced(function*({ isStopped, nextTurn, running, threadId }: GoalRun) {
    if (running !== undefined || isStopped) return running
    const { thread } = yield* call("thread/read", { threadId, includeTurns: false })
    if (thread.status.type !== "active" || router.isRunningOn(threadId)) return undefined
    return Option.getOrUndefined(yield* Effect.timeoutOption(nextTurn, startGrace))
  })

  /** What has come in place of a goal that was taken away, even meanwhile, is somebody else's to pause. */
  const setPaused = (goal: GoalRun): Effect.Effect<unknown, RequestError> =>
    Effect.suspend(() =>
      goal.isCleared
        ? Effect.void
        : call("thread/goal/set", { threadId: goal.threadId, status: "paused" }).pipe(
          Effect.catchTag("InvalidRequest", (refusal) => goal.isCleared ? Effect.void : Effect.fail(refusal))
        )
    )

  /** The server has the goal: one that has ended before for its holder is this one's to pause from now on. */
  const begin = (goal: GoalRun, told: ThreadGoal): void => {
    goal.begin(told)
    for (const other of goals()) {
      if (other === goal || other.threadId !== goal.threadId || !other.isDone) continue
      other.disconnect(scopeClosed("goal", "thread/goal/set"))
      router.unfollow(other)
    }
  }

  const goals = () => router.atWork().followers.filter((follower) => follower instanceof GoalRun)

  /** Pauses the goal, and ends what the server has begun for it. */
  const pause = (goal: GoalRun): Effect.Effect<void, RequestError> =>
    Effect.acquireUseRelease(
      Effect.sync(() => goal.hold()),
      () =>
        setPaused(goal).pipe(
          Effect.andThen(lastTurn(goal)),
          Effect.flatMap((turn) => turn === undefined ? Effect.void : interruptTurn(turn))
        ),
      () => Effect.sync(() => goal.release())
    )

  const pauseGoal = (goal: GoalRun): Effect.Effect<void, RequestError> =>
    Effect.suspend(() => {
      if (goal.isOver) return Effect.void
      return pause(goal).pipe(
        // Its thread is gone.
        Effect.catchTag("InvalidRequest", (refusal) => goal.isDone ? Effect.void : Effect.fail(refusal)),
        Effect.andThen(Effect.exit(Deferred.await(goal.done))),
        Effect.asVoid
      )
    })

  const goalWarning = (goal: GoalRun) => (error: RequestError): Effect.Effect<void> =>
    router.closed === undefined
      ? Log.warning(`Could not pause the goal of thread ${goal.threadId}: ${error.message}`)
      : Effect.void

  const letGoalGo = (goal: GoalRun): Effect.Effect<void> =>
    pauseGoal(goal).pipe(
      Effect.timeoutOption(interruptGrace),
      Effect.catch(goalWarning(goal)),
      Effect.andThen(Effect.sync(() => {
        // Who still waits for its end waits no more.
        goal.disconnect(scopeClosed("goal", "thread/goal/set"))
        router.unfollow(goal)
      }))
    )

  /** Pauses a goal of which nobody knows whether the server has it, and ends what it may have begun. */
  const abandonGoal = (goal: GoalRun): Effect.Effect<void> =>
    pause(goal).pipe(
      // There is none.
      Effect.catchTag("InvalidRequest", () => Effect.void),
      Effect.timeoutOption(interruptGrace),
      Effect.catch(goalWarning(goal)),
      Effect.asVoid
    )

  /** Nobody waits any more for the goal that is being set. A request that is not out is withdrawn. */
  const giveUp = (goal: GoalRun, setting: Fiber.Fiber<unknown, RequestError>, isOut: boolean): Effect.Effect<void> =>
    (isOut ? Fiber.await(setting) : Effect.andThen(Fiber.interrupt(setting), Fiber.await(setting))).pipe(
      Effect.timeoutOption(interruptGrace),
      Effect.flatMap((answer) => {
        if (Option.isNone(answer)) return Effect.andThen(Fiber.interrupt(setting), abandonGoal(goal))
        if (Exit.isSuccess(answer.value)) return letGoalGo(goal)
        return Option.exists(Exit.findErrorOption(answer.value), mayBeDone) ? abandonGoal(goal) : Effect.void
      }),
      Effect.ensuring(Effect.sync(() => router.unfollow(goal)))
    )

  const lookUpGoal = ({ threadId }: GoalRun): Effect.Effect<Watchdog.GoalVerdict> =>
    Watchdog.lookUpGoal(
      Effect.map(call("thread/goal/get", { threadId }), ({ goal }) => goal ?? null),
      Effect.suspend(() => call("thread/read", { threadId, includeTurns: false }))
    )

  /**
   * Asks whether the server goes on where nothing tells: behind a turn that ended just as it was to be interrupted, and
   * now and then behind a compaction, it does not.
   */
  const watchGaps = Effect.fnUntraced(function*(goal: GoalRun): Effect.fn.Return<void> {
    while (!goal.isDone) {
      yield* goal.gap.await
      goal.gap.closeUnsafe()
      const { heard } = goal
      const isQuiet = () => goal.heard === heard && goal.isWaiting && !goal.isDone
      yield* Effect.sleep(gapGrace)
      if (!isQuiet()) continue
      const verdict = yield* lookUpGoal(goal)
      if (verdict._tag === "Told" && isQuiet()) goal.refresh(verdict.goal, verdict.isStopped)
    }
  })

  /** Asks what became of a silent goal, for as long as somebody holds it. */
  const watchGoal = (goal: GoalRun): Effect.Effect<void> => {
    const { threadId } = goal
    const read = (includeTurns: boolean) => call("thread/read", { threadId, includeTurns })
    return Watchdog.watch(goal, {
      idle: turnIdleTimeout,
      isAsking: () => goal.running !== undefined && desk.isAsking([goal.running.turnId, goal.running.activeId]),
      lookUp: Effect.suspend((): Effect.Effect<Watchdog.Verdict | Watchdog.GoalVerdict> =>
        goal.running === undefined ? lookUpGoal(goal) : Watchdog.lookUp(goal.running, read)
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
              Effect.exit(setPaused(goal)),
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
      router.spending,
      {
        onTurn: (turn) => {
          desk.lineage.own(turn.turnId)
          turns.record(turn, caller, { method: "thread/goal/set" })
        },
        isTurnOn: () => router.isTurnOn(params.threadId),
        isUndecided: () => router.isUndecidedOn(params.threadId)
      }
    )
    const { goal } = yield* Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
      router.follow(run)
      let isOut = false
      // A request that is out goes on when the caller is interrupted: its answer may be that there is a goal to pause.
      const setting = yield* FiberSet.run(
        starts,
        call("thread/goal/set", { ...params, status: "active" }, (result) => {
          const answer = Payload.incoming(ClientRequests["thread/goal/set"].result)(result)
          if (Exit.isSuccess(answer)) begin(run, answer.value.goal)
        }, (out) => {
          isOut = out
        }),
        { startImmediately: true }
      )
      const answer = yield* restore(Fiber.join(setting)).pipe(
        Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : giveUp(run, setting, isOut))
      )
      yield* Effect.addFinalizer(() => letGoalGo(run))
      return answer
    }))
    if (Duration.isFinite(turnIdleTimeout)) yield* Effect.forkScoped(watchGoal(run))
    yield* Effect.forkScoped(watchGaps(run))
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
  const stopAll = Effect.suspend(() => Effect.forEach(goals(), letGoalGo, { concurrency: "unbounded", discard: true }))

  return { open: openGoal, stopAll }
})
