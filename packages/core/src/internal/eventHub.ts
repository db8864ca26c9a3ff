/**
 * Fans events out to those who asked for them. A `PubSub` has no error channel
 * and does not count what it drops, and without a subscriber an event must cost
 * nothing: hence sets of bounded queues.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ConnectionError } from "../CodexError.ts"
import type { CodexEvent, Lagged } from "../Notification.ts"
import * as Subscription from "./subscription.ts"

type Published = Exclude<CodexEvent, Lagged>

type Subscriber = Subscription.Subscription<Published, ConnectionError>

export class EventHub {
  private readonly everything = new Set<Subscriber>()
  private readonly unowned = new Set<Subscriber>()
  private readonly threads = new Map<string, Set<Subscriber>>()
  private readonly limits: Subscription.Limits
  private closedWith: ConnectionError | undefined

  constructor(limits: Subscription.Limits) {
    this.limits = limits
  }

  /** To those who want everything, and those who want its thread. */
  publish(event: Published, bytes: number): void {
    for (const subscriber of this.everything) subscriber.slide({ event, bytes })
    if (event.threadId === undefined || this.threads.size === 0) return
    const subscribers = this.threads.get(event.threadId)
    if (subscribers !== undefined) { for (const subscriber of subscribers) subscriber.slide({ event, bytes }) }
  }

  /** To those who want what belongs to no turn of this client. */
  publishUnowned(event: Published, bytes: number): void {
    for (const subscriber of this.unowned) subscriber.slide({ event, bytes })
  }

  close(error: ConnectionError): void {
    if (this.closedWith !== undefined) return
    this.closedWith = error
    for (const set of [this.everything, this.unowned, ...this.threads.values()]) {
      for (const subscriber of set) subscriber.fail(error)
      set.clear()
    }
    this.threads.clear()
  }

  /** Everything the server tells. */
  get subscribe(): Effect.Effect<Stream.Stream<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return this.join(() => this.everything)
  }

  /** What belongs to no turn of this client. */
  get subscribeUnowned(): Effect.Effect<Stream.Stream<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return this.join(() => this.unowned)
  }

  /** What belongs to one thread. */
  subscribeThread(threadId: string): Effect.Effect<Stream.Stream<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return this.join(() => {
      const known = this.threads.get(threadId)
      if (known !== undefined) return known
      const set = new Set<Subscriber>()
      this.threads.set(threadId, set)
      return set
    }, (set) => {
      if (set.size === 0 && this.threads.get(threadId) === set) this.threads.delete(threadId)
    })
  }

  private join(
    find: () => Set<Subscriber>,
    onLeave?: (set: Set<Subscriber>) => void
  ): Effect.Effect<Stream.Stream<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.map(Subscription.make<Published, ConnectionError>(this.limits), (subscriber) => {
          const set = find()
          if (this.closedWith === undefined) set.add(subscriber)
          else subscriber.fail(this.closedWith)
          return { subscriber, set }
        }),
        ({ set, subscriber }) =>
          Effect.sync(() => {
            set.delete(subscriber)
            onLeave?.(set)
          })
      ),
      ({ subscriber }) => subscriber.streamWithLag
    )
  }
}
