/**
 * Packs the three packages and looks at what is in them, installs the tarballs into an empty project and uses them there:
 * types under both module resolutions, a whole turn on the real app-server, the command line, and core in a bundle.
 *
 *     npm run check:packages
 */
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { run } from "./command.ts"
import { runsWithoutNode, shakes, size } from "./packages/bundle.ts"
import { pack } from "./packages/tarball.ts"

const decodeManifest = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct({
  devDependencies: Schema.Record(Schema.String, Schema.String)
})))

const packages = ["generated", "core", "node"]

const program = `
import { AppServerClient, Codex, Input, InvalidRequest, RetryPolicy } from "@effect-codex/core"
import { TestAppServer, Transcript } from "@effect-codex/core/testing"
import { ThreadItem } from "@effect-codex/core/types"
import { codexVersion } from "@effect-codex/generated"
import { CodexLive, NodeCodex } from "@effect-codex/node"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { Effect } from "effect"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ model: "gpt-5.4" })
  const result = yield* thread.run(Input.text("Say hello in one sentence."))
  const answer: string | null = result.finalResponse
  return answer
})
const used = [AppServerClient, ThreadItem, InvalidRequest, RetryPolicy, CodexLive, NodeCodex, OfflineModel, TestAppServer, Transcript, codexVersion]
console.log(used.length, await Effect.runPromise(program.pipe(Effect.provide(OfflineCodex.layer()))))
`

const tsconfig = (module: string, moduleResolution: string) =>
  JSON.stringify({
    compilerOptions: {
      module,
      moduleResolution,
      target: "ES2022",
      lib: ["ES2024", "DOM", "ESNext.Disposable"],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true
    },
    include: ["index.ts"]
  })

/** The executable of the installed package, on an offline model. */
const commandLine = Effect.fnUntraced(
  function*(project: string) {
    const { baseUrl } = yield* OfflineModel
    const home = yield* OfflineHome.make({ baseUrl })
    const version = yield* run(project, "npx", "effect-codex", "--version")
    const answer = yield* run(project, "npx", "effect-codex", "run", "--quiet", "--codex-home", home, "Say hello")
    return `${version.trim()}: ${answer.trim()}`
  },
  Effect.scoped,
  Effect.provide(OfflineModel.layer())
)

const check = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = path.resolve(import.meta.dirname, "..")
  const { devDependencies: versions } = yield* decodeManifest(
    yield* fs.readFileString(path.join(root, "package.json"))
  )
  const project = yield* fs.makeTempDirectoryScoped({ prefix: "effect-codex-packages-" })

  const tool = (name: string, ...args: ReadonlyArray<string>) =>
    run(root, path.join(root, "node_modules/.bin", name), ...args)

  const tarballs: Array<string> = []
  for (const name of packages) {
    const { file, files, size: packed } = yield* pack(path.join(root, "packages", name), project)
    tarballs.push(`./${path.basename(file)}`)
    yield* tool("publint", "run", file, "--strict")
    // The packages are ESM alone: what `require` and the resolution of Node 10 would find is not asked for.
    yield* tool("attw", file, "--profile", "esm-only", "--no-definitely-typed")
    yield* Console.log(`packed ${path.basename(file)}: ${files.length} files, ${Math.ceil(packed / 1000)} kB`)
  }

  yield* fs.writeFileString(path.join(project, "package.json"), JSON.stringify({ type: "module", private: true }))
  yield* run(
    project,
    "npm",
    "install",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    ...tarballs,
    ...["effect", "@effect/platform-node", "typescript"].map((name) => `${name}@${versions[name]}`)
  )
  yield* fs.writeFileString(path.join(project, "index.ts"), program)
  for (const [module, resolution] of [["NodeNext", "NodeNext"], ["ESNext", "Bundler"]] as const) {
    yield* fs.writeFileString(path.join(project, "tsconfig.json"), tsconfig(module, resolution))
    yield* run(project, "npx", "tsc", "-p", ".")
    yield* Console.log(`types: ${resolution}`)
  }
  yield* Console.log(`run: ${(yield* run(project, process.execPath, "index.ts")).trim()}`)
  yield* Console.log(`command line: ${yield* commandLine(project)}`)
  yield* shakes(project)
  yield* Console.log("tree shaking: nothing remains but what is imported")
  yield* Console.log(`without Node: ${yield* runsWithoutNode(project)}`)
  for (const line of yield* size(project)) yield* Console.log(line)
})

check.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
