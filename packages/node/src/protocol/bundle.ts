/** The protocol as an executable describes it: one bundle of JSON Schema definitions. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Errand from "../internal/errand.ts"
import { type Definitions, isNode, mapChildren, type Node, omit, refName, refTo } from "./jsonSchema.ts"

/** What an executable wrote, or what was read, is no bundle of the protocol. */
export class UnexpectedBundle extends Schema.TaggedError<UnexpectedBundle>()("UnexpectedBundle", {
  reason: Schema.String
}) {
  override get message(): string {
    return this.reason
  }
}

/** The file that holds all definitions, among those that an executable writes. */
export const FULL_BUNDLE = "codex_app_server_protocol.schemas.json"

/** How long it may take to write them, on a busy machine. */
const PATIENCE = Duration.minutes(1)

/** The protocol's definitions as the binary itself describes them. */
export const protocolDefinitions = Effect.fnUntraced(
  function*(binary: string, options: { readonly experimental: boolean }) {
    const fs = yield* FileSystem.FileSystem
    const out = yield* fs.makeTempDirectoryScoped({ prefix: "codex-schema-" })
    const args = ["app-server", "generate-json-schema", ...(options.experimental ? ["--experimental"] : [])]
    const child = yield* Errand.start(binary, [...args, "--out", out], { stdout: "ignore" })
    const [said, code] = yield* Effect.all([Stream.mkString(Stream.decodeText(child.stderr)), child.exitCode]).pipe(
      Effect.timeoutOrElse({
        duration: PATIENCE,
        orElse: () => Effect.fail(new UnexpectedBundle({ reason: `${args.join(" ")} does not end` }))
      })
    )
    if (code !== 0) {
      const why = said.trim().split("\n").at(-1) ?? ""
      return yield* new UnexpectedBundle({
        reason: `${args.join(" ")} ended with code ${code}${why === "" ? "" : `: ${why}`}`
      })
    }
    return yield* definitionsIn(out)
  },
  Effect.scoped
)

/** The protocol's definitions in a folder that an executable has written. */
export const definitionsIn = Effect.fnUntraced(function*(directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const text = yield* fs.readFileString(path.join(directory, FULL_BUNDLE)).pipe(
    Effect.mapError(() => new UnexpectedBundle({ reason: `there is no ${FULL_BUNDLE} in ${directory}` }))
  )
  const bundle = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: () => new UnexpectedBundle({ reason: `${FULL_BUNDLE} is no JSON` })
  })
  return yield* hoist(bundle)
})

const withoutHeader = (node: Node): Node => omit(node, "$schema", "title")

const rewriteRefs = (node: Node): Node => {
  const name = refName(node)
  return name === undefined ? mapChildren(node, rewriteRefs) : { ...node, ...refTo(name) }
}

/**
 * Puts the definitions of the `v2` namespace beside the others. A name in both places must mean the same, since every
 * reference to either now reads the same.
 */
export const hoist = Effect.fnUntraced(function*(bundle: unknown) {
  if (!isNode(bundle) || !isNode(bundle.definitions) || !isNode(bundle.definitions.v2)) {
    return yield* new UnexpectedBundle({ reason: "no definitions, or no v2 namespace among them" })
  }
  const definitions: Record<string, Node> = {}
  for (const [name, node] of [...Object.entries(bundle.definitions), ...Object.entries(bundle.definitions.v2)]) {
    if (name === "v2") continue
    if (!isNode(node)) return yield* new UnexpectedBundle({ reason: `definition ${name} is no object` })
    const hoisted = rewriteRefs(withoutHeader(node))
    const existing = definitions[name]
    if (existing !== undefined && JSON.stringify(existing) !== JSON.stringify(hoisted)) {
      return yield* new UnexpectedBundle({ reason: `definition ${name} differs between the two namespaces` })
    }
    definitions[name] = hoisted
  }
  const sorted: Definitions = Object.fromEntries(Object.entries(definitions).sort(([a], [b]) => a < b ? -1 : 1))
  for (const [name, node] of Object.entries(sorted)) {
    const missing = checkRefs(node).find((ref) => sorted[ref] === undefined)
    if (missing !== undefined) {
      return yield* new UnexpectedBundle({ reason: `${name} refers to ${missing}, which is not there` })
    }
  }
  return sorted
})

const checkRefs = (node: Node): ReadonlyArray<string> => {
  const refs: Array<string> = []
  const visit = (current: Node): Node => {
    if (typeof current.$ref === "string") refs.push(refName(current) ?? current.$ref)
    return mapChildren(current, visit)
  }
  visit(node)
  return refs
}
