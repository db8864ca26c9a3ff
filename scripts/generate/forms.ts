/** The two forms of a definition: open as the app-server sends it, closed as a caller sends it. */
import * as Effect from "effect/Effect"
import type { Definitions, Node } from "../../packages/node/src/protocol/jsonSchema.ts"
import {
  branchesOf,
  isNode,
  isNull,
  mapChildren,
  nodesOf,
  nullable,
  omit,
  propertiesOf,
  refName,
  refTo,
  stringsOf
} from "../../packages/node/src/protocol/jsonSchema.ts"
import type { Direction } from "./directions.ts"
import { NameCollision, UnsupportedDefinition } from "./errors.ts"
import { enumOf } from "./passes.ts"
import type { UnionRoles, UnionShape } from "./unions.ts"
import { isCatchAll, shapeOf } from "./unions.ts"

/** The name under which the prelude has the schema of an enum member this package does not know. */
export const UNKNOWN_MEMBER = "UnknownMember"

/** The name of the schema of a variant of `union` this package does not know. */
export const unknownName = (union: string): string => `Unknown${union}`

/** Chooses the name a property has while it passes through the importer. */
export type Mark = (key: string, property: unknown, optional: boolean) => string

/** What a form is built with. */
export interface FormOptions {
  readonly definitions: Definitions
  readonly roles: UnionRoles
  readonly direction: Direction
  /** The name a referenced definition has in this form. */
  readonly resolve: (name: string) => string
  readonly mark: Mark
}

const ANNOTATIONS = ["$schema", "title", "description", "default", "format", "examples"]

/** The bounds of the integers a caller may send. Beyond 32 bits `Schema.Int` itself is the bound. */
const BOUNDS: Readonly<Record<string, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32_768, 32_767],
  uint16: [0, 65_535],
  int32: [-2_147_483_648, 2_147_483_647],
  uint32: [0, 4_294_967_295]
}

/** Incoming integers lose their bounds, since what is beyond them is still a number; outgoing ones get their format's. */
export const numbers = (node: Node, direction: Direction): Node => {
  const types = [node.type].flat()
  if (!types.includes("integer") && !types.includes("number")) return node
  if (direction === "in") {
    const widened = types.map((type) => type === "integer" ? "number" : type)
    return { ...omit(node, "minimum", "maximum"), type: widened.length === 1 ? widened[0] : widened }
  }
  const bounds = typeof node.format === "string" ? BOUNDS[node.format] : undefined
  return bounds === undefined ? node : { ...node, minimum: node.minimum ?? bounds[0], maximum: bounds[1] }
}

const unknownOf = (name: string): Node => refTo(unknownName(name))

/** Builds the form of the definition `name`. */
export const formOf = (name: string, options: FormOptions): Node => {
  const { definitions, direction, mark, resolve, roles } = options
  const open = direction === "in"

  // `tag` stays closed: it decides. `carrier` is the property that has the branch's description when it has none itself,
  // since the importer drops what describes a whole branch.
  const struct = (node: Node, tag: string | undefined, carrier = tag): Node => {
    const properties = propertiesOf(node)
    const required = stringsOf(node.required)
    const keys = Object.keys(properties)
    if (keys.length === 0 && node.additionalProperties === undefined) {
      // Without properties the importer makes a record: of anything where more may come, of nothing where it may not.
      return { type: "object", additionalProperties: open }
    }
    const marked = new Map(keys.map((key) => {
      const property = properties[key]
      const documented = key === carrier && isNode(property) && property.description === undefined
        ? { ...property, description: node.description }
        : property
      return [key, mark(key, documented, !required.includes(key))]
    }))
    const rename = (key: string) => marked.get(key) ?? key
    return {
      type: "object",
      properties: Object.fromEntries(keys.map((key) => {
        const property = properties[key]
        return [rename(key), isNode(property) ? key === tag ? literal(property) : build(property) : property]
      })),
      required: required.map(rename),
      additionalProperties: isNode(node.additionalProperties)
        ? build(node.additionalProperties)
        : node.additionalProperties ?? false
    }
  }

  const literal = (node: Node): Node => {
    const ref = refName(node)
    return ref === undefined ? omit(node, ...ANNOTATIONS) : refTo(resolve(ref))
  }

  const build = (node: Node): Node => {
    const ref = refName(node)
    if (ref !== undefined) return refTo(resolve(ref))
    const members = enumOf(node)
    if (members !== undefined) {
      const closed: Node = { type: "string", enum: members }
      return open ? { anyOf: [closed, refTo(UNKNOWN_MEMBER)] } : closed
    }
    if (branchesOf(node) !== undefined) return union(node, undefined)
    if (node.type === "object" || node.properties !== undefined) return struct(node, undefined)
    return omit(numbers(mapChildren(node, build), direction), ...ANNOTATIONS)
  }

  const union = (node: Node, shape: UnionShape | undefined): Node => {
    const branches = branchesOf(node) ?? []
    switch (shape?.kind) {
      case "tagged": {
        const known = branches.map((branch) => {
          const ref = refName(branch)
          return ref === undefined ? struct(branch, shape.tag) : refTo(resolve(ref))
        })
        // Among themselves the known ones are told apart by one look at the tag; beside a variant without one they are not.
        return { anyOf: open && !roles.branches.has(name) ? [{ anyOf: known }, unknownOf(name)] : known }
      }
      case "keyed": {
        const objects = branches.filter((branch) => enumOf(branch) === undefined && !isCatchAll(branch))
          .map((branch) => struct(branch, undefined, Object.keys(propertiesOf(branch))[0]))
        const strings: ReadonlyArray<Node> = shape.strings.length === 0
          ? []
          : [{ type: "string", enum: shape.strings }, ...(open ? [refTo(UNKNOWN_MEMBER)] : [])]
        return { anyOf: [...strings, ...objects, ...(open ? [unknownOf(name)] : [])] }
      }
      default:
        return { anyOf: branches.map((branch) => isNull(branch) ? branch : build(branch)) }
    }
  }

  const node = definitions[name] ?? {}
  if (roles.tags.has(name)) return literal(node)
  return branchesOf(node) === undefined ? build(node) : union(node, shapeOf(definitions, node))
}

/** The unions whose open form has a variant for what is not known, with what decides. */
export const openUnions = (
  definitions: Definitions,
  roles: UnionRoles,
  incoming: Iterable<string>
): ReadonlyMap<string, Exclude<UnionShape, { readonly kind: "untagged" }>> => {
  const unions = new Map<string, Exclude<UnionShape, { readonly kind: "untagged" }>>()
  for (const name of incoming) {
    const node = definitions[name]
    const shape = node === undefined ? undefined : shapeOf(definitions, node)
    if (shape === undefined || shape.kind === "untagged" || roles.branches.has(name)) continue
    unions.set(name, shape)
  }
  return unions
}

/** What no form can be made of: a union below a property has no name for its unknown variant. */
export const checkInlineUnions = Effect.fnUntraced(function*(definitions: Definitions) {
  for (const [definition, node] of Object.entries(definitions)) {
    const problems: Array<string> = []
    const visit = (current: Node): Node => {
      if (nullable(current) === undefined && (branchesOf(current)?.length ?? 0) > 0) {
        const shape = shapeOf(definitions, current)
        if (shape !== undefined && shape.kind !== "untagged") problems.push(`an unnamed ${shape.kind} union inside`)
      }
      if (nodesOf(current.allOf).length > 0) problems.push("an intersection")
      return mapChildren(current, visit)
    }
    mapChildren(node, visit)
    const [reason] = problems
    if (reason !== undefined) return yield* new UnsupportedDefinition({ definition, reason })
  }
})

/** Fails when two things would be written under one name, or one under no good name. */
export const checkNames = Effect.fnUntraced(function*(names: Iterable<readonly [name: string, origin: string]>) {
  const seen = new Map<string, string>()
  for (const [name, origin] of names) {
    const other = seen.get(name)
    if (other !== undefined) return yield* new NameCollision({ name, reason: `both ${other} and ${origin}` })
    if (!/^[A-Z][A-Za-z0-9]*$/.test(name)) {
      return yield* new NameCollision({ name, reason: "is no identifier with a capital" })
    }
    seen.set(name, origin)
  }
})
