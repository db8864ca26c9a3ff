/**
 * What a turn came to.
 *
 * @since 0.1.0
 */
import type { ThreadItem, ThreadTokenUsage, TurnStatus } from "@effect-codex/generated"
import type * as DateTime from "effect/DateTime"

/**
 * What a turn came to: its items and, when the agent gave one, its answer.
 * `TurnFailed` and `TurnInterrupted` carry one too, with what there was by then.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunResult {
  /** The thread the turn ran on. */
  readonly threadId: string
  /** The turn. */
  readonly turnId: string
  /** How it ended. */
  readonly status: TurnStatus
  /**
   * The agent's answer: the last completed agent message of phase
   * `final_answer`, else the last one without a phase; commentary never counts.
   * An empty answer is an empty string, no answer is null.
   */
  readonly finalResponse: string | null
  /** The items that were completed, in that order. */
  readonly items: ReadonlyArray<ThreadItem>
  /** Tokens, as last reported for the turn; null when never reported. */
  readonly usage: ThreadTokenUsage | null
  /** When the server started the turn (to the second). */
  readonly startedAt: DateTime.Utc | null
  /** When the server completed the turn (to the second). */
  readonly completedAt: DateTime.Utc | null
  /** How long the turn took on the server, in milliseconds. */
  readonly durationMs: number | null
}

/**
 * The agent's answer among the items of a turn, by the rule of
 * `RunResult.finalResponse`.
 *
 * @since 0.1.0
 * @category getters
 */
export const finalResponse = (items: ReadonlyArray<ThreadItem>): string | null => {
  let phaseless: string | null = null
  let answer: string | null = null
  for (const item of items) {
    if (item.type !== "agentMessage") continue
    if (item.phase === "final_answer") answer = item.text
    else if (item.phase === null || item.phase === undefined) phaseless = item.text
  }
  return answer ?? phaseless
}
