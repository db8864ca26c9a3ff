/** What the examples share: which model they run on. */
import type { AppServerClient, Codex, Supervisor } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineCodex, OfflineHome, OfflineModel, type OfflineModelOptions } from "@effect-codex/node/testing"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { ConfigProvider, Console, Effect, Layer, Path, References, Schedule, Stdio } from "effect"
import { ChildProcess } from "effect/process"
import { fileURLToPath } from "node:url"

export interface Options {
  /** What the app-server is started with. */
  readonly codex?: NodeCodex.Options
  /** What the offline model answers. */
  readonly model?: OfflineModelOptions
  /** How the app-server is started again when it ends, for the examples where it does. */
  readonly supervised?: Supervisor.RestartOptions
}

/** Whether the program runs on the real model. */
const isLive = Effect.gen(function*() {
  const stdio = yield* Stdio.Stdio
  const live = (yield* stdio.args).includes("--live")
  yield* Console.error(live ? "Using the real model." : "Using the offline model; --live uses the real one.")
  return live
})

const offline = ({ codex, model, supervised }: Options) =>
  supervised === undefined
    ? OfflineCodex.layer({ codex, model })
    : Layer.unwrap(Effect.gen(function*() {
      const { baseUrl } = yield* OfflineModel
      const codexHome = yield* OfflineHome.make({ baseUrl })
      return NodeCodex.layerSupervised({ ...codex, ...supervised, codexHome, env: { ...codex?.env, HOME: codexHome } })
    })).pipe(Layer.provideMerge(OfflineModel.layer(model)))

const live = ({ codex, supervised }: Options) =>
  supervised === undefined ? NodeCodex.layer(codex) : NodeCodex.layerSupervised({ ...codex, ...supervised })

/** The agent on the offline model, or with `--live` on the real one, with the login of CODEX_HOME. */
export const exampleLayer = (options: Options = {}) =>
  Layer.unwrap(Effect.map(
    isLive,
    (isLive): Layer.Layer<
      Codex | AppServerClient,
      Layer.Error<ReturnType<typeof live>> | Layer.Error<ReturnType<typeof offline>>,
      NodeServices.NodeServices
    > => isLive ? live(options) : offline(options)
  )).pipe(
    Layer.provideMerge(NodeServices.layer),
    // The app-server's own log would stand in between.
    Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Error"))
  )

/** Runs a program with it. */
export const runExample = <E>(
  program: Effect.Effect<void, E, Codex | AppServerClient | NodeServices.NodeServices>,
  options: Options = {}
): void => program.pipe(Effect.provide(exampleLayer(options)), NodeRuntime.runMain)

/** Starts an app-server for others on the offline model, and gives its address. */
const offlineServer = Effect.gen(function*() {
  const path = yield* Path.Path
  const { baseUrl } = yield* OfflineModel
  const home = yield* OfflineHome.make({ baseUrl })
  const socket = path.join(home, "app-server.sock")
  yield* ChildProcess.make(
    process.execPath,
    [fileURLToPath(import.meta.resolve("@openai/codex/bin/codex.js")), "app-server", "--listen", `unix://${socket}`],
    { env: { CODEX_HOME: home, HOME: home }, extendEnv: true, stdin: "ignore", stdout: "ignore", stderr: "ignore" }
  )
  // Until it listens.
  yield* Effect.scoped(Layer.build(NodeCodex.layerUnixSocket({ path: socket }))).pipe(
    Effect.retry({ while: (error) => error._tag === "TransportError", schedule: Schedule.spaced("50 millis") })
  )
  return `unix://${socket}`
})

/**
 * Runs a program that connects to CODEX_URL: to what that is with `--live`, and else to
 * an app-server that is started for it.
 */
export const runRemoteExample = <E>(
  program: Effect.Effect<void, E, NodeServices.NodeServices>,
  model: OfflineModelOptions
): void =>
  Effect.gen(function*() {
    if (yield* isLive) return yield* program
    const url = yield* offlineServer
    yield* Effect.provide(program, ConfigProvider.layer(ConfigProvider.fromEnvRecord({ CODEX_URL: url })))
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(OfflineModel.layer(model), NodeServices.layer)),
    Effect.provideService(References.MinimumLogLevel, "Error"),
    NodeRuntime.runMain
  )
