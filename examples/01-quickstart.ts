/**
 * Streams the agent's answer to the terminal.
 *
 *     npm run quickstart -- "Say hello"          # the offline model: no account, no network
 *     npm run quickstart -- --live "Say hello"   # the real model, with the login of CODEX_HOME
 */
import { Codex } from "@effect-codex/core"
import { CodexLive } from "@effect-codex/node"
import { OfflineCodex } from "@effect-codex/node/testing"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Data, Effect, FileSystem, Option, Path, References, Stdio, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"

class NotLoggedIn extends Data.TaggedError("NotLoggedIn")<{}> {
  override readonly message = "Nobody is logged in. Run `npx codex login` first, or leave --live out."
}

/** What one would write in a program of one's own. */
const ask = Effect.fn("ask")(function*(question: string) {
  const codex = yield* Codex
  const stdio = yield* Stdio.Stdio
  const { account, requiresOpenaiAuth } = yield* codex.account()
  if (requiresOpenaiAuth && account == null) return yield* new NotLoggedIn()
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  const turn = yield* thread.turn(question)
  yield* turn.text.pipe(Stream.concat(Stream.make("\n")), Stream.run(stdio.stdout({ endOnDone: false })))
  return yield* turn.result
}, Effect.scoped)

/** Whether CODEX_HOME names a home that somebody has logged in to. */
const hasLogin = Effect.gen(function*() {
  const home = yield* Config.option(Config.NonEmptyString("CODEX_HOME"))
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  return Option.isSome(home) && (yield* fs.exists(path.join(home.value, "auth.json")))
})

const quickstart = Command.make("quickstart", {
  question: Argument.String("question").pipe(Argument.withDefault("Say hello in one sentence.")),
  live: Flag.Boolean("live").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Use the real model, with the login of CODEX_HOME")
  )
}, ({ live, question }) =>
  Effect.gen(function*() {
    const useLive = live || (yield* hasLogin)
    yield* Console.error(
      useLive
        ? "Using the real model, with your login."
        : "Using the offline model: a scripted answer, no account, no network. --live uses the real one."
    )
    const result = yield* ask(question).pipe(Effect.provide(useLive ? CodexLive : OfflineCodex.layer()))
    yield* Console.error(`${result.usage?.last.totalTokens ?? 0} tokens, ${result.durationMs ?? 0} ms`)
  })).pipe(Command.withDescription("Ask the Codex agent and stream its answer to the terminal."))

Command.run(quickstart, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  // The app-server's own log would stand between the question and its answer.
  Effect.provideService(References.MinimumLogLevel, "Error"),
  NodeRuntime.runMain
)
