import { AppServerClient, Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { closable, live } from "./support.ts"

layer(OfflineCodex.layer(), live)("the account", (it) => {
  it.effect("is nobody's without a login", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { account, requiresOpenaiAuth } = yield* codex.account()
      assert.isNull(account)
      assert.isFalse(requiresOpenaiAuth)
    }))

  it.effect("is offered a page to log in, and the login is given up on request", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const login = yield* codex.loginChatgpt
      assert.strictEqual(login.authUrl.protocol, "https:")
      assert.isAbove(login.loginId.length, 0)
      yield* login.cancel
      const end = yield* login.wait
      assert.isFalse(end.success)
      assert.strictEqual(end.loginId, login.loginId)
      assert.isNull((yield* codex.account()).account)
    }))

  /** The next login that the server says has ended. */
  const loginEnds = Effect.flatMap(AppServerClient, (client) =>
    client.on("account/login/completed").pipe(
      Stream.runHead,
      Effect.flatMap(Effect.fromOption),
      Effect.forkChild({ startImmediately: true })
    ))

  it.effect("gives a login up with its scope", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const told = yield* loginEnds
      const scope = yield* closable
      const login = yield* scope.use(codex.loginChatgpt)
      yield* scope.close
      assert.isFalse((yield* login.wait).success)
      const ended = yield* Fiber.join(told)
      assert.deepInclude(ended.params, { loginId: login.loginId, success: false })
    }))

  it.effect("gives a login up whose beginning was interrupted", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const told = yield* loginEnds
      const begun = yield* Effect.forkChild(Effect.scoped(codex.loginChatgpt), { startImmediately: true })
      yield* Fiber.interrupt(begun)
      const ended = yield* Fiber.join(told)
      assert.deepInclude(ended.params, { success: false })
    }))
})

// Only a provider that wants a login has the server tell of one.
const wantsLogin = { config: { "model_providers.offline.requires_openai_auth": true } }

layer(OfflineCodex.layer({ codex: wantsLogin }), live)("the account for a provider that wants one", (it) => {
  it.effect("is an API key's after its login, until the logout", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const before = yield* codex.account()
      assert.isTrue(before.requiresOpenaiAuth)
      assert.isNull(before.account)
      const client = yield* AppServerClient
      const told = yield* client.on("account/updated").pipe(
        Stream.take(2),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* codex.loginApiKey(Redacted.make("sk-not-a-real-key"))
      assert.deepStrictEqual((yield* codex.account()).account, { type: "apiKey" })
      yield* codex.logout
      assert.isNull((yield* codex.account()).account)
      const modes = (yield* Fiber.join(told)).map((event) => event.params.authMode ?? null)
      assert.deepStrictEqual(modes, ["apikey", null])
    }))
})

layer(OfflineCodex.layer(), live)("what the server offers", (it) => {
  it.effect("are models, one of them the default", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const models = yield* codex.models()
      assert.isAbove(models.length, 0)
      assert.strictEqual(models.filter((model) => model.isDefault).length, 1)
      assert.isTrue(models.every((model) => !model.hidden))
      for (const model of models) {
        assert.include(
          model.supportedReasoningEfforts.map((option) => option.reasoningEffort),
          model.defaultReasoningEffort
        )
      }
      assert.strictEqual(new Set(models.map((model) => model.id)).size, models.length)
    }))

  it.effect("are hidden models too, where one asks for them", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const shown = yield* codex.models()
      const all = yield* codex.models({ includeHidden: true })
      assert.includeMembers(all.map((model) => model.id), shown.map((model) => model.id))
      assert.isAbove(all.filter((model) => model.hidden).length, 0)
    }))

  it.effect("is told by its metadata", () =>
    Effect.gen(function*() {
      const { metadata } = yield* Codex
      assert.match(metadata.version ?? "", /^\d+\.\d+\.\d+/)
      assert.include(metadata.userAgent, `/${metadata.version}`)
      assert.isAbove(metadata.codexHome.length, 0)
      assert.isAbove(metadata.platformOs.length, 0)
    }))

  it.effect("asks the model nothing until a turn runs", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* codex.startThread()
      yield* codex.models()
      yield* codex.account()
      assert.deepStrictEqual(yield* model.requests, [])
    }))
})
