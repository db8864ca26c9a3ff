/**
 * The turns of one thread while requests that start one are unanswered. Whose a turn is that has begun meanwhile is known
 * by an answer that names it, or by what comes of it. Everything here is synchronous, on the reader fiber.
 */
import * as Deferred from "effect/Deferred"
import type { ConnectionError } from "../CodexError.ts"
import type { TurnEvent } from "../Notification.ts"
import type { Delivery } from "./subscription.ts"
import type { TurnState } from "./turn.ts"

/** The turn that is meant by a request whose answer does not name it: the first unknown one of its thread with such an event. */
export interface Expectation {
  readonly matches: (event: TurnEvent) => boolean
  readonly turn: Deferred.Deferred<TurnState, ConnectionError>
}

/** A request that starts a turn, from before it is written until it is known which one. */
export interface Start {
  readonly threadId: string
  /** By what the turn is known where the answer does not name it. */
  readonly expectation: Expectation | undefined
  /** Whether the turn may have been over before anything came of it: it should have been known by now. */
  isOverdue: boolean
}

export interface ExpectingStart extends Start {
  readonly expectation: Expectation
}

export const makeStart = (threadId: string, matches: Expectation["matches"] | undefined): Start => ({
  threadId,
  expectation: matches === undefined ? undefined : { matches, turn: Deferred.makeUnsafe() },
  isOverdue: false
})

export class Starting {
  readonly pending = new Set<Start>()
  /** Turns that nobody knows yet. */
  readonly held = new Map<string, TurnState>()
  /** Turns of this client that ended meanwhile: the request may have steered one of them. */
  readonly finished = new Map<string, TurnState>()
  /** The events that a follower has for its own, by turn. */
  private readonly followed = new Map<string, WeakSet<TurnEvent>>()

  /** Whether a turn has begun that is the one that is being started, or somebody else's. */
  get isUndecided(): boolean {
    for (const turn of this.held.values()) if (turn.isWhole) return true
    return false
  }

  /**
   * The turn is not kept any more. A review's `turn/started` may have come before the answer to its request, and before
   * every other event of the review.
   */
  take(turn: TurnState): void {
    this.held.delete(turn.turnId)
    for (const [turnId, run] of this.held) {
      const [first, ...others] = run.unread
      if (first?.event.method !== "turn/started" || others.length > 0) continue
      if (first.event.params.turn.rootTurnId !== turn.turnId) continue
      this.held.delete(turnId)
      turn.precede(first)
    }
  }

  /** Of a goal's turn it is each event, of somebody else's that a goal is told of in it the goal's word only. */
  follow({ turnId }: TurnState, event: TurnEvent): void {
    const own = this.followed.get(turnId) ?? new WeakSet()
    this.followed.set(turnId, own.add(event))
  }

  isFollowed({ turnId }: TurnState): boolean {
    return this.followed.has(turnId)
  }

  /** What came of the turn that no follower has for its own. */
  unfollowed({ turnId, unread }: TurnState): ReadonlyArray<Delivery<TurnEvent>> {
    const own = this.followed.get(turnId)
    return own === undefined ? unread : unread.filter(({ event }) => !own.has(event))
  }

  /** The request that is known by the event to have started the turn that it is of. */
  expecting(event: TurnEvent): ExpectingStart | undefined {
    for (const start of this.pending) if (isExpecting(start) && start.expectation.matches(event)) return start
    return undefined
  }

  /**
   * The request that has started a turn which was over before anything came of it, if there is one: the oldest, unless
   * the turn may be another one's. That of a goal may just have begun, and be what the one that is expected takes the
   * place of.
   */
  expectingEmpty(): ExpectingStart | undefined {
    const [oldest] = this.pending
    if (oldest === undefined || (this.pending.size === 1 && !oldest.isOverdue)) return undefined
    for (const start of this.pending) if (!isExpecting(start)) return undefined
    return isExpecting(oldest) ? oldest : undefined
  }
}

const isExpecting = (start: Start): start is ExpectingStart => start.expectation !== undefined

/** Whether the turn was over before anything came of it, of which everything was heard. */
export const isEmpty = ({ isDone, unread }: TurnState): boolean =>
  isDone && unread[0]?.event.method === "turn/started" &&
  unread.every(({ event }) => !event.method.startsWith("item/"))
