/**
 * What must not be shown: for those who write a `Transport` and tell of what their
 * server's process wrote.
 *
 * @since 0.1.0
 */

// A text may be of any length and of anybody's making: each pattern looks at a run of characters once. `{8,}` would
// make the engine remember every character of the run, and fail where there are too many.

const apiKey = /\bsk-[A-Za-z0-9_*-]{8}[A-Za-z0-9_*-]*/g

/** What is no token is matched too, to its end: tokens that begin within it would be looked for again and again. */
const webToken = /\beyJ[A-Za-z0-9_-]{8}[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?)?/g

/** Where there are blanks, one does not look back for the word. */
const afterBearer = /(?=[^\s"',;])(?<=\bBearer\s+)[^\s"',;]+/gi

/**
 * Takes what has the shape of a secret out of a text: API keys (`sk-...`), JSON web
 * tokens, and whatever stands behind `Bearer`. A secret of another shape stays.
 *
 * @since 0.1.0
 * @category combinators
 */
export const redactSecrets = (text: string, replacement = "<redacted>"): string =>
  text
    .replace(apiKey, () => replacement)
    .replace(webToken, (token: string, rest: string | undefined) => rest === undefined ? token : replacement)
    .replace(afterBearer, () => replacement)
