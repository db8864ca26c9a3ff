/**
 * Finding files by a few letters of their names, on the app-server's machine.
 *
 * @since 0.1.0
 */
import type { FuzzyFileSearchMatchType, FuzzyFileSearchResult } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, DecodeError, RequestError } from "./CodexError.ts"
import { stoppable } from "./internal/stoppable.ts"
import { uniqueId } from "./internal/uniqueId.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * A file or directory that matches.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileMatch {
  /** Which of the roots it was found under, as it was given. */
  readonly root: string
  /** Where it is, relative to that root. */
  readonly path: string
  /** Its name, the last part of the path. */
  readonly fileName: string
  /** Whether it is a file or a directory. */
  readonly matchType: FuzzyFileSearchMatchType
  /** How well it matches; more is better. */
  readonly score: number
  /** Where in `path` the characters begin that match the query. */
  readonly indices: ReadonlyArray<number>
}

/**
 * What has been found for a query so far.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileSearchResults {
  /** The query. */
  readonly query: string
  /** The best matches, at most 50, best first. */
  readonly files: ReadonlyArray<FileMatch>
}

/**
 * A search that goes on while somebody types.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileSearch {
  /** Searches for this from now on. */
  readonly update: (query: string) => Effect.Effect<void, RequestError>
  /**
   * What is found for the latest query: the state when the stream begins, then every
   * time it changes while the files are being looked through. For any number of readers; one
   * that is behind sees the newest state only, and nothing of queries that are no longer the
   * latest. Ends with the scope of the search.
   */
  readonly results: Stream.Stream<FileSearchResults, ConnectionError | DecodeError>
}

/**
 * Finding files by name.
 *
 * @since 0.1.0
 * @category models
 */
export interface FuzzyFileSearch {
  /**
   * The best matches under these directories, at most 50, best first; none for an empty query.
   * Hidden files count, ignored ones (`.gitignore`) do not. Interrupting it ends the search.
   * Mirrors `fuzzyFileSearch`.
   */
  readonly searchFiles: (
    query: string,
    roots: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<FileMatch>, RequestError>
  /**
   * Begins a search under these directories, which are looked through once. The scope
   * ends it. Needs `experimental: true` on the layer. Mirrors `fuzzyFileSearch/sessionStart`.
   */
  readonly fileSearch: (roots: ReadonlyArray<string>) => Effect.Effect<FileSearch, RequestError, Scope.Scope>
}

// =============================================================================
// Constructors
// =============================================================================

/** How long an interrupted search waits for the server to give it up. */
const cancelGrace = Duration.seconds(1)

/**
 * File searches of a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): FuzzyFileSearch => ({
  searchFiles: Effect.fn("FuzzyFileSearch.searchFiles")(function*(query: string, roots: ReadonlyArray<string>) {
    const cancellationToken = yield* uniqueId
    const { files } = yield* client.request("fuzzyFileSearch", { query, roots, cancellationToken }).pipe(
      // Another search with the token takes the place of the first one.
      Effect.onInterrupt(() =>
        client.request("fuzzyFileSearch", { query: "", roots: [], cancellationToken }).pipe(
          Effect.timeoutOption(cancelGrace),
          Effect.ignore
        )
      )
    )
    return files.map(fromResult)
  }),
  fileSearch: Effect.fn("FuzzyFileSearch.fileSearch")(function*(roots: ReadonlyArray<string>) {
    const sessionId = yield* uniqueId
    const state = yield* Effect.acquireRelease(
      Effect.sync(() => new Latest()),
      (state) => Effect.sync(() => state.end(Cause.fail(Cause.Done())))
    )
    yield* client.listen("fuzzyFileSearch/sessionUpdated", sessionId, {
      event: ({ params }) => state.found(params.query, params.files),
      unreadable: (error) => state.end(Cause.fail(error)),
      closed: (error) => state.end(Cause.fail(error))
    })
    yield* stoppable(
      client.experimental.request("fuzzyFileSearch/sessionStart", { sessionId, roots }),
      client.experimental.request("fuzzyFileSearch/sessionStop", { sessionId }),
      "a file search"
    )
    return {
      update: Effect.fn("FileSearch.update")(function*(query: string) {
        state.asked(query)
        yield* client.experimental.request("fuzzyFileSearch/sessionUpdate", { sessionId, query })
      }),
      results: state.stream
    }
  })
})

type Reader = Queue.Queue<FileSearchResults, ConnectionError | DecodeError | Cause.Done>

/** The newest results, for readers that come and go. */
class Latest {
  private readonly readers = new Set<Reader>()
  private query: string | undefined
  private results: FileSearchResults | undefined
  private ended: Cause.Cause<ConnectionError | DecodeError | Cause.Done> | undefined

  /** The query to which results belong from now on. */
  asked(query: string): void {
    this.query = query
    this.results = undefined
    for (const reader of this.readers) Queue.takeUnsafe(reader)
  }

  found(query: string, files: ReadonlyArray<FuzzyFileSearchResult>): void {
    if (query !== this.query) return
    this.results = { query, files: files.map(fromResult) }
    for (const reader of this.readers) Queue.offerUnsafe(reader, this.results)
  }

  end(cause: Cause.Cause<ConnectionError | DecodeError | Cause.Done>): void {
    this.ended ??= cause
    for (const reader of this.readers) Queue.failCauseUnsafe(reader, this.ended)
    this.readers.clear()
  }

  readonly stream: Stream.Stream<FileSearchResults, ConnectionError | DecodeError> = Stream.unwrap(
    Effect.map(
      Effect.acquireRelease(
        Effect.map(Queue.sliding<FileSearchResults, ConnectionError | DecodeError | Cause.Done>(1), (reader) => {
          if (this.results !== undefined) Queue.offerUnsafe(reader, this.results)
          if (this.ended === undefined) this.readers.add(reader)
          else Queue.failCauseUnsafe(reader, this.ended)
          return reader
        }),
        (reader) => Effect.sync(() => this.readers.delete(reader))
      ),
      Stream.fromQueue
    )
  )
}

const fromResult = (result: FuzzyFileSearchResult): FileMatch => ({
  root: result.root,
  path: result.path,
  fileName: result.file_name,
  matchType: result.match_type,
  score: result.score,
  indices: placesOf(result.path, result.indices ?? [])
})

/** More than one of what a string is indexed by may make up a character, by which the server counts. */
const beyondOne = /[^\0-\x7f]/

const placesOf = (path: string, indices: ReadonlyArray<number>): ReadonlyArray<number> => {
  if (!beyondOne.test(path)) return indices
  const characters = new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(path)
  const places = Array.from(characters, ({ index }) => index)
  return indices.map((index) => places[index] ?? path.length)
}
