/**
 * What must not be shown: for those who write a `Transport` and tell of what their
 * server's process wrote.
 *
 * @since 0.1.0
 */

/** Shapes of secrets, whoever they belong to. */
const shapes: ReadonlyArray<RegExp> = [
  /\bsk-[A-Za-z0-9_*-]{8,}/g,
  /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?/g,
  /(?<=\bBearer\s+)[^\s"',;]+/gi
]

/**
 * Takes what has the shape of a secret out of a text: API keys (`sk-...`), JSON web
 * tokens, and whatever stands behind `Bearer`. A secret of another shape stays.
 *
 * @since 0.1.0
 * @category combinators
 */
export const redactSecrets = (text: string, replacement = "<redacted>"): string =>
  shapes.reduce((redacted, shape) => redacted.replace(shape, replacement), text)
