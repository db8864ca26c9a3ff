/**
 * Which thread has which one's agent, and what these have at work, as far as the server has told. Everything here is
 * synchronous, on the reader fiber.
 */
import type { ThreadItem } from "@effect-codex/generated"
import type { CodexEvent } from "../Notification.ts"
import { forgetOldest } from "./recent.ts"

/** How many threads and turns are remembered; those of long ago are no longer loaded. */
const LIMIT = 16_384

/** A turn that runs. */
export interface RunningTurn {
  readonly threadId: string
  readonly turnId: string
  /** The turn for which it was begun: its own where that is nobody's. */
  readonly rootTurnId: string
}

export class Lineage {
  /** From an agent's thread to the thread that has it at work. */
  private readonly parents = new Map<string, string>()
  private readonly turns = new Map<string, RunningTurn>()
  /** Turns of this client. */
  private readonly owned = new Set<string>()
  /** From a turn that has had agents at work to its thread. */
  private readonly spawning = new Map<string, string>()
  /** Turns whose agents were stopped with them. */
  private readonly stopped = new Set<string>()
  /** Is told of what an agent begins for a turn whose agents were stopped. */
  onStray: (turn: RunningTurn) => void = () => {}

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

  /** The turn is one of this client. */
  own(turnId: string): void {
    this.owned.add(turnId)
    forgetOldest(this.owned, LIMIT)
  }

  /** Stops the agents of all turns that this client has had, on the thread if one is named. */
  leave(threadId?: string): ReadonlyArray<RunningTurn> {
    const left = Array.from(this.spawning, ([turnId, threadId]) => ({ threadId, turnId })).filter((turn) =>
      (threadId === undefined || turn.threadId === threadId) && this.owned.has(turn.turnId)
    )
    for (const { turnId } of left) this.spawning.delete(turnId)
    return left.flatMap((turn) => this.stop(turn))
  }

  /** The turns that agents have at work for this one. What they begin for it from now on is stray. */
  stop({ threadId, turnId }: Pick<RunningTurn, "threadId" | "turnId">): ReadonlyArray<RunningTurn> {
    this.stopped.add(turnId)
    forgetOldest(this.stopped, LIMIT)
    return Array.from(this.turns.values()).filter((turn) => turn.rootTurnId === turnId && turn.threadId !== threadId)
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
        const turn: RunningTurn = { threadId, turnId: id, rootTurnId: rootTurnId ?? id }
        remember(this.turns, id, turn)
        // The first word of an agent whose item is not there yet.
        const parent = this.turns.get(turn.rootTurnId)
        if (parent !== undefined && !this.parents.has(threadId)) this.learn(threadId, parent.threadId)
        if (this.stopped.has(turn.rootTurnId)) this.onStray(turn)
        return
      }
      case "turn/completed":
        this.turns.delete(event.params.turn.id)
        return
      case "item/started":
      case "item/completed": {
        const { item, threadId, turnId } = event.params
        if (!isBirth(item)) return
        remember(this.spawning, turnId, threadId)
        for (const child of childrenOf(item).threadIds) this.learn(child, threadId)
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
    this.owned.clear()
    this.spawning.clear()
    this.stopped.clear()
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

const remember = <A>(known: Map<string, A>, key: string, value: A): void => {
  known.set(key, value)
  forgetOldest(known, LIMIT)
}
