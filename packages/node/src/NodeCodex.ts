/**
 * Layers of the Codex agent on Node.
 *
 * @since 0.1.0
 */
import {
  Approvals,
  AppServerClient,
  type AppServerClientOptions,
  type AppServerExited,
  AppServerSpawnError,
  Codex,
  type HandshakeError,
  type InvalidOptions,
  Supervisor,
  Transport,
  WireTap
} from "@effect-codex/core"
import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Types from "effect/Types"
import * as AppServerProcess from "./AppServerProcess.ts"
import * as Redact from "./internal/redact.ts"
import type * as RemoteAppServer from "./RemoteAppServer.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * Options of `layer`: how to start the app-server and how to talk to it. Every
 * one has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E = never, R = never> extends AppServerProcess.Options, AgentOptions<E, R> {}

/**
 * How to talk to an app-server, whoever has started it.
 *
 * @since 0.1.0
 * @category models
 */
export interface AgentOptions<E = never, R = never> extends AppServerClientOptions {
  /**
   * What answers the server on every thread without answers of its own; new threads
   * then ask unless they say otherwise. Without it, `Approvals` of the context is
   * used where there is one, and else everything is declined.
   */
  readonly approvals?: Approvals.Options<E, R> | undefined
  /**
   * Shows what goes over the wire, to the log at level Debug or to a `sink`: for
   * debugging. Content is left out unless asked for; secrets always are, those of the
   * process's environment too.
   */
  readonly wireTap?: WireTap.Options | undefined
}

/**
 * Options of `layerSupervised`: those of `layer`, and when and how the app-server is
 * started again.
 *
 * @since 0.1.0
 * @category models
 */
export interface SupervisedOptions<E = never, R = never> extends Options<E, R>, Supervisor.RestartOptions {}

/**
 * Options of `layerWebSocket`: where the app-server listens and how to talk to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface WebSocketOptions<E = never, R = never> extends RemoteAppServer.WebSocketOptions, AgentOptions<E, R> {}

/**
 * Options of `layerUnixSocket`, every one of which has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface UnixSocketOptions<E = never, R = never>
  extends RemoteAppServer.UnixSocketOptions, AgentOptions<E, R>
{}

/**
 * Why there is no agent: the process could not be started, or it did not answer
 * the handshake.
 *
 * @since 0.1.0
 * @category errors
 */
export type StartError = AppServerSpawnError | Exclude<HandshakeError, AppServerExited>

/**
 * Why there is no agent of an app-server that somebody else runs. A `TransportError`
 * says in its `reason` why there is no connection.
 *
 * @since 0.1.0
 * @category errors
 */
export type ConnectError = HandshakeError

// =============================================================================
// Layers
// =============================================================================

/**
 * The agent of an app-server process that lives as long as the layer. Fails with
 * `AppServerSpawnError`, which holds what the process wrote to stderr, when the
 * process cannot be started or ends before it has answered the handshake.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E = never, R = never>(
  options: Options<E, R> = {}
): Layer.Layer<Codex | AppServerClient, StartError, Types.NoInfer<R>> =>
  agent(options, AppServerProcess.make(options)).pipe(
    Layer.provide(spawning),
    Layer.catchTag("AppServerExited", (error) => Layer.effectContext(Effect.fail(exitedEarly(error, options))))
  )

/**
 * The same agent, which starts its app-server again when that ends, as `restart` says.
 *
 * What was under way when it ended fails with `AppServerExited`, and so do the threads
 * and turns from before. `events` and `notifications` go on and tell of it with
 * `client/restarted`; calls made meanwhile wait for the new process; the threads in
 * `resumeThreads` are loaded again. A process that does not come up, or does not stay,
 * is given up with `SupervisorGaveUp`. The first start has to succeed.
 *
 * **Example** (Going on with a thread after a restart)
 *
 * ```ts
 * import { Codex, type Thread } from "@effect-codex/core"
 * import { NodeCodex } from "@effect-codex/node"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const codex = yield* Codex
 *   const first = yield* codex.startThread()
 *   const run = (thread: Thread) => thread.run("Go on")
 *   yield* run(first).pipe(
 *     Effect.catchTag("AppServerExited", () => Effect.flatMap(codex.resumeThread(first.id), run))
 *   )
 * }).pipe(Effect.provide(NodeCodex.layerSupervised()))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSupervised = <E = never, R = never>(
  options: SupervisedOptions<E, R> = {}
): Layer.Layer<Codex | AppServerClient, StartError, Types.NoInfer<R>> =>
  supervised(options, AppServerProcess.make(options)).pipe(
    Layer.provide(spawning),
    Layer.catchTag("AppServerExited", (error) => Layer.effectContext(Effect.fail(exitedEarly(error, options))))
  )

/**
 * The agent of an app-server that somebody else runs with `codex app-server --listen
 * ws://IP:PORT`. The scope ends the connection, after it has interrupted the turns that
 * are still in progress and paused the goals; the server and its other clients go on.
 * Paths, as `cwd` of a thread, are those of the machine that it runs on.
 *
 * Fails with a `TransportError` when there is no connection, and so does everything
 * that waits when the other side ends it: a server that somebody else runs does not
 * tell its exit code.
 *
 * **Example** (Taking the token from the environment)
 *
 * ```ts
 * import { NodeCodex } from "@effect-codex/node"
 * import { Config, Effect, Layer } from "effect"
 *
 * const CodexRemote = Layer.unwrap(Effect.gen(function*() {
 *   const token = yield* Config.Redacted("CODEX_TOKEN")
 *   return NodeCodex.layerWebSocket({ url: "ws://127.0.0.1:4500", token })
 * }))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWebSocket = <E = never, R = never>(
  options: WebSocketOptions<E, R>
): Layer.Layer<Codex | AppServerClient, ConnectError, Types.NoInfer<R>> => agent(options, webSocket(options))

/**
 * The same, which connects again when the connection ends, as `restart` says and as
 * `layerSupervised` does. Turns that were in progress go on at the server: resume their
 * threads to hear of them. A server that refuses the token is given up at once.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWebSocketSupervised = <E = never, R = never>(
  options: WebSocketOptions<E, R> & Supervisor.RestartOptions
): Layer.Layer<Codex | AppServerClient, ConnectError, Types.NoInfer<R>> => supervised(options, webSocket(options))

/**
 * The agent of an app-server that somebody else runs with `codex app-server --listen
 * unix://` or `unix://PATH`, as `layerWebSocket` has it. Who may write to the socket
 * may use the server: it is its owner's alone, and asks for no token.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerUnixSocket = <E = never, R = never>(
  options: UnixSocketOptions<E, R> = {}
): Layer.Layer<Codex | AppServerClient, ConnectError, Types.NoInfer<R>> => agent(options, unixSocket(options))

/**
 * The same, which connects again when the connection ends, as `layerWebSocketSupervised` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerUnixSocketSupervised = <E = never, R = never>(
  options: UnixSocketOptions<E, R> & Supervisor.RestartOptions = {}
): Layer.Layer<Codex | AppServerClient, ConnectError, Types.NoInfer<R>> => supervised(options, unixSocket(options))

// One after the other and no more than is needed: whatever is made before the process is waited for.
const files = Layer.provideMerge(NodeFileSystem.layer, NodePath.layer)

const spawning = Layer.provide(NodeChildProcessSpawner.layer, files)

// Who starts a process needs no sockets, and loads none.
const remote = Effect.promise(() => import("./RemoteAppServer.ts"))

const webSocket = (options: RemoteAppServer.WebSocketOptions) =>
  Effect.flatMap(remote, ({ webSocket }) => webSocket(options))

const unixSocket = (options: RemoteAppServer.UnixSocketOptions) =>
  Effect.flatMap(remote, ({ unixSocket }) => Effect.provide(unixSocket(options), files))

/** The agent over a transport. */
const agent = <E, R, ET, RT>(
  options: Known<E, R>,
  transport: Effect.Effect<Transport["Service"], ET, RT>
) =>
  Codex.layer.pipe(
    Layer.provideMerge(answered(options, AppServerClient.layer(options))),
    Layer.provide(
      Layer.effect(Transport, Effect.andThen(AppServerClient.checkOptions(options), tapped(options, transport)))
    )
  )

/** The agent over transports that follow one another. */
const supervised = <E, R, ET extends Supervisor.StartFailure, RT>(
  options: Known<E, R> & Supervisor.RestartOptions,
  transport: Effect.Effect<Transport["Service"], ET, RT>
) =>
  answered(
    options,
    Supervisor.layer({
      ...options,
      client: options,
      transport: Effect.andThen(AppServerClient.checkOptions(options), tapped(options, transport))
    })
  )

/** What the options of an agent say of its process too, where it has one. */
type Known<E, R> = AgentOptions<E, R> & Pick<AppServerProcess.Options, "env">

/** The transport, shown where that is asked for. */
const tapped = <E, R, ET, RT>(
  { env, wireTap }: Known<E, R>,
  transport: Effect.Effect<Transport["Service"], ET, RT>
) =>
  wireTap === undefined ? transport : Effect.flatMap(transport, (transport) =>
    WireTap.tap(transport, {
      ...wireTap,
      secrets: [...wireTap.secrets ?? [], ...Redact.secretsOf({ ...process.env, ...env })]
    }))

const answered = <A, E0, R0, E, R>(
  options: AgentOptions<E, R>,
  layer: Layer.Layer<A, E0, R0>
): Layer.Layer<A, E0, R0 | R> =>
  options.approvals === undefined ? layer : Layer.provide(layer, Approvals.layer(options.approvals))

/**
 * The transport to such a process alone: for what comes between it and the client, as
 * `Transcript.record`. Of the options those of the process count.
 *
 * **Example** (Putting something in between)
 *
 * ```ts
 * import { AppServerClient, Codex } from "@effect-codex/core"
 * import { Transcript } from "@effect-codex/core/testing"
 * import { NodeCodex } from "@effect-codex/node"
 * import { NodeServices } from "@effect/platform-node"
 * import { Layer } from "effect"
 *
 * const recorded = Codex.layer.pipe(
 *   Layer.provideMerge(AppServerClient.layer()),
 *   Layer.provide(Transcript.record("transcript.jsonl")),
 *   Layer.provide([NodeCodex.layerTransport(), NodeServices.layer])
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTransport = (
  options: AppServerProcess.Options = {}
): Layer.Layer<Transport, AppServerSpawnError | InvalidOptions> =>
  Layer.effect(Transport, AppServerProcess.make(options)).pipe(Layer.provide(spawning))

/**
 * The agent with every default.
 *
 * ```ts
 * import { Codex } from "@effect-codex/core"
 * import { CodexLive } from "@effect-codex/node"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const codex = yield* Codex
 *   return codex.metadata.version
 * }).pipe(Effect.provide(CodexLive))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const CodexLive: Layer.Layer<Codex | AppServerClient, StartError> = layer()

/**
 * Options of `layerConfig`: those of `layer`, and where an app-server listens that
 * somebody else runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConfigOptions<E = never, R = never> extends Options<E, R>, RemoteAppServer.Options {
  /**
   * `ws://...`, `wss://...`, `unix://PATH` or `unix://` of a server to connect to. With
   * it no process is started, and what is said about one has no meaning.
   */
  readonly url?: string | undefined
}

/**
 * The agent with options from configuration: of a process of its own, or with
 * `CODEX_URL` of a server that somebody else runs. `defaultConfig` reads them from
 * `CODEX_URL`, `CODEX_TOKEN`, `CODEX_CONNECT_TIMEOUT`, `CODEX_PATH`, `CODEX_HOME`,
 * `CODEX_CWD`, `CODEX_EXPERIMENTAL`, `CODEX_REQUEST_TIMEOUT`,
 * `CODEX_HANDSHAKE_TIMEOUT`, `CODEX_SHUTDOWN_GRACE`, `CODEX_MAX_IN_FLIGHT` and
 * `CODEX_MAX_LINE_BYTES`. Where configuration is nested, as with `ConfigProvider.fromUnknown`,
 * they are `URL`, `TOKEN` and so on within `CODEX`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Wrap<ConfigOptions> = defaultConfig
): Layer.Layer<Codex | AppServerClient, StartError | ConnectError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(
    Config.unwrap(config),
    ({ url, ...options }): Layer.Layer<Codex | AppServerClient, StartError | ConnectError> => {
      if (url === undefined) return layer(options)
      if (!url.startsWith(UNIX)) return layerWebSocket({ ...options, url })
      const path = url.slice(UNIX.length)
      return layerUnixSocket({ ...options, path: path === "" ? undefined : path })
    }
  ))

const UNIX = "unix://"

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> => Config.withDefault(config, undefined)

/**
 * Options from the environment, each of them optional.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultConfig = Config.all({
  url: optional(Config.NonEmptyString("URL")),
  token: optional(Config.map(Config.NonEmptyString("TOKEN"), (token) => Redacted.make(token))),
  connectTimeout: optional(Config.Duration("CONNECT_TIMEOUT")),
  codexPath: optional(Config.NonEmptyString("PATH")),
  codexHome: optional(Config.NonEmptyString("HOME")),
  cwd: optional(Config.NonEmptyString("CWD")),
  experimental: optional(Config.Boolean("EXPERIMENTAL")),
  requestTimeout: optional(Config.Duration("REQUEST_TIMEOUT")),
  handshakeTimeout: optional(Config.Duration("HANDSHAKE_TIMEOUT")),
  shutdownGrace: optional(Config.Duration("SHUTDOWN_GRACE")),
  maxInFlight: optional(Config.Int("MAX_IN_FLIGHT")),
  maxLineBytes: optional(Config.Int("MAX_LINE_BYTES"))
}).pipe(Config.nested("CODEX"))

const exitedEarly = (error: AppServerExited, options: AppServerProcess.Options): AppServerSpawnError =>
  new AppServerSpawnError({
    reason: "ExitedEarly",
    description: error.exitCode === undefined
      ? `The app-server was ended by ${error.signal ?? "a signal"} before it answered the handshake`
      : `The app-server exited with code ${error.exitCode} before it answered the handshake`,
    stderr: error.stderr,
    ...(options.codexPath === undefined ? {} : { executable: options.codexPath }),
    ...(error.exitCode === undefined ? {} : { exitCode: error.exitCode }),
    ...(error.signal === undefined ? {} : { signal: error.signal })
  })
