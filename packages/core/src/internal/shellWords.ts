/**
 * Reads a command line that does one thing and nothing else. A policy that accepts
 * by prefix must not be talked into more than it names, so whatever a shell would
 * expand, substitute, redirect or chain makes the line unreadable here.
 */

/** What may begin another command. */
const separators = /[;&|\n\r(){}`]/

/** What may stand before the first word of a command. */
const prelude = /^(?:[A-Za-z_]\w*\+?=.*|!|if|then|elif|else|while|until|do|time)$/

/** Means something to a shell outside of quotes. */
const special = new Set([
  "$",
  "`",
  ";",
  "&",
  "|",
  "<",
  ">",
  "(",
  ")",
  "{",
  "}",
  "*",
  "?",
  "[",
  "]",
  "#",
  "!",
  "~"
])

/** Ends the line for some readers, or is a blank for some and part of a word for others. */
// oxlint-disable-next-line no-control-regex
const ambiguous = /[\u0000-\u0008\u000a-\u001f\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]/

/** A shell by its name, or where systems keep it: elsewhere anything may have that name. */
const shells = /^(?:\/(?:usr\/|usr\/local\/|opt\/homebrew\/|run\/current-system\/sw\/)?bin\/)?(?:ba|z|da|k)?sh$/

/** The words of a plain command; undefined for anything that is more than one. */
export const parse = (line: string): ReadonlyArray<string> | undefined => {
  const words = split(line)
  if (words === undefined) return undefined
  const [shell, flag, script] = words
  if (shell === undefined || !shells.test(shell)) return words
  // A shell that runs a script is what the script is; any other use of a shell is opaque.
  return words.length === 3 && (flag === "-c" || flag === "-lc") && script !== undefined ? parse(script) : undefined
}

/** Anything that may be a shell. */
const likeShell = /(?:^|\/)\w*sh$/

/** Every command that the line may hold, read loosely: for rules that decline. */
export const segments = (line: string): ReadonlyArray<ReadonlyArray<string>> => {
  const [shell, ...rest] = split(line) ?? []
  if (shell !== undefined && rest.length > 0 && likeShell.test(shell)) return rest.flatMap(segments)
  return line.split(separators).map((part) => {
    const words = part.replace(/["'\\]/g, "").split(/\s+/).filter((word) => word !== "")
    let start = 0
    while (prelude.test(words[start] ?? "")) start++
    if (likeShell.test(words[start] ?? "")) start++
    while (start > 0 && words[start]?.startsWith("-") === true) start++
    return words.slice(start)
  })
}

/** Whether the words begin with the prefix. */
export const startsWith = (words: ReadonlyArray<string>, prefix: ReadonlyArray<string>): boolean =>
  prefix.length > 0 && prefix.length <= words.length && prefix.every((word, index) => words[index] === word)

const split = (line: string): ReadonlyArray<string> | undefined => {
  // What comes after it is never seen by the program that gets the line.
  if (line.includes("\0")) return undefined
  const words: Array<string> = []
  let word: string | undefined
  let index = 0
  while (index < line.length) {
    const char = line.charAt(index++)
    if (char === " " || char === "\t") {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (char === "'") {
      const end = line.indexOf("'", index)
      if (end === -1) return undefined
      word = (word ?? "") + line.slice(index, end)
      index = end + 1
    } else if (char === "\"") {
      word ??= ""
      for (;;) {
        const inner = line.charAt(index++)
        if (inner === "\"") break
        if (inner === "" || inner === "$" || inner === "`") return undefined
        word += inner === "\\" && /["\\$`]/.test(line.charAt(index)) ? line.charAt(index++) : inner
      }
    } else if (char === "\\") {
      if (index === line.length || ambiguous.test(line.charAt(index))) return undefined
      word = (word ?? "") + line.charAt(index++)
    } else if (special.has(char) || ambiguous.test(char)) {
      return undefined
    } else {
      word = (word ?? "") + char
    }
  }
  if (word !== undefined) words.push(word)
  // `NAME=value command` runs something else than it begins with.
  return words[0]?.includes("=") === true ? undefined : words
}
