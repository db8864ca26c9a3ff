/** Watches the turns of a run for its limits. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { OpenTurn, TurnStartMethod } from "../AppServerClient.ts"
import type { Budget } from "../Budget.ts"
import { BudgetExceeded, type InvalidParams, type RequestError, type TurnLagged } from "../CodexError.ts"
import type { TurnEvent } from "../Notification.ts"
import type { RunResult } from "../RunResult.ts"
import { readParams } from "./options.ts"
import { unsent } from "./responseError.ts"
import { toolOf } from "./toolItem.ts"
import type { TurnFailure } from "./turn.ts"

type Limit = BudgetExceeded["limit"]

/** What the turns of a run take of its budget. */
export interface Meter {
  /** The result of a turn, unless the run takes more than its budget: then the turn is interrupted. */
  readonly enforce: <M extends TurnStartMethod>(
    turn: OpenTurn<M>
  ) => Effect.Effect<RunResult, TurnFailure | RequestError | TurnLagged | BudgetExceeded>
  /** Fails when nothing is left for a turn after the one with this result. */
  readonly another: (result: RunResult) => Effect.Effect<void, BudgetExceeded>
}

/** One budget for all the turns of a run. */
export const make = Effect.fnUntraced(function*(budget: Budget): Effect.fn.Return<Meter, InvalidParams> {
  const given: unknown = budget
  if (!Predicate.isObject(given)) {
    return yield* unsent("turn/start", [{ path: "budget", expected: "Expected an object with limits" }])
  }
  const { wallTime, ...most } = yield* readParams("turn/start", (read) => ({
    wallTime: read.limitOfTime("budget.wallTime", budget.wallTime),
    tokens: read.limit("budget.tokens", budget.tokens, Number.POSITIVE_INFINITY),
    toolCalls: read.limit("budget.toolCalls", budget.toolCalls, Number.POSITIVE_INFINITY)
  }))
  const deadline = Duration.isFinite(wallTime)
    ? (yield* Clock.currentTimeMillis) + Duration.toMillis(wallTime)
    : undefined
  let toolCalls = 0
  let tokensBefore = 0

  const passes = (event: TurnEvent, spent: OpenTurn<TurnStartMethod>["spent"]): Effect.Effect<Limit | undefined> => {
    switch (event.method) {
      case "item/started":
        if (toolOf(event.params.item) !== undefined) toolCalls++
        return Effect.succeed(toolCalls > most.toolCalls ? "toolCalls" : undefined)
      case "thread/tokenUsage/updated":
        return Effect.map(spent, ({ totalTokens }) => tokensBefore + totalTokens > most.tokens ? "tokens" : undefined)
      default:
        return Effect.undefined
    }
  }

  const another: Meter["another"] = Effect.fnUntraced(function*(result) {
    const limit: Limit | undefined = tokensBefore >= most.tokens
      ? "tokens"
      : toolCalls > most.toolCalls
      ? "toolCalls"
      : deadline !== undefined && deadline <= (yield* Clock.currentTimeMillis)
      ? "wallTime"
      : undefined
    const { threadId, turnId } = result
    if (limit !== undefined) return yield* new BudgetExceeded({ threadId, turnId, limit, result })
  })

  const enforce: Meter["enforce"] = Effect.fnUntraced(function*(turn) {
    const watch = turn.events.pipe(
      Stream.mapEffect((event) => passes(event, turn.spent)),
      Stream.filter((limit) => limit !== undefined),
      Stream.runHead
    )
    const limit = deadline === undefined ? yield* watch : yield* Effect.timeoutOrElse(watch, {
      duration: Duration.millis(Math.max(0, deadline - (yield* Clock.currentTimeMillis))),
      orElse: () => Effect.succeedSome<Limit>("wallTime")
    })
    tokensBefore += (yield* turn.spent).totalTokens
    if (Option.isNone(limit)) return yield* turn.result
    yield* turn.interrupt
    return yield* turn.result.pipe(
      Effect.catchTag(
        "TurnInterrupted",
        ({ result, threadId, turnId }) => new BudgetExceeded({ threadId, turnId, limit: limit.value, result })
      )
    )
  })

  return { enforce, another }
})
