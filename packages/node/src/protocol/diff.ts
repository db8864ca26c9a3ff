/** What has changed between two versions of the protocol, as a client sees it. */
import {
  branchesOf,
  type Definitions,
  isNode,
  isNull,
  type Node,
  nodesOf,
  propertiesOf,
  reachable,
  refName,
  stringsOf
} from "./jsonSchema.ts"

/** One change. */
export interface Change {
  readonly change: "added" | "removed" | "changed"
  /** What has changed: a method, a type, a field of one, a variant of a union, a member of an enum. */
  readonly kind: "method" | "type" | "field" | "variant"
  /** Where, as `thread/start`, `ThreadStartParams.model`, `ThreadItem "agentMessage".text`. */
  readonly at: string
  /** How, where there is more to say. */
  readonly detail?: string
  /** Whether a client that was made for the old version may fail with the new one. */
  readonly breaking: boolean
}

/**
 * All changes, by name. What is gone breaks a client, and so does a field that it has to send now, one that it cannot
 * count on any more, and another type. What is new does not: what the server sends is read as open.
 */
export const diff = (before: Definitions, after: Definitions): ReadonlyArray<Change> => [
  ...unions.flatMap((union) => methodChanges(methodsOf(before, union), methodsOf(after, union))),
  ...definitionChanges(before, after)
]

/** The names of the methods of a union of the protocol. */
export const methodsOf = (definitions: Definitions, union: Union): ReadonlySet<string> => {
  const branches = branchesOf(definitions[union] ?? {}) ?? []
  return new Set(branches.flatMap((branch) => {
    const { method } = propertiesOf(branch)
    return isNode(method) ? stringsOf(method.enum) : []
  }))
}

/** The unions of the methods of each direction. */
export const unions = ["ClientRequest", "ServerRequest", "ServerNotification", "ClientNotification"] as const

export type Union = typeof unions[number]

const methodChanges = (before: ReadonlySet<string>, after: ReadonlySet<string>): ReadonlyArray<Change> => [
  ...sorted(before).filter((at) => !after.has(at)).map((at) =>
    ({ change: "removed", kind: "method", at, breaking: true }) as const
  ),
  ...sorted(after).filter((at) => !before.has(at)).map((at) =>
    ({ change: "added", kind: "method", at, breaking: false }) as const
  )
]

const sorted = (names: Iterable<string>): ReadonlyArray<string> => [...names].sort()

// =============================================================================
// Types
// =============================================================================

/** Who writes a value: what may change about it differs. */
interface Roles {
  /** The client does. */
  readonly sent: boolean
  /** The server does. */
  readonly received: boolean
}

const definitionChanges = (before: Definitions, after: Definitions): ReadonlyArray<Change> => {
  const rolesBefore = rolesOf(before)
  const rolesAfter = rolesOf(after)
  // Their members are the methods, which are told by themselves.
  const skipped = new Set<string>(unions)
  return sorted(new Set([...Object.keys(before), ...Object.keys(after)])).flatMap((name): ReadonlyArray<Change> => {
    const old = before[name]
    const now = after[name]
    if (skipped.has(name)) return []
    // Whatever referred to a type that is gone has changed, too, and is told there.
    if (old === undefined) return [{ change: "added", kind: "type", at: name, breaking: false }]
    if (now === undefined) return [{ change: "removed", kind: "type", at: name, breaking: false }]
    const [a, b] = [rolesBefore(name), rolesAfter(name)]
    return compare(old, now, name, { sent: a.sent || b.sent, received: a.received || b.received })
  })
}

const rolesOf = (definitions: Definitions): (name: string) => Roles => {
  const answers = new Set(
    (branchesOf(definitions["ServerRequest"] ?? {}) ?? []).flatMap((branch) => {
      const params = refName(propertiesOf(branch).params)
      return params === undefined ? [] : [params.replace(/Params$/, "Response")]
    })
  )
  const results = Object.keys(definitions).filter((name) => name.endsWith("Response") && !answers.has(name))
  const sent = reachable(definitions, ["ClientRequest", "ClientNotification", ...answers])
  const received = reachable(definitions, ["ServerRequest", "ServerNotification", ...results])
  return (name) => ({ sent: sent.has(name), received: received.has(name) })
}

/** The changes of a value. Types that it refers to are compared by themselves. */
const compare = (before: unknown, after: unknown, at: string, roles: Roles): ReadonlyArray<Change> => {
  const old = plain(before)
  const now = plain(after)
  if (JSON.stringify(old) === JSON.stringify(now)) return []
  const oldVariants = variantsOf(old)
  const newVariants = variantsOf(now)
  const changes = [
    ...(oldVariants === undefined && newVariants === undefined
      ? []
      : variantChanges(oldVariants ?? single(old), newVariants ?? single(now), at, roles)),
    ...(isObject(old) && isObject(now) ? fieldChanges(old, now, at, roles) : []),
    ...(isNode(old.items) && isNode(now.items) ? compare(old.items, now.items, `${at}[]`, roles) : []),
    ...(isNode(old.additionalProperties) && isNode(now.additionalProperties)
      ? compare(old.additionalProperties, now.additionalProperties, `${at}{}`, roles)
      : [])
  ]
  const [from, to] = [typeOf(old), typeOf(now)]
  return changes.length > 0 || from === to ? changes : [{
    change: "changed",
    kind: at.includes(".") ? "field" : "type",
    at,
    detail: `${from} -> ${to}`,
    breaking: true
  }]
}

/** A schema without what is said about it. */
const plain = (schema: unknown): Node => {
  if (!isNode(schema)) return {}
  const [only, ...more] = nodesOf(schema.allOf)
  if (only !== undefined && more.length === 0) return plain(only)
  return Object.fromEntries(
    Object.entries(schema).filter(([key]) => !ignored.has(key)).map(([key, value]) => [
      key,
      // The names of properties are no keywords.
      key === "properties" && isNode(value)
        ? Object.fromEntries(Object.entries(value).map(([name, property]) => [name, stripped(property)]))
        : stripped(value)
    ])
  )
}

const ignored = new Set(["$schema", "default", "deprecated", "description", "examples", "title"])

const stripped = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(stripped) : isNode(value) ? plain(value) : value

const isObject = (node: Node): boolean => isNode(node.properties) || node.type === "object"

const fieldChanges = (before: Node, after: Node, at: string, roles: Roles): ReadonlyArray<Change> => {
  const old = propertiesOf(before)
  const now = propertiesOf(after)
  const wasRequired = new Set(stringsOf(before.required))
  const isRequired = new Set(stringsOf(after.required))
  return sorted(new Set([...Object.keys(old), ...Object.keys(now)])).flatMap((key): ReadonlyArray<Change> => {
    const field = { kind: "field", at: `${at}.${key}` } as const
    if (!Object.hasOwn(now, key)) return [{ ...field, change: "removed", breaking: true }]
    if (!Object.hasOwn(old, key)) {
      const required = isRequired.has(key)
      return [{
        ...field,
        change: "added",
        ...(required ? { detail: "required" } : {}),
        breaking: required && roles.sent
      }]
    }
    return [
      ...(wasRequired.has(key) === isRequired.has(key) ? [] : [
        isRequired.has(key)
          ? { ...field, change: "changed", detail: "optional -> required", breaking: roles.sent } as const
          : { ...field, change: "changed", detail: "required -> optional", breaking: roles.received } as const
      ]),
      ...compare(old[key], now[key], field.at, roles)
    ]
  })
}

// =============================================================================
// Variants
// =============================================================================

type Variants = ReadonlyMap<string, Node>

/** The variants of a union, or the members of an enum, by what tells them apart. */
const variantsOf = (node: Node): Variants | undefined => {
  const branches = branchesOf(node)
  if (branches !== undefined) {
    const variants = new Map<string, Node>()
    for (const branch of branches) {
      const members = variantsOf(branch)
      if (members === undefined) variants.set(labelOf(branch), branch)
      else for (const [label, member] of members) variants.set(label, member)
    }
    return variants
  }
  if (Array.isArray(node.enum)) return new Map(node.enum.map((member) => [JSON.stringify(member), {}]))
  // `["string", "null"]`
  return Array.isArray(node.type)
    ? new Map(stringsOf(node.type).map((type) => [type, { ...node, type }]))
    : undefined
}

/** What is no union is one of a single variant: null may be added to it. */
const single = (node: Node): Variants => new Map([[labelOf(node), node]])

const variantChanges = (before: Variants, after: Variants, at: string, roles: Roles): ReadonlyArray<Change> =>
  sorted(new Set([...before.keys(), ...after.keys()])).flatMap((label): ReadonlyArray<Change> => {
    const old = before.get(label)
    const now = after.get(label)
    const variant = { kind: "variant", at: `${at} ${label}` } as const
    if (old === undefined) {
      // Nobody expects null where there was none.
      return [{ ...variant, change: "added", breaking: label === "null" && roles.received }]
    }
    if (now === undefined) return [{ ...variant, change: "removed", breaking: label !== "null" || roles.sent }]
    return compare(old, now, variant.at, roles)
  })

/** What tells a variant from the others. */
const labelOf = (branch: Node): string => {
  if (isNull(branch)) return "null"
  const name = refName(branch)
  if (name !== undefined) return name
  const properties = Object.entries(propertiesOf(branch))
  for (const [, property] of properties) {
    const members = isNode(property) ? stringsOf(property.enum) : []
    if (members.length === 1) return JSON.stringify(members[0])
  }
  const [key] = stringsOf(branch.required)
  return key === undefined ? typeOf(branch) : `{${stringsOf(branch.required).join(", ")}}`
}

/** A type in a word or a few. */
const typeOf = (node: Node): string => {
  const name = refName(node)
  if (name !== undefined) return name
  const variants = variantsOf(node)
  if (variants !== undefined) return [...variants.keys()].join(" | ")
  if (node.type === "array") return isNode(node.items) ? `${typeOf(node.items)}[]` : "array"
  return typeof node.type === "string"
    ? `${node.type}${typeof node.format === "string" ? ` (${node.format})` : ""}`
    : "any"
}
