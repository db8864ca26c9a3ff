/**
 * Files on the app-server's machine, which need not be this one. Every path is
 * absolute; the app-server's sandbox does not count here.
 *
 * @since 0.1.0
 */
import type { FsGetMetadataResponse, FsReadDirectoryEntry } from "@effect-codex/generated"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, RequestError } from "./CodexError.ts"
import * as Base64 from "./internal/base64.ts"
import { unsent } from "./internal/responseError.ts"
import { isSamePath } from "./internal/serverPath.ts"
import { stoppable } from "./internal/stoppable.ts"
import { uniqueId } from "./internal/uniqueId.ts"
import { unwrapScoped } from "./internal/unwrapScoped.ts"
import { WatchedPaths } from "./internal/watchedPaths.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * Options of `codex.files.createDirectory`.
 *
 * @since 0.1.0
 * @category models
 */
export interface CreateDirectoryOptions {
  /**
   * Also creates the directories above it, and is content with one that is there.
   * Default: true.
   */
  readonly recursive?: boolean | undefined
}

/**
 * Options of `codex.files.remove`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RemoveOptions {
  /** Also what is in a directory. Default: false, though the protocol's own is true. */
  readonly recursive?: boolean | undefined
  /** Is content when there is nothing. Default: false, though the protocol's own is true. */
  readonly force?: boolean | undefined
}

/**
 * Options of `codex.files.copy`.
 *
 * @since 0.1.0
 * @category models
 */
export interface CopyOptions {
  /** A directory with all that is in it. Default: false, which refuses directories. */
  readonly recursive?: boolean | undefined
}

// =============================================================================
// Models
// =============================================================================

/**
 * What is known of a path.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileMetadata {
  /** Whether it is a directory, or a link to one. */
  readonly isDirectory: boolean
  /** Whether it is a regular file, or a link to one. */
  readonly isFile: boolean
  /** Whether it is itself a symbolic link. */
  readonly isSymlink: boolean
  /** When it was created; null where the file system does not tell. */
  readonly createdAt: DateTime.Utc | null
  /** When it was last modified; null where the file system does not tell. */
  readonly modifiedAt: DateTime.Utc | null
}

/**
 * What a directory holds: a name and what it leads to.
 *
 * @since 0.1.0
 * @category models
 */
export type DirectoryEntry = FsReadDirectoryEntry

/**
 * What has changed since the reader last heard of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileChanges {
  /** The paths that changed, each once: created, written or removed. */
  readonly paths: ReadonlyArray<string>
  /** Whether more has changed than was kept for the reader: `paths` are then not all of them. */
  readonly overflowed: boolean
}

/**
 * A watch that is set up.
 *
 * @since 0.1.0
 * @category models
 */
export interface Watcher {
  /** The path, as the server has it. */
  readonly path: string
  /**
   * What changes from the moment the watcher is there, for one reader at a time. The
   * server gathers changes for some 200 milliseconds; those that nobody has read yet are
   * gathered too.
   */
  readonly changes: Stream.Stream<FileChanges, ConnectionError>
}

/**
 * Files on the app-server's machine.
 *
 * @since 0.1.0
 * @category models
 */
export interface Files {
  /** The content of a file, as large as one line of the protocol allows (`maxLineBytes`). Mirrors `fs/readFile`. */
  readonly readFile: (path: string) => Effect.Effect<Uint8Array, RequestError>
  /** The content of a file, read as UTF-8; a byte order mark is part of it. Mirrors `fs/readFile`. */
  readonly readText: (path: string) => Effect.Effect<string, RequestError>
  /** Writes a file, in the place of the one that is there; text as UTF-8. Mirrors `fs/writeFile`. */
  readonly writeFile: (path: string, content: Uint8Array | string) => Effect.Effect<void, RequestError>
  /** Creates a directory. Mirrors `fs/createDirectory`. */
  readonly createDirectory: (path: string, options?: CreateDirectoryOptions) => Effect.Effect<void, RequestError>
  /** What is known of a path; fails where there is nothing. Mirrors `fs/getMetadata`. */
  readonly metadata: (path: string) => Effect.Effect<FileMetadata, RequestError>
  /** What a directory holds, in no order. Links that lead nowhere are left out. Mirrors `fs/readDirectory`. */
  readonly readDirectory: (path: string) => Effect.Effect<ReadonlyArray<DirectoryEntry>, RequestError>
  /** Removes a file, a link or a directory. Mirrors `fs/remove`. */
  readonly remove: (path: string, options?: RemoveOptions) => Effect.Effect<void, RequestError>
  /**
   * Copies a file in the place of the one that is there, a directory with what is in it
   * over the one that is there, and a link where nothing is. The same path twice is refused
   * as `InvalidParams`, however it is written. **A file copied onto itself by way of a link,
   * hard or symbolic, is emptied**: the server does not see that it is the same. Mirrors `fs/copy`.
   */
  readonly copy: (from: string, to: string, options?: CopyOptions) => Effect.Effect<void, RequestError>
  /**
   * Watches a file, or what is directly in a directory, for as long as the stream runs.
   * A file that another one takes the place of (a rename over it, as editors do) is told
   * once and no longer watched: watch its directory. Mirrors `fs/watch` and `fs/unwatch`.
   */
  readonly watch: (path: string) => Stream.Stream<FileChanges, RequestError>
  /** The same as a value of the scope: what changes after it is there is not missed. */
  readonly watcher: (path: string) => Effect.Effect<Watcher, RequestError, Scope.Scope>
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * Files of a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Files => {
  const readFile = Effect.fn("Files.readFile")(function*(path: string) {
    const { dataBase64 } = yield* client.request("fs/readFile", { path })
    return yield* Effect.fromResult(
      Base64.decode(dataBase64, { method: "fs/readFile", payload: "result", path: "dataBase64" })
    )
  })

  const watcher = Effect.fn("Files.watcher")(function*(path: string) {
    const watchId = yield* uniqueId
    const changed = yield* WatchedPaths.make
    yield* client.listen("fs/changed", watchId, {
      event: ({ params }) => changed.add(params.changedPaths),
      unreadable: () => changed.miss(),
      closed: (error) => changed.fail(error)
    })
    const watched = yield* stoppable(
      client.request("fs/watch", { path, watchId }),
      client.request("fs/unwatch", { watchId }),
      `the watch of ${path}`
    )
    return { path: watched.path, changes: changed.stream }
  })

  return {
    readFile,
    readText: (path) =>
      Effect.map(readFile(path), (bytes) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)),
    writeFile: Effect.fn("Files.writeFile")(function*(path: string, content: Uint8Array | string) {
      yield* client.request("fs/writeFile", { path, dataBase64: Base64.encode(content) })
    }),
    createDirectory: Effect.fn("Files.createDirectory")(function*(path: string, options?: CreateDirectoryOptions) {
      yield* client.request("fs/createDirectory", { path, recursive: options?.recursive ?? true })
    }),
    metadata: Effect.fn("Files.metadata")(function*(path: string) {
      return fromMetadata(yield* client.request("fs/getMetadata", { path }))
    }),
    readDirectory: Effect.fn("Files.readDirectory")(function*(path: string) {
      const { entries } = yield* client.request("fs/readDirectory", { path })
      return entries
    }),
    remove: Effect.fn("Files.remove")(function*(path: string, options?: RemoveOptions) {
      yield* client.request("fs/remove", {
        path,
        recursive: options?.recursive ?? false,
        force: options?.force ?? false
      })
    }),
    copy: Effect.fn("Files.copy")(function*(from: string, to: string, options?: CopyOptions) {
      // The server would empty it.
      if (yield* isSamePath(client.server.platformFamily, from, to)) {
        return yield* unsent("fs/copy", [{
          path: "destinationPath",
          expected: "Expected another path than the source's"
        }])
      }
      yield* client.request("fs/copy", {
        sourcePath: from,
        destinationPath: to,
        recursive: options?.recursive ?? false
      })
    }),
    watch: (path) => unwrapScoped(Effect.map(watcher(path), ({ changes }) => changes)),
    watcher
  }
}

const fromMetadata = (metadata: FsGetMetadataResponse): FileMetadata => ({
  isDirectory: metadata.isDirectory,
  isFile: metadata.isFile,
  isSymlink: metadata.isSymlink,
  createdAt: timeOf(metadata.createdAtMs),
  modifiedAt: timeOf(metadata.modifiedAtMs)
})

/** The server has 0 for a time that it does not know. */
const timeOf = (milliseconds: number): DateTime.Utc | null =>
  milliseconds === 0 ? null : Option.getOrNull(DateTime.make(milliseconds))
