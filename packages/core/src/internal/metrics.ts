/** The series of the metrics, by what they are told apart by. */
import * as Metric from "effect/Metric"
import * as CodexMetrics from "../CodexMetrics.ts"

/**
 * - `"late"`: the request had timed out, had been interrupted or was answered before;
 * - `"unknown"`: there was no such request.
 */
export type DropReason = "late" | "unknown"

export const responsesDropped = {
  late: Metric.withAttributes(CodexMetrics.responsesDropped, { reason: "late" }),
  unknown: Metric.withAttributes(CodexMetrics.responsesDropped, { reason: "unknown" })
} as const satisfies Record<DropReason, Metric.Counter<number>>

export type FailedPayload = "result" | "notification" | "envelope"

export const decodeFailures = {
  result: Metric.withAttributes(CodexMetrics.decodeFailures, { payload: "result" }),
  notification: Metric.withAttributes(CodexMetrics.decodeFailures, { payload: "notification" }),
  envelope: Metric.withAttributes(CodexMetrics.decodeFailures, { payload: "envelope" })
} as const satisfies Record<FailedPayload, Metric.Counter<number>>

export const requestRetries = (method: string) => Metric.withAttributes(CodexMetrics.requestRetries, { method })

export type TurnEnd = "completed" | "failed" | "interrupted" | "unknown"

export const turnDuration = {
  completed: Metric.withAttributes(CodexMetrics.turnDuration, { status: "completed" }),
  failed: Metric.withAttributes(CodexMetrics.turnDuration, { status: "failed" }),
  interrupted: Metric.withAttributes(CodexMetrics.turnDuration, { status: "interrupted" }),
  unknown: Metric.withAttributes(CodexMetrics.turnDuration, { status: "unknown" })
} as const

export const tokens = {
  inputTokens: Metric.withAttributes(CodexMetrics.tokens, { kind: "input" }),
  cachedInputTokens: Metric.withAttributes(CodexMetrics.tokens, { kind: "cached_input" }),
  cacheWriteInputTokens: Metric.withAttributes(CodexMetrics.tokens, { kind: "cache_write_input" }),
  outputTokens: Metric.withAttributes(CodexMetrics.tokens, { kind: "output" }),
  reasoningOutputTokens: Metric.withAttributes(CodexMetrics.tokens, { kind: "reasoning_output" })
} as const
