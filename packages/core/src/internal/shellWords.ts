/**
 * Reads a command line that does one thing and nothing else. A policy that accepts
 * by prefix must not be talked into more than it names, so whatever a shell would
 * expand, substitute, redirect or chain makes the line unreadable here.
 */

/** What separates one command from the next. */
const separators = /(?:&&|\|\||[;&|\n])/

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
  "\n",
  "\r",
  "*",
  "?",
  "[",
  "]",
  "#",
  "!",
  "~"
])

const shells = /^(?:.*\/)?(?:ba|z|da|k)?sh$/

/** The words of a plain command; undefined for anything that is more than one. */
export const parse = (line: string): ReadonlyArray<string> | undefined => {
  const words = split(line)
  if (words === undefined) return undefined
  const [shell, flag, script] = words
  if (shell === undefined || !shells.test(shell)) return words
  // A shell that runs a script is what the script is; any other use of a shell is opaque.
  return words.length === 3 && (flag === "-c" || flag === "-lc") && script !== undefined ? parse(script) : undefined
}

/** Every command that the line may hold, read loosely: for rules that decline. */
export const segments = (line: string): ReadonlyArray<ReadonlyArray<string>> => {
  const words = split(line)
  const script = words?.length === 3 && shells.test(words[0] ?? "") ? words[2] ?? line : line
  return script.split(separators).map((part) => part.replace(/["'()]/g, " ").split(/\s+/).filter((word) => word !== ""))
}

/** Whether the words begin with the prefix. */
export const startsWith = (words: ReadonlyArray<string>, prefix: ReadonlyArray<string>): boolean =>
  prefix.length > 0 && prefix.length <= words.length && prefix.every((word, index) => words[index] === word)

const split = (line: string): ReadonlyArray<string> | undefined => {
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
      if (index === line.length || line.charAt(index) === "\n") return undefined
      word = (word ?? "") + line.charAt(index++)
    } else if (special.has(char)) {
      return undefined
    } else {
      word = (word ?? "") + char
    }
  }
  if (word !== undefined) words.push(word)
  // `NAME=value command` runs something else than it begins with.
  return words[0]?.includes("=") === true ? undefined : words
}
