/**
 * What the JSON Schema importer cannot take as it is, one small pass each. All of them work on the wire's own shapes
 * and change no meaning.
 */
import * as Effect from "effect/Effect"
import { UnexpectedBundle } from "../../packages/node/src/protocol/bundle.ts"
import type { Definitions, Node } from "../../packages/node/src/protocol/jsonSchema.ts"
import {
  branchesOf,
  mapChildren,
  nodesOf,
  omit,
  propertiesOf,
  stringsOf
} from "../../packages/node/src/protocol/jsonSchema.ts"

/**
 * `allOf: [{ $ref }]` is how schemars attaches a default or a description to a reference; as an intersection it would
 * become a `Schema.suspend`.
 */
export const unwrapAllOf = (node: Node): Node => {
  const mapped = mapChildren(node, unwrapAllOf)
  const members = nodesOf(mapped.allOf)
  const [only] = members
  return members.length === 1 && only !== undefined ? { ...omit(mapped, "allOf"), ...only } : mapped
}

/**
 * serde's `flatten` puts `properties` beside `oneOf` or `anyOf`, an intersection the importer refuses. The properties
 * are copied into each branch instead, and a union of branches inside a branch joins its parent.
 */
export const distribute = (node: Node): Node => {
  const mapped = mapChildren(node, distribute)
  const branches = branchesOf(mapped)
  if (branches === undefined) return mapped
  const shared = propertiesOf(mapped)
  const required = stringsOf(mapped.required)
  const flat = branches.flatMap((branch) => {
    const inner = branchesOf(branch)
    return inner === undefined
      ? [branch]
      : inner.map((_) => branch.description === undefined ? _ : { description: branch.description, ..._ })
  })
  if (Object.keys(shared).length === 0) {
    return { ...omit(mapped, "oneOf"), anyOf: flat }
  }
  return {
    ...omit(mapped, "oneOf", "properties", "required", "type"),
    anyOf: flat.map((branch) => ({
      ...branch,
      type: "object",
      properties: { ...shared, ...propertiesOf(branch) },
      required: [...new Set([...required, ...stringsOf(branch.required)])]
    }))
  }
}

/** The members of a closed set of strings. */
export const enumOf = (node: Node): ReadonlyArray<string> | undefined => {
  const members = stringsOf(node.enum)
  return node.type === "string" && members.length > 0 ? members : undefined
}

/** schemars writes an enum whose members have docs as a union of smaller enums; the docs move to the whole. */
export const mergeEnums = (node: Node): Node => {
  const mapped = mapChildren(node, mergeEnums)
  const branches = branchesOf(mapped)
  if (branches === undefined) return mapped
  const enums = branches.filter((branch) => enumOf(branch) !== undefined)
  if (enums.length < 2 && enums.length !== branches.length) return mapped
  const members = [...new Set(enums.flatMap((branch) => enumOf(branch) ?? []))]
  const docs = enums.flatMap((branch) =>
    typeof branch.description === "string"
      ? [`- ${(enumOf(branch) ?? []).map((member) => `\`${member}\``).join(", ")}: ${branch.description}`]
      : []
  )
  const description = [
    ...(typeof mapped.description === "string" ? [mapped.description] : []),
    ...(docs.length > 0 ? [docs.join("\n")] : [])
  ].join("\n\n")
  const merged: Node = { type: "string", enum: members }
  const rest = branches.filter((branch) => enumOf(branch) === undefined)
  return {
    ...omit(mapped, "anyOf", "oneOf", "type"),
    ...(description === "" ? {} : { description }),
    ...(rest.length === 0 ? merged : { anyOf: [merged, ...rest] })
  }
}

const HEADING = /^NEW (?:NOTIFICATIONS|APIs)\s*/

/** A heading of the protocol's source, caught as the doc of whatever stands below it. */
export const dropHeadings = (node: Node): Node => {
  const mapped = mapChildren(node, dropHeadings)
  if (typeof mapped.description !== "string" || !HEADING.test(mapped.description)) return mapped
  const description = mapped.description.replace(HEADING, "")
  return description === "" ? omit(mapped, "description") : { ...mapped, description }
}

/**
 * Unions whose variants the JSON Schema names in snake case, while the wire and the binary's own TypeScript declarations
 * have them in camel case: the schema generator knows no `rename_all_fields`. An entry that is not needed fails the
 * generation, so the table cannot go stale.
 */
export const MISNAMED: ReadonlyArray<string> = [
  "AccountSessionsSwitchResponse",
  "ThreadRealtimeItem",
  "ThreadTimelineEntry"
]

const camelCase = (key: string): string => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** Gives the variants of a union the names that their fields have on the wire. */
export const renameFields = (node: Node): Node => ({
  ...node,
  anyOf: (branchesOf(node) ?? []).map((branch) => ({
    ...branch,
    properties: Object.fromEntries(
      Object.entries(propertiesOf(branch)).map(([key, value]) => [camelCase(key), value])
    ),
    required: stringsOf(branch.required).map(camelCase)
  }))
})

/** Applies {@link renameFields} to these definitions. With `partial` one of them may be missing, as in the stable protocol. */
export const correctNames = Effect.fnUntraced(
  function*(definitions: Definitions, misnamed: ReadonlyArray<string>, options?: { readonly partial?: boolean }) {
    const corrected: Record<string, Node> = { ...definitions }
    for (const name of misnamed) {
      const node = definitions[name]
      if (node === undefined && options?.partial === true) continue
      const fields = (branchesOf(node ?? {}) ?? []).flatMap((branch) => Object.keys(propertiesOf(branch)))
      if (node === undefined || fields.every((field) => camelCase(field) === field)) {
        return yield* new UnexpectedBundle({ reason: `${name} has no field to rename` })
      }
      corrected[name] = renameFields(node)
    }
    return corrected
  }
)

/** The passes above, in their order. */
export const normalize = (definitions: Definitions): Definitions =>
  Object.fromEntries(
    Object.entries(definitions).map(([name, node]) => [
      name,
      mergeEnums(distribute(unwrapAllOf(dropHeadings(node))))
    ])
  )
