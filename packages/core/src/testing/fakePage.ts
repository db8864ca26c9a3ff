/** Parts of lists, as the app-server in memory gives them. */
import * as Effect from "effect/Effect"
import { invalidRequest, type Refusal } from "./fakeConnection.ts"

/** How many there are where no limit is named. */
const PAGE = 25

/** Where a part begins and how much it has; a limit of 0 is 1. */
export interface Wish {
  readonly cursor?: string | null | undefined
  readonly limit?: number | null | undefined
}

/** A part of a list, with the place that it ends at for a cursor. */
export interface Page<A> {
  readonly data: Array<A>
  readonly nextCursor: string | null
  readonly backwardsCursor: null
}

export const pageOf = <A>(all: ReadonlyArray<A>, { cursor, limit }: Wish): Effect.Effect<Page<A>, Refusal> => {
  const start = Number(cursor ?? 0)
  if (!Number.isSafeInteger(start) || start < 0) return Effect.fail(invalidRequest(`invalid cursor: ${cursor}`))
  const end = start + Math.max(1, limit ?? PAGE)
  return Effect.succeed({
    data: all.slice(start, end),
    nextCursor: end < all.length ? String(end) : null,
    backwardsCursor: null
  })
}
