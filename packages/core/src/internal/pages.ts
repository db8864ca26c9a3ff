/** What the server hands out page by page, and the units of what it tells. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

interface Page<A> {
  readonly data: ReadonlyArray<A>
  readonly nextCursor?: string | null
}

/** Every element, page after page as they are pulled. */
export const stream = <A, E, R>(
  page: (cursor: string | undefined) => Effect.Effect<Page<A>, E, R>
): Stream.Stream<A, E, R> =>
  Stream.paginate(
    undefined,
    (cursor: string | undefined) =>
      Effect.map(page(cursor), ({ data, nextCursor }) => [data, Option.fromNullishOr(nextCursor)] as const)
  )

/** Every element of all pages. */
export const collect = <A, E, R>(
  page: (cursor: string | undefined) => Effect.Effect<Page<A>, E, R>
): Effect.Effect<ReadonlyArray<A>, E, R> => Stream.runCollect(stream(page))

/** Seconds since the Unix epoch, where there are any and they mean a time. */
export const timeOfSeconds = (seconds: number | null | undefined): DateTime.Utc | null =>
  seconds === null || seconds === undefined ? null : Option.getOrNull(DateTime.make(seconds * 1000))

/** A duration in whatever unit `of` reads. */
export const durationOf = (
  amount: number | null | undefined,
  of: (amount: number) => Duration.Duration
): Duration.Duration | null => amount === null || amount === undefined ? null : of(amount)

/** A duration as whole seconds of the wire, rounded up. */
export const wholeSeconds = (input: Duration.Input | undefined): number | undefined =>
  input === undefined ? undefined : Math.ceil(Duration.toSeconds(input))
