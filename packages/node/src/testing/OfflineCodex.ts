/**
 * The real app-server on an `OfflineModel`: whole turns with no account and no
 * network.
 *
 * @since 0.1.0
 */
import type { AppServerClient, AppServerSpawnError, Codex, InvalidOptions, Transport } from "@effect-codex/core"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as Layer from "effect/Layer"
import type * as PlatformError from "effect/PlatformError"
import type * as Types from "effect/Types"
import type * as AppServerProcess from "../AppServerProcess.ts"
import * as NodeCodex from "../NodeCodex.ts"
import * as OfflineHome from "./OfflineHome.ts"
import { OfflineModel, type Options as OfflineModelOptions } from "./OfflineModel.ts"

/**
 * Options of `layer`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E = never, R = never> {
  /** How the app-server is started and talked to; its home is made for it unless given. */
  readonly codex?: NodeCodex.Options<E, R> | undefined
  /** What the model answers. */
  readonly model?: OfflineModelOptions | undefined
  /** What the home's `config.toml` says beside the model provider. */
  readonly home?: Omit<OfflineHome.Options, "baseUrl"> | undefined
}

/**
 * Starts an offline model, a home for it and the app-server on both. The scope
 * ends them in the opposite order and removes the home.
 *
 * ```ts
 * import { Codex } from "@effect-codex/core"
 * import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const codex = yield* Codex
 *   const model = yield* OfflineModel
 *   yield* model.enqueue(OfflineModel.text("Hello!"))
 *   const thread = yield* codex.startThread()
 *   const { finalResponse } = yield* thread.run("Say hello.")
 *   return finalResponse === "Hello!"
 * }).pipe(Effect.provide(OfflineCodex.layer()))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E = never, R = never>(
  options: Options<E, R> = {}
): Layer.Layer<
  Codex | AppServerClient | OfflineModel,
  NodeCodex.StartError | PlatformError.PlatformError | HttpServerError.ServeError,
  Types.NoInfer<R>
> => layerCodex(options).pipe(Layer.provideMerge(OfflineModel.layer(options.model)))

/**
 * The transport to such an app-server alone, for what comes between it and the client,
 * as `Transcript.record`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTransport = (
  options: {
    /** How the app-server is started; its home is made for it unless given. */
    readonly codex?: AppServerProcess.Options | undefined
    /** What the model answers. */
    readonly model?: OfflineModelOptions | undefined
    /** What the home's `config.toml` says beside the model provider. */
    readonly home?: Omit<OfflineHome.Options, "baseUrl"> | undefined
  } = {}
): Layer.Layer<
  Transport | OfflineModel,
  AppServerSpawnError | InvalidOptions | PlatformError.PlatformError | HttpServerError.ServeError
> =>
  Layer.unwrap(Effect.map(processOptions(options), NodeCodex.layerTransport)).pipe(
    Layer.provide(NodeServices.layer),
    Layer.provideMerge(OfflineModel.layer(options.model))
  )

/**
 * The same on an offline model that is there already.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerCodex = <E = never, R = never>(
  options: Omit<Options<E, R>, "model"> = {}
): Layer.Layer<
  Codex | AppServerClient,
  NodeCodex.StartError | PlatformError.PlatformError,
  OfflineModel | Types.NoInfer<R>
> =>
  Layer.unwrap(
    Effect.map(processOptions(options), (process) => NodeCodex.layer({ ...options.codex, ...process }))
  ).pipe(Layer.provide(NodeServices.layer))

/** How the app-server is started so that it talks to the offline model and to nobody's home. */
const processOptions = (options: {
  readonly codex?: AppServerProcess.Options | undefined
  readonly home?: Omit<OfflineHome.Options, "baseUrl"> | undefined
}) =>
  Effect.gen(function*() {
    const { baseUrl } = yield* OfflineModel
    const codexHome = options.codex?.codexHome ?? (yield* OfflineHome.make({ ...options.home, baseUrl }))
    // The agent's commands run in a login shell: nobody's profile has a part in what they do.
    return { ...options.codex, codexHome, env: { HOME: codexHome, ...options.codex?.env } }
  })
