/** What the client counts. No metric names a thread, a prompt or anything else of a payload. */
import * as Metric from "effect/Metric"

const dropped = (reason: DropReason) =>
  Metric.counter("codex_responses_dropped", {
    description: "Responses that nobody waited for",
    attributes: { reason },
    incremental: true
  })

/**
 * - `"late"`: the request had timed out, had been interrupted or was answered before;
 * - `"unknown"`: there was no such request.
 */
export type DropReason = "late" | "unknown"

export const responsesDropped: Readonly<Record<DropReason, Metric.Counter<number>>> = {
  late: dropped("late"),
  unknown: dropped("unknown")
}
