/**
 * Takes what the caller had sent out of the server's words about it: a server that
 * quotes a prompt, the content of a file or a key must not carry it into an error.
 */
import * as Predicate from "effect/Predicate"
import { redactSecrets } from "../Redaction.ts"

const REPLACEMENT = "…"

/** Shorter texts say nothing, and would turn ordinary words into gaps. */
const MIN_LENGTH = 6

/** Fields whose values name things: an error is of little use without them. */
const naming = /(?:^|[a-z_])[iI]ds?$|^(?:id|type|mode|kind|model|cwd|path|paths|name|method|key|keyPath)$/

/** The texts of a payload that are content and not names, the longest first. */
const contentOf = (payload: unknown): ReadonlyArray<string> => {
  const found = new Set<string>()
  const visit = (value: unknown, key: string): void => {
    if (typeof value === "string") {
      if (value.length < MIN_LENGTH || naming.test(key)) return
      found.add(value)
      // As it stands within a JSON text.
      found.add(JSON.stringify(value).slice(1, -1))
    } else if (Array.isArray(value)) {
      for (const element of value) visit(element, key)
    } else if (Predicate.isObject(value)) {
      for (const [name, element] of Object.entries(value)) visit(element, name)
    }
  }
  visit(payload, "")
  return [...found].sort((a, b) => b.length - a.length)
}

/** A function that takes the content of a payload, and whatever looks like a secret, out of a text. */
export const scrubber = (payload: unknown): (text: string) => string => {
  const content = contentOf(payload)
  return (text) => {
    let scrubbed = text
    for (const part of content) scrubbed = scrubbed.replaceAll(part, REPLACEMENT)
    return redactSecrets(scrubbed, REPLACEMENT)
  }
}

/** The same for every text within a JSON value. */
export const scrubAll = (value: unknown, scrub: (text: string) => string): unknown => {
  if (typeof value === "string") return scrub(value)
  if (Array.isArray(value)) return value.map((element) => scrubAll(element, scrub))
  return Predicate.isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([key, element]) => [key, scrubAll(element, scrub)]))
    : value
}
