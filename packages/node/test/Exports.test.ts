import * as Node from "@effect-codex/node"
import * as Testing from "@effect-codex/node/testing"
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

/** The modules of this package that one of them reaches. */
const reached = (entry: URL, seen = new Set<string>()): ReadonlySet<string> => {
  if (seen.has(entry.pathname)) return seen
  seen.add(entry.pathname)
  for (const [, target = ""] of readFileSync(entry, "utf8").matchAll(/from "(\.[^"]+)"/g)) {
    reached(new URL(target, entry), seen)
  }
  return seen
}

describe("what the package exports", () => {
  it("at its root is curated", () => {
    assert.deepStrictEqual(Object.keys(Node).sort(), ["CodexLive", "NodeCodex"])
  })

  it("under testing is curated", () => {
    assert.deepStrictEqual(Object.keys(Testing).sort(), ["OfflineCodex", "OfflineHome", "OfflineModel"])
  })

  it("does not reach the command line, whose import costs more", () => {
    const ofCommandLine = (path: string) => /\/src\/(?:cli|protocol)\b/.test(path)
    for (const entry of ["index", "testing"]) {
      const modules = [...reached(new URL(`../src/${entry}.ts`, import.meta.url))]
      assert.isAbove(modules.length, 3)
      assert.deepStrictEqual(modules.filter(ofCommandLine), [])
    }
    const commandLine = [...reached(new URL("../src/cli.ts", import.meta.url))]
    assert.isAbove(commandLine.filter(ofCommandLine).length, 10)
  })
})
