/** JSON schemas as Effect makes them, on their way to the model. */
import * as Predicate from "effect/Predicate"

/** Without definitions that nothing refers to, as the encoding of a class has one: the model is charged for each. */
export const withoutUnused = (schema: object): object => {
  const { $defs, ...root } = fields(schema)
  if (!Predicate.isObject($defs)) return schema
  const definitions = fields($defs)
  const used = new Map<string, unknown>()
  const visit = (part: unknown): void => {
    if (!Predicate.isObject(part) && !Array.isArray(part)) return
    for (const [key, value] of Object.entries(part)) {
      const name = key === "$ref" && typeof value === "string" ? definitionOf(value) : undefined
      if (name === undefined) visit(value)
      else if (!used.has(name) && Object.hasOwn(definitions, name)) {
        used.set(name, definitions[name])
        visit(definitions[name])
      }
    }
  }
  visit(root)
  return used.size === 0 ? root : { ...root, $defs: Object.fromEntries(used) }
}

/** The name of what is referred to, of which a reference has an encoding of its own. */
export const definitionOf = ($ref: string): string =>
  decodeURIComponent($ref.replace("#/$defs/", "")).replaceAll("~1", "/").replaceAll("~0", "~")

export const fields = (schema: object): Record<string, unknown> => ({ ...schema })

/**
 * The same with an object at its root, as the model's API wants it of what a function takes; undefined where it describes
 * something else.
 */
export const objectOf = (schema: object): object | undefined => {
  const { $defs, ...root } = fields(schema)
  if (root.type === "object") return schema
  const definitions = Predicate.isObject($defs) ? fields($defs) : {}
  const described = dereferenced(root, definitions)
  const { not, ...others } = described
  if (Predicate.isObject(not) && fields(not).type === "null") {
    // A struct without fields: it takes whatever is not null, of which the model would be told nothing.
    return { ...others, type: "object", properties: {}, additionalProperties: false }
  }
  // What takes anything takes any object.
  if (Object.keys(described).every((key) => key === "description" || key === "title")) {
    return { ...described, type: "object", properties: {}, additionalProperties: true }
  }
  return described.type === "object" ? withoutUnused({ ...described, $defs: definitions }) : undefined
}

/** What the references at the root lead to; one that leads back to itself stays. */
const dereferenced = (
  root: Record<string, unknown>,
  definitions: Record<string, unknown>
): Record<string, unknown> => {
  const visited = new Set<string>()
  let described = root
  for (;;) {
    const { $ref, ...beside } = described
    if (typeof $ref !== "string" || visited.has($ref)) return described
    visited.add($ref)
    const definition = definitions[definitionOf($ref)]
    if (!Predicate.isObject(definition)) return described
    described = { ...fields(definition), ...beside }
  }
}
