/** Paths of the app-server's machine, by their names alone: no file is looked at. */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"

/**
 * Whether two absolute paths name the same. The server takes `..` out by name too, whatever
 * a link before it leads to.
 */
export const isSamePath = (platformFamily: string, one: string, other: string): Effect.Effect<boolean> =>
  Effect.map(Effect.provide(Path.Path, Path.layer), ({ resolve }) => {
    const named = (path: string) => resolve("/", platformFamily === "windows" ? posixOf(path) : path)
    return named(one) === named(other)
  })

/** Windows has two separators, a longer form of the same path, and no eye for case. */
const posixOf = (path: string): string => path.replaceAll("\\", "/").replace(/^\/\/\?\//, "").toLowerCase()
