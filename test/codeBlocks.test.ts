import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { globSync, readFileSync } from "node:fs"
import { run } from "./support/program.ts"

const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "")

/** A block of TypeScript in a page or a doc comment, and the line that it begins at. */
interface Block {
  readonly page: string
  readonly line: number
  readonly file: string
  readonly code: string
}

/** In a page, or within a doc comment. */
const fence = /^(?<margin> *\* |)```ts\n(?<code>[^]*?)^ *(?:\* )?```$/gm

const blocksOf = (page: string): ReadonlyArray<Block> => {
  const text = readFileSync(`${root}/${page}`, "utf8")
  return [...text.matchAll(fence)].map(({ groups: { code = "", margin = "" } = {}, index }) => {
    const line = text.slice(0, index).split("\n").length + 1
    const file = `${page.replaceAll(/[/.]/g, "-")}-${line}.ts`
    return { page, line, file, code: margin === "" ? code : code.replaceAll(/^ *\* ?/gm, "") }
  })
}

const pages = ["README.md", ...globSync("docs/*.md", { cwd: root }).sort()]
const sources = globSync("packages/{core,node}/src/**/*.ts", { cwd: root }).sort()
const blocks = [...pages, ...sources].flatMap(blocksOf)
const programs = blocks.filter(({ code }) => code.includes("runMain"))
const suites = blocks.filter(({ code }) => code.includes("@effect/vitest"))
const definitions = blocks.filter((block) => !programs.includes(block) && !suites.includes(block))

/** All blocks as files of one project, beside the packages that they import. */
class Project extends Context.Service<Project, { readonly folder: string }>()("test/Project") {
  static readonly layer = Layer.effect(
    Project,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped({ prefix: "code-blocks-" })
      const write = (name: string, content: string) => fs.writeFileString(path.join(folder, name), content)
      yield* fs.symlink(path.join(root, "node_modules"), path.join(folder, "node_modules"))
      yield* write("package.json", JSON.stringify({ type: "module" }))
      yield* write(
        "tsconfig.json",
        JSON.stringify({
          extends: path.join(root, "tsconfig.base.json"),
          compilerOptions: {
            noEmit: true,
            composite: false,
            incremental: false,
            declarationMap: false,
            rewriteRelativeImportExtensions: false,
            allowImportingTsExtensions: true,
            // A block may show a value that the reader is to use.
            noUnusedLocals: false,
            types: ["node"]
          },
          files: blocks.map(({ file }) => file)
        })
      )
      yield* Effect.forEach(blocks, ({ code, file }) => write(file, code), { discard: true })
      yield* write("definitions.ts", definitions.map(({ file }) => `import "./${file}"\n`).join(""))
      yield* write(
        "vitest.config.ts",
        `import config from "${root}/vitest.config.ts"\n`
          + `export default { ...config, test: { ...config.test, include: ${
            JSON.stringify(suites.map(({ file }) => file))
          } } }\n`
      )
      return { folder }
    })
  )
}

/** Some value in the form of a JSON schema, for the programs that ask for one. */
const valueOf = (schema: Schema.Json | undefined): Schema.Json => {
  if (!isRecord(schema)) return null
  const { anyOf, enum: members, properties, type } = schema
  if (Array.isArray(anyOf)) return valueOf(anyOf[0])
  if (Array.isArray(members)) return members[0] ?? null
  switch (type) {
    case "object":
      return isRecord(properties)
        ? Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, valueOf(value)]))
        : {}
    case "array":
      return []
    case "string":
      return "some text"
    case "boolean":
      return true
    default:
      return 0
  }
}

const isRecord = (json: Schema.Json | undefined): json is { readonly [key: string]: Schema.Json } =>
  typeof json === "object" && json !== null && !Array.isArray(json)

/** What Vitest reports of a run. */
const Report = Schema.fromJsonString(Schema.Struct({
  numTotalTests: Schema.Int,
  numPassedTests: Schema.Int
}))

const model = OfflineModel.layer({
  respond: ({ format }) => isRecord(format) ? OfflineModel.json(valueOf(format["schema"])) : undefined
})

const environment = Project.layer.pipe(Layer.provideMerge(model), Layer.provideMerge(NodeServices.layer))

layer(environment, { excludeTestServices: true, timeout: "120 seconds" })(
  "the code of the pages and doc comments",
  (it) => {
    it.effect("is valid TypeScript, checked as strictly as the packages themselves", () =>
      Effect.gen(function*() {
        assert.isAbove(blocks.length, 0)
        const { folder } = yield* Project
        const { exitCode, stdout } = yield* run(process.execPath, [
          `${root}/node_modules/typescript/bin/tsc`,
          "-p",
          folder,
          "--pretty",
          "false"
        ])
        assert.strictEqual(stdout, "", "tsc has something to say; the number in a file's name is the block's line")
        assert.strictEqual(exitCode, 0)
      }), 120_000)

    it.effect.each(pages)("%s: what it links to is there", (page) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const text = yield* fs.readFileString(path.join(root, page))
        for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
          assert.isTrue(yield* fs.exists(path.join(root, path.dirname(page), target)), target)
        }
      }))

    it.effect("is evaluated where it defines something", () =>
      Effect.gen(function*() {
        const { folder } = yield* Project
        const { exitCode, stderr } = yield* run(
          process.execPath,
          ["--conditions=@effect-codex/source", `${folder}/definitions.ts`],
          { cwd: folder }
        )
        assert.strictEqual(exitCode, 0, stderr)
      }), 120_000)

    it.effect("passes where it is a test", () =>
      Effect.gen(function*() {
        assert.isAbove(suites.length, 0)
        const fs = yield* FileSystem.FileSystem
        const { folder } = yield* Project
        const { exitCode, stderr, stdout } = yield* run(
          process.execPath,
          [
            `${root}/node_modules/vitest/vitest.mjs`,
            "run",
            "--root",
            folder,
            "--reporter=json",
            "--outputFile=report.json"
          ],
          { cwd: folder }
        )
        assert.strictEqual(exitCode, 0, stderr + stdout)
        const report = yield* Schema.decodeEffect(Report)(yield* fs.readFileString(`${folder}/report.json`))
        assert.strictEqual(report.numPassedTests, report.numTotalTests)
        assert.isAtLeast(report.numTotalTests, suites.length)
      }), 120_000)

    it.effect.each(programs)(
      "$page, line $line: the program runs on the real app-server",
      ({ file }) =>
        Effect.gen(function*() {
          const { baseUrl } = yield* OfflineModel
          const { folder } = yield* Project
          // `CodexLive` takes the home from the environment.
          const home = yield* OfflineHome.make({ baseUrl })
          const { exitCode, stderr, stdout } = yield* run(
            process.execPath,
            ["--conditions=@effect-codex/source", `${folder}/${file}`],
            { cwd: folder, env: { CODEX_HOME: home, OPENAI_API_KEY: "sk-not-a-real-key" } }
          )
          assert.strictEqual(exitCode, 0, stderr + stdout)
          assert.isAbove(stdout.length, 0, "A program has something to show")
        }),
      120_000
    )
  }
)
