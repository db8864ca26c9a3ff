/**
 * What is recorded of a turn while it runs: its span with those of its items, and the
 * metrics of its end. Told by the turn, on the reader, of items and ends only: what
 * the agent says costs nothing here.
 */
import type { CodexErrorInfo, ThreadItem, TokenUsageBreakdown } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { TurnFailed, TurnInterrupted } from "../CodexError.ts"
import * as CodexMetrics from "../CodexMetrics.ts"
import type { RunResult } from "../RunResult.ts"
import * as Metrics from "./metrics.ts"
import { growth, nothing } from "./spending.ts"
import { toolOf } from "./toolItem.ts"
import * as Tracing from "./tracing.ts"
import type { Observer, TurnFailure, TurnState } from "./turn.ts"

/** How a turn came to be. */
export interface Start {
  /** The method that started it. */
  readonly method: string
  /** The model, where the request names it. */
  readonly model?: string | undefined
}

/** The turns that run, by what a request of the server names. */
export class TurnsTelemetry {
  private readonly turns = new Map<string, TurnTelemetry>()

  /** Records the turn from now on for whoever opened it, unless somebody else did before. */
  record(turn: TurnState, origin: Tracing.Origin, start: Start): void {
    if (turn.isObserved) return
    // That of a goal is followed by the goal and by whoever has steered it.
    if (this.turns.has(turn.turnId)) return turn.observe(readersOf(origin))
    const telemetry = new TurnTelemetry(turn, origin, start, () => {
      if (this.turns.get(turn.turnId) === telemetry) this.turns.delete(turn.turnId)
    })
    this.turns.set(turn.turnId, telemetry)
    turn.observe(telemetry)
  }

  /** Whose turn it is and the span of its item, or of itself. */
  find(
    turnId: string | undefined,
    itemId: string | undefined
  ): { readonly origin: Tracing.Origin; readonly span: Tracer.Span } | undefined {
    const turn = turnId === undefined ? undefined : this.turns.get(turnId) ?? this.runningAs(turnId)
    const span = turn?.spanOf(itemId)
    return turn === undefined || span === undefined ? undefined : { origin: turn.origin, span }
  }

  /** A review runs under another id than its events carry. */
  private runningAs(turnId: string): TurnTelemetry | undefined {
    for (const turn of this.turns.values()) if (turn.activeId === turnId) return turn
    return undefined
  }
}

/** What there is to record of a turn that is recorded already: its readers are others. */
const readersOf = ({ context }: Tracing.Origin): Observer => ({
  itemStarted: () => {},
  itemCompleted: () => {},
  spent: () => {},
  lagged: () => CodexMetrics.turnReadersLagged.updateUnsafe(1, context),
  ended: () => {}
})

class TurnTelemetry implements Observer {
  readonly origin: Tracing.Origin
  private readonly turn: TurnState
  private readonly onEnd: () => void
  private readonly clock: Clock.Clock
  private readonly begunAt: number
  private readonly span: Tracer.Span | undefined
  /** The spans of open items by id; a kind of item that is not known yet may have any. */
  private items: Map<unknown, Tracer.Span> | undefined
  private used: TokenUsageBreakdown | undefined

  constructor(turn: TurnState, origin: Tracing.Origin, start: Start, onEnd: () => void) {
    this.turn = turn
    this.origin = origin
    this.onEnd = onEnd
    this.clock = Context.get(origin.context, Clock.Clock)
    this.begunAt = this.clock.currentTimeMillisUnsafe()
    if (!origin.isTraced) return
    this.span = Tracing.begin(origin, "invoke_agent codex", {
      kind: "client",
      attributes: {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "codex",
        "gen_ai.conversation.id": turn.threadId,
        "gen_ai.request.model": start.model,
        "codex.turn.id": turn.turnId,
        "codex.turn.method": start.method
      }
    })
  }

  get activeId(): string {
    return this.turn.activeId
  }

  spanOf(itemId: string | undefined): Tracer.Span | undefined {
    return (itemId === undefined ? undefined : this.items?.get(itemId)) ?? this.span
  }

  itemStarted(item: ThreadItem): void {
    if (this.span === undefined) return
    const tool = toolOf(item)
    const id = typeof item.id === "string" ? item.id : undefined
    const span = Tracing.begin(this.origin, tool === undefined ? `codex.item ${item.type}` : `execute_tool ${tool}`, {
      parent: this.span,
      attributes: {
        "codex.item.id": id,
        "codex.item.type": item.type,
        ...(tool === undefined ? {} : {
          "gen_ai.operation.name": "execute_tool",
          "gen_ai.tool.name": tool,
          "gen_ai.tool.call.id": id
        })
      }
    })
    if (span === undefined) return
    this.items ??= new Map()
    this.items.set(item.id, span)
  }

  itemCompleted(item: ThreadItem): void {
    const span = this.items?.get(item.id)
    if (span === undefined) return
    this.items?.delete(item.id)
    const status = statusOf(item)
    Tracing.annotate(this.origin, span, { "codex.item.status": status, "process.exit.code": exitCodeOf(item) })
    Tracing.end(
      this.origin,
      span,
      status === "failed" ? Exit.fail(new Tracing.ItemFailed({ message: `The ${item.type} failed` })) : Exit.void
    )
  }

  spent(spent: TokenUsageBreakdown): void {
    const more = growth(this.used ?? nothing, spent)
    this.used = spent
    for (const kind of kinds) {
      const tokens = more[kind] ?? 0
      if (tokens > 0) Metrics.tokens[kind].updateUnsafe(tokens, this.origin.context)
    }
  }

  lagged(): void {
    readersOf(this.origin).lagged()
  }

  ended(outcome: Exit.Exit<RunResult, TurnFailure>): void {
    const status = endOf(outcome)
    const took = Duration.millis(this.clock.currentTimeMillisUnsafe() - this.begunAt)
    Metrics.turnDuration[status].updateUnsafe(took, this.origin.context)
    const { span } = this
    if (span !== undefined) {
      for (const item of this.items?.values() ?? []) Tracing.end(this.origin, item, Exit.interrupt())
      Tracing.annotate(this.origin, span, { "codex.turn.status": status, ...spending(this.used), ...resultOf(outcome) })
      Tracing.end(this.origin, span, status === "interrupted" ? Exit.interrupt() : outcome)
    }
    this.onEnd()
  }
}

/** The server's word for the end of the turn, where it was heard. */
const endOf = (outcome: Exit.Exit<RunResult, TurnFailure>): Metrics.TurnEnd => {
  if (Exit.isSuccess(outcome)) return "completed"
  const error = Option.getOrUndefined(Cause.findErrorOption(outcome.cause))
  return error instanceof TurnFailed ? "failed" : error instanceof TurnInterrupted ? "interrupted" : "unknown"
}

/** What the outcome says of itself: how long the server took, and what went wrong. */
const resultOf = (outcome: Exit.Exit<RunResult, TurnFailure>): Tracing.Attributes => {
  if (Exit.isSuccess(outcome)) return { "codex.turn.duration_ms": outcome.value.durationMs }
  const error = Option.getOrUndefined(Cause.findErrorOption(outcome.cause))
  return {
    "codex.turn.duration_ms": error !== undefined && "result" in error ? error.result.durationMs : undefined,
    "codex.turn.error": error instanceof TurnFailed ? kindOf(error.error?.codexErrorInfo) : undefined,
    "error.type": error instanceof TurnInterrupted ? undefined : error?._tag
  }
}

/** The name of the kind: some have details, under that name. */
const kindOf = (info: CodexErrorInfo | null | undefined): string | undefined =>
  typeof info === "string" || info === null || info === undefined ? info ?? undefined : Object.keys(info)[0]

const spending = (used: TokenUsageBreakdown | undefined): Tracing.Attributes => ({
  "gen_ai.usage.input_tokens": used?.inputTokens,
  "gen_ai.usage.cache_read.input_tokens": used?.cachedInputTokens,
  "gen_ai.usage.cache_creation.input_tokens": used?.cacheWriteInputTokens,
  "gen_ai.usage.output_tokens": used?.outputTokens,
  "gen_ai.usage.reasoning.output_tokens": used?.reasoningOutputTokens
})

const kinds = [
  "inputTokens",
  "cachedInputTokens",
  "cacheWriteInputTokens",
  "outputTokens",
  "reasoningOutputTokens"
] as const

const statusOf = (item: ThreadItem): string => {
  switch (item.type) {
    case "commandExecution":
    case "fileChange":
    case "mcpToolCall":
    case "dynamicToolCall":
    case "collabAgentToolCall":
    case "imageGeneration":
      return item.status
    default:
      return "completed"
  }
}

const exitCodeOf = (item: ThreadItem): number | null | undefined =>
  item.type === "commandExecution" ? item.exitCode : undefined
