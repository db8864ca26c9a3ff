import { AppServerClient, Codex, type ResumeThreadOptions, type ThreadFilter } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { echo, live } from "./support.ts"

layer(
  Layer.unwrap(Effect.map(OfflineModel, ({ baseUrl }) =>
    OfflineCodex.layerCodex({
      home: {
        config: [
          "[model_providers.second]",
          `name = "second"`,
          `base_url = ${JSON.stringify(baseUrl)}`,
          `wire_api = "responses"`,
          "supports_websockets = false"
        ].join("\n")
      }
    }))).pipe(Layer.provideMerge(OfflineModel.layer(echo))),
  live
)("threads of two model providers", (it) => {
  it.effect("are listed together only when asked for", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const configured = yield* codex.startThread()
      yield* configured.run("Alpha")
      const second = yield* codex.startThread({ modelProvider: "second" })
      yield* second.run("Alpha, too")
      const listed = (filter?: ThreadFilter) =>
        codex.threads(filter).pipe(Stream.map(({ id }) => id), Stream.runCollect)
      assert.deepStrictEqual(yield* listed(), [configured.id])
      assert.deepStrictEqual(yield* listed({ modelProviders: ["second"] }), [second.id])
      assert.sameMembers(yield* listed({ modelProviders: [] }), [configured.id, second.id])
      // The title is compared letter by letter.
      assert.deepStrictEqual(yield* listed({ searchTerm: "Alpha" }), [configured.id])
      assert.deepStrictEqual(yield* listed({ searchTerm: "alpha" }), [])
    }))

  it.effect("are resumed with the model and effort that are stored, unless one of those or the provider is given", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const thread = yield* codex.startThread({ model: "gpt-5.2" })
      yield* thread.run("Think", { effort: "high" })
      const settingsAfter = (options: ResumeThreadOptions) =>
        Effect.gen(function*() {
          // It is stored and not loaded any more.
          yield* thread.archive
          yield* codex.unarchiveThread(thread.id)
          yield* codex.resumeThread(thread.id, options)
          const loaded = yield* client.request("thread/resume", { threadId: thread.id, excludeTurns: true })
          return [loaded.model, loaded.reasoningEffort ?? null]
        })
      assert.deepStrictEqual(yield* settingsAfter({}), ["gpt-5.2", "high"])
      assert.deepStrictEqual(yield* settingsAfter({ model: "gpt-5.2" }), ["gpt-5.2", null])
      assert.deepStrictEqual(yield* settingsAfter({ modelProvider: "offline" }), ["gpt-5.4", null])
      assert.deepStrictEqual(yield* settingsAfter({ config: { model_reasoning_effort: "low" } }), ["gpt-5.4", "low"])
    }))
})
