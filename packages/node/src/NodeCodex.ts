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
  Transport
} from "@effect-codex/core"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AppServerProcess from "./AppServerProcess.ts"

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
export interface Options<E = never, R = never> extends AppServerProcess.Options, AppServerClientOptions {
  /**
   * What answers the server on every thread without answers of its own; new threads
   * then ask unless they say otherwise. Without it, `Approvals` of the context is
   * used where there is one, and else everything is declined.
   */
  readonly approvals?: Approvals.Options<E, R> | undefined
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
 * Why there is no agent: the process could not be started, or it did not answer
 * the handshake.
 *
 * @since 0.1.0
 * @category errors
 */
export type StartError = AppServerSpawnError | Exclude<HandshakeError, AppServerExited>

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
): Layer.Layer<Codex | AppServerClient, StartError, R> =>
  Codex.layer.pipe(
    Layer.provideMerge(client(options)),
    Layer.provide(
      Layer.effect(Transport, Effect.andThen(AppServerClient.checkOptions(options), AppServerProcess.make(options)))
    ),
    Layer.provide(NodeServices.layer),
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
 * const program = Effect.gen(function*() {
 *   const codex = yield* Codex
 *   const first = yield* codex.startThread()
 *   const run = (thread: Thread) => thread.run("Go on")
 *   yield* run(first).pipe(
 *     Effect.catchTag("AppServerExited", () => Effect.flatMap(codex.resumeThread(first.id), run))
 *   )
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSupervised = <E = never, R = never>(
  options: SupervisedOptions<E, R> = {}
): Layer.Layer<Codex | AppServerClient, StartError, R> => {
  const supervised = Supervisor.layer({
    ...options,
    client: options,
    transport: Effect.andThen(AppServerClient.checkOptions(options), AppServerProcess.make(options))
  }).pipe(
    Layer.provide(NodeServices.layer),
    Layer.catchTag("AppServerExited", (error) => Layer.effectContext(Effect.fail(exitedEarly(error, options))))
  )
  return options.approvals === undefined
    ? supervised
    : Layer.provide(supervised, Approvals.layer(options.approvals))
}

const client = <E, R>(
  options: Options<E, R>
): Layer.Layer<AppServerClient, HandshakeError, Transport | R> =>
  options.approvals === undefined
    ? AppServerClient.layer(options)
    : Layer.provide(AppServerClient.layer(options), Approvals.layer(options.approvals))

/**
 * The transport to such a process alone: for what comes between it and the client, as
 * `Transcript.record`. Of the options those of the process count.
 *
 * **Example** (Putting something in between)
 *
 * ```ts
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
  Layer.effect(Transport, AppServerProcess.make(options)).pipe(Layer.provide(NodeServices.layer))

/**
 * The agent with every default.
 *
 * @since 0.1.0
 * @category layers
 */
export const CodexLive: Layer.Layer<Codex | AppServerClient, StartError> = layer()

/**
 * The agent with options from configuration. `defaultConfig` reads them from
 * `CODEX_PATH`, `CODEX_HOME`, `CODEX_CWD`, `CODEX_EXPERIMENTAL`,
 * `CODEX_REQUEST_TIMEOUT`, `CODEX_HANDSHAKE_TIMEOUT`, `CODEX_SHUTDOWN_GRACE`,
 * `CODEX_MAX_IN_FLIGHT` and `CODEX_MAX_LINE_BYTES`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Wrap<Options> = defaultConfig
): Layer.Layer<Codex | AppServerClient, StartError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(config), (options) => layer(options)))

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> => Config.withDefault(config, undefined)

/**
 * Options from the environment, each of them optional.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultConfig = Config.all({
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
