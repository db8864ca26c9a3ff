/**
 * How the members of each union tell themselves apart. A union is only ever opened when something decides before any
 * payload is looked at: a tag, the one key of an object, or a string.
 */
import type { Definitions, Node } from "../../packages/node/src/protocol/jsonSchema.ts"
import {
  branchesOf,
  isNode,
  isNull,
  omit,
  propertiesOf,
  refName,
  stringsOf
} from "../../packages/node/src/protocol/jsonSchema.ts"
import { enumOf } from "./passes.ts"

/** What decides between the members of a union. */
export type UnionShape =
  | { readonly kind: "tagged"; readonly tag: string; readonly known: ReadonlyArray<string> }
  | { readonly kind: "keyed"; readonly strings: ReadonlyArray<string>; readonly known: ReadonlyArray<string> }
  /** By JSON type, or by which fields are required: nothing names a variant, so nothing can be an unknown one. */
  | { readonly kind: "untagged" }

/** The struct branches of a union, those of unions it refers to included. */
const structsOf = (definitions: Definitions, branch: Node): ReadonlyArray<Node> => {
  const name = refName(branch)
  const target = name === undefined ? branch : definitions[name]
  if (target === undefined) return []
  const branches = branchesOf(target)
  return branches === undefined ? [target] : branches.flatMap((_) => structsOf(definitions, _))
}

interface Tag {
  readonly values: ReadonlyArray<string>
  readonly definition: string | undefined
}

const tagsOf = (definitions: Definitions, struct: Node): ReadonlyMap<string, Tag> => {
  const tags = new Map<string, Tag>()
  for (const [key, property] of Object.entries(propertiesOf(struct))) {
    if (!isNode(property) || !stringsOf(struct.required).includes(key)) continue
    const definition = refName(property)
    const target = definition === undefined ? property : definitions[definition]
    const values = target === undefined ? undefined : enumOf(target)
    if (values === undefined || definition === undefined && values.length !== 1) continue
    tags.set(key, { values, definition })
  }
  return tags
}

const sharedTag = (
  definitions: Definitions,
  branches: ReadonlyArray<Node>
): { readonly key: string; readonly tags: ReadonlyArray<Tag> } | undefined => {
  const structs = branches.flatMap((branch) => structsOf(definitions, branch))
  const all = structs.map((struct) => tagsOf(definitions, struct))
  const [first, ...others] = all
  if (first === undefined) return undefined
  const candidates = [...first.keys()].filter((key) => others.every((tags) => tags.has(key))).map((key) => ({
    key,
    tags: all.flatMap((tags) => tags.get(key) ?? [])
  }))
  return candidates.find(({ tags }) => tags.every((tag) => tag.definition === undefined)) ??
    candidates.find(({ tags }) => new Set(tags.map((tag) => tag.values.join())).size > 1)
}

/** A type without any constraint beside strings and objects: a union's own catch-all, which hides bad data. */
export const isCatchAll = (branch: Node): boolean => {
  const types = stringsOf(branch.type)
  return types.length > 0 && types.every((type) => type === "string" || type === "object") &&
    Object.keys(omit(branch, "type", "description", "title")).length === 0
}

const soleKey = (branch: Node): string | undefined => {
  const [key, ...more] = Object.keys(propertiesOf(branch))
  return more.length === 0 && key !== undefined && stringsOf(branch.required).includes(key) &&
      branch.additionalProperties === false
    ? key
    : undefined
}

/** What decides between the members of `node`, or `undefined` when it is no union. */
export const shapeOf = (definitions: Definitions, node: Node): UnionShape | undefined => {
  const branches = branchesOf(node)?.filter((branch) => !isNull(branch))
  if (branches === undefined || branches.length === 0) return undefined
  const original = branchesOf(node) ?? []
  if (branches.length === 1 && original.length === 2) return undefined
  const tag = sharedTag(definitions, branches)
  if (tag !== undefined) {
    return { kind: "tagged", tag: tag.key, known: [...new Set(tag.tags.flatMap((_) => _.values))].sort() }
  }
  const strings: Array<string> = []
  const known: Array<string> = []
  for (const branch of branches) {
    const members = enumOf(branch)
    const key = soleKey(branch)
    if (members !== undefined) strings.push(...members)
    else if (key !== undefined) known.push(key)
    else if (!isCatchAll(branch)) return { kind: "untagged" }
  }
  return known.length === 0 ? { kind: "untagged" } : { kind: "keyed", strings, known: known.sort() }
}

/** Names that play a part inside another union, and so must not be opened on their own. */
export interface UnionRoles {
  /** Enums that are the tag of a union: opened, an unknown tag would match every branch. */
  readonly tags: ReadonlySet<string>
  /** Unions that are a branch of a tagged union: opened, they would take what belongs to their siblings. */
  readonly branches: ReadonlySet<string>
}

/** Finds the definitions that play a part inside the unions of `definitions`. */
export const rolesOf = (definitions: Definitions): UnionRoles => {
  const tags = new Set<string>()
  const branches = new Set<string>()
  for (const node of Object.values(definitions)) {
    const members = branchesOf(node)
    if (members === undefined || shapeOf(definitions, node)?.kind !== "tagged") continue
    for (const tag of sharedTag(definitions, members)?.tags ?? []) {
      if (tag.definition !== undefined) tags.add(tag.definition)
    }
    for (const member of members) {
      const name = refName(member)
      const target = name === undefined ? undefined : definitions[name]
      if (name !== undefined && target !== undefined && branchesOf(target) !== undefined) branches.add(name)
    }
  }
  return { tags, branches }
}

/**
 * Structs that share a tag value are told apart by their other fields, in order. Where serde refuses fields it does not
 * know (`additionalProperties: false`), a struct must refuse at least those of its siblings: otherwise it would take
 * their payloads and strip what they carry.
 */
export const forbidSiblingKeys = (definitions: Definitions): Definitions => {
  const forbidden = new Map<string, Set<string>>()
  const leaves = (name: string): ReadonlyArray<string> => {
    const target = definitions[name]
    const members = target === undefined ? undefined : branchesOf(target)
    return members === undefined ? [name] : members.flatMap((_) => {
      const ref = refName(_)
      return ref === undefined ? [] : leaves(ref)
    })
  }
  for (const [union, node] of Object.entries(definitions)) {
    const tag = sharedTag(definitions, branchesOf(node) ?? [])
    if (tag === undefined) continue
    const structs = leaves(union).flatMap((name) => {
      const struct = definitions[name]
      return struct === undefined ? [] : [{ name, struct, tag: tagsOf(definitions, struct).get(tag.key)?.values ?? [] }]
    })
    for (const one of structs) {
      if (one.struct.additionalProperties !== false) continue
      for (const other of structs) {
        if (other === one || !other.tag.some((value) => one.tag.includes(value))) continue
        for (const key of Object.keys(propertiesOf(other.struct))) {
          if (Object.hasOwn(propertiesOf(one.struct), key)) continue
          const keys = forbidden.get(one.name) ?? new Set<string>()
          forbidden.set(one.name, keys.add(key))
        }
      }
    }
  }
  return Object.fromEntries(
    Object.entries(definitions).map(([name, node]) => {
      const keys = [...forbidden.get(name) ?? []].sort()
      return [
        name,
        keys.length === 0
          ? node
          : { ...node, properties: { ...propertiesOf(node), ...Object.fromEntries(keys.map((key) => [key, false])) } }
      ]
    })
  )
}
