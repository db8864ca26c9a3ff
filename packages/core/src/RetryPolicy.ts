/**
 * What to do when the server refuses work because it is full.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import { RetryLimitExceeded, ServerOverloaded } from "./CodexError.ts"

/**
 * A schedule of retries, fed with each refusal. Any `Schedule` will do.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryPolicy = Schedule.Schedule<unknown, ServerOverloaded>

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
 * Runs the effect again, as the policy says, when it fails with
 * `ServerOverloaded`. The server refuses before it does anything, so nothing is
 * done twice. When the policy gives up after at least one retry the failure is
 * `RetryLimitExceeded` with the last refusal; without a retry it is the refusal.
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
    Effect.suspend(() => {
      let attempts = 0
      // Only refusals stay in the error channel while the policy looks at it.
      const attempt = Effect.suspend(() => {
        attempts++
        return Effect.matchEffect(self, {
          onFailure: (error) =>
            error instanceof ServerOverloaded ? Effect.fail(error) : Effect.succeed(Result.fail(error)),
          onSuccess: (value) => Effect.succeed(Result.succeed(value))
        })
      })
      return attempt.pipe(
        Effect.retry(policy),
        Effect.mapError((refusal) =>
          attempts > 1 ? new RetryLimitExceeded({ method: refusal.method, attempts, lastError: refusal }) : refusal
        ),
        Effect.flatMap(Effect.fromResult)
      )
    })
)
