/**
 * Deadlines of many requests by few fibers: requests with the same timeout expire in the order in which they began,
 * so one fiber that sleeps until the earliest of them is enough, where a race takes two fibers for each.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"

/** Something that expires, unless it is taken back before. */
export interface Deadline {
  /** On the monotonic clock. */
  readonly nanos: bigint
  readonly expire: () => void
  readonly lane: Lane
}

/** What has the same timeout, the earliest first. */
interface Lane {
  readonly nanos: bigint
  readonly pending: Set<Deadline>
  isKept: boolean
}

export interface Deadlines {
  /** From now on; undefined where the timeout is infinite. */
  readonly begin: (timeout: Duration.Duration, expire: () => void) => Deadline | undefined
  readonly cancel: (deadline: Deadline) => void
}

/** The keepers end with the scope. */
export const make = Effect.fnUntraced(function*(context: Context.Context<never>) {
  const clock = Context.get(context, Clock.Clock)
  const run = yield* FiberSet.makeRuntime<never>()
  const lanes = new Map<number, Lane>()

  const laneOf = (timeout: Duration.Duration): Lane => {
    const millis = Duration.toMillis(timeout)
    let lane = lanes.get(millis)
    if (lane === undefined) {
      lane = { nanos: Duration.toNanosUnsafe(timeout), pending: new Set(), isKept: false }
      lanes.set(millis, lane)
    }
    return lane
  }

  /** Expires what is due, and says how long it is until the next. */
  const next = ({ pending }: Lane): Duration.Duration | undefined => {
    const now = clock.monotonicTimeNanosUnsafe()
    for (const deadline of pending) {
      if (deadline.nanos > now) return Duration.nanos(deadline.nanos - now)
      pending.delete(deadline)
      deadline.expire()
    }
    return undefined
  }

  const keep = (lane: Lane): Effect.Effect<void> =>
    Effect.suspend(() => {
      const left = next(lane)
      if (left !== undefined) return Effect.flatMap(Effect.sleep(left), () => keep(lane))
      lane.isKept = false
      return Effect.void
    })

  const deadlines: Deadlines = {
    begin: (timeout, expire) => {
      if (!Duration.isFinite(timeout)) return undefined
      const lane = laneOf(timeout)
      const deadline: Deadline = { nanos: clock.monotonicTimeNanosUnsafe() + lane.nanos, expire, lane }
      lane.pending.add(deadline)
      if (!lane.isKept) {
        lane.isKept = true
        run(keep(lane))
      }
      return deadline
    },
    cancel: (deadline) => {
      deadline.lane.pending.delete(deadline)
    }
  }
  return deadlines
})
