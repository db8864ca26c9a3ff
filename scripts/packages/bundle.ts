/**
 * Core in bundles, made from the packages as they are installed in `project`: how large it is, what remains of it where
 * little is used, and that it runs where there is no Node.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { isBuiltin } from "node:module"
import { createContext, Script } from "node:vm"
import { gzipSync } from "node:zlib"
import { type ExternalOption, type OutputChunk, type Plugin, rolldown } from "rolldown"

export class BundleFailed extends Data.TaggedError("BundleFailed")<{ readonly cause: unknown }> {}

export class NodeNeeded extends Schema.TaggedError<NodeNeeded>()("NodeNeeded", {
  needs: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return ["Core would not run without Node:", ...this.needs].join("\n  ")
  }
}

export class NotShaken extends Schema.TaggedError<NotShaken>()("NotShaken", {
  imported: Schema.String,
  remaining: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return [`Who imports ${this.imported} alone gets more than that:`, ...this.remaining].join("\n  ")
  }
}

interface BundleOptions {
  readonly format?: "esm" | "iife"
  readonly minify?: boolean
  readonly external?: ExternalOption
  readonly plugins?: ReadonlyArray<Plugin>
}

const isEffect = /^(effect|@effect\/(?!codex))/

/** One bundle of what `code` uses, for the web. */
const bundle = Effect.fnUntraced(function*(project: string, code: string, options: BundleOptions = {}) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const entry = path.join(project, "bundled.js")
  yield* fs.writeFileString(entry, code)
  return yield* Effect.tryPromise({
    try: async (): Promise<OutputChunk> => {
      const build = await rolldown({
        input: entry,
        cwd: project,
        platform: "browser",
        logLevel: "silent",
        ...(options.external === undefined ? {} : { external: options.external }),
        plugins: [...options.plugins ?? []]
      })
      const { output: [chunk] } = await build.generate({
        format: options.format ?? "esm",
        minify: options.minify ?? false,
        codeSplitting: false
      })
      await build.close()
      return chunk
    },
    catch: (cause) => new BundleFailed({ cause })
  })
})

/** Our modules that have code left in a bundle. */
const remaining = (chunk: OutputChunk): Array<string> =>
  Object.entries(chunk.modules).filter(([, { renderedLength }]) => renderedLength > 0)
    .flatMap(([id]) => id.split("/node_modules/@effect-codex/").slice(1))

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`

/** How large a bundle of `Codex` is. */
export const size = Effect.fn("size")(function*(project: string) {
  const code = `export { Codex } from "@effect-codex/core"`
  const lines: Array<string> = []
  for (const [what, external] of [["alone", isEffect], ["with effect", undefined]] as const) {
    const chunk = yield* bundle(project, code, { minify: true, ...(external === undefined ? {} : { external }) })
    const bytes = new TextEncoder().encode(chunk.code)
    lines.push(
      `size of Codex ${what}: ${kilobytes(bytes.length)} minified, ${kilobytes(gzipSync(bytes).length)} with gzip`
    )
  }
  return lines
})

/** What one may import alone, and the modules that may come with it. */
const small = [
  ["Input", "@effect-codex/core", /^core\/dist\/Input\.js$/],
  ["codexVersion", "@effect-codex/generated", /^generated\/dist\/version\.js$/],
  ["TurnFailed", "@effect-codex/core", /^(core\/dist\/CodexError|generated\/dist\/(Open|schemas))\.js$/],
  ["Turn", "@effect-codex/core/types", /^generated\/dist\/(Open|schemas)\.js$/]
] as const

/** Of more than a thousand: those that a turn is made of. */
const fewSchemas = 100

/** Fails where importing something small brings along what it does not use. */
export const shakes = Effect.fn("shakes")(function*(project: string) {
  for (const [imported, from, expected] of small) {
    const code = `import { ${imported} } from "${from}"; globalThis.used = ${imported}`
    const chunk = yield* bundle(project, code, { external: isEffect })
    const surplus = remaining(chunk).filter((module) => !expected.test(module))
    const schemas = chunk.code.match(/"identifier": /g)?.length ?? 0
    if (schemas > fewSchemas) surplus.push(`${schemas} Schemas`)
    if (surplus.length > 0) return yield* new NotShaken({ imported, remaining: surplus })
  }
})

/** What every platform of the web has; nothing else is there. */
const web = [
  "AbortController",
  "AbortSignal",
  "Event",
  "EventTarget",
  "MessageChannel",
  "TextDecoder",
  "TextEncoder",
  "URL",
  "URLSearchParams",
  "atob",
  "btoa",
  "clearInterval",
  "clearTimeout",
  "console",
  "crypto",
  "performance",
  "queueMicrotask",
  "setInterval",
  "setTimeout",
  "structuredClone"
] as const

/** A connection to an app-server in memory, its handshake, a thread and a turn. */
const handshake = `
import { Codex } from "@effect-codex/core"
import { TestAppServer } from "@effect-codex/core/testing"
import { Effect } from "effect"

globalThis.answer = Effect.runPromise(Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread()
  const { finalResponse } = yield* thread.run("Say hello.")
  return codex.metadata.platformOs + ": " + finalResponse
}).pipe(Effect.provide(TestAppServer.layer())))
`

/** Bundles core without any module of Node, and runs a turn of it where there are only the globals of the web. */
export const runsWithoutNode = Effect.fn("runsWithoutNode")(function*(project: string) {
  const needs: Array<string> = []
  const chunk = yield* bundle(project, handshake, {
    format: "iife",
    plugins: [{
      name: "no-node",
      resolveId(specifier, importer) {
        if (isBuiltin(specifier)) needs.push(`${specifier}, which ${importer ?? "the entry"} imports`)
        return null
      }
    }]
  })
  if (needs.length > 0) return yield* new NodeNeeded({ needs })
  const globals = createContext(Object.fromEntries(web.map((name) => [name, globalThis[name]])))
  const answer = yield* Effect.tryPromise({
    try: async (): Promise<unknown> => {
      new Script(chunk.code, { filename: "core.js" }).runInContext(globals)
      return await globals["answer"]
    },
    catch: (cause) => new BundleFailed({ cause })
  })
  return String(answer)
})
