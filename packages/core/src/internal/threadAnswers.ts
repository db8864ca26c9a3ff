/** What answers the server on single threads. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Approvals from "../Approvals.ts"
import * as ThreadId from "./threadId.ts"

/** The server asks by one spelling of a thread's id, and whoever gives answers may have another one. */
export class ThreadAnswers {
  /** The last ones count. Those before them are there as long as it is not certain that they do. */
  private readonly given = new Map<string, ReadonlyArray<Approvals.Service>>()

  of(threadId: string): Approvals.Service | undefined {
    return this.given.get(threadId)?.at(-1)
  }

  /** Undefined takes them away; `insteadOf` those alone give way, if they are there. */
  assign(id: string, answers: Approvals.Service | undefined, insteadOf?: Approvals.Service): void {
    const threadId = ThreadId.canonical(id)
    const given = answers === undefined ? [] : [answers]
    if (insteadOf === undefined) return this.put(threadId, given)
    const all = this.all(threadId)
    const at = all.lastIndexOf(insteadOf)
    if (at !== -1) this.put(threadId, all.toSpliced(at, 1, ...given))
  }

  /** From the start of the effect; when it fails, whatever answered before does so again. */
  assignIf<A, E, R>(
    id: string,
    answers: Approvals.Service,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    const threadId = ThreadId.canonical(id)
    return Effect.suspend(() => {
      this.put(threadId, [...this.all(threadId), answers])
      return effect
    }).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          const all = this.all(threadId)
          const at = all.lastIndexOf(answers)
          if (Exit.isSuccess(exit)) this.put(threadId, at === -1 ? [answers] : all.slice(at))
          else if (at !== -1) this.put(threadId, all.toSpliced(at, 1))
        })
      )
    )
  }

  /** Lets go of those of all other threads. */
  keepOnly(ids: Iterable<string>): void {
    const threadIds = new Set(Array.from(ids, ThreadId.canonical))
    for (const threadId of this.given.keys()) if (!threadIds.has(threadId)) this.given.delete(threadId)
  }

  clear(): void {
    this.given.clear()
  }

  private all(threadId: string): ReadonlyArray<Approvals.Service> {
    return this.given.get(threadId) ?? []
  }

  private put(threadId: string, all: ReadonlyArray<Approvals.Service>): void {
    if (all.length === 0) this.given.delete(threadId)
    else this.given.set(threadId, all)
  }
}
