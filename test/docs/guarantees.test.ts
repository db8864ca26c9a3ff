import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"

const page = new URL("../../docs/guarantees.md", import.meta.url)
const text = readFileSync(page, "utf8")

/** Every link to a test: its name and its file. */
const proofs = Array.from(
  text.matchAll(/\[([^\]]+)\]\(([^)]+\.test\.ts)\)/g),
  ([, name = "", file = ""]) => ({ name, file })
)

/** The entries of the page, each with the lines that belong to it. */
const entries = text.split(/\n(?=- |## )/).filter((part) => part.startsWith("- "))

describe("docs/guarantees.md", () => {
  it("has a proof for every sentence", () => {
    assert.isAbove(entries.length, 30)
    for (const entry of entries) assert.match(entry, /\]\([^)]+\.test\.ts\)/, entry)
  })

  it("links to tests that exist, by names that they have", () => {
    assert.isAbove(proofs.length, 30)
    for (const { file, name } of proofs) {
      const url = new URL(file, page)
      assert.isTrue(existsSync(url), file)
      assert.include(readFileSync(url, "utf8"), `"${name}"`, file)
    }
  })
})
