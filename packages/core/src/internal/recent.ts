/** Collections that would grow with everything that was ever heard of. */

/** Lets go of the oldest entries, until there are no more than so many. */
export const forgetOldest = <K>(known: Map<K, unknown> | Set<K>, limit: number): void => {
  for (const oldest of known.keys()) {
    if (known.size <= limit) break
    known.delete(oldest)
  }
}
