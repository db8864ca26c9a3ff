import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { run } from "../command.ts"
import { complete, LockFile } from "./complete.ts"

const LOCK = "package-lock.json"

export class RegistryInLock extends Schema.TaggedError<RegistryInLock>()("RegistryInLock", {
  url: Schema.String
}) {
  override get message(): string {
    return `${LOCK} would name a registry: ${this.url}; .npmrc has to say omit-lockfile-registry-resolved`
  }
}

export class UnknownLock extends Schema.TaggedError<UnknownLock>()("UnknownLock", {}) {
  override get message(): string {
    return `npm wrote a ${LOCK} of a form that is not known here`
  }
}

const Manifest = Schema.fromJsonString(Schema.Struct({ workspaces: Schema.Array(Schema.String) }))
const decodeManifest = Schema.decodeUnknownEffect(Manifest)

/** Checked, not decoded: npm's order of the keys stays. */
const isLock = Schema.is(LockFile)

/** Writes the lock file of the repository at `root`, and says what it holds. */
export const relock = Effect.fn("relock")(function*(root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { workspaces } = yield* decodeManifest(yield* fs.readFileString(path.join(root, "package.json")))
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-codex-lock-" })
  for (const file of [".npmrc", LOCK, "package.json", ...workspaces.map((_) => path.join(_, "package.json"))]) {
    yield* fs.makeDirectory(path.join(folder, path.dirname(file)), { recursive: true })
    yield* fs.copyFile(path.join(root, file), path.join(folder, file))
  }
  yield* run(folder, "npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund")
  const text = yield* fs.readFileString(path.join(folder, LOCK))
  const [url] = /https?:\/\/[^"]+\.tgz/.exec(text) ?? []
  if (url !== undefined) return yield* new RegistryInLock({ url })
  const resolved: unknown = JSON.parse(text)
  if (!isLock(resolved)) return yield* new UnknownLock()
  const { added, lock } = yield* complete(resolved)
  yield* fs.writeFileString(path.join(root, LOCK), `${JSON.stringify(lock, null, 2)}\n`)
  return { added, packages: Object.keys(lock.packages).length }
})
