/** Finds the native executable that the pinned `@openai/codex` package carries. */
import { AppServerSpawnError } from "@effect-codex/core"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

interface Target {
  readonly triple: string
  readonly package: string
}

const targets: Record<string, Target> = {
  "linux-x64": { triple: "x86_64-unknown-linux-musl", package: "@openai/codex-linux-x64" },
  "linux-arm64": { triple: "aarch64-unknown-linux-musl", package: "@openai/codex-linux-arm64" },
  "android-x64": { triple: "x86_64-unknown-linux-musl", package: "@openai/codex-linux-x64" },
  "android-arm64": { triple: "aarch64-unknown-linux-musl", package: "@openai/codex-linux-arm64" },
  "darwin-x64": { triple: "x86_64-apple-darwin", package: "@openai/codex-darwin-x64" },
  "darwin-arm64": { triple: "aarch64-apple-darwin", package: "@openai/codex-darwin-arm64" },
  "win32-x64": { triple: "x86_64-pc-windows-msvc", package: "@openai/codex-win32-x64" },
  "win32-arm64": { triple: "aarch64-pc-windows-msvc", package: "@openai/codex-win32-arm64" }
}

/** The executable for this platform, or the one named, in the platform package of the pinned `@openai/codex`. */
export const pinned = Effect.fnUntraced(function*(
  platform: string = process.platform,
  arch: string = process.arch
): Effect.fn.Return<string, AppServerSpawnError> {
  const target = targets[`${platform}-${arch}`]
  if (target === undefined) {
    return yield* new AppServerSpawnError({
      reason: "UnsupportedPlatform",
      description: `@openai/codex has no executable for ${platform} on ${arch}; name one with codexPath`
    })
  }
  const vendor = yield* Effect.try({
    try: () => {
      // The platform package is a dependency of `@openai/codex`, which need not be visible from here.
      const codex = createRequire(createRequire(import.meta.url).resolve("@openai/codex/package.json"))
      return join(dirname(codex.resolve(`${target.package}/package.json`)), "vendor", target.triple)
    },
    catch: (cause) =>
      new AppServerSpawnError({
        reason: "BinaryNotFound",
        description: `The package ${target.package} is not installed; ` +
          "install @openai/codex with its optional dependencies, or name an executable with codexPath",
        cause
      })
  })
  const executable = join(vendor, "bin", platform === "win32" ? "codex.exe" : "codex")
  if (!existsSync(executable)) {
    return yield* new AppServerSpawnError({
      reason: "BinaryNotFound",
      executable,
      description: `The package ${target.package} lacks its executable; reinstall @openai/codex`
    })
  }
  return executable
})
