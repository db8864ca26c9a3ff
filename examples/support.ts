/** What the examples share: which model they run on. */
import type { AppServerClient, Codex } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineCodex, type OfflineModelOptions } from "@effect-codex/node/testing"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, References, Stdio } from "effect"

export interface Options {
  /** What the app-server is started with. */
  readonly codex?: NodeCodex.Options
  /** What the offline model answers. */
  readonly model?: OfflineModelOptions
}

/** Runs a program on the offline model, or with `--live` on the real one, with the login of CODEX_HOME. */
export const runExample = <E>(
  program: Effect.Effect<void, E, Codex | AppServerClient | NodeServices.NodeServices>,
  options: Options = {}
): void =>
  Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    const live = (yield* stdio.args).includes("--live")
    yield* Console.error(live ? "Using the real model." : "Using the offline model; --live uses the real one.")
    yield* Effect.provide(program, live ? NodeCodex.layer(options.codex) : OfflineCodex.layer(options))
  }).pipe(
    Effect.provide(NodeServices.layer),
    // The app-server's own log would stand in between.
    Effect.provideService(References.MinimumLogLevel, "Error"),
    NodeRuntime.runMain
  )
