/** Finds the native executable of `@openai/codex`: of the pinned package, or of the one whose launcher is named. */
import { AppServerSpawnError } from "@effect-codex/core"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, extname, join } from "node:path"

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

/** The machine that the executable is for. */
export interface Host {
  readonly platform: string
  readonly arch: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What to start: the pinned executable, or the one that a path or a name stands for. */
export const locate = (
  codexPath: string | undefined,
  host: Host = process
): Effect.Effect<string, AppServerSpawnError> => codexPath === undefined ? pinned(host) : named(codexPath, host)

/** Whether it is a name to look for in `PATH`, and not a path. */
export const isName = (codexPath: string): boolean => !/[\\/]/.test(codexPath)

/** The executable for this platform in the platform package of the pinned `@openai/codex`. */
export const pinned = (
  { arch, platform }: Pick<Host, "arch" | "platform"> = process
): Effect.Effect<string, AppServerSpawnError> =>
  Effect.flatMap(targetOf(platform, arch), (target) =>
    Effect.try({
      try: () => nativeOf(createRequire(import.meta.url).resolve("@openai/codex/package.json"), target, platform),
      catch: (cause) =>
        new AppServerSpawnError({
          reason: "BinaryNotFound",
          description: `The package ${target.package} is not installed; ` +
            "install @openai/codex with its optional dependencies, or name an executable with codexPath",
          cause
        })
    }).pipe(
      Effect.filterOrFail(existsSync, (executable) =>
        new AppServerSpawnError({
          reason: "BinaryNotFound",
          executable,
          description: `The package ${target.package} lacks its executable; reinstall @openai/codex`
        }))
    ))

const targetOf = (platform: string, arch: string): Effect.Effect<Target, AppServerSpawnError> => {
  const target = targets[`${platform}-${arch}`]
  return target === undefined
    ? Effect.fail(
      new AppServerSpawnError({
        reason: "UnsupportedPlatform",
        description: `@openai/codex has no executable for ${platform} on ${arch}; name one with codexPath`
      })
    )
    : Effect.succeed(target)
}

/** The native executable that belongs to an installed `@openai/codex`, by the path of its `package.json`. */
const nativeOf = (packageJson: string, target: Target, platform: string): string => {
  // The platform package is a dependency of `@openai/codex`, which need not be visible from here.
  const root = dirname(createRequire(packageJson).resolve(`${target.package}/package.json`))
  return join(root, "vendor", target.triple, "bin", platform === "win32" ? "codex.exe" : "codex")
}

/**
 * The executable of an installed `@openai/codex` of this version, seen from a directory or from this package; undefined
 * where there is none.
 */
export const ofVersion = (
  version: string,
  directory: string,
  { arch, platform }: Pick<Host, "arch" | "platform"> = process
): string | undefined => {
  const target = targets[`${platform}-${arch}`]
  for (const from of [join(directory, "package.json"), import.meta.url]) {
    try {
      const packageJson = createRequire(from).resolve("@openai/codex/package.json")
      const manifest: unknown = JSON.parse(readFileSync(packageJson, "utf8"))
      const isIt = typeof manifest === "object" && manifest !== null && "version" in manifest &&
        manifest.version === version
      if (target === undefined || !isIt) continue
      const executable = nativeOf(packageJson, target, platform)
      if (existsSync(executable)) return executable
    } catch {
      // Not installed there.
    }
  }
  return undefined
}

// =============================================================================
// Launchers
// =============================================================================

/**
 * The npm package has a launcher written in JavaScript, and npm puts another one
 * before it: a link, or on Windows scripts, which cannot be started without a
 * shell. Each costs a process more, one that need not pass on what ends it.
 */
const named = (codexPath: string, host: Host): Effect.Effect<string, AppServerSpawnError> =>
  Effect.suspend(() => {
    if (codexPath === "") {
      return Effect.fail(
        new AppServerSpawnError({ reason: "BinaryNotFound", description: "The path of codex is empty" })
      )
    }
    const path = isName(codexPath) ? search(codexPath, host) : codexPath
    const native = path === undefined ? undefined : nativeBehind(path, host)
    if (native !== undefined) return Effect.succeed(native)
    if (host.platform !== "win32" || path === undefined || !isScript(path)) return Effect.succeed(codexPath)
    return Effect.fail(
      new AppServerSpawnError({
        reason: "BinaryNotFound",
        executable: path,
        description: `${path} is a script and not the launcher of an installed @openai/codex; name a codex.exe`
      })
    )
  })

const isScript = (path: string): boolean => [".cmd", ".bat", ".ps1"].includes(extname(path).toLowerCase())

/** Where the shell would find the name. */
const search = (name: string, { env, platform }: Host): string | undefined => {
  const windows = platform === "win32"
  const variable = Object.entries(env).find(([key]) => windows ? key.toUpperCase() === "PATH" : key === "PATH")
  const extensions = windows && extname(name) === "" ? (env["PATHEXT"] ?? ".COM;.EXE;.BAT;.CMD").split(";") : [""]
  for (const directory of (variable?.[1] ?? "").split(windows ? ";" : ":")) {
    if (directory === "") continue
    for (const extension of extensions) {
      const path = join(directory, name + extension.toLowerCase())
      if (existsSync(path)) return path
    }
  }
  return undefined
}

/** The native executable that the launcher at the path would start; undefined where it is no launcher. */
const nativeBehind = (path: string, { arch, platform }: Host): string | undefined => {
  try {
    const launcher = launcherAt(path)
    const target = targets[`${platform}-${arch}`]
    if (launcher === undefined || target === undefined) return undefined
    const executable = nativeOf(join(dirname(dirname(launcher)), "package.json"), target, platform)
    return existsSync(executable) ? executable : undefined
  } catch {
    // Not installed, or not to be read: what was named is started as it is.
    return undefined
  }
}

/** The launcher of the npm package as npm's, pnpm's and yarn's scripts name it, beside themselves. */
const mentioned = /["'](?:%~?dp0%?|\$basedir|\$PSScriptRoot)[\\/]+([^"']*@openai[\\/]codex[\\/]bin[\\/]codex\.js)["']/

const SCRIPT_SIZE = 16_384

const launcherAt = (path: string): string | undefined => {
  const real = realpathSync(path)
  if (/@openai[\\/]codex[\\/]bin[\\/]codex\.js$/.test(real)) return real
  if (statSync(real).size > SCRIPT_SIZE) return undefined
  const beside = mentioned.exec(readFileSync(real, "utf8"))?.[1]?.replaceAll("\\", "/")
  return beside === undefined ? undefined : realpathSync(join(dirname(real), beside))
}
