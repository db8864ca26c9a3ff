/**
 * What to do when the server refuses work because it is full.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Schedule from "effect/Schedule"
import { type RetryLimitExceeded, ServerOverloaded, TurnFailed } from "./CodexError.ts"
import { retry } from "./internal/retry.ts"

/**
 * What a policy is asked about: a request that was refused, or a turn that failed
 * because the model's servers are full.
 *
 * @since 0.1.0
 * @category models
 */
export type Overload = ServerOverloaded | TurnFailed

/**
 * A schedule of retries, fed with each overload. Any `Schedule` will do.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryPolicy = Schedule.Schedule<unknown, Overload>

/**
 * Exponential from 50 milliseconds, at most 2 seconds apart, with jitter, ten
 * retries.
 *
 * @since 0.1.0
 * @category policies
 */
export const overload: RetryPolicy = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")])
  .pipe(
    Schedule.jittered,
    Schedule.upTo({ times: 10 })
  )

/**
 * No retry: a refusal is a `ServerOverloaded` at once.
 *
 * @since 0.1.0
 * @category policies
 */
export const none: RetryPolicy = Schedule.recurs(0)

/**
 * Whether the error is an overload: `ServerOverloaded`, or a `TurnFailed` whose
 * `codexErrorInfo` is `serverOverloaded`.
 *
 * @since 0.1.0
 * @category guards
 */
export const isOverload = (error: unknown): error is Overload =>
  error instanceof ServerOverloaded ||
  (error instanceof TurnFailed && error.error?.codexErrorInfo === "serverOverloaded")

/**
 * Runs the effect again, as the policy says, when it fails with an overload (see
 * `isOverload`). A request that was refused did nothing, so nothing is done twice.
 * A turn that failed did what its `result` says, and running it again says the same
 * to the thread once more: that is for you to decide, which is why a turn is
 * repeated only where this is written. When the policy gives up after at least one
 * retry the failure is `RetryLimitExceeded` with the last overload; without a retry
 * it is the overload itself.
 *
 * ```ts
 * import { retryOnOverload, RetryPolicy, type Thread } from "@effect-codex/core"
 *
 * const ask = (thread: Thread) => thread.run("Say hello.").pipe(retryOnOverload(RetryPolicy.overload))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const retryOnOverload: {
  (policy: RetryPolicy): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RetryLimitExceeded, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, policy: RetryPolicy): Effect.Effect<A, E | RetryLimitExceeded, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, policy: RetryPolicy): Effect.Effect<A, E | RetryLimitExceeded, R> =>
    retry(self, policy, isOverload)
)
