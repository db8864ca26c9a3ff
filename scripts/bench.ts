/**
 * Measures the built packages against the least program that does the same and against the official SDKs, all on the same
 * executables, and prints one table of ratios.
 *
 *     npm run build && npm run bench [-- --json] [-- --quick] [-- --write]
 *
 * Each measurement runs in a process of its own; the drivers take turns, and medians are compared. With `--write` the table
 * goes to docs/performance.md.
 */
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { cpus, loadavg } from "node:os"
import { fileURLToPath } from "node:url"
import { installPeers } from "./bench/commands.ts"
import { table } from "./bench/report.ts"
import { measureRows } from "./bench/rows.ts"
import { pinnedBinary } from "./generate/binary.ts"

const DOCUMENT = "../docs/performance.md"
const BEGIN = "<!-- bench -->"
const END = "<!-- /bench -->"

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The modules of Effect that importing the built node package leads to. */
const modulesOfEffect = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const effects = new Set<string>()
  const own = new Set([import.meta.resolve("@effect-codex/node")])
  for (const url of own) {
    const source = yield* fs.readFileString(fileURLToPath(url))
    for (const [, module = ""] of source.matchAll(/^(?:import|export) .* from "([^"]+)"/gm)) {
      if (module.startsWith(".")) own.add(new URL(module, url).href)
      else if (module.startsWith("@effect-codex/")) own.add(import.meta.resolve(module))
      else if (!module.startsWith("node:")) effects.add(module)
    }
  }
  return [...effects]
})

const program = Effect.gen(function*() {
  const peers = yield* installPeers
  const model = yield* OfflineModel
  const home = yield* OfflineHome.make({ baseUrl: model.baseUrl })
  const { binary, version } = yield* pinnedBinary
  const load = loadavg()
  const rows = yield* measureRows({
    peers,
    fake: { executable: file("bench/fake.mjs"), home: undefined },
    real: { executable: binary, home },
    modules: yield* modulesOfEffect,
    quick: process.argv.includes("--quick")
  })
  const machine = {
    node: process.version,
    codex: version,
    cpus: cpus().length,
    load: { before: load[0], after: loadavg()[0] }
  }
  if (process.argv.includes("--write")) {
    const fs = yield* FileSystem.FileSystem
    const document = yield* fs.readFileString(file(DOCUMENT))
    const from = document.indexOf(BEGIN) + BEGIN.length
    const about = `Node ${machine.node.slice(1)}, codex ${machine.codex}, ${machine.cpus} cores`
    yield* fs.writeFileString(
      file(DOCUMENT),
      `${document.slice(0, from)}\n\n${about}:\n\n${table(rows)}\n\n${document.slice(document.indexOf(END))}`
    )
  }
  yield* Console.log(
    process.argv.includes("--json")
      ? JSON.stringify({ machine, rows }, undefined, 2)
      : `${table(rows)}\n\n${JSON.stringify(machine)}`
  )
})

program.pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(OfflineModel.layer(), NodeServices.layer)),
  NodeRuntime.runMain
)
