/**
 * The app-server's configuration: `config.toml`, what lies above and below it, and
 * the features and permission profiles that it switches.
 *
 * @since 0.1.0
 */
import type {
  ConfigReadResponse,
  ConfigRequirements,
  ConfigWarningNotification,
  ConfigWriteResponse,
  ExperimentalFeature,
  MergeStrategy,
  PermissionProfileSummary
} from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, RequestError } from "./CodexError.ts"
import * as Pages from "./internal/pages.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * Options of `codex.config.read`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions {
  /** Counts in what the project of this directory configures. */
  readonly cwd?: string | undefined
  /** Also every layer for itself, lowest precedence last. */
  readonly includeLayers?: boolean | undefined
}

/**
 * How a value meets the one that is there.
 *
 * - `"replace"`: it takes its place;
 * - `"upsert"`: tables are merged key by key.
 *
 * @since 0.1.0
 * @category models
 */
export type Merge = MergeStrategy

/**
 * Which file a write goes to, and on which condition.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileOptions {
  /** The file to write; the user's `config.toml` when left out. */
  readonly filePath?: string | undefined
  /** Refuses when the file is no longer at this version, as a read or write has named it. */
  readonly expectedVersion?: string | undefined
}

/**
 * Options of `codex.config.write`.
 *
 * @since 0.1.0
 * @category models
 */
export interface WriteOptions extends FileOptions {
  /** How the value meets the one that is there. Default: `"replace"`. */
  readonly merge?: Merge | undefined
}

/**
 * One change of `codex.config.batch`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Edit {
  /** Where, as a dotted key of `config.toml`. */
  readonly key: string
  /** The value; null removes the key. */
  readonly value: Schema.Json
  /** How the value meets the one that is there. Default: `"replace"`. */
  readonly merge?: Merge | undefined
}

/**
 * Options of `codex.config.batch`.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchOptions extends FileOptions {
  /** Has threads that are loaded take the new settings over, as far as they can change. */
  readonly reload?: boolean | undefined
}

// =============================================================================
// Service
// =============================================================================

/**
 * The configuration of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Configuration {
  /** What is configured, and by which layer. Mirrors `config/read`. */
  readonly read: (options?: ReadOptions) => Effect.Effect<ConfigReadResponse, RequestError>
  /** Writes one value under a dotted key; null removes it. Mirrors `config/value/write`. */
  readonly write: (
    key: string,
    value: Schema.Json,
    options?: WriteOptions
  ) => Effect.Effect<ConfigWriteResponse, RequestError>
  /** Writes several values, all or none. Mirrors `config/batchWrite`. */
  readonly batch: (
    edits: ReadonlyArray<Edit>,
    options?: BatchOptions
  ) => Effect.Effect<ConfigWriteResponse, RequestError>
  /** What an administrator demands of the configuration; null without demands. Mirrors `configRequirements/read`. */
  readonly requirements: Effect.Effect<ConfigRequirements | null, RequestError>
  /** The experimental features and whether they are on. Mirrors `experimentalFeature/list`, all pages. */
  readonly features: (options?: {
    /** As this thread has them. */
    readonly threadId?: string | undefined
  }) => Effect.Effect<ReadonlyArray<ExperimentalFeature>, RequestError>
  /**
   * Switches experimental features while the server runs, and tells which of them it
   * took. Mirrors `experimentalFeature/enablement/set`.
   */
  readonly setFeatures: (
    enablement: { readonly [name: string]: boolean }
  ) => Effect.Effect<{ readonly [name: string]: boolean }, RequestError>
  /** The permission profiles to choose from. Mirrors `permissionProfile/list`, all pages. */
  readonly permissionProfiles: (options?: {
    /** Counts in what the project of this directory configures. */
    readonly cwd?: string | undefined
  }) => Effect.Effect<ReadonlyArray<PermissionProfileSummary>, RequestError>
  /** What the server finds wrong with its configuration, while the stream runs. */
  readonly warnings: Stream.Stream<ConfigWarningNotification, ConnectionError>
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * The configuration behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Configuration => ({
  read: Effect.fn("Configuration.read")((options?: ReadOptions) =>
    client.request("config/read", { cwd: options?.cwd, includeLayers: options?.includeLayers })
  ),
  write: Effect.fn("Configuration.write")((key: string, value: Schema.Json, options?: WriteOptions) =>
    client.request("config/value/write", {
      keyPath: key,
      value,
      mergeStrategy: options?.merge ?? "replace",
      filePath: options?.filePath,
      expectedVersion: options?.expectedVersion
    })
  ),
  batch: Effect.fn("Configuration.batch")((edits: ReadonlyArray<Edit>, options?: BatchOptions) =>
    client.request("config/batchWrite", {
      edits: edits.map(({ key, merge, value }) => ({ keyPath: key, value, mergeStrategy: merge ?? "replace" })),
      filePath: options?.filePath,
      expectedVersion: options?.expectedVersion,
      reloadUserConfig: options?.reload
    })
  ),
  requirements: client.request("configRequirements/read").pipe(
    Effect.map(({ requirements }) => requirements ?? null),
    Effect.withSpan("Configuration.requirements")
  ),
  features: Effect.fn("Configuration.features")((options?: { readonly threadId?: string | undefined }) =>
    Pages.collect((cursor) => client.request("experimentalFeature/list", { threadId: options?.threadId, cursor }))
  ),
  setFeatures: Effect.fn("Configuration.setFeatures")(function*(enablement: { readonly [name: string]: boolean }) {
    const set = yield* client.request("experimentalFeature/enablement/set", { enablement })
    return set.enablement
  }),
  permissionProfiles: Effect.fn("Configuration.permissionProfiles")((options?: { readonly cwd?: string | undefined }) =>
    Pages.collect((cursor) => client.request("permissionProfile/list", { cwd: options?.cwd, cursor }))
  ),
  warnings: Stream.map(client.on("configWarning"), ({ params }) => params)
})
