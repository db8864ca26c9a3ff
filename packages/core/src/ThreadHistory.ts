/**
 * What a thread has been through: its turns and their items, page after page as
 * they are pulled.
 *
 * @since 0.1.0
 */
import type {
  SortDirection,
  ThreadItem,
  ThreadItemEntry,
  ThreadSearchResult,
  ThreadSearchSortKey,
  Turn,
  TurnError,
  TurnItemsViewParam,
  TurnStatus
} from "@effect-codex/generated"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { RequestError } from "./CodexError.ts"
import * as Pages from "./internal/pages.ts"
import { fromMillis, fromSeconds } from "./internal/units.ts"
import { untouched } from "./internal/untouched.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * A turn of a thread's history.
 *
 * @since 0.1.0
 * @category models
 */
export interface PastTurn {
  /** The turn's id. */
  readonly id: string
  /** How it ended; `inProgress` while it runs. */
  readonly status: TurnStatus
  /** Why it failed or was interrupted, where the server says so. */
  readonly error: TurnError | null
  /** Its items, as far as `TurnsOptions.items` asks for them. */
  readonly items: ReadonlyArray<ThreadItem>
  /** When the server started it (to the second). */
  readonly startedAt: DateTime.Utc | null
  /** When the server completed it (to the second). */
  readonly completedAt: DateTime.Utc | null
  /** How long it took on the server. */
  readonly duration: Duration.Duration | null
  /** The same as the server sent it. */
  readonly wire: Turn
}

/**
 * An item of a thread's history.
 *
 * @since 0.1.0
 * @category models
 */
export interface PastItem {
  /** The turn that it belongs to. */
  readonly turnId: string
  /** The item. */
  readonly item: ThreadItem
  /** When it began, where that was recorded. */
  readonly startedAt: DateTime.Utc | null
  /** When it was completed, where that was recorded. */
  readonly completedAt: DateTime.Utc | null
  /** The same as the server sent it. */
  readonly wire: ThreadItemEntry
}

/**
 * Options of `thread.turns`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TurnsOptions {
  /** Whether the newest turn comes first (`"desc"`, the default) or the oldest (`"asc"`). */
  readonly sortDirection?: SortDirection | undefined
  /** How much of each turn's items: none, what a list shows of them (the default), or all. */
  readonly items?: TurnItemsViewParam | undefined
  /** How many turns the server gives at once. */
  readonly pageSize?: number | undefined
}

/**
 * Options of `thread.items`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ItemsOptions {
  /** Whether the oldest item comes first (`"asc"`, the default) or the newest (`"desc"`). */
  readonly sortDirection?: SortDirection | undefined
  /** Only the items of this turn. */
  readonly turnId?: string | undefined
  /** How many items the server gives at once. */
  readonly pageSize?: number | undefined
}

/**
 * Options of `codex.searchThreads`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SearchOptions {
  /** Only archived threads, instead of only those that are not. */
  readonly archived?: boolean | undefined
  /** What to sort by. Default: `updated_at`; by `created_at` the server leaves threads out that one second made. */
  readonly sortKey?: ThreadSearchSortKey | undefined
  /** Which way to sort. */
  readonly sortDirection?: SortDirection | undefined
  /** How many threads the server gives at once. */
  readonly pageSize?: number | undefined
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * The turns of a thread. Mirrors `thread/turns/list`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const turns = (
  client: AppServerClient["Service"],
  threadId: string,
  options: TurnsOptions = {}
): Stream.Stream<PastTurn, RequestError> =>
  Pages.stream((cursor) =>
    client.request("thread/turns/list", {
      threadId,
      sortDirection: options.sortDirection,
      itemsView: options.items,
      limit: options.pageSize,
      cursor
    }).pipe(unlessEmpty(client, threadId))
  ).pipe(Stream.map((wire) => ({
    id: wire.id,
    status: wire.status,
    error: wire.error ?? null,
    items: wire.items,
    startedAt: fromSeconds(wire.startedAt),
    completedAt: fromSeconds(wire.completedAt),
    duration: wire.durationMs === null || wire.durationMs === undefined ? null : Duration.millis(wire.durationMs),
    wire
  })))

/**
 * The items of a thread. Mirrors `thread/items/list`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const items = (
  client: AppServerClient["Service"],
  threadId: string,
  options: ItemsOptions = {}
): Stream.Stream<PastItem, RequestError> =>
  Pages.stream((cursor) =>
    client.request("thread/items/list", {
      threadId,
      turnId: options.turnId,
      sortDirection: options.sortDirection,
      limit: options.pageSize,
      cursor
    }).pipe(Effect.catchTag("MethodNotFound", (error) =>
      // What the server says of a thread that has no stored items, for whatever reason: its turns know the reason.
      client.request("thread/turns/list", { threadId, limit: 1, itemsView: "notLoaded" }).pipe(
        unlessEmpty(client, threadId),
        Effect.flatMap(({ data }) => data.length === 0 ? Effect.succeed(noPage) : Effect.fail(error))
      )))
  ).pipe(Stream.map((wire) => ({
    turnId: wire.turnId,
    item: wire.item,
    startedAt: fromMillis(wire.startedAtMs),
    completedAt: fromMillis(wire.completedAtMs),
    wire
  })))

/**
 * The threads in which a text occurs. Mirrors `thread/search`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const search = (
  client: AppServerClient["Service"],
  text: string,
  options: SearchOptions = {}
): Stream.Stream<ThreadSearchResult, RequestError> =>
  Pages.stream((cursor) =>
    client.experimental.request("thread/search", {
      searchTerm: text,
      archived: options.archived,
      sortKey: options.sortKey ?? "updated_at",
      sortDirection: options.sortDirection,
      limit: options.pageSize,
      cursor
    })
  )

const noPage = { data: [], nextCursor: null }

/** A thread has no history to list before its first turn: that is an empty one, and no failure. */
const unlessEmpty =
  (client: AppServerClient["Service"], threadId: string) =>
  <A>(page: Effect.Effect<A, RequestError>): Effect.Effect<A | typeof noPage, RequestError> =>
    Effect.catchTags(page, {
      InvalidRequest: (refusal) =>
        refusal.description.includes("is not materialized yet") ? Effect.succeed(noPage) : Effect.fail(refusal),
      MethodNotFound: (refusal) => Effect.as(untouched(client, threadId, refusal), noPage)
    })
