/** What the server hands out page by page. */
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
