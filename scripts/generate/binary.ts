import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { createRequire } from "node:module"
import { isNode } from "../../packages/node/src/protocol/jsonSchema.ts"
import { BinaryNotFound } from "./errors.ts"

const PINNED = "@openai/codex"

/** The native binary of the pinned runtime, and the version it is pinned to. */
export const pinnedBinary = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = createRequire(import.meta.url)
  const resolve = (from: NodeJS.Require, name: string) =>
    Effect.try({
      try: () => from.resolve(`${name}/package.json`),
      catch: () => new BinaryNotFound({ packageName: name, reason: "not installed; run `npm ci`" })
    })
  const manifest = yield* resolve(root, PINNED)
  const parsed: unknown = JSON.parse(yield* fs.readFileString(manifest))
  const version = isNode(parsed) ? parsed.version : undefined
  if (typeof version !== "string") {
    return yield* new BinaryNotFound({ packageName: PINNED, reason: "has no version" })
  }
  // Resolved from the launcher, as the launcher itself does, so that a second copy elsewhere is never taken.
  const platform = `${PINNED}-${process.platform}-${process.arch}`
  const vendor = path.join(path.dirname(yield* resolve(createRequire(manifest), platform)), "vendor")
  const executable = process.platform === "win32" ? "codex.exe" : "codex"
  const candidates = (yield* fs.readDirectory(vendor)).sort().map((_) => path.join(vendor, _, "bin", executable))
  const found = yield* Effect.filter(candidates, (_) => fs.exists(_))
  const [binary] = found
  if (binary === undefined || found.length > 1) {
    return yield* new BinaryNotFound({ packageName: platform, reason: `${found.length} binaries below vendor` })
  }
  return { binary, version }
})
