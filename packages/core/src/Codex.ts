/**
 * The Codex agent as a service: threads, models and the account.
 *
 * @since 0.1.0
 */
import type {
  GetAccountResponse,
  Model,
  SortDirection,
  Thread as ThreadModel,
  ThreadListParams,
  ThreadListResponse,
  ThreadSearchResult,
  ThreadSortKey,
  ThreadSourceKind
} from "@effect-codex/generated"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Types from "effect/Types"
import type * as Approvals from "./Approvals.ts"
import * as Apps from "./Apps.ts"
import { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, RequestError } from "./CodexError.ts"
import * as Commands from "./Commands.ts"
import * as Configuration from "./Configuration.ts"
import * as Feedback from "./Feedback.ts"
import * as Files from "./Files.ts"
import * as FuzzyFileSearch from "./FuzzyFileSearch.ts"
import * as Hooks from "./Hooks.ts"
import * as Pages from "./internal/pages.ts"
import { ThreadHolders } from "./internal/threadHolders.ts"
import * as Login from "./Login.ts"
import * as McpServers from "./McpServers.ts"
import type { CodexEvent } from "./Notification.ts"
import * as Plugins from "./Plugins.ts"
import * as Providers from "./Providers.ts"
import * as RuntimeVersion from "./RuntimeVersion.ts"
import * as Skills from "./Skills.ts"
import * as Thread from "./Thread.ts"
import * as ThreadHistory from "./ThreadHistory.ts"
import * as Usage from "./Usage.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * What the app-server said of itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface Metadata {
  /** The version of the runtime, as `0.169.0`; null when its user agent does not tell. */
  readonly version: string | null
  /** The user agent it presents upstream. */
  readonly userAgent: string
  /** Its home directory, with configuration, login and stored threads. */
  readonly codexHome: string
  /** The family of its platform, as `unix`. */
  readonly platformFamily: string
  /** Its operating system, as `linux`. */
  readonly platformOs: string
}

/**
 * Which threads to list, and in which order. Without options: the ones of the
 * configured model provider that are not archived, the last created first.
 *
 * @since 0.1.0
 * @category models
 */
export interface ThreadFilter {
  /** Only archived threads, instead of only those that are not. */
  readonly archived?: boolean | undefined
  /** Only threads of exactly this working directory, or one of these. */
  readonly cwd?: string | ReadonlyArray<string> | undefined
  /** Only threads whose title contains this text, upper and lower case as it is. */
  readonly searchTerm?: string | undefined
  /** Only threads of these model providers; of all when it is empty. Unless given, those of the configured one. */
  readonly modelProviders?: ReadonlyArray<string> | undefined
  /** Only threads that were begun in these ways; those of an app-server count as `vscode`. Unless given, all but agents' own. */
  readonly sourceKinds?: ReadonlyArray<ThreadSourceKind> | undefined
  /** Only threads of this section, by its id; null for those of none. */
  readonly sectionId?: string | null | undefined
  /**
   * Answers from the server's database alone, and does not look into the files of the
   * threads to mend it: faster where there are many. Default: false.
   */
  readonly useStateDbOnly?: boolean | undefined
  /** What to sort by. */
  readonly sortKey?: ThreadSortKey | undefined
  /** Which way to sort. */
  readonly sortDirection?: SortDirection | undefined
  /** How many threads the server gives at once. */
  readonly pageSize?: number | undefined
  /**
   * What else `thread/list` takes, as the protocol has it, as `parentThreadId`; it goes
   * before the other options. Some of it needs `experimental: true` on the layer.
   */
  readonly params?: Omit<ThreadListParams, "cursor"> | undefined
}

/**
 * One page of `ThreadFilter`'s threads.
 *
 * @since 0.1.0
 * @category models
 */
export interface ThreadPageOptions extends ThreadFilter {
  /** Where to go on: the `nextCursor` of the page before. */
  readonly cursor?: string | undefined
}

// =============================================================================
// Service
// =============================================================================

/**
 * The Codex agent.
 *
 * ```ts
 * import { Codex } from "@effect-codex/core"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const codex = yield* Codex
 *   const thread = yield* codex.startThread({ model: "gpt-5.4", sandbox: "readOnly" })
 *   const { finalResponse } = yield* thread.run("What does this repository do?")
 *   return finalResponse
 * })
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class Codex extends Context.Service<Codex, {
  /** What the app-server said of itself. */
  readonly metadata: Metadata
  /** Starts a new thread. Mirrors `thread/start`. */
  readonly startThread: <E = never, R = never, T = never>(
    options?: Thread.StartThreadOptions<E, R, T>
  ) => Effect.Effect<Thread.Thread, RequestError, Types.NoInfer<R | T>>
  /** Loads a stored thread so that it can go on. Mirrors `thread/resume`. */
  readonly resumeThread: <E = never, R = never, T = never>(
    id: string,
    options?: Thread.ResumeThreadOptions<E, R, T>
  ) => Effect.Effect<Thread.Thread, RequestError, Types.NoInfer<R | T>>
  /** Starts a new thread with the history of a stored one. Mirrors `thread/fork`. */
  readonly forkThread: <E = never, R = never, T = never>(
    id: string,
    options?: Thread.ForkThreadOptions<E, R, T>
  ) => Effect.Effect<Thread.Thread, RequestError, Types.NoInfer<R | T>>
  /**
   * A thread for as long as the scope is open: a new one, or with `resume` a stored
   * one. When the scope closes the server is asked to tell no more of it (see
   * `thread.unsubscribe`), unless another scope still has it; where a turn or a goal
   * of this client is at work on it, as soon as that is over. Agents that work on for turns
   * of this client are interrupted then.
   */
  readonly thread: <E = never, R = never, T = never>(
    options?: Thread.ScopedThreadOptions<E, R, T>
  ) => Effect.Effect<Thread.Thread, RequestError, Types.NoInfer<R | T> | Scope.Scope>
  /**
   * The stored threads in whose messages a text occurs, page after page as they are
   * pulled. Needs `experimental: true` on the layer. Mirrors `thread/search`.
   */
  readonly searchThreads: (
    text: string,
    options?: ThreadHistory.SearchOptions
  ) => Stream.Stream<ThreadSearchResult, RequestError>
  /** The stored threads, page after page as they are pulled. Mirrors `thread/list`. */
  readonly threads: (filter?: ThreadFilter) => Stream.Stream<ThreadModel, RequestError>
  /** One page of the stored threads. Mirrors `thread/list`. */
  readonly listThreads: (options?: ThreadPageOptions) => Effect.Effect<ThreadListResponse, RequestError>
  /** What the server knows of a thread; with `includeTurns` its whole history. Mirrors `thread/read`. */
  readonly readThread: (
    id: string,
    options?: { readonly includeTurns?: boolean | undefined }
  ) => Effect.Effect<ThreadModel, RequestError>
  /** Puts a thread away. Mirrors `thread/archive`. */
  readonly archiveThread: (id: string) => Effect.Effect<void, RequestError>
  /** Brings an archived thread back; resume it before its next turn. Mirrors `thread/unarchive`. */
  readonly unarchiveThread: (id: string) => Effect.Effect<ThreadModel, RequestError>
  /** Deletes a thread for good. Mirrors `thread/delete`. */
  readonly deleteThread: (id: string) => Effect.Effect<void, RequestError>
  /** The models to choose from. Mirrors `model/list`, all pages. */
  readonly models: (options?: {
    /** Also those that are not offered by default. */
    readonly includeHidden?: boolean | undefined
    /** The models of this provider instead of the configured one. */
    readonly modelProvider?: string | undefined
  }) => Effect.Effect<ReadonlyArray<Model>, RequestError>
  /** Who is logged in. Mirrors `account/read`. */
  readonly account: (options?: {
    /** Renews the login first. */
    readonly refreshToken?: boolean | undefined
  }) => Effect.Effect<GetAccountResponse, RequestError>
  /** Logs in with an API key. Mirrors `account/login/start`. */
  readonly loginApiKey: (apiKey: Redacted.Redacted<string>) => Effect.Effect<void, RequestError>
  /** Begins a login with a ChatGPT account in the browser. It is cancelled when the scope closes before its end. */
  readonly loginChatgpt: Effect.Effect<Login.BrowserLogin, RequestError, Scope.Scope>
  /** Begins a login with a ChatGPT account by a code. It is cancelled when the scope closes before its end. */
  readonly loginChatgptDeviceCode: Effect.Effect<Login.DeviceCodeLogin, RequestError, Scope.Scope>
  /** Forgets the login. Mirrors `account/logout`. */
  readonly logout: Effect.Effect<void, RequestError>
  /** The account's rate limits. */
  readonly rateLimits: Usage.RateLimits
  /** How many tokens the account has used. Mirrors `account/usage/read`. */
  readonly usage: (options?: Usage.UsageOptions) => Effect.Effect<Usage.Usage, RequestError>
  /** The configuration, with features and permission profiles. */
  readonly config: Configuration.Configuration
  /** Who serves the models. */
  readonly providers: Providers.Providers
  /** Instructions that the agent reads when they fit. */
  readonly skills: Skills.Skills
  /** Commands that run at fixed points of a turn. */
  readonly hooks: Hooks.Hooks
  /** Bundles of skills, hooks, apps and MCP servers, and where they come from. */
  readonly plugins: Plugins.Plugins
  /** Services of others that the agent is connected to. */
  readonly apps: Apps.Apps
  /** MCP servers: what they offer, how they start, and what one asks of them. */
  readonly mcp: McpServers.McpServers
  /** Feedback for the makers of the agent. */
  readonly feedback: Feedback.Feedback
  /** Runs a command in the app-server's sandbox; the scope ends it. Mirrors `command/exec`. */
  readonly exec: Commands.Commands["exec"]
  /** Runs a command in the app-server's sandbox to its end and gives its output. Mirrors `command/exec`. */
  readonly execOutput: Commands.Commands["execOutput"]
  /**
   * Starts a process with no sandbox; the scope ends it. Needs `experimental: true` on
   * the layer. Mirrors `process/spawn`.
   */
  readonly spawn: Commands.Commands["spawn"]
  /** Files on the app-server's machine. */
  readonly files: Files.Files
  /** Finds files by a few letters of their names. Mirrors `fuzzyFileSearch`. */
  readonly searchFiles: FuzzyFileSearch.FuzzyFileSearch["searchFiles"]
  /**
   * Finds files while somebody types; the scope ends the search. Needs `experimental: true`
   * on the layer. Mirrors `fuzzyFileSearch/sessionStart`.
   */
  readonly fileSearch: FuzzyFileSearch.FuzzyFileSearch["fileSearch"]
  /**
   * What the server tells that belongs to no turn of this client, while the
   * stream runs. A slow reader misses the oldest events and is told how many
   * (`client/lagged`).
   */
  readonly events: Stream.Stream<CodexEvent, ConnectionError>
  /** Every decision on what the agent asked permission for, while the stream runs. A slow reader misses the oldest. */
  readonly decisions: Stream.Stream<Approvals.DecisionRecord, ConnectionError>
}>()("@effect-codex/core/Codex") {
  /** The agent over whatever client there is. */
  static get layer(): Layer.Layer<Codex, never, AppServerClient> {
    return Layer.effect(Codex, make)
  }
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * The agent behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.gen(function*() {
  const client = yield* AppServerClient
  const listThreads = Effect.fn("Codex.listThreads")((options: ThreadPageOptions = {}) =>
    client.experimental.request("thread/list", {
      archived: options.archived,
      cwd: options.cwd,
      searchTerm: options.searchTerm,
      modelProviders: options.modelProviders,
      sourceKinds: options.sourceKinds,
      sortKey: options.sortKey,
      sortDirection: options.sortDirection,
      sectionId: options.sectionId,
      useStateDbOnly: options.useStateDbOnly,
      limit: options.pageSize,
      ...options.params,
      cursor: options.cursor
    })
  )

  const models: Codex["Service"]["models"] = (options) =>
    Pages.collect((cursor) =>
      client.request("model/list", {
        includeHidden: options?.includeHidden,
        modelProvider: options?.modelProvider,
        cursor
      })
    ).pipe(Effect.withSpan("Codex.models"))

  const holders = new ThreadHolders(client)

  // A program waits for the agent and uses little of it: each part is made when it is asked for.
  return Codex.of({
    metadata: {
      version: RuntimeVersion.fromUserAgent(client.server.userAgent),
      userAgent: client.server.userAgent,
      codexHome: client.server.codexHome,
      platformFamily: client.server.platformFamily,
      platformOs: client.server.platformOs
    },
    startThread: (options) => Thread.start(client, options),
    resumeThread: (id, options) => Thread.resume(client, id, options),
    forkThread: (id, options) => Thread.fork(client, id, options),
    thread: (options) => Thread.scoped(client, holders, options),
    searchThreads: (text, options) => ThreadHistory.search(client, text, options),
    threads: (filter) => Pages.stream((cursor) => listThreads({ ...filter, cursor })),
    listThreads,
    readThread: (id, options) => Thread.make(client, id).read(options),
    archiveThread: (id) => Thread.make(client, id).archive,
    unarchiveThread: Effect.fn("Codex.unarchiveThread")(function*(id: string) {
      const { thread } = yield* client.request("thread/unarchive", { threadId: id })
      return thread
    }),
    deleteThread: (id) => Thread.make(client, id).delete,
    models,
    account: Effect.fn("Codex.account")((options?: { readonly refreshToken?: boolean | undefined }) =>
      client.request("account/read", { refreshToken: options?.refreshToken ?? false })
    ),
    loginApiKey: (apiKey) => Login.withApiKey(client, apiKey),
    get loginChatgpt() {
      return Login.inBrowser(client)
    },
    get loginChatgptDeviceCode() {
      return Login.byDeviceCode(client)
    },
    get logout() {
      return Effect.asVoid(client.request("account/logout")).pipe(Effect.withSpan("Codex.logout"))
    },
    get rateLimits() {
      return Usage.makeRateLimits(client)
    },
    usage: (options) => Usage.read(client, options),
    get config() {
      return Configuration.make(client)
    },
    get providers() {
      return Providers.make(client)
    },
    get skills() {
      return Skills.make(client)
    },
    get hooks() {
      return Hooks.make(client)
    },
    get plugins() {
      return Plugins.make(client)
    },
    get apps() {
      return Apps.make(client)
    },
    get mcp() {
      return McpServers.make(client)
    },
    get feedback() {
      return Feedback.make(client)
    },
    exec: (command, options) => Commands.make(client).exec(command, options),
    execOutput: (command, options) => Commands.make(client).execOutput(command, options),
    spawn: (command, options) => Commands.make(client).spawn(command, options),
    get files() {
      return Files.make(client)
    },
    searchFiles: (query, roots) => FuzzyFileSearch.make(client).searchFiles(query, roots),
    fileSearch: (roots) => FuzzyFileSearch.make(client).fileSearch(roots),
    events: client.unownedNotifications,
    decisions: client.decisions
  })
})
