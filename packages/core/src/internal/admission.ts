/**
 * How many requests may be unanswered at once. The server refuses work when its
 * own queue is full, and stops answering for good when far too much comes at
 * once, so the window halves when a request is refused and grows by one each time
 * a whole window of requests has been answered.
 *
 * Places are tokens in a queue: whoever waits longest is next, and a release costs
 * the same however many wait.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"

export interface Admission {
  /** Runs the request when there is a place for it. `isRefusal` tells which failures mean that the server is full. */
  readonly admit: <A, E, R>(
    request: Effect.Effect<A, E, R>,
    isRefusal: (exit: Exit.Exit<A, E>) => boolean
  ) => Effect.Effect<A, E, R>
  /** How many places there are at the moment. */
  readonly window: () => number
}

/** Is told how the figures change. */
export interface Meter {
  readonly window: (by: number) => void
  readonly queued: (by: number) => void
}

export const make = Effect.fnUntraced(function*(
  maxInFlight: number,
  meter: Meter = { window: () => {}, queued: () => {} }
): Effect.fn.Return<Admission> {
  const places = yield* Queue.unbounded<true>()
  yield* Queue.offerAll(places, Array.from({ length: maxInFlight }, () => true as const))
  let window = maxInFlight
  /** Places that are given up as soon as they become free. */
  let surplus = 0
  let answered = 0
  /** Counts the times that the window shrank: refusals of requests from before say nothing new. */
  let epoch = 0

  const leave = (): void => {
    if (surplus > 0) surplus--
    else Queue.offerUnsafe(places, true)
  }

  const shrink = (): void => {
    const next = Math.max(1, window >> 1)
    surplus += window - next
    meter.window(next - window)
    window = next
    answered = 0
    epoch++
  }

  const grow = (): void => {
    if (window === maxInFlight || ++answered < window) return
    window++
    meter.window(1)
    answered = 0
    leave()
  }

  meter.window(window)

  const place: Effect.Effect<unknown> = Effect.suspend(() => {
    // Nobody waits as long as there is a place.
    if (Queue.sizeUnsafe(places) > 0) return Queue.take(places)
    meter.queued(1)
    return Effect.ensuring(Queue.take(places), Effect.sync(() => meter.queued(-1)))
  })

  return {
    window: () => window,
    admit: (request, isRefusal) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(place), () => {
          const admitted = epoch
          return Effect.onExitPrimitive(restore(request), (exit) => {
            if (!isRefusal(exit)) grow()
            else if (admitted === epoch) shrink()
            leave()
            return undefined
          })
        })
      )
  }
})
