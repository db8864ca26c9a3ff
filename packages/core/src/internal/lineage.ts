/** Which thread has which one's agent, as far as the server has told. Everything here is synchronous, on the reader fiber. */
import type { ThreadItem } from "@effect-codex/generated"
import type { CodexEvent } from "../Notification.ts"
import { forgetOldest } from "./recent.ts"

/** How many threads and turns are remembered; those of long ago are no longer loaded. */
const LIMIT = 16_384

export class Lineage {
  /** From an agent's thread to the thread that has it at work. */
  private readonly parents = new Map<string, string>()
  /** From a running turn to its thread. */
  private readonly turns = new Map<string, string>()

  /** The thread, its parent, the parent's parent, and so on. */
  of(threadId: string): ReadonlySet<string> {
    const line = new Set<string>()
    for (let id: string | undefined = threadId; id !== undefined && !line.has(id); id = this.parents.get(id)) {
      line.add(id)
    }
    return line
  }

  /** The server says whose agent the thread is. */
  learn(threadId: string, parentThreadId: string): void {
    // An agent may name those that it works for, which does not make them its own.
    if (!this.of(parentThreadId).has(threadId)) remember(this.parents, threadId, parentThreadId)
  }

  observe(event: CodexEvent): void {
    switch (event.method) {
      case "thread/started": {
        const { id, parentThreadId } = event.params.thread
        if (typeof parentThreadId === "string") this.learn(id, parentThreadId)
        return
      }
      case "turn/started": {
        const { threadId, turn: { id, rootTurnId } } = event.params
        remember(this.turns, id, threadId)
        // The first word of an agent whose item is not there yet.
        const parent = rootTurnId === undefined || rootTurnId === null ? undefined : this.turns.get(rootTurnId)
        if (parent !== undefined && !this.parents.has(threadId)) this.learn(threadId, parent)
        return
      }
      case "turn/completed":
        this.turns.delete(event.params.turn.id)
        return
      case "item/started":
      case "item/completed": {
        const { item, threadId } = event.params
        if (isBirth(item)) { for (const child of childrenOf(item).threadIds) this.learn(child, threadId) }
        return
      }
      case "thread/closed":
      case "thread/archived":
      case "thread/deleted":
        this.parents.delete(event.params.threadId)
        return
      default:
    }
  }

  /** The connection is over: nothing runs any more. */
  close(): void {
    this.parents.clear()
    this.turns.clear()
  }
}

/** The threads of the agents that an item is about. */
export const childrenOf = (
  item: ThreadItem
): { readonly parentItemId: string | null; readonly threadIds: ReadonlyArray<string> } => {
  switch (item.type) {
    case "collabAgentToolCall":
      return { parentItemId: item.id, threadIds: item.receiverThreadIds }
    case "subAgentActivity":
      return { parentItemId: item.id, threadIds: [item.agentThreadId] }
    default:
      return noChildren
  }
}

const noChildren = { parentItemId: null, threadIds: [] }

/** Whether the item is how its agents came to be: others may speak to the agents of somebody else. */
const isBirth = (item: ThreadItem): boolean =>
  (item.type === "collabAgentToolCall" && item.tool === "spawnAgent") ||
  (item.type === "subAgentActivity" && item.kind === "started")

const remember = (known: Map<string, string>, key: string, value: string): void => {
  known.set(key, value)
  forgetOldest(known, LIMIT)
}
