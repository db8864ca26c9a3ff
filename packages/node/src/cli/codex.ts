/** The agent that a command works with, by the options that all commands have. */
import type { AppServerClient, Codex } from "@effect-codex/core"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { createRequire } from "node:module"
import * as NodeCodex from "../NodeCodex.ts"
import { type Failure, fromCodexError } from "./failure.ts"

const manifest: unknown = createRequire(import.meta.url)("../../package.json")

/** The version of this package. */
export const version: string =
  typeof manifest === "object" && manifest !== null && "version" in manifest && typeof manifest.version === "string"
    ? manifest.version
    : "0.0.0"

/** A flag that may be left out. */
export const optional = <A>(flag: Flag.Flag<A>): Flag.Flag<A | undefined> =>
  Flag.map(Flag.optional(flag), Option.getOrUndefined)

export const CodexPath = GlobalFlag.Setting("codex-path")({
  flag: Flag.String("codex-path").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription(
      "The codex executable to start instead of the one that comes with effect-codex (env: CODEX_PATH)"
    ),
    Flag.withFallbackConfig(Config.NonEmptyString("CODEX_PATH")),
    optional
  )
})

export const CodexHome = GlobalFlag.Setting("codex-home")({
  flag: Flag.String("codex-home").pipe(
    Flag.withMetavar("DIRECTORY"),
    Flag.withDescription("The directory of configuration, login and threads (env: CODEX_HOME; else ~/.codex)"),
    optional
  )
})

export const Overrides = GlobalFlag.Setting("config")({
  flag: Flag.String("config").pipe(
    Flag.withAlias("c"),
    Flag.withMetavar("KEY=VALUE"),
    Flag.withDescription("A value over config.toml, as `model_reasoning_effort=high`; can be repeated"),
    Flag.filter((entry) => /^[^=\s]+=/.test(entry), (entry) => `Expected KEY=VALUE, got ${entry}`),
    Flag.atLeast(0)
  )
})

/** The options as a layer of the agent takes them. */
export const options: Effect.Effect<
  NodeCodex.Options,
  never,
  GlobalFlag.Setting.Identifier<"codex-path" | "codex-home" | "config">
> = Effect.gen(function*() {
  const overrides = yield* Overrides
  return {
    codexPath: yield* CodexPath,
    codexHome: yield* CodexHome,
    args: overrides.flatMap((entry) => ["--config", entry]),
    clientInfo: { name: "effect-codex", title: "effect-codex", version }
  }
})

/** The agent of those options. */
export const layer: Layer.Layer<
  Codex | AppServerClient,
  Failure,
  GlobalFlag.Setting.Identifier<"codex-path" | "codex-home" | "config">
> = Layer.unwrap(Effect.map(options, (options) => NodeCodex.layer(options))).pipe(
  Layer.catch((error) => Layer.effectContext(Effect.fail(fromCodexError(error))))
)
