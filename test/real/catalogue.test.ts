import { Codex } from "@effect-codex/core"
import { OfflineCodex } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { manifestOf, writeShop } from "../protocol/world.ts"
import { failure, live } from "./support.ts"

/** A folder that is gone after the test. */
const folder = FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped({ prefix: "codex-catalogue-" }))

const hooks = `[[hooks.UserPromptSubmit]]
[[hooks.UserPromptSubmit.hooks]]
type = "command"
command = "true"
`

const agent = OfflineCodex.layer({
  home: { config: hooks },
  codex: { experimental: true, config: { "feedback.enabled": false, "features.plugins": true } }
})

layer(agent.pipe(Layer.provideMerge(NodeServices.layer)), live)("the configuration", (it) => {
  it.effect("is read with the layer that each value comes from", () =>
    Effect.gen(function*() {
      const { config } = yield* Codex
      const plain = yield* config.read()
      assert.strictEqual(plain.config.model, "gpt-5.4")
      assert.isUndefined(plain.layers ?? undefined)
      assert.strictEqual(plain.origins.model?.name.type, "user")
      assert.isAbove((yield* config.read({ includeLayers: true })).layers?.length ?? 0, 0)
    }))

  it.effect("is written, replaced, merged and taken away", () =>
    Effect.gen(function*() {
      const { config } = yield* Codex
      assert.strictEqual((yield* config.write("model_verbosity", "low")).status, "ok")
      assert.strictEqual((yield* config.read()).config.model_verbosity, "low")
      yield* config.batch([
        { key: "model_verbosity", value: null },
        { key: "model_reasoning_summary", value: "none", merge: "upsert" }
      ])
      const after = (yield* config.read()).config
      assert.isNull(after.model_verbosity ?? null)
      assert.strictEqual(after.model_reasoning_summary, "none")
    }))

  it.effect("is not written when somebody else was faster, nor when it makes no sense", () =>
    Effect.gen(function*() {
      const { config } = yield* Codex
      const { version } = yield* config.write("model_verbosity", "low")
      yield* config.write("model_verbosity", "high")
      const conflict = yield* failure(
        config.write("model_verbosity", "medium", { expectedVersion: version }),
        "InvalidRequest"
      )
      assert.match(conflict.message, /modified since last read/)
      const wrong = yield* failure(config.write("model_verbosity", { a: 1 }), "InvalidRequest")
      assert.strictEqual(wrong.method, "config/value/write")
      assert.strictEqual((yield* config.read()).config.model_verbosity, "high")
    }))

  it.effect("has features, permission profiles and no demands", () =>
    Effect.gen(function*() {
      const { config } = yield* Codex
      const features = yield* config.features()
      assert.isTrue(features.find(({ name }) => name === "plugins")?.enabled)
      assert.deepStrictEqual(yield* config.setFeatures({}), {})
      assert.isNull(yield* config.requirements)
      assert.include((yield* config.permissionProfiles()).map(({ id }) => id), ":read-only")
    }))
})

layer(agent.pipe(Layer.provideMerge(NodeServices.layer)), live)("what the agent can be given", (it) => {
  it.effect("are skills, which are found, told of and switched off", () =>
    Effect.gen(function*() {
      const { skills } = yield* Codex
      const root = yield* folder
      const fs = yield* FileSystem.FileSystem
      yield* fs.makeDirectory(`${root}/greet`)
      yield* fs.writeFileString(`${root}/greet/SKILL.md`, "---\nname: greet\ndescription: Greets.\n---\nSay hello.\n")
      const told = yield* skills.changes.pipe(Stream.runHead, Effect.forkChild({ startImmediately: true }))
      yield* skills.setExtraRoots([root])
      yield* Fiber.join(told)
      const find = Effect.map(
        skills.list({ cwds: [root], reload: true }),
        ([entry]) => entry?.skills.find(({ name }) => name === "greet")
      )
      const skill = (yield* find) ?? assert.fail("The skill is not there")
      assert.isTrue(skill.enabled)
      assert.isFalse(yield* skills.setEnabled({ path: skill.path }, false))
      assert.isFalse((yield* find)?.enabled)
      assert.isTrue(yield* skills.setEnabled({ path: skill.path }, true))
    }))

  it.effect("are hooks, of a folder or of a thread", () =>
    Effect.gen(function*() {
      const { hooks, startThread } = yield* Codex
      const cwd = yield* folder
      const thread = yield* startThread({ cwd })
      for (const entries of [yield* hooks.list({ cwds: [cwd] }), yield* hooks.list({ threadId: thread.id })]) {
        assert.deepStrictEqual(entries.flatMap((entry) => entry.hooks.map(({ eventName }) => eventName)), [
          "userPromptSubmit"
        ])
      }
    }))

  it.effect("are plugins of a marketplace, installed and taken away", () =>
    Effect.gen(function*() {
      const { plugins } = yield* Codex
      const shop = `${yield* folder}/shop`
      yield* writeShop(shop)
      const source = { marketplacePath: manifestOf(shop) }
      assert.strictEqual((yield* plugins.marketplaces.add(shop)).marketplaceName, "shop")
      assert.include((yield* plugins.list()).marketplaces.map(({ name }) => name), "shop")
      const detail = yield* plugins.read("hello", source)
      assert.deepStrictEqual(detail.skills.map(({ name }) => name), ["hello:greet"])
      assert.deepStrictEqual((yield* plugins.install("hello", source)).appsNeedingAuth, [])
      const installed = (yield* plugins.installed()).marketplaces.flatMap((marketplace) => marketplace.plugins)
      assert.deepStrictEqual(installed.map(({ id }) => id), ["hello@shop"])
      assert.deepStrictEqual((yield* plugins.reconcile()).changedPlugins, [])
      yield* plugins.uninstall("hello@shop")
      assert.deepStrictEqual((yield* plugins.marketplaces.upgrade()).errors, [])
      yield* plugins.marketplaces.remove("shop")
      assert.notInclude((yield* plugins.list()).marketplaces.map(({ name }) => name), "shop")
      assert.isArray(yield* Stream.runCollect(plugins.search("hello")))
      const none = yield* failure(plugins.marketplaces.remove("shop"), "InvalidRequest")
      assert.strictEqual(none.method, "marketplace/remove")
    }))

  it.effect("are no apps without an account", () =>
    Effect.gen(function*() {
      const { apps } = yield* Codex
      assert.deepStrictEqual(yield* Stream.runCollect(apps.list({ refresh: true })), [])
      assert.deepStrictEqual(yield* apps.installed(), [])
      assert.deepStrictEqual((yield* apps.read(["none"])).missingAppIds, ["none"])
    }))

  it.effect("are model providers, and a gateway that one adds", () =>
    Effect.gen(function*() {
      const { providers } = yield* Codex
      assert.strictEqual((yield* providers.list).defaultProviderId, "offline")
      assert.isBoolean((yield* providers.capabilities).webSearch)
      const baseUrl = new URL("http://127.0.0.1:9/")
      const added = yield* providers.writeGateway({ name: "Elsewhere", baseUrl })
      assert.deepInclude(added, { id: "elsewhere", name: "Elsewhere", baseUrl: "http://127.0.0.1:9" })
      assert.include((yield* providers.list).data.map(({ id }) => id), "elsewhere")
    }))

  it.effect("is what an account allows, which nobody has", () =>
    Effect.gen(function*() {
      const { rateLimits, usage } = yield* Codex
      const refusals = [
        Effect.asVoid(rateLimits.read()),
        Effect.asVoid(rateLimits.reset({ idempotencyKey: "once" })),
        Effect.asVoid(usage())
      ]
      for (const refusal of refusals) {
        assert.match((yield* failure(refusal, "InvalidRequest")).message, /authentication required/)
      }
    }))

  it.effect("takes feedback into a file, and sends none where that is switched off", () =>
    Effect.gen(function*() {
      const { feedback } = yield* Codex
      const file = `${yield* folder}/feedback.zip`
      const saved = yield* feedback.save(file, { classification: "bug", reason: "It is not one" })
      assert.strictEqual(saved.savedPath, file)
      assert.isTrue(yield* FileSystem.FileSystem.use((fs) => fs.exists(file)))
      const refused = yield* failure(feedback.upload({ classification: "bug" }), "InvalidRequest")
      assert.match(refused.message, /disabled by configuration/)
    }))
})
