/** What it means that an executable of codex cannot be started. */
import { AppServerSpawnError } from "@effect-codex/core"
import * as Effect from "effect/Effect"
import type * as PlatformError from "effect/PlatformError"
import { existsSync, statSync } from "node:fs"

/** Makes what goes wrong when an executable is started in a working directory the error that it is. */
export const told =
  (executable: string, cwd?: string) =>
  <A, R>(start: Effect.Effect<A, PlatformError.PlatformError, R>): Effect.Effect<A, AppServerSpawnError, R> =>
    start.pipe(
      Effect.mapError((error) => reported(error, executable, cwd)),
      // Node throws some of the reasons instead of reporting them.
      Effect.catchDefect((cause) => Effect.fail(thrown(cause, executable, cwd)))
    )

const reported = (
  cause: PlatformError.PlatformError,
  executable: string,
  cwd: string | undefined
): AppServerSpawnError => {
  const { reason } = cause
  if (reason._tag === "NotFound" && reason.module === "FileSystem") return badWorkingDirectory(cause, executable, cwd)
  return new AppServerSpawnError({
    reason: reason._tag === "NotFound" ? "BinaryNotFound" : "SpawnFailed",
    executable,
    description: reason._tag === "NotFound"
      ? `There is no executable at ${executable}`
      : `Could not start ${executable}: ${reason._tag}`,
    cause
  })
}

const thrown = (cause: unknown, executable: string, cwd: string | undefined): AppServerSpawnError =>
  cwd !== undefined && existsSync(cwd) && !statSync(cwd).isDirectory()
    ? badWorkingDirectory(cause, executable, cwd)
    : new AppServerSpawnError({
      reason: "SpawnFailed",
      executable,
      description: `Could not start ${executable}`,
      cause
    })

const badWorkingDirectory = (cause: unknown, executable: string, cwd: string | undefined): AppServerSpawnError =>
  new AppServerSpawnError({
    reason: "BadWorkingDirectory",
    executable,
    description: `The working directory does not exist: ${cwd ?? "."}`,
    cause
  })
