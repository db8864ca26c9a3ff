/**
 * A CODEX_HOME of its own for an app-server that talks to an `OfflineModel`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/**
 * The options of `OfflineHome.make`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The base URL of the model's API: `OfflineModel`'s `baseUrl`. */
  readonly baseUrl: string
  /** The model that threads use unless they name another; `gpt-5.4` unless given. */
  readonly model?: string | undefined
  /** Further lines of `config.toml`; tables come last. */
  readonly config?: string | undefined
  /** The directory to make the home in; the system's temporary one unless given. */
  readonly directory?: string | undefined
  /** How often the app-server opens a cut stream again before the turn fails; 0 unless given. */
  readonly streamRetries?: number | undefined
}

/**
 * The content of the `config.toml` that points the app-server at an offline model.
 *
 * @category constructors
 * @since 0.1.0
 */
export const configToml = (options: Options): string => {
  // A JSON string is a TOML basic string too.
  const quote = (value: string) => JSON.stringify(value)
  return [
    `model = ${quote(options.model ?? "gpt-5.4")}`,
    `model_provider = "offline"`,
    // Without these the app-server fetches plugins and reports usage over the network.
    "features.plugins = false",
    "analytics.enabled = false",
    options.config ?? "",
    "[model_providers.offline]",
    `name = "offline"`,
    `base_url = ${quote(options.baseUrl)}`,
    `wire_api = "responses"`,
    "request_max_retries = 0",
    `stream_max_retries = ${options.streamRetries ?? 0}`,
    "supports_websockets = false",
    ""
  ].join("\n")
}

/**
 * Makes a temporary CODEX_HOME with such a `config.toml` and returns its path. The scope's end removes it with all that
 * the app-server wrote; close the app-server's scope first. Fails with `PlatformError` where it cannot be written.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (
  options: Options
) => Effect.Effect<string, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path | Scope.Scope> = Effect.fn(
  "OfflineHome.make"
)(function*(options) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const parent = yield* Effect.acquireRelease(
    fs.makeTempDirectory({
      prefix: "codex-offline-",
      ...(options.directory === undefined ? {} : { directory: options.directory })
    }),
    (directory) =>
      fs.remove(directory, { recursive: true, force: true }).pipe(
        // A process that is just ending may still write while its directory is being removed.
        Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 20 }),
        Effect.catch((error) => Effect.logWarning("A temporary CODEX_HOME could not be removed", error))
      )
  )
  const home = path.join(parent, "home")
  yield* fs.makeDirectory(home)
  yield* fs.writeFileString(path.join(home, "config.toml"), configToml(options))
  return home
})
