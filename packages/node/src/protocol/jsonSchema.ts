/** One JSON Schema object. The passes never change one in place. */
export type Node = Readonly<Record<string, unknown>>

/** Definitions by name. */
export type Definitions = Readonly<Record<string, Node>>

/** Whether `input` is a JSON object. */
export const isNode = (input: unknown): input is Node =>
  typeof input === "object" && input !== null && !Array.isArray(input)

/** The objects among the elements of `input`, or none when it is no array. */
export const nodesOf = (input: unknown): ReadonlyArray<Node> => Array.isArray(input) ? input.filter(isNode) : []

/** The strings among the elements of `input`, or none when it is no array. */
export const stringsOf = (input: unknown): ReadonlyArray<string> =>
  Array.isArray(input) ? input.filter((_) => typeof _ === "string") : []

/** The properties of an object schema; boolean schemas stay as they are. */
export const propertiesOf = (node: Node): Readonly<Record<string, unknown>> =>
  isNode(node.properties) ? node.properties : {}

const REF = /^#\/(?:definitions|\$defs)\/(?:v2\/)?([^/]+)$/

/** The name of the definition `node` refers to. */
export const refName = (node: unknown): string | undefined =>
  isNode(node) && typeof node.$ref === "string" ? REF.exec(node.$ref)?.[1] : undefined

/** A reference to a definition. */
export const refTo = (name: string): Node => ({ $ref: `#/$defs/${name}` })

/** `anyOf` and `oneOf` mean the same throughout this protocol: branches are disjoint or tried in order. */
export const branchesOf = (node: Node): ReadonlyArray<Node> | undefined =>
  Array.isArray(node.oneOf) ? nodesOf(node.oneOf) : Array.isArray(node.anyOf) ? nodesOf(node.anyOf) : undefined

/** Whether `node` is the schema of `null` alone. */
export const isNull = (node: Node): boolean => node.type === "null"

/** The other branch of `X | null`. */
export const nullable = (node: unknown): Node | undefined => {
  if (!isNode(node)) return undefined
  const branches = branchesOf(node)
  if (branches === undefined || branches.length !== 2 || !branches.some(isNull)) return undefined
  return branches.find((branch) => !isNull(branch))
}

const mapValues = (record: Node, f: (value: unknown, key: string) => unknown): Node =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value, key)]))

/** Applies `f` to the schemas directly below `node`, and to nothing that is data (`default`, `enum`). */
export const mapChildren = (node: Node, f: (child: Node) => Node): Node => {
  const one = (child: unknown) => isNode(child) ? f(child) : child
  return mapValues(node, (value, key) => {
    switch (key) {
      case "properties":
        return isNode(value) ? mapValues(value, one) : value
      case "anyOf":
      case "oneOf":
      case "allOf":
        return Array.isArray(value) ? value.map(one) : value
      case "items":
      case "additionalProperties":
        return one(value)
      default:
        return value
    }
  })
}

/** `node` without the named keywords. */
export const omit = (node: Node, ...keys: ReadonlyArray<string>): Node =>
  Object.fromEntries(Object.entries(node).filter(([key]) => !keys.includes(key)))

/** Every definition `node` refers to, at any depth. */
export const collectRefs = (node: Node): ReadonlySet<string> => {
  const names = new Set<string>()
  const visit = (current: Node): Node => {
    const name = refName(current)
    if (name !== undefined) names.add(name)
    return mapChildren(current, visit)
  }
  visit(node)
  return names
}

/** Every definition reachable from `roots`, the roots included. */
export const reachable = (definitions: Definitions, roots: Iterable<string>): ReadonlySet<string> => {
  const seen = new Set<string>()
  const pending = [...roots]
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const node = definitions[name]
    if (node === undefined || seen.has(name)) continue
    seen.add(name)
    pending.push(...collectRefs(node))
  }
  return seen
}
