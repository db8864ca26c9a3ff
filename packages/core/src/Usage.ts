/**
 * How much of the account is used up: its rate limits and its token usage.
 *
 * @since 0.1.0
 */
import type {
  ConsumeAccountRateLimitResetCreditOutcome,
  GetAccountRateLimitsResponse,
  GetAccountTokenUsageResponse,
  PlanType,
  RateLimitReachedType,
  RateLimitSnapshot,
  RateLimitWindow as RateLimitWindowModel,
  ThreadUsage
} from "@effect-codex/generated"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, RequestError } from "./CodexError.ts"
import { durationOf, fromSeconds } from "./internal/units.ts"

// =============================================================================
// Rate limits
// =============================================================================

/**
 * A window of time in which usage is counted.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimitWindow {
  /** How much of the window's allowance is used, in percent. */
  readonly usedPercent: number
  /** How long the window is, where the server tells. */
  readonly duration: Duration.Duration | null
  /** When it begins anew, where the server tells. */
  readonly resetsAt: DateTime.Utc | null
  /** The window as it came. */
  readonly wire: RateLimitWindowModel
}

/**
 * One limit of the account.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimit {
  /** Its id, where it has one. */
  readonly id: string | null
  /** Its name, where it has one. */
  readonly name: string | null
  /** The plan that it belongs to. */
  readonly plan: PlanType | null
  /** The shorter window. */
  readonly primary: RateLimitWindow | null
  /** The longer window. */
  readonly secondary: RateLimitWindow | null
  /** Which limit was reached, where one was. */
  readonly reached: RateLimitReachedType | null
  /** The limit as it came, with credits and spending. */
  readonly wire: RateLimitSnapshot
}

/**
 * The limits of the account.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimitsSnapshot {
  /** The limit that counts for ordinary use. */
  readonly current: RateLimit
  /** Every limit by its id; empty where the server tells of one only. */
  readonly byId: ReadonlyMap<string, RateLimit>
  /** How many credits there are to reset a limit; null where the server does not tell. */
  readonly resetCredits: number | null
  /** The response as it came. */
  readonly wire: GetAccountRateLimitsResponse
}

/**
 * Options of `codex.rateLimits.read`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimitsOptions {
  /** Leaves out the details of reset credits, as for frequent polling. */
  readonly excludeResetCreditDetails?: boolean | undefined
}

/**
 * Options of `codex.rateLimits.reset`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResetRateLimitOptions {
  /** Names this attempt, so that a repeated one takes no second credit. */
  readonly idempotencyKey: string
  /** The credit to take; the server chooses one when left out. */
  readonly creditId?: string | undefined
}

/**
 * The rate limits of the account. All of it wants a ChatGPT login: without one, the
 * server refuses with `InvalidRequest`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimits {
  /** What they are now. Mirrors `account/rateLimits/read`. */
  readonly read: (options?: RateLimitsOptions) => Effect.Effect<RateLimitsSnapshot, RequestError>
  /** Takes a credit to reset a limit. Mirrors `account/rateLimitResetCredit/consume`. */
  readonly reset: (
    options: ResetRateLimitOptions
  ) => Effect.Effect<ConsumeAccountRateLimitResetCreditOutcome, RequestError>
  /** The limit as it changes, while the stream runs. Fields may be missing: what did not change may be left out. */
  readonly updates: Stream.Stream<RateLimit, ConnectionError>
}

const windowOf = (wire: RateLimitWindowModel | null | undefined): RateLimitWindow | null =>
  wire === null || wire === undefined ? null : {
    usedPercent: wire.usedPercent,
    duration: durationOf(wire.windowDurationMins, Duration.minutes),
    resetsAt: fromSeconds(wire.resetsAt),
    wire
  }

const limitOf = (wire: RateLimitSnapshot): RateLimit => ({
  id: wire.limitId ?? null,
  name: wire.limitName ?? null,
  plan: wire.planType ?? null,
  primary: windowOf(wire.primary),
  secondary: windowOf(wire.secondary),
  reached: wire.rateLimitReachedType ?? null,
  wire
})

/**
 * The rate limits behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeRateLimits = (client: AppServerClient["Service"]): RateLimits => ({
  read: Effect.fn("RateLimits.read")(function*(options?: RateLimitsOptions) {
    const wire = yield* client.request("account/rateLimits/read", {
      excludeResetCreditDetails: options?.excludeResetCreditDetails
    })
    return {
      current: limitOf(wire.rateLimits),
      byId: new Map(Object.entries(wire.rateLimitsByLimitId ?? {}).map(([id, limit]) => [id, limitOf(limit)])),
      resetCredits: wire.rateLimitResetCredits?.availableCount ?? null,
      wire
    }
  }),
  reset: Effect.fn("RateLimits.reset")(function*(options: ResetRateLimitOptions) {
    const { outcome } = yield* client.request("account/rateLimitResetCredit/consume", {
      idempotencyKey: options.idempotencyKey,
      creditId: options.creditId
    })
    return outcome
  }),
  updates: Stream.map(client.on("account/rateLimits/updated"), ({ params }) => limitOf(params.rateLimits))
})

// =============================================================================
// Token usage
// =============================================================================

/**
 * The tokens of one day.
 *
 * @since 0.1.0
 * @category models
 */
export interface DailyUsage {
  /** The day, as `2026-11-21`. */
  readonly date: string
  /** How many tokens were used on it. */
  readonly tokens: number
}

/**
 * How many tokens the account has used.
 *
 * @since 0.1.0
 * @category models
 */
export interface Usage {
  /** All tokens of the account so far. */
  readonly lifetimeTokens: number | null
  /** The most tokens of one day. */
  readonly peakDailyTokens: number | null
  /** The longest that a turn has run. */
  readonly longestRunningTurn: Duration.Duration | null
  /** Day by day, where the server tells. */
  readonly daily: ReadonlyArray<DailyUsage>
  /** The usage of the thread that was asked for. */
  readonly thread: ThreadUsage | null
  /** The response as it came. */
  readonly wire: GetAccountTokenUsageResponse
}

/**
 * Options of `codex.usage`.
 *
 * @since 0.1.0
 * @category models
 */
export interface UsageOptions {
  /** Also the usage of this thread. */
  readonly threadId?: string | undefined
}

/**
 * Asks for the token usage of the account. Mirrors `account/usage/read`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = Effect.fn("Codex.usage")(
  function*(client: AppServerClient["Service"], options?: UsageOptions) {
    const wire = yield* client.request("account/usage/read", { threadId: options?.threadId })
    const usage: Usage = {
      lifetimeTokens: wire.summary.lifetimeTokens ?? null,
      peakDailyTokens: wire.summary.peakDailyTokens ?? null,
      longestRunningTurn: durationOf(wire.summary.longestRunningTurnSec, Duration.seconds),
      daily: (wire.dailyUsageBuckets ?? []).map(({ startDate, tokens }) => ({ date: startDate, tokens })),
      thread: wire.threadUsage ?? null,
      wire
    }
    return usage
  }
)
