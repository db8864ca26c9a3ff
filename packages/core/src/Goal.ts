/**
 * A thread's goal: what it works on by itself, turn after turn, until it is reached.
 *
 * @since 0.1.0
 */
import {
  type ThreadGoal,
  type ThreadGoalMutationOrigin,
  type ThreadGoalStatus,
  ThreadGoalStatusParam,
  type ThreadItem,
  type ThreadTokenUsage
} from "@effect-codex/generated"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { AppServerClient, GoalEnd, GoalOutcome } from "./AppServerClient.ts"
import type {
  ConnectionError,
  DecodeError,
  RequestError,
  TurnFailed,
  TurnInterrupted,
  TurnLagged,
  TurnStalled
} from "./CodexError.ts"
import * as GoalParams from "./internal/goalParams.ts"
import { stopGrace, unlessGone } from "./internal/stoppable.ts"
import { fromSeconds } from "./internal/units.ts"
import type { TurnEvent } from "./Notification.ts"
import type { RunResult } from "./RunResult.ts"
import { textOf } from "./TurnHandle.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * A thread's goal.
 *
 * @since 0.1.0
 * @category models
 */
export interface Goal {
  /** The thread that works on it. */
  readonly threadId: string
  /** What it is. */
  readonly objective: string
  /** Where it stands; the thread works on an `active` one. */
  readonly status: ThreadGoalStatus
  /** How many tokens it may take; null without a limit. */
  readonly tokenBudget: number | null
  /** How many tokens it has taken. */
  readonly tokensUsed: number
  /** How long the thread has worked on it (to the second). */
  readonly timeUsed: Duration.Duration
  /** When it was set (to the second). */
  readonly createdAt: DateTime.Utc | null
  /** When it was changed last (to the second). */
  readonly updatedAt: DateTime.Utc | null
  /** The same as the server sent it. */
  readonly wire: ThreadGoal
}

/**
 * Options of `thread.runGoal` and `thread.startGoal`. A string is an objective.
 *
 * @since 0.1.0
 * @category models
 */
export interface GoalOptions {
  /**
   * What to work on, in 1 to 4000 characters: a new goal in place of whatever the thread had,
   * which it has again, not active and with its tokens counted anew, where the new one is not
   * set. The goal that it has when left out.
   */
  readonly objective?: string | undefined
  /** How many tokens it may take, at least 1; null without a limit. */
  readonly tokenBudget?: number | null | undefined
  /** Who wants it: without a word the server does not take it for what the user has authorized. */
  readonly origin?: ThreadGoalMutationOrigin | undefined
}

/**
 * Options of `thread.goal.set`. What is left out stays as it is: another objective
 * for a goal that is complete leaves it complete.
 *
 * @since 0.1.0
 * @category models
 */
export interface GoalSetOptions {
  /** What to work on. */
  readonly objective?: string | undefined
  /** How many tokens it may take, those that it has taken included; null without a limit. */
  readonly tokenBudget?: number | null | undefined
  /** Where it stands. A new goal is `active`: the thread starts to work on it at once. */
  readonly status?: ThreadGoalStatusParam | undefined
  /** Who wants it; see `GoalOptions`. */
  readonly origin?: ThreadGoalMutationOrigin | undefined
}

/**
 * The goal of a thread, and what changes it. `thread.runGoal` follows the work on it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Goals {
  /** The goal; null without one. Mirrors `thread/goal/get`. */
  readonly get: Effect.Effect<Goal | null, RequestError>
  /**
   * Sets or changes it. A running turn hears of another objective and goes on; of
   * another status it does not. Mirrors `thread/goal/set`.
   */
  readonly set: (options: GoalSetOptions) => Effect.Effect<Goal, RequestError>
  /** Takes it away; false when there was none. A running turn goes on to its end. Mirrors `thread/goal/clear`. */
  readonly clear: Effect.Effect<boolean, RequestError>
}

/**
 * What the work on a goal came to, over all of its turns.
 *
 * @since 0.1.0
 * @category models
 */
export interface GoalResult {
  /** The thread that worked on it. */
  readonly threadId: string
  /**
   * How it ended: with a status of its own (`complete`, `blocked`, `paused`,
   * `budgetLimited`, `usageLimited`); `"cleared"` when it was taken away, whatever the
   * thread has in its place; `"stopped"` when it is left active on a thread that does
   * not go on with it by itself, because it was archived or closed or another turn of
   * it was interrupted, also where that turn had just ended. Then it is paused with the scope of its handle, if the thread is
   * still there: the next turn of anybody's would bring it back.
   */
  readonly outcome: GoalOutcome
  /** The goal as the server last told it; null when it was cleared. */
  readonly goal: Goal | null
  /**
   * The turns that the server ran meanwhile, in that order: for the goal, those among them
   * that gave way to a compaction or a review of this client (`interrupted`), and for what
   * waited in the queue. None when a turn of somebody else's reached it.
   */
  readonly turns: ReadonlyArray<RunResult>
  /** The items of all turns, in that order. */
  readonly items: ReadonlyArray<ThreadItem>
  /** The answer of the last turn that gave one. */
  readonly finalResponse: string | null
  /** Tokens, as last reported for its turns; null when never reported. */
  readonly usage: ThreadTokenUsage | null
  /** When the first turn started (to the second). */
  readonly startedAt: DateTime.Utc | null
  /** When the last turn completed (to the second). */
  readonly completedAt: DateTime.Utc | null
  /** How long the turns took on the server together. */
  readonly duration: Duration.Duration
}

/**
 * Why the work on a goal has no result: one of its turns failed or was interrupted.
 * `TurnFailed` and `TurnInterrupted` carry what all turns had produced by then.
 *
 * @since 0.1.0
 * @category errors
 */
export type GoalFailure = TurnFailed | TurnInterrupted | TurnStalled | ConnectionError | DecodeError

/**
 * The work on a goal as one logical turn, held until its scope closes: a goal that is
 * still active then is paused, however the work on it has ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface GoalHandle {
  /** The thread that works on it. */
  readonly threadId: string
  /** The goal as it was set. */
  readonly goal: Goal
  /**
   * The events of all the turns that the server runs for it, and of the goal itself,
   * from the first one, each time it is run; ends with the work. A reader that falls
   * behind fails with `TurnLagged` and disturbs nobody else.
   */
  readonly events: Stream.Stream<TurnEvent, ConnectionError | TurnLagged>
  /** What the agent says in all those turns, as it says it. */
  readonly text: Stream.Stream<string, ConnectionError | TurnLagged>
  /**
   * Waits until the goal is not active any more and no turn of it runs. Interrupting
   * the wait leaves it running until its scope closes.
   */
  readonly result: Effect.Effect<GoalResult, GoalFailure>
  /**
   * Pauses the goal, interrupts the turn that runs for it and waits until that has
   * ended. Nothing happens when the goal is not active any more.
   */
  readonly interrupt: Effect.Effect<void, RequestError>
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * The goal of a thread.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"], threadId: string): Goals => ({
  get: Effect.map(
    client.request("thread/goal/get", { threadId }),
    ({ goal }) => goal === null || goal === undefined ? null : fromWire(goal)
  ).pipe(Effect.withSpan("Goals.get")),
  set: Effect.fn("Goals.set")(function*(options: GoalSetOptions) {
    const { goal } = yield* client.request("thread/goal/set", {
      threadId,
      objective: options.objective,
      status: options.status,
      tokenBudget: options.tokenBudget,
      origin: options.origin
    })
    return fromWire(goal)
  }),
  clear: Effect.map(client.request("thread/goal/clear", { threadId }), ({ cleared }) => cleared).pipe(
    Effect.withSpan("Goals.clear")
  )
})

/**
 * Sets a goal and gives the handle to the work on it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = Effect.fn("Goal.start")(
  function*(client: AppServerClient["Service"], threadId: string, goal: string | GoalOptions) {
    const opened = yield* open(client, threadId, goal, "replay")
    const handle: GoalHandle = {
      threadId,
      goal: fromWire(opened.goal),
      events: opened.events,
      text: textOf(opened.events),
      result: Effect.map(opened.result, (end) => resultOf(threadId, end)),
      interrupt: opened.interrupt
    }
    return handle
  }
)

/**
 * Sets a goal and waits for the end of the work on it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = Effect.fn("Goal.run")(
  function*(client: AppServerClient["Service"], threadId: string, goal: string | GoalOptions) {
    const opened = yield* open(client, threadId, goal, "never")
    return resultOf(threadId, yield* opened.result)
  },
  Effect.scoped
)

const open = Effect.fnUntraced(
  function*(
    client: AppServerClient["Service"],
    threadId: string,
    goal: string | GoalOptions,
    read: "replay" | "never"
  ) {
    const options = typeof goal === "string" ? { objective: goal } : goal
    yield* GoalParams.check(options)
    const { objective, origin, tokenBudget } = options
    const opened = client.openGoal({ threadId, objective, origin, tokenBudget }, { read })
    return yield* objective === undefined ? opened : inPlaceOfAnother(client, threadId, opened)
  }
)

/** Setting an objective changes the goal that is there, with the tokens it has taken and its limit. */
const inPlaceOfAnother = Effect.fnUntraced(
  function*<A>(
    client: AppServerClient["Service"],
    threadId: string,
    opened: Effect.Effect<A, RequestError, Scope.Scope>
  ) {
    const { goal } = yield* client.request("thread/goal/get", { threadId })
    if (goal === null || goal === undefined) return yield* opened
    return yield* client.request("thread/goal/clear", { threadId }).pipe(
      Effect.andThen(opened),
      Effect.onError(() => putBack(client, goal))
    )
  }
)

/** Nothing has come of what the goal gave way to: the thread has it again, unless it has another one by now. */
const putBack = (
  client: AppServerClient["Service"],
  { objective, status, threadId, tokenBudget }: ThreadGoal
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { goal } = yield* client.request("thread/goal/get", { threadId })
    if (goal !== null && goal !== undefined) return
    yield* client.request("thread/goal/set", {
      threadId,
      objective,
      tokenBudget,
      // One that is active would have the thread at work for nobody.
      status: isStatus(status) && status !== "active" ? status : "paused"
    })
  }).pipe(
    Effect.timeoutOption(stopGrace),
    Effect.catch(unlessGone(`put the goal of thread ${threadId} back`)),
    Effect.asVoid
  )

const isStatus = Schema.is(ThreadGoalStatusParam)

const fromWire = (wire: ThreadGoal): Goal => ({
  threadId: wire.threadId,
  objective: wire.objective,
  status: wire.status,
  tokenBudget: wire.tokenBudget ?? null,
  tokensUsed: wire.tokensUsed,
  timeUsed: Duration.seconds(wire.timeUsedSeconds),
  createdAt: fromSeconds(wire.createdAt),
  updatedAt: fromSeconds(wire.updatedAt),
  wire
})

const resultOf = (threadId: string, { goal, outcome, turns }: GoalEnd): GoalResult => ({
  threadId,
  outcome,
  goal: goal === null ? null : fromWire(goal),
  turns,
  items: turns.flatMap((turn) => turn.items),
  finalResponse: turns.findLast((turn) => turn.finalResponse !== null)?.finalResponse ?? null,
  usage: turns.findLast((turn) => turn.usage !== null)?.usage ?? null,
  startedAt: turns[0]?.startedAt ?? null,
  completedAt: turns.at(-1)?.completedAt ?? null,
  duration: Duration.millis(turns.reduce((sum, turn) => sum + (turn.durationMs ?? 0), 0))
})
