/**
 * Logs in: with the key in OPENAI_API_KEY, or else with a ChatGPT account in the
 * browser. Without `--live` the login is one of a home that is thrown away.
 */
import { Codex } from "@effect-codex/core"
import { Config, Console, Effect, Option } from "effect"
import { runExample } from "./support.ts"

const inBrowser = Effect.gen(function*() {
  const codex = yield* Codex
  const login = yield* codex.loginChatgpt
  yield* Console.log(`Open ${login.authUrl.origin} in your browser:`)
  yield* Console.error(login.authUrl.href)
  const { error, success } = yield* login.wait
  yield* Console.log(success ? "You are logged in." : `That did not work: ${error}`)
})

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const { account } = yield* codex.account()
  if (account != null) return yield* Console.log(`You are logged in already (${account.type}).`)

  const apiKey = yield* Config.option(Config.Redacted("OPENAI_API_KEY"))
  if (Option.isSome(apiKey)) {
    yield* codex.loginApiKey(apiKey.value)
    const { account } = yield* codex.account()
    return yield* Console.log(`You are logged in (${account?.type}).`)
  }

  const timeout = yield* Config.Duration("LOGIN_TIMEOUT").pipe(Config.withDefault("5 minutes"))
  // The end of the scope gives the login up.
  yield* inBrowser.pipe(
    Effect.scoped,
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Console.log("Nobody has logged in.") })
  )
})

runExample(program, { codex: { config: { "model_providers.offline.requires_openai_auth": true } } })
