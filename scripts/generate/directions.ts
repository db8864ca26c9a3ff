/** Which definitions the client sends and which it receives. */
import type { Definitions } from "../../packages/node/src/protocol/jsonSchema.ts"
import { collectRefs } from "../../packages/node/src/protocol/jsonSchema.ts"

/** `in` is what the app-server sends: open. `out` is what a caller sends: closed. */
export type Direction = "in" | "out"

/**
 * The definitions whose two forms differ: in themselves, by what `localForm` says, or through one they refer to.
 */
export const differing = (
  definitions: Definitions,
  localForm: (name: string, direction: Direction) => unknown
): ReadonlySet<string> => {
  const users = new Map<string, Array<string>>()
  for (const [name, node] of Object.entries(definitions)) {
    for (const ref of collectRefs(node)) users.set(ref, [...users.get(ref) ?? [], name])
  }
  const different = new Set<string>()
  const pending = Object.keys(definitions).filter((name) =>
    JSON.stringify(localForm(name, "in")) !== JSON.stringify(localForm(name, "out"))
  )
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (different.has(name)) continue
    different.add(name)
    pending.push(...users.get(name) ?? [])
  }
  return different
}
