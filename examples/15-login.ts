/**
 * Logs in: with the key in OPENAI_API_KEY; with `--device-code` by a code that is
 * entered in any browser; or else with a ChatGPT account in the browser on this
 * machine. Without `--live` the login is one of a home that is thrown away.
 */
import { Codex } from "@effect-codex/core"
import { Config, Console, Effect, Option, Redacted, Stdio } from "effect"
import { runExample } from "./support.ts"

/** The browser comes back to the app-server, which listens for it on this machine. */
const inBrowser = Effect.gen(function*() {
  const codex = yield* Codex
  const login = yield* codex.loginChatgpt
  yield* Console.log("Open this page in your browser:")
  yield* Console.error(login.authUrl.href)
  return yield* login.wait
})

/** For a machine without a browser: the page may be opened anywhere. */
const byDeviceCode = Effect.gen(function*() {
  const codex = yield* Codex
  const login = yield* codex.loginChatgptDeviceCode
  yield* Console.log("Open this page, and enter the code there:")
  // The code is redacted, since it must not get into a log. It is for who sits here.
  yield* Console.error(`${login.verificationUrl.href} ${Redacted.value(login.userCode)}`)
  return yield* login.wait
})

const whoIsIn = Effect.gen(function*() {
  const codex = yield* Codex
  const { account } = yield* codex.account()
  if (account == null) return undefined
  return account.type === "chatgpt" ? `chatgpt, ${account.email}, ${account.planType}` : account.type
})

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const before = yield* whoIsIn
  if (before !== undefined) return yield* Console.log(`You are logged in already (${before}).`)

  const apiKey = yield* Config.option(Config.Redacted("OPENAI_API_KEY"))
  if (Option.isSome(apiKey)) {
    yield* codex.loginApiKey(apiKey.value)
  } else {
    const { args } = yield* Stdio.Stdio
    const timeout = yield* Config.Duration("LOGIN_TIMEOUT").pipe(Config.withDefault("5 minutes"))
    const login = (yield* args).includes("--device-code") ? byDeviceCode : inBrowser
    // The end of the scope gives the login up.
    const ended = yield* login.pipe(Effect.scoped, Effect.timeoutOption(timeout))
    if (Option.isNone(ended)) return yield* Console.log("Nobody has logged in.")
    if (!ended.value.success) return yield* Console.log(`That did not work: ${ended.value.error}`)
  }
  yield* Console.log(`You are logged in (${yield* whoIsIn}).`)
})

runExample(program, { codex: { config: { "model_providers.offline.requires_openai_auth": true } } })
