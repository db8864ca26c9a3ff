/**
 * A bounded record of events for those who read along and those who come later.
 * It never waits for a reader: one who falls behind fails alone.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ConnectionError, TurnLagged } from "../CodexError.ts"
import * as Subscription from "./subscription.ts"

/** Why a reader gets no more events. */
export type ReadFailure = TurnLagged | ConnectionError

/** What the events are of, as an error names it. */
export interface Subject {
  readonly threadId: string
  readonly turnId: string
  /** Is told when a reader was too far behind. */
  lagged?(): void
}

type Reader<A> = Subscription.Subscription<A, ReadFailure>

export class EventLog<A> {
  private subject: Subject
  private readonly limits: Subscription.Limits
  private readonly join: Subscription.Join<A>
  /** Never changed in place: readers come and go while they are told. */
  private readers: ReadonlyArray<Reader<A>> = []
  /** What came so far, for readers that attach later; undefined once it was more than the buffer holds. */
  private history: Array<Subscription.Delivery<A>> | undefined = []
  private historyBytes = 0
  /** How many events came and are not kept. */
  private gone = 0
  private endedWith: Exit.Exit<void, ConnectionError> | undefined

  constructor(subject: Subject, limits: Subscription.Limits, join: Subscription.Join<A>) {
    this.subject = subject
    this.limits = limits
    this.join = join
  }

  /** How the events ended, once there will be no more. */
  get ended(): Exit.Exit<void, ConnectionError> | undefined {
    return this.endedWith
  }

  /** Takes an event in. */
  offer(event: A, bytes: number): void {
    for (const reader of this.readers) {
      if (reader.offer(event, bytes)) continue
      this.leave(reader)
      reader.fail(this.lagged())
      this.subject.lagged?.()
    }
    this.remember(event, bytes)
  }

  /** Takes an event in that came before every other one. No reader is there yet. */
  precede(delivery: Subscription.Delivery<A>): void {
    const { history } = this
    if (history === undefined) return
    this.history = []
    this.historyBytes = 0
    this.remember(delivery.event, delivery.bytes)
    for (const later of history) this.remember(later.event, later.bytes)
  }

  /** Ends every reader's stream, of those who come later too. The first end stays. */
  end(exit: Exit.Exit<void, ConnectionError>): void {
    if (this.endedWith !== undefined) return
    this.endedWith = exit
    // A stream made of this may outlive its readers until the old generation is collected: it must not keep a whole turn.
    this.subject = { threadId: this.subject.threadId, turnId: this.subject.turnId }
    for (const reader of this.readers) finish(reader, exit)
    this.readers = []
  }

  /** How many events came that nobody can read any more. */
  get lost(): number {
    return this.gone
  }

  /** Everything that came so far, unless it was more than the buffer holds. */
  get unread(): ReadonlyArray<Subscription.Delivery<A>> {
    return this.history ?? []
  }

  /** No reader will attach from now on: what came so far need not be kept. */
  forget(): void {
    this.history = undefined
  }

  /**
   * A reader for as long as the scope is open: of every event from the first one, or
   * of those that are still to be had.
   */
  attach(which: "all" | "rest"): Effect.Effect<Stream.Stream<A, ReadFailure>, never, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.map(
          Subscription.make<A, ReadFailure>(this.limits, this.join),
          (reader) => this.welcome(reader, which)
        ),
        (reader) => Effect.sync(() => this.leave(reader))
      ),
      (reader) => reader.stream
    )
  }

  private welcome(reader: Reader<A>, which: "all" | "rest"): Reader<A> {
    if (this.history === undefined && which === "all") {
      reader.fail(this.lagged())
      return reader
    }
    for (const { bytes, event } of this.history ?? []) reader.offer(event, bytes)
    if (this.endedWith === undefined) this.readers = [...this.readers, reader]
    else finish(reader, this.endedWith)
    return reader
  }

  private leave(reader: Reader<A>): void {
    this.readers = this.readers.filter((other) => other !== reader)
  }

  private remember(event: A, bytes: number): void {
    if (this.history === undefined) {
      this.gone++
      return
    }
    if (Subscription.hasRoom(this.limits, this.history.length, this.historyBytes, bytes)) {
      this.history.push({ event, bytes })
      this.historyBytes += bytes
    } else {
      this.gone = this.history.length + 1
      this.history = undefined
    }
  }

  private lagged(): TurnLagged {
    return new TurnLagged({
      threadId: this.subject.threadId,
      turnId: this.subject.turnId,
      bufferEvents: this.limits.events,
      bufferBytes: this.limits.bytes
    })
  }
}

const finish = <A>(reader: Reader<A>, exit: Exit.Exit<void, ConnectionError>): void => {
  if (Exit.isSuccess(exit)) reader.end()
  else reader.failCause(exit.cause)
}

/** Those who can be read: once by a reader who is there from now on, or each time from the first event. */
export const readerOf = <A>(
  readable: {
    readonly attach: (
      which: "all" | "rest"
    ) => Effect.Effect<Stream.Stream<A, ConnectionError | TurnLagged>, never, Scope.Scope>
  },
  read: "replay" | "once" | "never"
): Effect.Effect<Stream.Stream<A, ConnectionError | TurnLagged>, never, Scope.Scope> =>
  read === "once" ? readable.attach("rest") : Effect.sync(() => Stream.unwrap(readable.attach("all")))
