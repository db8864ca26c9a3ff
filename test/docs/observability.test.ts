import { CodexMetrics } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const guide = readFileSync(new URL("../../docs/guide.md", import.meta.url), "utf8")
const chapter = guide.slice(guide.indexOf("\n### Metrics\n"), guide.indexOf("\n### Logs\n"))

/** The rows of the table of metrics: name, symbol and type. */
const rows = Array.from(
  chapter.matchAll(/^\| `(\w+)` +\| `(\w+)` +\| (\w+)/gm),
  ([, id, symbol, type]) => ({ id, symbol, type })
)

describe("docs/guide.md", () => {
  it("has every metric in its table, and no other", () => {
    assert.deepStrictEqual(
      rows.sort((a, b) => (a.id ?? "").localeCompare(b.id ?? "")),
      Object.entries(CodexMetrics)
        .map(([symbol, { id, type }]) => ({ id, symbol, type: type.toLowerCase() }))
        .sort((a, b) => a.id.localeCompare(b.id))
    )
  })
})
