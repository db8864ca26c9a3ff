/**
 * The events of a turn together with those of the agents that it has at work, in
 * the order they came, each child's with whose it is.
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ConnectionError } from "../CodexError.ts"
import type { ChildEvent, TurnEvent } from "../Notification.ts"
import { coalesce } from "./coalesce.ts"
import { EventLog, type ReadFailure } from "./eventLog.ts"
import type { Follower } from "./follower.ts"
import { childrenOf } from "./lineage.ts"
import type { Delivery, Limits } from "./subscription.ts"
import type { TurnState } from "./turn.ts"

/** How a thread became part of the family. */
interface Descent {
  readonly parentThreadId: string
  readonly parentItemId: string | null
}

export type FamilyEvent = TurnEvent | ChildEvent

export const isOwn = (event: FamilyEvent): event is TurnEvent => event.method !== "client/childEvent"

export class Family implements Follower {
  readonly threadId: string
  private readonly turn: TurnState
  private readonly log: EventLog<FamilyEvent>
  private readonly children = new Map<string, Descent>()

  /** Of a turn whose events so far are all there. */
  constructor(turn: TurnState, limits: Limits) {
    this.threadId = turn.threadId
    this.turn = turn
    this.log = new EventLog<FamilyEvent>(turn, limits, coalesceFamily)
    turn.accompany({
      offer: (event, bytes) => {
        this.log.offer(event, bytes)
        this.meet(event, this.threadId)
      },
      end: (exit) => this.log.end(exit)
    })
  }

  get isOver(): boolean {
    return this.log.ended !== undefined
  }

  accept(event: TurnEvent, bytes: number, turn: TurnState | undefined): boolean {
    if (turn !== this.turn && event.threadId !== undefined && event.threadId !== this.threadId) {
      const descent = this.descentOf(event, event.threadId)
      if (descent !== undefined) this.child(event, bytes, event.threadId, descent)
    }
    // The turns of the children are still nobody's.
    return false
  }

  disconnect(error: ConnectionError): void {
    this.log.end(Exit.fail(error))
  }

  attach(which: "all" | "rest"): Effect.Effect<Stream.Stream<FamilyEvent, ReadFailure>, never, Scope.Scope> {
    return this.log.attach(which)
  }

  /** No reader will attach from now on. */
  forgetHistory(): void {
    this.log.forget()
  }

  private child(event: TurnEvent, bytes: number, childThreadId: string, descent: Descent): void {
    const childEvent: ChildEvent = {
      method: "client/childEvent",
      params: { childThreadId, ...descent, event },
      threadId: this.threadId,
      turnId: this.turn.turnId,
      emittedAtMs: event.emittedAtMs
    }
    this.log.offer(childEvent, bytes)
    this.meet(event, childThreadId)
  }

  private descentOf(event: TurnEvent, threadId: string): Descent | undefined {
    const known = this.children.get(threadId)
    if (known !== undefined) return known
    // The first word of a child whose item is not there yet.
    return event.method === "turn/started" && event.params.turn.rootTurnId === this.turn.turnId
      ? this.adopt(threadId, { parentThreadId: this.threadId, parentItemId: null })
      : undefined
  }

  /** Gets to know the children that an item names. */
  private meet(event: TurnEvent, parentThreadId: string): void {
    if (event.method !== "item/started" && event.method !== "item/completed") return
    const { parentItemId, threadIds } = childrenOf(event.params.item)
    for (const threadId of threadIds) this.adopt(threadId, { parentThreadId, parentItemId })
  }

  private adopt(threadId: string, descent: Descent): Descent {
    const known = this.children.get(threadId)
    if (known !== undefined && known.parentItemId !== null) return known
    if (threadId !== this.threadId) this.children.set(threadId, descent)
    return descent
  }
}

const coalesceFamily = (first: FamilyEvent, second: FamilyEvent): Delivery<FamilyEvent> | undefined =>
  isOwn(first) && isOwn(second) ? coalesce(first, second) : undefined
