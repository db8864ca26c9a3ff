/** Text for people. */
import * as Escapes from "../internal/escapes.ts"

const controls = /(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

/**
 * Text of an agent, a command or a file as a terminal may show it: whatever would move the cursor, colour what
 * follows or turn its direction stands there as a sign instead of doing it.
 */
export const visible = (text: string): string =>
  Escapes.strip(text.replaceAll("\r\n", "\n")).replace(controls, (character) => {
    const code = character.charCodeAt(0)
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : "\ufffd"
  })

/** The same on one line, cut to so many characters. */
export const line = (text: string, width: number): string => {
  const characters = [...visible(text).replace(/\s+/g, " ").trim()]
  return characters.length <= width ? characters.join("") : `${characters.slice(0, width - 1).join("")}…`
}

/** `1,234`. */
export const count = (value: number): string => value.toLocaleString("en-US")

/** How long ago something was, in its largest unit. */
export const age = (milliseconds: number): string => {
  const units: ReadonlyArray<readonly [string, number]> = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000]]
  for (const [unit, size] of units) {
    if (milliseconds >= size) return `${Math.floor(milliseconds / size)}${unit}`
  }
  return "now"
}

/** How long something took. */
export const duration = (milliseconds: number): string => {
  const whole = Math.round(milliseconds)
  if (whole < 1000) return `${whole} ms`
  const seconds = Math.round(whole / 100) / 10
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const wholeSeconds = Math.round(whole / 1000)
  return `${Math.floor(wholeSeconds / 60)} min ${wholeSeconds % 60} s`
}

/** Rows with their cells below each other. The last cell of a row is not padded. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths: Array<number> = []
  for (const row of rows) row.forEach((cell, column) => widths[column] = Math.max(widths[column] ?? 0, cell.length))
  return rows.map((row) =>
    `${
      row.map((cell, column) => column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)).join("  ")
        .trimEnd()
    }\n`
  ).join("")
}
