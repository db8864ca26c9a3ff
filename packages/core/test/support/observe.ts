/** Watching effects and streams from a test, by events and never by time. */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"

/** Runs the effect in the background, up to the first thing it waits for before this returns. */
export const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Waits until the condition holds. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.flatMap(Effect.yieldNow, () => until(condition)))

export interface Collected<A, E> {
  /** What the stream has emitted so far. */
  readonly seen: ReadonlyArray<A>
  readonly fiber: Fiber.Fiber<void, E>
  /** Waits for so many. */
  readonly atLeast: (count: number) => Effect.Effect<ReadonlyArray<A>>
}

/** Runs the stream in the background. */
export const collect = <A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<Collected<A, E>, never, R> =>
  Effect.gen(function*() {
    const seen: Array<A> = []
    const fiber = yield* fork(Stream.runForEach(stream, (item) => Effect.sync(() => seen.push(item))))
    return { seen, fiber, atLeast: (count) => Effect.as(until(() => seen.length >= count), seen) }
  })
