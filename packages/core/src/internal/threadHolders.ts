/**
 * Who has which thread for the time of a scope: the last one to leave unsubscribes from it, and what one of them
 * answers the server counts until that one leaves.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Approvals from "../Approvals.ts"
import type { AppServerClient } from "../AppServerClient.ts"
import type { RequestError } from "../CodexError.ts"
import { stopGrace, stoppable } from "./stoppable.ts"
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

type Client = Pick<AppServerClient["Service"], "answerThread" | "leaveThread">

export class ThreadHolders {
  private readonly threads = new Map<string, Held>()
  private readonly client: Client

  constructor(client: Client) {
    this.client = client
  }

  /**
   * Has a thread until the scope closes, from before the request that loads it: whoever leaves meanwhile does not
   * unsubscribe.
   */
  hold<A>(
    threadId: string,
    holder: Holder,
    load: Effect.Effect<A, RequestError>
  ): Effect.Effect<A, RequestError, Scope.Scope> {
    const entered = Effect.suspend(() => {
      this.enter(threadId, holder)
      return load
    })
    return stoppable(
      Effect.tapError(entered, (error) => mayBeDone(error) ? Effect.void : this.withdraw(threadId, holder)),
      this.leave(threadId, holder),
      `the subscription to thread ${threadId}`
    )
  }

  private enter(threadId: string, holder: Holder): void {
    const held = this.threads.get(threadId)
    if (held === undefined) this.threads.set(threadId, { holders: [holder], wasLeft: false })
    else held.holders.push(holder)
  }

  private leave(threadId: string, holder: Holder): Effect.Effect<unknown, RequestError> {
    return Effect.suspend((): Effect.Effect<unknown, RequestError> => {
      const held = this.threads.get(threadId)
      // An interruption may come before the thread is had.
      if (held?.holders.includes(holder) !== true) return Effect.void
      const at = this.remove(threadId, held, holder)
      const { holders } = held
      held.wasLeft = true
      const before = holders.slice(0, at).findLast(({ answers }) => answers !== undefined)
      return Effect.andThen(
        holder.answers === undefined
          ? Effect.void
          : this.client.answerThread(threadId, before?.answers, { insteadOf: holder.answers }),
        holders.length === 0 ? this.client.leaveThread(threadId) : Effect.void
      )
    })
  }

  /** The holder never had the thread: what answered before its request does so again. */
  private withdraw(threadId: string, holder: Holder): Effect.Effect<void> {
    const held = this.threads.get(threadId)
    if (held === undefined) return Effect.void
    this.remove(threadId, held, holder)
    if (held.holders.length > 0 || !held.wasLeft) return Effect.void
    return Effect.ignore(Effect.timeoutOption(this.client.leaveThread(threadId), stopGrace))
  }

  private remove(threadId: string, { holders }: Held, holder: Holder): number {
    const at = holders.indexOf(holder)
    holders.splice(at, 1)
    if (holders.length === 0) this.threads.delete(threadId)
    return at
  }
}
