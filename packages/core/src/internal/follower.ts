/** Somebody beside the turns who looks at what the server tells, on the reader. */
import type { ConnectionError } from "../CodexError.ts"
import type { TurnEvent } from "../Notification.ts"
import type { TurnState } from "./turn.ts"

export interface Follower {
  readonly threadId: string
  /** Whether it has seen all that it wants to see. */
  readonly isOver: boolean
  /**
   * Looks at an event, after the turn that it belongs to (if anybody's) has taken it
   * in. Answers whether the event is its own, so that it is not nobody's.
   */
  accept(event: TurnEvent, bytes: number, turn: TurnState | undefined): boolean
  /**
   * It is known whose a turn is that began while one of this client was being started: that of its owner, or nobody's.
   * Answers whether it is the follower's own from now on.
   */
  decide?(turn: TurnState): boolean
  /** No turn of this client is being started on its thread any more, whatever has come of the last one. */
  startsAnswered?(): void
  /** Whether the turn is its own, to go on without whoever has steered it. */
  keeps?(turn: TurnState): boolean
  /** There is nothing more to hear. */
  disconnect(error: ConnectionError): void
}
