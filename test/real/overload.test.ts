import { AppServerClient } from "@effect-codex/core"
import { OfflineCodex } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"

layer(OfflineCodex.layer())("overload", (it) => {
  it.effect("10,000 requests fired at once are all answered", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const answers = yield* Effect.forEach(
        Array.from({ length: 10_000 }),
        () => client.request("thread/loaded/list", {}),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(answers.length, 10_000)
      assert.isTrue(answers.every(({ data }) => data.length === 0))
    }))
})
