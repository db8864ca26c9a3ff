/**
 * The server's code reviewer, as a turn of a thread.
 *
 * @since 0.1.0
 */
import type { ReviewTarget } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import type { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, DecodeError, TurnFailed, TurnInterrupted, TurnStalled } from "./CodexError.ts"
import type { RunResult } from "./RunResult.ts"
import * as TurnHandle from "./TurnHandle.ts"

/**
 * What a review came to.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReviewResult extends RunResult {
  /** What the reviewer has to say, findings included; null when it came to no end. */
  readonly review: string | null
}

/**
 * A review, while it runs. It cannot be steered.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReviewHandle extends TurnHandle.TurnHandle {
  /** Waits for the end of the review, as `TurnHandle.result` does. */
  readonly result: Effect.Effect<
    ReviewResult,
    TurnFailed | TurnInterrupted | TurnStalled | ConnectionError | DecodeError
  >
}

/**
 * Starts a review of a target on a thread. Mirrors `review/start`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = Effect.fn("Review.start")(
  function*(client: AppServerClient["Service"], threadId: string, target: ReviewTarget) {
    const turn = yield* client.openTurn("review/start", { threadId, target })
    const handle: ReviewHandle = {
      ...TurnHandle.fromOpenTurn(client, turn),
      result: Effect.map(turn.result, (result) => ({ ...result, review: reviewOf(result) }))
    }
    return handle
  }
)

const reviewOf = (result: RunResult): string | null => {
  const exit = result.items.findLast((item) => item.type === "exitedReviewMode")
  return exit?.type === "exitedReviewMode" ? exit.review : null
}
