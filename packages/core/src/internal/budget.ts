/** Watches the turns of a run for its limits. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { OpenTurn, TurnStartMethod } from "../AppServerClient.ts"
import type { Budget } from "../Budget.ts"
import { BudgetExceeded, type InvalidParams, type RequestError, type TurnLagged } from "../CodexError.ts"
import type { TurnEvent } from "../Notification.ts"
import type { RunResult } from "../RunResult.ts"
import { readParams } from "./options.ts"
import type { TurnFailure } from "./turn.ts"

type Limit = BudgetExceeded["limit"]

/** Items that are a tool at work. */
const tools: ReadonlySet<string> = new Set([
  "commandExecution",
  "fileChange",
  "mcpToolCall",
  "dynamicToolCall",
  "collabAgentToolCall",
  "webSearch",
  "imageGeneration"
])

/** The result of a turn, unless the run takes more than its budget: then the turn is interrupted. */
export type Enforce = <M extends TurnStartMethod>(
  turn: OpenTurn<M>
) => Effect.Effect<RunResult, TurnFailure | RequestError | TurnLagged | BudgetExceeded>

/** One budget for all the turns of a run. */
export const make = Effect.fnUntraced(function*(budget: Budget): Effect.fn.Return<Enforce, InvalidParams> {
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
        if (tools.has(event.params.item.type)) toolCalls++
        return Effect.succeed(toolCalls > most.toolCalls ? "toolCalls" : undefined)
      case "thread/tokenUsage/updated":
        return Effect.map(spent, ({ totalTokens }) => tokensBefore + totalTokens > most.tokens ? "tokens" : undefined)
      default:
        return Effect.undefined
    }
  }

  return Effect.fnUntraced(function*(turn) {
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
})
