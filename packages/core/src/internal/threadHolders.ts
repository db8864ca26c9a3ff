/**
 * Who has which thread for the time of a scope: the last one to leave unsubscribes from it, and what one of them
 * answers the server counts until that one leaves.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Approvals from "../Approvals.ts"
import type { AppServerClient } from "../AppServerClient.ts"
import type { RequestError } from "../CodexError.ts"
import { mayBeDone } from "./uncertain.ts"

/** One scope that has a thread, with what it answers the server on it. */
export interface Holder {
  readonly answers: Approvals.Service | undefined
}

interface Held {
  readonly holders: Array<Holder>
  /** Somebody has left who would have unsubscribed without the others. */
  wasLeft: boolean
}

/** How long an ending scope waits for the server to unsubscribe. */
const unsubscribeGrace = "10 seconds"

export class ThreadHolders {
  private readonly threads = new Map<string, Held>()
  private readonly answerThread: AppServerClient["Service"]["answerThread"]
  private readonly unsubscribeFrom: (threadId: string) => Effect.Effect<unknown, RequestError>

  constructor(options: {
    readonly answerThread: AppServerClient["Service"]["answerThread"]
    readonly unsubscribe: (threadId: string) => Effect.Effect<unknown, RequestError>
  }) {
    this.answerThread = options.answerThread
    this.unsubscribeFrom = options.unsubscribe
  }

  /** Has a thread that is there until the scope closes. */
  hold(threadId: string, holder: Holder): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => this.enter(threadId, holder)),
      () => this.leave(threadId, holder)
    )
  }

  /**
   * Has a thread that is being loaded, from before the request: whoever leaves meanwhile does not unsubscribe. A load that
   * was interrupted, or not answered in time, may have been carried out.
   */
  holdWhile<A>(
    threadId: string,
    holder: Holder,
    load: Effect.Effect<A, RequestError>
  ): Effect.Effect<A, RequestError, Scope.Scope> {
    return Effect.suspend(() => {
      let refused = false
      return Effect.andThen(
        Effect.acquireRelease(
          Effect.sync(() => this.enter(threadId, holder)),
          () => refused ? Effect.void : this.leave(threadId, holder)
        ),
        Effect.tapError(load, (error) =>
          Effect.suspend(() => {
            refused = !mayBeDone(error)
            return refused ? this.withdraw(threadId, holder) : Effect.void
          }))
      )
    })
  }

  private enter(threadId: string, holder: Holder): void {
    const held = this.threads.get(threadId)
    if (held === undefined) this.threads.set(threadId, { holders: [holder], wasLeft: false })
    else held.holders.push(holder)
  }

  private leave(threadId: string, holder: Holder): Effect.Effect<void> {
    return Effect.suspend(() => {
      const held = this.threads.get(threadId)
      if (held === undefined) return Effect.void
      const at = this.remove(threadId, held, holder)
      const { holders } = held
      if (holders.length === 0) return this.unsubscribe(threadId)
      held.wasLeft = true
      const isAnswering = holder.answers !== undefined &&
        holders.slice(at).every(({ answers }) => answers === undefined)
      if (!isAnswering) return Effect.void
      return this.answerThread(threadId, holders.findLast(({ answers }) => answers !== undefined)?.answers)
    })
  }

  /** The holder never had the thread: what answered before its request does so again. */
  private withdraw(threadId: string, holder: Holder): Effect.Effect<void> {
    const held = this.threads.get(threadId)
    if (held === undefined) return Effect.void
    this.remove(threadId, held, holder)
    return held.holders.length === 0 && held.wasLeft ? this.unsubscribe(threadId) : Effect.void
  }

  private remove(threadId: string, { holders }: Held, holder: Holder): number {
    const at = holders.indexOf(holder)
    holders.splice(at, 1)
    if (holders.length === 0) this.threads.delete(threadId)
    return at
  }

  /** Without the connection there is nobody to unsubscribe from. */
  private unsubscribe(threadId: string): Effect.Effect<void> {
    return this.unsubscribeFrom(threadId).pipe(
      Effect.timeoutOption(unsubscribeGrace),
      Effect.ignore,
      (unsubscribed) => Effect.andThen(this.answerThread(threadId, undefined), unsubscribed)
    )
  }
}
