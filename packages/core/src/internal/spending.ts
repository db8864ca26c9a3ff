/**
 * What turns take of the model. The server tells what a thread has taken in all, and
 * says it again where nothing was added: when a turn is steered, tried again,
 * interrupted or fails, and before a compaction. What a turn has taken is by how much
 * that has grown.
 */
import type { ThreadTokenUsage, TokenUsageBreakdown } from "@effect-codex/generated"
import { forgetOldest } from "./recent.ts"

/** How many threads are remembered. */
const LIMIT = 16_384

export const nothing: TokenUsageBreakdown = {
  totalTokens: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteInputTokens: 0,
  outputTokens: 0,
  reasoningOutputTokens: 0
}

/** By how much one is more than the other, kind by kind. What the server calls the total may be an estimate. */
export const growth = (from: TokenUsageBreakdown, to: TokenUsageBreakdown): TokenUsageBreakdown => {
  const inputTokens = Math.max(0, to.inputTokens - from.inputTokens)
  const outputTokens = Math.max(0, to.outputTokens - from.outputTokens)
  return {
    totalTokens: inputTokens + outputTokens,
    inputTokens,
    cachedInputTokens: Math.max(0, to.cachedInputTokens - from.cachedInputTokens),
    cacheWriteInputTokens: Math.max(0, (to.cacheWriteInputTokens ?? 0) - (from.cacheWriteInputTokens ?? 0)),
    outputTokens,
    reasoningOutputTokens: Math.max(0, to.reasoningOutputTokens - from.reasoningOutputTokens)
  }
}

/** What the threads of a connection have taken, as the server told it last. */
export class Spending {
  private readonly totals = new Map<string, TokenUsageBreakdown>()

  /** The server has told it, and whoever wants to know what was before has asked. */
  note(threadId: string, { total }: ThreadTokenUsage): void {
    this.totals.delete(threadId)
    this.totals.set(threadId, total)
    forgetOldest(this.totals, LIMIT)
  }

  /** What the thread had taken before it was told this. */
  before(threadId: string, { last, total }: ThreadTokenUsage): TokenUsageBreakdown {
    // Of a thread that was not heard of only the last request can be new.
    return this.totals.get(threadId) ?? growth(last, total)
  }
}
