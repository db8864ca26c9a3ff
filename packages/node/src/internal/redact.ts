/** Takes secrets out of text that is going to be shown. */
import { redactSecrets } from "@effect-codex/core/redaction"
import * as Redacted from "effect/Redacted"

const REPLACEMENT = "<redacted>"

/** What a log calls a secret. Where no value begins, one does not look back for the name: texts have many blanks. */
const named =
  /(?=[^\s"',;&]{4})(?<=\b(?:api[_-]?key|access[_-]?token|refresh[_-]?token|id[_-]?token|password|secret)["']?\s*[:=]\s*["']?)[^\s"',;&]+/gi

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
    // Text is shown line by line, and a key may have many.
    return [secret, ...(secret.includes("\n") ? secret.split(/\r?\n/) : [])]
      .filter((part) => part.length >= MIN_SECRET_LENGTH)
  })

/** A function that takes these secrets, and whatever looks like one, out of a text. */
export const make = (secrets: ReadonlyArray<string>): (text: string) => string => {
  const longestFirst = [...secrets].sort((a, b) => b.length - a.length)
  return (text) => {
    let redacted = text
    for (const secret of longestFirst) redacted = redacted.replaceAll(secret, REPLACEMENT)
    return redactSecrets(redacted, REPLACEMENT).replace(named, REPLACEMENT)
  }
}
