/**
 * One reader's bounded buffer of events, filled by the router without ever
 * waiting for the reader.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Lagged } from "../Notification.ts"
import { lagged } from "./lagged.ts"

/** An event and its size on the wire. */
export interface Delivery<A> {
  readonly event: A
  readonly bytes: number
}

/** How much a buffer holds; whichever limit is reached first counts. */
export interface Limits {
  readonly events: number
  readonly bytes: number
}

/** Whether a buffer of this fill takes one more. A single event always fits, however large. */
export const hasRoom = (limits: Limits, events: number, bytes: number, next: number): boolean =>
  events === 0 || (events < limits.events && bytes + next <= limits.bytes)

/** Makes one event of two where nothing is lost by it, and says how many bytes the second one adds. */
export type Join<A> = (first: A, second: A) => Delivery<A> | undefined

/** An event in the queue of one reader. */
interface Slot<A> {
  event: A
  bytes: number
}

export class Subscription<A, E> {
  readonly queue: Queue.Queue<Slot<A>, E | Cause.Done>
  readonly limits: Limits
  /** Bytes in the queue. */
  private bytes = 0
  /** Events that gave way since the reader last pulled. */
  private dropped = 0

  /** What was added last, as long as the reader has not pulled it. */
  private last: Slot<A> | undefined
  private readonly join: Join<A>
  private readonly onDrop: (() => void) | undefined

  constructor(
    queue: Queue.Queue<Slot<A>, E | Cause.Done>,
    limits: Limits,
    join: Join<A>,
    onDrop?: () => void
  ) {
    this.queue = queue
    this.limits = limits
    this.join = join
    this.onDrop = onDrop
  }

  /**
   * Adds the event, or answers `false` where there is no room. A reader that is
   * half a buffer behind gets events joined where that loses nothing.
   */
  offer(delivery: Delivery<A>): boolean {
    const size = Queue.sizeUnsafe(this.queue)
    if (this.isBehind(size) && this.joinLast(delivery)) return true
    if (!hasRoom(this.limits, size, this.bytes, delivery.bytes)) return false
    this.bytes += delivery.bytes
    this.last = { event: delivery.event, bytes: delivery.bytes }
    return Queue.offerUnsafe(this.queue, this.last)
  }

  private isBehind(size: number): boolean {
    return size > 0 && (size * 2 >= this.limits.events || this.bytes * 2 >= this.limits.bytes)
  }

  private joinLast(delivery: Delivery<A>): boolean {
    const { last } = this
    const joined = last === undefined ? undefined : this.join(last.event, delivery.event)
    if (last === undefined || joined === undefined || this.bytes + joined.bytes > this.limits.bytes) return false
    last.event = joined.event
    last.bytes += joined.bytes
    this.bytes += joined.bytes
    return true
  }

  /** Adds the event; the oldest ones give way, and the reader is told how many. */
  slide(delivery: Delivery<A>): void {
    while (!hasRoom(this.limits, Queue.sizeUnsafe(this.queue), this.bytes, delivery.bytes)) {
      const oldest = Queue.takeUnsafe(this.queue)
      if (oldest?._tag !== "Success") return
      this.bytes -= oldest.value.bytes
      this.dropped++
      this.onDrop?.()
    }
    this.bytes += delivery.bytes
    Queue.offerUnsafe(this.queue, delivery)
  }

  /** Lets the reader have what is buffered, then ends its stream. */
  end(): void {
    Queue.endUnsafe(this.queue)
  }

  /** Lets the reader have what is buffered, then fails its stream. */
  fail(error: E): void {
    this.failCause(Cause.fail(error))
  }

  /** Lets the reader have what is buffered, then fails its stream with a cause. */
  failCause(cause: Cause.Cause<E>): void {
    Queue.failCauseUnsafe(this.queue, cause)
  }

  private readonly take: Pull.Pull<Arr.NonEmptyArray<A>, E> = Effect.suspend(() =>
    Effect.map(Queue.takeAll(this.queue), (slots) => {
      this.bytes = 0
      this.last = undefined
      return Arr.map(slots, (slot) => slot.event)
    })
  )

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

/**
 * A buffer for one reader. The queue itself is open-ended: the limits are kept here, in events and bytes.
 */
export const make = <A, E>(
  limits: Limits,
  join: Join<A> = () => undefined,
  onDrop?: () => void
): Effect.Effect<Subscription<A, E>> =>
  Effect.map(Queue.unbounded<Slot<A>, E | Cause.Done>(), (queue) => new Subscription(queue, limits, join, onDrop))
