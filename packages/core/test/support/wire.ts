/** The messages of the server, as it writes them. */

export interface TurnFields {
  readonly id: string
  readonly rootTurnId?: string | null
  readonly items?: ReadonlyArray<unknown>
  readonly itemsView?: string
  readonly status?: string
  readonly error?: unknown
  readonly startedAt?: number | null
  readonly completedAt?: number | null
  readonly durationMs?: number | null
}

export const turn = (fields: TurnFields) => ({
  rootTurnId: fields.id,
  items: [],
  itemsView: "notLoaded",
  status: "inProgress",
  error: null,
  startedAt: null,
  completedAt: null,
  durationMs: null,
  ...fields
})

export interface Notification {
  readonly method: string
  readonly params: unknown
  readonly emittedAtMs?: number
}

export const agentMessage = (id: string, text: string, phase: string | null = null) => ({
  type: "agentMessage",
  id,
  text,
  phase,
  memoryCitation: null
})

export const turnStarted = (threadId: string, turnId: string, rootTurnId = turnId): Notification => ({
  method: "turn/started",
  params: { threadId, turn: turn({ id: turnId, rootTurnId, startedAt: 1_795_243_254 }) }
})

export const itemStarted = (threadId: string, turnId: string, item: unknown): Notification => ({
  method: "item/started",
  params: { threadId, turnId, item, startedAtMs: 1 }
})

export const itemCompleted = (threadId: string, turnId: string, item: unknown): Notification => ({
  method: "item/completed",
  params: { threadId, turnId, item, completedAtMs: 2, contentTokenCount: null }
})

export const delta = (threadId: string, turnId: string, itemId: string, text: string): Notification => ({
  method: "item/agentMessage/delta",
  params: { threadId, turnId, itemId, delta: text },
  emittedAtMs: 1_795_243_254_000
})

const tokens = (totalTokens: number) => ({
  totalTokens,
  inputTokens: totalTokens,
  cachedInputTokens: 0,
  cacheWriteInputTokens: 0,
  outputTokens: 0,
  reasoningOutputTokens: 0
})

export const tokenUsage = (threadId: string, turnId: string, totalTokens: number): Notification => ({
  method: "thread/tokenUsage/updated",
  params: {
    threadId,
    turnId,
    tokenUsage: { total: tokens(totalTokens), last: tokens(totalTokens), modelContextWindow: 258_400 }
  }
})

export const turnCompleted = (
  threadId: string,
  turnId: string,
  fields: Omit<TurnFields, "id"> = {}
): Notification => ({
  method: "turn/completed",
  params: {
    threadId,
    turn: turn({
      id: turnId,
      status: "completed",
      startedAt: 1_795_243_254,
      completedAt: 1_795_243_255,
      durationMs: 141,
      ...fields
    })
  }
})

export const goal = (threadId: string, status: string, objective = "Go") => ({
  threadId,
  objective,
  status,
  tokenBudget: null,
  tokensUsed: 0,
  timeUsedSeconds: 0,
  createdAt: 1_795_243_254,
  updatedAt: 1_795_243_254
})

export const goalUpdated = (threadId: string, status: string, objective?: string): Notification => ({
  method: "thread/goal/updated",
  params: { threadId, turnId: null, goal: goal(threadId, status, objective) }
})

export const threadStatus = (threadId: string, type: string): Notification => ({
  method: "thread/status/changed",
  params: { threadId, status: type === "active" ? { type, activeFlags: [] } : { type } }
})

/** The notifications of a turn whose agent says `texts`, in the order the server has them. */
export const textTurn = (threadId: string, turnId: string, texts: ReadonlyArray<string>): Array<Notification> => {
  const item = `msg-${turnId}`
  const text = texts.join("")
  return [
    turnStarted(threadId, turnId),
    itemStarted(threadId, turnId, agentMessage(item, "")),
    ...texts.map((part) => delta(threadId, turnId, item, part)),
    itemCompleted(threadId, turnId, agentMessage(item, text)),
    tokenUsage(threadId, turnId, 15),
    turnCompleted(threadId, turnId, { items: [agentMessage(item, text)] })
  ]
}

/** The params of a `turn/start` with a text. */
export const startParams = (threadId: string, text = "Hello") => ({
  threadId,
  input: [{ type: "text" as const, text }]
})
