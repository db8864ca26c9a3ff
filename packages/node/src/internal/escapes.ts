/** Takes out of a text what would control a terminal. */
import { stripVTControlCharacters } from "node:util"

// Before each; one that ends another belongs to that.
// oxlint-disable-next-line no-control-regex
const sequence = /(?=\u001b(?!\\)|\u009b)/

/** The text without its sequences. Each is taken by itself: Node looks for the end of one through all that follows. */
export const strip = (text: string): string =>
  text.split(sequence).map((part) => stripVTControlCharacters(part)).join("")
