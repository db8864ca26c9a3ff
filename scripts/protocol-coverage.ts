/**
 * `npm run coverage:protocol`: writes `docs/protocol-coverage.md`, the scorecard of the whole protocol. With `--check` it
 * only compares. Each column is read where it cannot be wrong: the registries, the wrappers' source, and the tables that
 * the tests against the real binary run.
 */
import { ClientRequests, codexVersion, ServerNotifications, ServerRequests } from "@effect-codex/generated"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as Schema from "effect/Schema"
import { cases } from "../test/protocol/cases.ts"
import { isUnseen, type Listener, notifications, serverRequests, type Unseen } from "../test/protocol/told.ts"
import { checkFile, UnprovenClaim } from "./scorecard/check.ts"
import { callsIn, readsIn } from "./scorecard/source.ts"

const OUTPUT = "docs/protocol-coverage.md"
const WRAPPERS = "packages/core/src"

/** Modules that only name methods, or hand all of them on. */
const NO_READERS = new Set([
  "AppServerClient.ts",
  "internal/coalesce.ts",
  "internal/eventHub.ts",
  "internal/methodTraits.ts"
])

interface Row {
  readonly method: string
  readonly stability: string
  readonly typed: boolean
  readonly wrapped: ReadonlyArray<string>
  /** What the test sees; undefined where there is none. */
  readonly tested: string | undefined
  readonly untested: string | undefined
}

/** A test that is named as the one that sees something has to name it too; those that hold the tables against it need not. */
const checkNamed = Effect.fnUntraced(function*(root: string, proofs: { readonly [method: string]: Listener | Unseen }) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const [method, proof] of Object.entries(proofs)) {
    if (isUnseen(proof)) continue
    const source = yield* fs.readFileString(path.join(root, proof))
    if (!source.includes(JSON.stringify(method)) && !source.includes("claimedBy(")) {
      return yield* new UnprovenClaim({ method, file: proof })
    }
  }
})

/** A Schema that says something. */
const isTyped = (...schemas: ReadonlyArray<Schema.Top>): boolean =>
  schemas.every(({ ast }) => ast._tag !== "Unknown" && ast._tag !== "Any")

const code = (text: string): string => `\`${text.replaceAll("|", "\\|")}\``

const expectations: ReadonlyMap<string, string> = new Map(
  Object.entries(cases).map(([method, { expect }]) => [
    method,
    expect._tag === "Result" ? "its result" : `${code(expect.error)} ${code(String(expect.message))}`
  ])
)

const seen = (proof: Listener | Unseen): Pick<Row, "tested" | "untested"> =>
  isUnseen(proof)
    ? { tested: undefined, untested: proof.unseen }
    : { tested: code(proof), untested: undefined }

const proofOf = (table: { readonly [method: string]: Listener | Unseen }, method: string): Listener | Unseen =>
  table[method] ?? { unseen: "not in the table" }

const table = (heading: string, tested: string, rows: ReadonlyArray<Row>): string => {
  const count = (is: (row: Row) => boolean) => `${rows.filter(is).length} of ${rows.length}`
  const lines = rows.map((row) =>
    `| ${code(row.method)} | ${row.stability} | ${row.typed ? "yes" : "**no**"} | ${
      row.wrapped.length === 0 ? "" : row.wrapped.map(code).join(", ")
    } | ${row.tested ?? `not: ${row.untested ?? "no case"}`} |`
  )
  return [
    `## ${heading}`,
    "",
    `Typed: ${count((row) => row.typed)}. Wrapped: ${
      count((row) => row.wrapped.length > 0)
    }. Tested against the real ` +
    `binary: ${count((row) => row.tested !== undefined)}.`,
    "",
    `| Method | Stability | Typed | Wrapped by | ${tested} |`,
    "| --- | --- | --- | --- | --- |",
    ...lines,
    ""
  ].join("\n")
}

const scorecard = Effect.fnUntraced(function*(root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* checkNamed(root, serverRequests)
  yield* checkNamed(root, notifications)
  const calls = new Map<string, Array<string>>()
  const reads = new Map<string, Array<string>>()
  const wrappers = path.join(root, WRAPPERS)
  const files = yield* fs.readDirectory(wrappers, { recursive: true })
  for (const file of files.filter((file) => file.endsWith(".ts") && !file.startsWith("testing/")).sort()) {
    const source = yield* fs.readFileString(path.join(wrappers, file))
    const name = file.replace(/\.ts$/, "")
    for (const method of callsIn(source)) calls.set(method, [...calls.get(method) ?? [], name])
    for (const method of NO_READERS.has(file) ? [] : readsIn(source)) {
      reads.set(method, [...reads.get(method) ?? [], name])
    }
  }

  const clientRows = Object.values(ClientRequests).map((definition): Row => ({
    method: definition.method,
    stability: definition.stability,
    typed: isTyped(definition.params, definition.result),
    wrapped: calls.get(definition.method) ?? [],
    tested: expectations.get(definition.method),
    untested: undefined
  }))
  const serverRows = Object.values(ServerRequests).map((definition): Row => ({
    method: definition.method,
    stability: definition.stability,
    typed: isTyped(definition.params, definition.result),
    wrapped: reads.get(definition.method) ?? [],
    ...seen(proofOf(serverRequests, definition.method))
  }))
  const notificationRows = Object.values(ServerNotifications).map((definition): Row => ({
    method: definition.method,
    stability: definition.stability,
    typed: isTyped(definition.params),
    wrapped: reads.get(definition.method) ?? [],
    ...seen(proofOf(notifications, definition.method))
  }))

  const all = [...clientRows, ...serverRows, ...notificationRows]
  const typed = all.filter((row) => row.typed).length
  const succeeded = clientRows.filter((row) => row.tested === "its result").length
  const content = [
    "# Coverage of the protocol",
    "",
    `Generated by \`npm run coverage:protocol\` for @openai/codex ${codexVersion}. Do not edit.`,
    "",
    `**Typed: ${typed} of ${all.length}.** Every method has Schemas and types, wrapped or not, through ` +
    "`AppServerClient.request`, its notifications and the handlers of `Approvals`.",
    "",
    `Of the ${clientRows.length} methods of the client, ${succeeded} answer with a result on the real binary without an ` +
    `account and without a network; the others with the typed error that the table names. ` +
    "`test/protocol/cases.ts` has the params of each, and `test/real/protocol.test.ts` runs them.",
    "",
    "A method counts as wrapped when a module of `packages/core/src` calls it (client requests) or reads it " +
    "(notifications and server requests).",
    "",
    table("Client requests", "Answers on the real binary", clientRows),
    table("Server requests", "Seen from the real binary by", serverRows),
    table("Notifications", "Seen from the real binary by", notificationRows)
  ].join("\n")
  return { content, summary: `typed ${typed} of ${all.length}, ${clientRows.length} methods called on the real binary` }
})

const coverage = Command.make("coverage", {
  check: Flag.Boolean("check").pipe(Flag.withDescription("Fail when the file on disk differs"), Flag.withDefault(false))
}, ({ check }) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(import.meta.dirname, "..")
    const { content, summary } = yield* scorecard(root)
    const file = path.join(root, OUTPUT)
    yield* check ? checkFile(file, content) : fs.writeFileString(file, content)
    yield* Console.log(`${OUTPUT} ${check ? "is up to date" : "written"}: ${summary}`)
  }))

coverage.pipe(Command.run({ version: "0.0.0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
