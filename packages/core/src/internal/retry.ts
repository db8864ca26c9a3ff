/** The loop behind every retry: which failures count is the caller's choice. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { RetryLimitExceeded, TurnFailed } from "../CodexError.ts"
import type { Overload, RetryPolicy } from "../RetryPolicy.ts"

/** Runs the effect again, as the policy says, as long as it fails with what counts as overload. */
export const retry = <A, E, R, F extends Overload>(
  self: Effect.Effect<A, E, R>,
  policy: RetryPolicy,
  counts: (error: E | F) => error is F
): Effect.Effect<A, E | RetryLimitExceeded, R> =>
  Effect.suspend(() => {
    let attempts = 0
    // Only what counts stays in the error channel while the policy looks at it.
    const attempt = Effect.suspend(() => {
      attempts++
      return Effect.matchEffect(self, {
        onFailure: (error) => counts(error) ? Effect.fail(error) : Effect.succeed(Result.fail(error)),
        onSuccess: (value) => Effect.succeed(Result.succeed(value))
      })
    })
    return attempt.pipe(
      Effect.retry(policy),
      Effect.mapError((error) =>
        attempts > 1 ? new RetryLimitExceeded({ method: methodOf(error), attempts, lastError: error }) : error
      ),
      Effect.flatMap(Effect.fromResult)
    )
  })

const methodOf = (error: Overload): string => error instanceof TurnFailed ? "turn/start" : error.method
