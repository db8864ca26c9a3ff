/**
 * What the client counts and measures, as `Metric`s: whatever exports metrics exports
 * them, and `Metric.value` reads them. Updates go to the registry, and with the
 * `Metric.CurrentMetricAttributes`, of the layer (gauges, `responsesDropped`,
 * `decodeFailures`, `eventsDropped`) or of the fiber that made the call (the others).
 *
 * No metric has a thread, a prompt or anything else of a payload among its attributes.
 * Gauges are sums over the connections that share a registry.
 *
 * **Example** (Reading how many turns have failed)
 *
 * ```ts
 * import { CodexMetrics } from "@effect-codex/core"
 * import { Effect, Metric } from "effect"
 *
 * const failed = CodexMetrics.turnDuration.pipe(
 *   Metric.withAttributes({ status: "failed" }),
 *   Metric.value,
 *   Effect.map(({ count }) => count)
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"

/**
 * Gauge `codex_requests_in_flight`: requests that have been sent and not been answered.
 *
 * @since 0.1.0
 * @category metrics
 */
export const requestsInFlight = Metric.gauge("codex_requests_in_flight", {
  description: "Requests that have been sent and not been answered"
})

/**
 * Gauge `codex_requests_queued`: requests that wait for a place in the window.
 *
 * @since 0.1.0
 * @category metrics
 */
export const requestsQueued = Metric.gauge("codex_requests_queued", {
  description: "Requests that wait for a place in the window"
})

/**
 * Gauge `codex_request_window`: how many requests may be unanswered at the moment. It
 * shrinks when the server refuses work, and opens again as it answers.
 *
 * @since 0.1.0
 * @category metrics
 */
export const requestWindow = Metric.gauge("codex_request_window", {
  description: "How many requests may be unanswered at the moment"
})

/**
 * Counter `codex_request_retries`, by `method`: requests that were sent again because
 * the server was full.
 *
 * @since 0.1.0
 * @category metrics
 */
export const requestRetries = Metric.counter("codex_request_retries", {
  description: "Requests that were sent again because the server was full",
  incremental: true
})

/**
 * Counter `codex_responses_dropped`, by `reason`: responses that nobody waited for,
 * because the request had timed out, had been interrupted or was answered before
 * (`late`), or because there was no such request (`unknown`).
 *
 * @since 0.1.0
 * @category metrics
 */
export const responsesDropped = Metric.counter("codex_responses_dropped", {
  description: "Responses that nobody waited for",
  incremental: true
})

/**
 * Counter `codex_decode_failures`, by `payload` (`result`, `notification` or
 * `envelope`): messages of the server that did not match their Schema, or were none.
 *
 * @since 0.1.0
 * @category metrics
 */
export const decodeFailures = Metric.counter("codex_decode_failures", {
  description: "Messages of the server that did not match their Schema",
  incremental: true
})

/**
 * Counter `codex_events_dropped`: events of the connection or of a thread that gave way
 * because their reader was behind. The reader is told of them by `client/lagged`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const eventsDropped = Metric.counter("codex_events_dropped", {
  description: "Events that gave way because their reader was behind",
  incremental: true
})

/**
 * Counter `codex_turn_readers_lagged`: readers of a turn's events that were so far
 * behind that they failed with `TurnLagged`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const turnReadersLagged = Metric.counter("codex_turn_readers_lagged", {
  description: "Readers of a turn's events that failed because they were behind",
  incremental: true
})

/**
 * Histogram `codex_turn_duration` in milliseconds, by `status`: turns of this client
 * from the server's answer to their end. `completed`, `failed` and `interrupted` are the
 * server's words; `unknown` is a turn whose end was not heard.
 *
 * @since 0.1.0
 * @category metrics
 */
export const turnDuration = Metric.timer("codex_turn_duration", {
  description: "How long turns took",
  boundaries: Metric.exponentialBoundaries({ start: 125, factor: 2, count: 16 })
})

/**
 * Counter `codex_tokens`, by `kind`: what the turns of this client have used. `input`
 * includes `cached_input` and `cache_write_input`; `output` includes `reasoning_output`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const tokens = Metric.counter("codex_tokens", {
  description: "Tokens that turns have used",
  incremental: true
})
