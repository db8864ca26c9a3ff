/**
 * Apps: services of others that the agent can be connected to.
 *
 * @since 0.1.0
 */
import type { AppInfo, AppsReadResponse, InstalledApp } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, RequestError } from "./CodexError.ts"
import * as Pages from "./internal/pages.ts"

/**
 * Options of `codex.apps.list` and `codex.apps.installed`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListOptions {
  /** As the configuration of this thread has them. */
  readonly threadId?: string | undefined
  /** Asks their sources again instead of what is remembered of them. */
  readonly refresh?: boolean | undefined
}

/**
 * Options of `codex.apps.read`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions {
  /** As the configuration of this thread has them. */
  readonly threadId?: string | undefined
  /** Also the tools of each app. */
  readonly includeTools?: boolean | undefined
}

/**
 * The apps of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Apps {
  /** The apps that there are, page after page as they are pulled. Mirrors `app/list`. */
  readonly list: (options?: ListOptions) => Stream.Stream<AppInfo, RequestError>
  /** The apps that are installed. Mirrors `app/installed`. */
  readonly installed: (options?: ListOptions) => Effect.Effect<ReadonlyArray<InstalledApp>, RequestError>
  /** Some apps by their ids, and which of the ids there are none for. Mirrors `app/read`. */
  readonly read: (
    appIds: ReadonlyArray<string>,
    options?: ReadOptions
  ) => Effect.Effect<AppsReadResponse, RequestError>
  /** The whole list each time that it changes, while the stream runs. */
  readonly changes: Stream.Stream<ReadonlyArray<AppInfo>, ConnectionError>
}

/**
 * The apps behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Apps => ({
  list: (options) =>
    Pages.stream((cursor) =>
      client.request("app/list", {
        threadId: options?.threadId,
        // Only the first page: later ones belong to what it brought.
        forceRefetch: cursor === undefined ? options?.refresh : undefined,
        cursor
      })
    ),
  installed: Effect.fn("Apps.installed")(function*(options?: ListOptions) {
    const { apps } = yield* client.request("app/installed", {
      threadId: options?.threadId,
      forceRefresh: options?.refresh
    })
    return apps
  }),
  read: Effect.fn("Apps.read")((appIds: ReadonlyArray<string>, options?: ReadOptions) =>
    client.request("app/read", { appIds, threadId: options?.threadId, includeTools: options?.includeTools })
  ),
  changes: Stream.map(client.on("app/list/updated"), ({ params }) => params.data)
})
