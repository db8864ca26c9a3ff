import { assert, describe, it } from "@effect/vitest"
import * as Escapes from "../src/internal/escapes.ts"

describe("sequences for a terminal", () => {
  it.each([
    ["\u001b[31mred\u001b[0m, \u009b1mbold\u009b0m", "red, bold"],
    ["\u001b]8;;https://example.com\u001b\\a link\u001b]8;;\u001b\\ and more", "a link and more"],
    ["\u001b]0;title\u0007text", "text"],
    ["none", "none"]
  ])("are taken out of %j", (text, expected) => {
    assert.strictEqual(Escapes.strip(text), expected)
  })

  // For minutes, where the end of each is looked for through the whole.
  it.each(["\u001b]a;", "\u001b]8;;", "\u001b[", "\u009b1;", "\u001b\\"])("may be a megabyte of %j", (piece) => {
    assert.isTrue(Escapes.strip(`${piece.repeat(2 ** 20 / piece.length)}\u0007\u001b[0mend`).endsWith("end"))
  })
})
