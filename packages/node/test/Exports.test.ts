import * as Node from "@effect-codex/node"
import * as Testing from "@effect-codex/node/testing"
import { assert, describe, it } from "@effect/vitest"

describe("what the package exports", () => {
  it("at its root is curated", () => {
    assert.deepStrictEqual(Object.keys(Node).sort(), ["CodexLive", "NodeCodex"])
  })

  it("under testing is curated", () => {
    assert.deepStrictEqual(Object.keys(Testing).sort(), ["OfflineCodex", "OfflineHome", "OfflineModel"])
  })
})
