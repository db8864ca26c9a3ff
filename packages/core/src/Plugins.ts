/**
 * Plugins: bundles of skills, hooks, apps and MCP servers, and the marketplaces they
 * come from. They want `features.plugins` in the configuration.
 *
 * @since 0.1.0
 */
import type {
  MarketplaceAddResponse,
  MarketplaceUpgradeResponse,
  PluginDetail,
  PluginInstalledResponse,
  PluginInstallResponse,
  PluginListMarketplaceKind,
  PluginListResponse,
  PluginReconcileResponse,
  PluginSearchResult,
  PluginSearchScope
} from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { RequestError } from "./CodexError.ts"
import * as Pages from "./internal/pages.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * Where a plugin comes from: a marketplace on disk, by the path of its manifest, or
 * one of the server's catalogue, by its name.
 *
 * @since 0.1.0
 * @category models
 */
export type PluginSource = { readonly marketplacePath: string } | { readonly marketplace: string }

/**
 * Options of `codex.plugins.list`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListOptions {
  /** The directories whose projects may have marketplaces. */
  readonly cwds?: ReadonlyArray<string> | undefined
  /** Which kinds of marketplace; those on disk when left out. */
  readonly marketplaceKinds?: ReadonlyArray<PluginListMarketplaceKind> | undefined
  /** Fetches the remote catalogue again. */
  readonly refresh?: boolean | undefined
}

/**
 * Options of `codex.plugins.installed`.
 *
 * @since 0.1.0
 * @category models
 */
export interface InstalledOptions {
  /** The directories whose projects may have plugins. */
  readonly cwds?: ReadonlyArray<string> | undefined
  /** Also these plugins, which one would like to suggest. */
  readonly suggestions?: ReadonlyArray<string> | undefined
}

/**
 * Options of `codex.plugins.search`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SearchOptions {
  /** The directories whose projects may have marketplaces. */
  readonly cwds?: ReadonlyArray<string> | undefined
  /** Where to search. */
  readonly scope?: PluginSearchScope | undefined
}

/**
 * Options of `codex.plugins.marketplaces.add`.
 *
 * @since 0.1.0
 * @category models
 */
export interface AddMarketplaceOptions {
  /** The branch, tag or commit of a git source. */
  readonly refName?: string | undefined
  /** The only paths of a git source to check out. */
  readonly sparsePaths?: ReadonlyArray<string> | undefined
}

// =============================================================================
// Service
// =============================================================================

/**
 * The marketplaces of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Marketplaces {
  /** Adds one: a folder or a git repository with a manifest. Mirrors `marketplace/add`. */
  readonly add: (
    source: string,
    options?: AddMarketplaceOptions
  ) => Effect.Effect<MarketplaceAddResponse, RequestError>
  /** Takes one away. Mirrors `marketplace/remove`. */
  readonly remove: (name: string) => Effect.Effect<void, RequestError>
  /** Fetches the newest content of one, or of all. Mirrors `marketplace/upgrade`. */
  readonly upgrade: (name?: string) => Effect.Effect<MarketplaceUpgradeResponse, RequestError>
}

/**
 * The plugins of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Plugins {
  /** The plugins that there are, by marketplace. Mirrors `plugin/list`. */
  readonly list: (options?: ListOptions) => Effect.Effect<PluginListResponse, RequestError>
  /** The plugins that are installed, by marketplace. Mirrors `plugin/installed`. */
  readonly installed: (options?: InstalledOptions) => Effect.Effect<PluginInstalledResponse, RequestError>
  /** All of one plugin. Mirrors `plugin/read`. */
  readonly read: (name: string, source: PluginSource) => Effect.Effect<PluginDetail, RequestError>
  /** Plugins that fit a text, page after page as they are pulled. Needs `experimental: true`. Mirrors `plugin/search`. */
  readonly search: (text: string, options?: SearchOptions) => Stream.Stream<PluginSearchResult, RequestError>
  /** Installs one, and tells which of its apps want a login. Mirrors `plugin/install`. */
  readonly install: (name: string, source: PluginSource) => Effect.Effect<PluginInstallResponse, RequestError>
  /** Takes one away, by its id. Mirrors `plugin/uninstall`. */
  readonly uninstall: (pluginId: string) => Effect.Effect<void, RequestError>
  /** Brings what is installed in line with what is configured. Mirrors `plugin/reconcile`. */
  readonly reconcile: (options?: {
    /** Why, for the server's records. */
    readonly reason?: string | undefined
  }) => Effect.Effect<PluginReconcileResponse, RequestError>
  /** Where plugins come from. */
  readonly marketplaces: Marketplaces
}

// =============================================================================
// Constructors
// =============================================================================

const sourceOf = (source: PluginSource) =>
  "marketplacePath" in source
    ? { marketplacePath: source.marketplacePath }
    : { remoteMarketplaceName: source.marketplace }

/**
 * The plugins behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Plugins => ({
  list: Effect.fn("Plugins.list")((options?: ListOptions) =>
    client.request("plugin/list", {
      cwds: options?.cwds,
      marketplaceKinds: options?.marketplaceKinds,
      forceRefetch: options?.refresh
    })
  ),
  installed: Effect.fn("Plugins.installed")((options?: InstalledOptions) =>
    client.request("plugin/installed", { cwds: options?.cwds, installSuggestionPluginNames: options?.suggestions })
  ),
  read: Effect.fn("Plugins.read")(function*(name: string, source: PluginSource) {
    const { plugin } = yield* client.request("plugin/read", { pluginName: name, ...sourceOf(source) })
    return plugin
  }),
  search: (text, options) =>
    Pages.stream((cursor) =>
      client.experimental.request("plugin/search", {
        searchTerm: text,
        cwds: options?.cwds,
        scope: options?.scope,
        cursor
      })
    ),
  install: Effect.fn("Plugins.install")((name: string, source: PluginSource) =>
    client.request("plugin/install", { pluginName: name, ...sourceOf(source) })
  ),
  uninstall: Effect.fn("Plugins.uninstall")(function*(pluginId: string) {
    yield* client.request("plugin/uninstall", { pluginId })
  }),
  reconcile: Effect.fn("Plugins.reconcile")((options?: { readonly reason?: string | undefined }) =>
    client.request("plugin/reconcile", { reason: options?.reason })
  ),
  marketplaces: {
    add: Effect.fn("Marketplaces.add")((source: string, options?: AddMarketplaceOptions) =>
      client.request("marketplace/add", { source, refName: options?.refName, sparsePaths: options?.sparsePaths })
    ),
    remove: Effect.fn("Marketplaces.remove")(function*(name: string) {
      yield* client.request("marketplace/remove", { marketplaceName: name })
    }),
    upgrade: Effect.fn("Marketplaces.upgrade")((name?: string) =>
      client.request("marketplace/upgrade", { marketplaceName: name })
    )
  }
})
