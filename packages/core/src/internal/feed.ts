/**
 * Tells all its readers the same. A `PubSub` has no error channel and does not count
 * what it drops, and without a reader an event must cost nothing: hence a set of
 * bounded queues.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ConnectionError } from "../CodexError.ts"
import * as Subscription from "./subscription.ts"

export class Feed<A> {
  private readonly readers = new Set<Subscription.Subscription<A, ConnectionError>>()
  private readonly limits: Subscription.Limits
  private readonly onDrop: (() => void) | undefined
  private closedWith: ConnectionError | undefined

  /** `onDrop` is told of each event that gives way. */
  constructor(limits: Subscription.Limits, onDrop?: () => void) {
    this.limits = limits
    this.onDrop = onDrop
  }

  get isUnread(): boolean {
    return this.readers.size === 0
  }

  /** The oldest events of a reader that is behind give way. */
  publish(event: A, bytes: number): void {
    for (const reader of this.readers) reader.slide(event, bytes)
  }

  /** Every reader gets what is kept for it, then the error; so do those who come later. The first error stays. */
  close(error: ConnectionError): void {
    if (this.closedWith !== undefined) return
    this.closedWith = error
    for (const reader of this.readers) reader.fail(error)
    this.readers.clear()
  }

  /** A reader of all that is told from now on until the scope closes. */
  get subscribe(): Effect.Effect<Subscription.Subscription<A, ConnectionError>, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.map(Subscription.make<A, ConnectionError>(this.limits, undefined, this.onDrop), (reader) => {
        if (this.closedWith === undefined) this.readers.add(reader)
        else reader.fail(this.closedWith)
        return reader
      }),
      (reader) => Effect.sync(() => this.readers.delete(reader))
    )
  }
}
