/** Takes secrets out of text that is going to be shown. */
import * as Redacted from "effect/Redacted"

const REPLACEMENT = "<redacted>"

/** Shapes of secrets, whoever they belong to. */
const patterns: ReadonlyArray<RegExp> = [
  /\bsk-[A-Za-z0-9_-]{8,}/g,
  /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?/g,
  /(?<=\bBearer\s+)[^\s"',;]+/gi,
  /(?<=\b(?:api[_-]?key|access[_-]?token|refresh[_-]?token|id[_-]?token|password|secret)["']?\s*[:=]\s*["']?)[^\s"',;&]{4,}/gi
]

const secretName = /KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL/i

/** Short values would turn ordinary words into redactions. */
const MIN_SECRET_LENGTH = 6

/** The values of the environment that are secret by their type or their name. */
export const secretsOf = (
  env: Readonly<Record<string, string | Redacted.Redacted<string> | undefined>>
): ReadonlyArray<string> =>
  Object.entries(env).flatMap(([name, value]) => {
    if (value === undefined) return []
    const secret = Redacted.isRedacted(value) ? Redacted.value(value) : secretName.test(name) ? value : ""
    return secret.length < MIN_SECRET_LENGTH ? [] : [secret]
  })

/** A function that takes these secrets, and whatever looks like one, out of a text. */
export const make = (secrets: ReadonlyArray<string>): (text: string) => string => {
  const longestFirst = [...secrets].sort((a, b) => b.length - a.length)
  return (text) => {
    let redacted = text
    for (const secret of longestFirst) redacted = redacted.replaceAll(secret, REPLACEMENT)
    for (const pattern of patterns) redacted = redacted.replace(pattern, REPLACEMENT)
    return redacted
  }
}
