/**
 * MCP servers: programs and services that give the agent tools and resources.
 *
 * @since 0.1.0
 */
import type {
  McpServerOauthClientRegistration,
  McpServerOauthLoginCompletedNotification,
  McpServerStartupFailureReason,
  McpServerStartupState,
  McpServerStatus,
  McpServerStatusUpdatedNotification,
  McpServerToolCallResponse,
  ResourceContent
} from "@effect-codex/generated"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import { type ConnectionError, DecodeError, type RequestError } from "./CodexError.ts"
import { scopeClosed } from "./internal/closed.ts"
import { readParams } from "./internal/options.ts"
import * as Pages from "./internal/pages.ts"
import { wholeSeconds } from "./internal/units.ts"
import { unreadable } from "./internal/unreadable.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * Options of `codex.mcp.list`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListOptions {
  /** Only this server. */
  readonly server?: string | undefined
  /** As this thread is connected to them. */
  readonly threadId?: string | undefined
  /** Leaves out the resources, which each server has to be asked for. */
  readonly toolsOnly?: boolean | undefined
}

/**
 * Options of `codex.mcp.callTool`.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallToolOptions {
  /** The thread whose connection to the server is used. */
  readonly threadId: string
  /** The tool's arguments. */
  readonly arguments?: Schema.Json | undefined
  /** The `_meta` of the MCP request. */
  readonly meta?: Schema.Json | undefined
}

/**
 * Options of `codex.mcp.readResource`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadResourceOptions {
  /** The thread whose connection to the server is used. */
  readonly threadId?: string | undefined
  /** The `_meta` of the MCP request. */
  readonly meta?: { readonly [key: string]: Schema.Json } | undefined
}

/**
 * Options of `codex.mcp.login`.
 *
 * @since 0.1.0
 * @category models
 */
export interface LoginOptions {
  /** The OAuth scopes to ask for; those of the configuration when left out. */
  readonly scopes?: ReadonlyArray<string> | undefined
  /** How the client is made known to the service; found out when left out. */
  readonly clientRegistration?: McpServerOauthClientRegistration | undefined
  /** How long the server waits for the login's end, rounded up to seconds; finite. Default: as the server has it. */
  readonly timeout?: Duration.Input | undefined
  /** The thread that wants it. */
  readonly threadId?: string | undefined
}

// =============================================================================
// Models
// =============================================================================

/**
 * How the start of an MCP server goes.
 *
 * @since 0.1.0
 * @category models
 */
export interface StartupStatus {
  /** The server's name in the configuration. */
  readonly server: string
  /** Where it stands. */
  readonly status: McpServerStartupState
  /** The thread that it starts for. */
  readonly threadId: string | null
  /** What went wrong, in words. */
  readonly error: string | null
  /** What went wrong, where the server has a name for it. */
  readonly failureReason: McpServerStartupFailureReason | null
  /** The notification as it came. */
  readonly wire: McpServerStatusUpdatedNotification
}

/**
 * A login to an MCP server that goes on in the browser.
 *
 * @since 0.1.0
 * @category models
 */
export interface PendingMcpLogin {
  /** The page to open. */
  readonly authorizationUrl: URL
  /** The login's id, where it has one. */
  readonly loginId: string | null
  /**
   * Waits until the login has ended, and tells whether it succeeded. An end that cannot be
   * read is a `DecodeError`, whichever login it is of.
   */
  readonly wait: Effect.Effect<McpServerOauthLoginCompletedNotification, ConnectionError | DecodeError>
}

/**
 * The MCP servers of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface McpServers {
  /** The servers that are configured, with their tools and resources. Mirrors `mcpServerStatus/list`, all pages. */
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<McpServerStatus>, RequestError>
  /** How the start of servers goes, while the stream runs. */
  readonly statuses: Stream.Stream<StartupStatus, ConnectionError>
  /**
   * Calls a tool. A tool that fails says so in its result (`isError`). Has no
   * deadline. Mirrors `mcpServer/tool/call`.
   */
  readonly callTool: (
    server: string,
    tool: string,
    options: CallToolOptions
  ) => Effect.Effect<McpServerToolCallResponse, RequestError>
  /** Reads a resource. Has no deadline. Mirrors `mcpServer/resource/read`. */
  readonly readResource: (
    server: string,
    uri: string,
    options?: ReadResourceOptions
  ) => Effect.Effect<ReadonlyArray<ResourceContent>, RequestError>
  /** Reads the configuration of the servers again; loaded threads connect anew. Mirrors `config/mcpServer/reload`. */
  readonly reload: Effect.Effect<void, RequestError>
  /**
   * Begins a login with a server. The protocol has no way to give it up: bound it
   * with `timeout`. Mirrors `mcpServer/oauth/login`.
   */
  readonly login: (
    server: string,
    options?: LoginOptions
  ) => Effect.Effect<PendingMcpLogin, RequestError, Scope.Scope>
}

// =============================================================================
// Constructors
// =============================================================================

const statusOf = (wire: McpServerStatusUpdatedNotification): StartupStatus => ({
  server: wire.name,
  status: wire.status,
  threadId: wire.threadId ?? null,
  error: wire.error ?? null,
  failureReason: wire.failureReason ?? null,
  wire
})

const login = Effect.fn("McpServers.login")(
  function*(client: AppServerClient["Service"], server: string, options?: LoginOptions) {
    const params = yield* readParams("mcpServer/oauth/login", (read) => ({
      name: server,
      scopes: options?.scopes,
      clientRegistration: options?.clientRegistration,
      timeoutSecs: wholeSeconds(read.finiteTime("timeout", options?.timeout)),
      threadId: options?.threadId
    }))
    const completed = yield* Deferred.make<McpServerOauthLoginCompletedNotification, ConnectionError | DecodeError>()
    const seen: Array<McpServerOauthLoginCompletedNotification> = []
    let isMine: ((end: McpServerOauthLoginCompletedNotification) => boolean) | undefined
    // From before the request, since the login may end before its response is looked at.
    yield* client.on("mcpServer/oauthLogin/completed").pipe(
      Stream.runForEach(({ params }) => {
        if (params.name !== server) return Effect.void
        if (isMine === undefined) return Effect.sync(() => seen.push(params))
        return isMine(params) ? Deferred.succeed(completed, params) : Effect.void
      }),
      Effect.catch((error) => Deferred.fail(completed, error)),
      Effect.forkScoped({ startImmediately: true })
    )
    yield* unreadable(client, "mcpServer/oauthLogin/completed").pipe(
      Effect.catch((error) => Deferred.fail(completed, error)),
      Effect.forkScoped({ startImmediately: true })
    )
    yield* Effect.addFinalizer(() => Deferred.fail(completed, scopeClosed("login", "mcpServer/oauth/login")))
    const response = yield* client.request("mcpServer/oauth/login", params)
    if (!URL.canParse(response.authorizationUrl)) {
      return yield* new DecodeError({
        method: "mcpServer/oauth/login",
        payload: "result",
        issues: [{ path: "authorizationUrl", expected: "Expected a URL" }]
      })
    }
    const loginId = response.loginId ?? null
    isMine = (end) => loginId === null || (end.loginId ?? null) === loginId
    const early = seen.find(isMine)
    if (early !== undefined) yield* Deferred.succeed(completed, early)
    return { authorizationUrl: new URL(response.authorizationUrl), loginId, wait: Deferred.await(completed) }
  }
)

/**
 * The MCP servers behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): McpServers => ({
  list: Effect.fn("McpServers.list")((options?: ListOptions) =>
    Pages.collect((cursor) =>
      client.request("mcpServerStatus/list", {
        serverName: options?.server,
        threadId: options?.threadId,
        detail: options?.toolsOnly === true ? "toolsAndAuthOnly" : undefined,
        cursor
      })
    )
  ),
  statuses: Stream.map(client.on("mcpServer/startupStatus/updated"), ({ params }) => statusOf(params)),
  callTool: Effect.fn("McpServers.callTool")((server: string, tool: string, options: CallToolOptions) =>
    client.request("mcpServer/tool/call", {
      server,
      tool,
      threadId: options.threadId,
      arguments: options.arguments,
      _meta: options.meta
    })
  ),
  readResource: Effect.fn("McpServers.readResource")(
    function*(server: string, uri: string, options?: ReadResourceOptions) {
      const { contents } = yield* client.request("mcpServer/resource/read", {
        server,
        uri,
        threadId: options?.threadId,
        _meta: options?.meta
      })
      return contents
    }
  ),
  reload: Effect.asVoid(client.request("config/mcpServer/reload")).pipe(Effect.withSpan("McpServers.reload")),
  login: (server, options) => login(client, server, options)
})
