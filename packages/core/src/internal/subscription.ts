/**
 * One reader's bounded buffer of events, filled by the router without ever
 * waiting for the reader.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { Lagged } from "../Notification.ts"
import { lagged } from "./lagged.ts"
import { Pace } from "./pace.ts"

/** An event and its size on the wire. */
export interface Delivery<A> {
  readonly event: A
  readonly bytes: number
}

/** How much a buffer holds; whichever limit is reached first counts. */
export interface Limits {
  readonly events: number
  readonly bytes: number
  /** Decides when the reader is woken. */
  readonly pace?: Pace | undefined
}

/** Whether a buffer of this fill takes one more. A single event always fits, however large. */
export const hasRoom = (limits: Limits, events: number, bytes: number, next: number): boolean =>
  events === 0 || (events < limits.events && bytes + next <= limits.bytes)

/** Makes one event of two where nothing is lost by it, and says how many bytes the second one adds. */
export type Join<A> = (first: A, second: A) => Delivery<A> | undefined

/** Waking a reader costs little among so many events, and the longer they wait the more of them outlive a collection. */
const PLENTY = 512

export class Subscription<A, E> {
  private readonly limits: Limits
  private readonly pace: Pace
  private readonly join: Join<A>
  private readonly onDrop: (() => void) | undefined
  private readonly events: Array<A> = []
  /** The bytes of each event, where the oldest ones may have to give way. */
  private readonly sizes: Array<number> = []
  /** Closed while the reader waits. */
  private readonly latch = Latch.makeUnsafe(true)
  private ended: Exit.Exit<never, E | Cause.Done> | undefined
  /** Bytes in the buffer. */
  private bytes = 0
  /** Events that gave way since the reader last pulled. */
  private dropped = 0
  /** Whether the reader waits and nobody has been told to wake it. */
  private isAsleep = false

  constructor(limits: Limits, pace: Pace, join: Join<A>, onDrop?: () => void) {
    this.limits = limits
    this.pace = pace
    this.join = join
    this.onDrop = onDrop
  }

  /**
   * Adds the event, or answers `false` where there is no room. A reader that is
   * half a buffer behind gets events joined where that loses nothing.
   */
  offer(event: A, bytes: number): boolean {
    if (this.ended !== undefined) return false
    if (this.isHalfFull() && this.joinLast(event)) return true
    if (!hasRoom(this.limits, this.events.length, this.bytes, bytes)) return false
    this.add(event, bytes)
    return true
  }

  /** A reader with plenty to read, or with half a buffer, should not sleep on. */
  private isHalfFull(): boolean {
    const { length } = this.events
    const isHalfFull = length > 0 && (length * 2 >= this.limits.events || this.bytes * 2 >= this.limits.bytes)
    if (isHalfFull || length === PLENTY) this.pace.hurry()
    return isHalfFull
  }

  private add(event: A, bytes: number): void {
    this.bytes += bytes
    this.events.push(event)
    this.wake()
  }

  private wake(): void {
    if (!this.isAsleep) return
    this.isAsleep = false
    this.pace.wake(this.latch)
  }

  private joinLast(event: A): boolean {
    const last = this.events.at(-1)
    const joined = last === undefined ? undefined : this.join(last, event)
    if (joined === undefined || this.bytes + joined.bytes > this.limits.bytes) return false
    this.events[this.events.length - 1] = joined.event
    this.bytes += joined.bytes
    return true
  }

  /** Adds the event; the oldest ones give way, and the reader is told how many. */
  slide(event: A, bytes: number): void {
    if (this.ended !== undefined) return
    this.isHalfFull()
    while (!hasRoom(this.limits, this.events.length, this.bytes, bytes)) this.giveWay()
    this.sizes.push(bytes)
    this.add(event, bytes)
  }

  private giveWay(): void {
    this.events.shift()
    this.bytes -= this.sizes.shift() ?? 0
    this.dropped++
    this.onDrop?.()
  }

  /** Lets the reader have what is buffered, then ends its stream. */
  end(): void {
    this.done(Exit.fail(Cause.Done()))
  }

  /** Lets the reader have what is buffered, then fails its stream. */
  fail(error: E): void {
    this.failCause(Cause.fail(error))
  }

  /** Lets the reader have what is buffered, then fails its stream with a cause. */
  failCause(cause: Cause.Cause<E>): void {
    this.done(Exit.failCause(cause))
  }

  private done(exit: Exit.Exit<never, E | Cause.Done>): void {
    if (this.ended !== undefined) return
    this.ended = exit
    this.wake()
    this.pace.hurry()
  }

  private readonly take: Pull.Pull<Arr.NonEmptyArray<A>, E> = Effect.suspend(() => {
    // Not a new array for what comes: V8 would take such arrays for long-lived ones, and what is in one of those, when it
    // is long gone, lives until the old generation is collected.
    const events = this.events.splice(0)
    if (Arr.isArrayNonEmpty(events)) {
      this.sizes.length = 0
      this.bytes = 0
      return Effect.succeed(events)
    }
    if (this.ended !== undefined) return this.ended
    this.isAsleep = true
    this.latch.closeUnsafe()
    return Effect.andThen(this.latch.await, this.take)
  })

  /** The events, in arrays as large as what is buffered. */
  get stream(): Stream.Stream<A, E> {
    return withoutDone(Stream.fromPull(Effect.succeed(this.take)))
  }

  /** The same, with a marker where events gave way. */
  get streamWithLag(): Stream.Stream<A | Lagged, E> {
    const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A | Lagged>, E> = Effect.map(this.take, (events) => {
      if (this.dropped === 0) return events
      const marker = lagged(this.dropped)
      this.dropped = 0
      return [marker, ...events]
    })
    return withoutDone(Stream.fromPull(Effect.succeed(pull)))
  }
}

const withoutDone = <A, E>(stream: Stream.Stream<A, Pull.ExcludeDone<E>>): Stream.Stream<A, Pull.ExcludeDone<E>> =>
  stream

/** A buffer for one reader. Without a pace of the limits' own, the reader is woken as soon as there is something. */
export const make = <A, E>(
  limits: Limits,
  join: Join<A> = () => undefined,
  onDrop?: () => void
): Effect.Effect<Subscription<A, E>> =>
  Effect.withFiber((fiber) =>
    Effect.succeed(new Subscription(limits, limits.pace ?? new Pace(fiber.currentDispatcher), join, onDrop))
  )
