import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { protocolDefinitions } from "../../packages/node/src/protocol/bundle.ts"
import { pinnedBinary } from "../../scripts/generate/binary.ts"
import { checkDrift, writeFiles } from "../../scripts/generate/drift.ts"
import { generateFiles, OUTPUT } from "../../scripts/generate/files.ts"

const generated = Effect.gen(function*() {
  const { binary, version } = yield* pinnedBinary
  return yield* generateFiles({
    version,
    experimental: yield* protocolDefinitions(binary, { experimental: true }),
    stable: yield* protocolDefinitions(binary, { experimental: false })
  })
})

layer(NodeServices.layer)((it) => {
  describe("the pinned binary", () => {
    it.effect("generates what is committed, the same each time", () =>
      Effect.gen(function*() {
        const path = yield* Path.Path
        const first = yield* generated
        const second = yield* generated
        assert.deepStrictEqual(first, second)
        assert.strictEqual(first.summary.definitions, 939)
        assert.deepStrictEqual(
          [first.summary.clientRequests, first.summary.serverRequests, first.summary.notifications],
          [184, 11, 86]
        )
        yield* checkDrift(path.resolve(import.meta.dirname, "../..", OUTPUT), first.files)
      }))

    it.effect("fails the generation without a result, and the failure names the method", () =>
      Effect.gen(function*() {
        const { binary, version } = yield* pinnedBinary
        const experimental = yield* protocolDefinitions(binary, { experimental: true })
        const { TurnStartResponse: _, ...others } = experimental
        const error = yield* Effect.flip(generateFiles({ version, experimental: others, stable: experimental }))
        assert.include(error.message, "turn/start")
      }))
  })

  describe("drift", () => {
    const files = { "a.ts": "one\ntwo\n", "b.ts": "three\n" }

    it.effect("is one changed byte, a missing file, or a file too many", () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const directory = yield* fs.makeTempDirectoryScoped()
        yield* writeFiles(directory, files)
        yield* checkDrift(directory, files)
        yield* fs.writeFileString(path.join(directory, "a.ts"), "one\ntwo \n")
        yield* fs.remove(path.join(directory, "b.ts"))
        yield* fs.writeFileString(path.join(directory, "c.ts"), "")
        const error = yield* Effect.flip(checkDrift(directory, files))
        assert.strictEqual(error._tag, "Drift")
        assert.include(error.message, "a.ts: differs from line 2")
        assert.include(error.message, "b.ts: is missing")
        assert.include(error.message, "c.ts: is not generated")
      }))

    it.effect("is gone once the files are written, those too many included", () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const directory = yield* fs.makeTempDirectoryScoped()
        yield* fs.writeFileString(path.join(directory, "c.ts"), "")
        yield* writeFiles(directory, files)
        yield* checkDrift(directory, files)
      }))
  })
})
