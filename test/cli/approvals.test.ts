/** The questions of `effect-codex run` at a terminal, answered key by key in this process. */
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer, vi } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import { stripVTControlCharacters } from "node:util"
import { program } from "../../packages/node/src/cli/command.ts"

const ask = OfflineModel.functionCall({
  name: "exec_command",
  callId: "call",
  arguments: {
    cmd: "echo hello",
    sandbox_permissions: "require_escalated",
    justification: "It has to\u001b[2J say hello"
  }
})

const environment = Layer.provideMerge(
  OfflineModel.layer({
    respond: ({ toolOutput }) =>
      toolOutput("call") === undefined
        ? ask
        : OfflineModel.finalAnswer(JSON.stringify(toolOutput("call")).includes("hello") ? "Said." : "Not said.")
  }),
  NodeServices.layer
)

type Key = "down" | "return" | "escape"

/** Runs the command line at a terminal where these keys are pressed as soon as something is asked. */
const answered = Effect.fnUntraced(function*(keys: ReadonlyArray<Key>, ...args: ReadonlyArray<string>) {
  const { baseUrl } = yield* OfflineModel
  const home = yield* OfflineHome.make({ baseUrl })
  // The agent's shell reads the profile that is there: not that of whoever runs the tests.
  yield* Effect.acquireRelease(
    Effect.sync(() => vi.stubEnv("HOME", home)),
    () => Effect.sync(() => vi.unstubAllEnvs())
  )
  const written = { stdout: "", stderr: "" }
  const sink = (name: "stdout" | "stderr") => () =>
    Sink.forEach((text: string | Uint8Array) => Effect.sync(() => written[name] += String(text)))
  const terminal = Terminal.make({
    columns: Effect.succeed(80),
    rows: Effect.succeed(24),
    size: Queue.sliding<Terminal.Size, Cause.Done>(1),
    readInput: Effect.gen(function*() {
      const queue = yield* Queue.unbounded<Terminal.UserInput, Cause.Done>()
      for (const name of keys) {
        // A terminal ends the input where somebody leaves.
        if (name === "escape") yield* Queue.end(queue)
        else yield* Queue.offer(queue, { input: Option.none(), key: { name, ctrl: false, meta: false, shift: false } })
      }
      return queue
    }),
    readLine: Effect.fail(new Terminal.QuitError({})),
    display: () => Effect.die("What is asked goes to stderr")
  })
  const exitCode = yield* program.pipe(
    Effect.provideService(Terminal.Terminal, terminal),
    Effect.provide(Stdio.layerTest({
      args: Effect.succeed(["run", "--codex-home", home, ...args, "Say hello"]),
      stdinIsTerminal: Effect.succeed(true),
      stderrIsTerminal: Effect.succeed(true),
      stdout: sink("stdout"),
      stderr: sink("stderr")
    }))
  )
  return { exitCode, stdout: written.stdout, shown: stripVTControlCharacters(written.stderr), raw: written.stderr }
})

layer(environment, { excludeTestServices: true })("an approval at the terminal", (it) => {
  it.effect("shows what is asked, and asks", () =>
    Effect.gen(function*() {
      const { exitCode, raw, shown, stdout } = yield* answered(["return"])
      assert.strictEqual(exitCode, 0, shown)
      assert.strictEqual(stdout, "Said.\n")
      assert.match(shown, /^The agent asks to: \$ .*'echo hello'\n  because: It has to say hello\n  in: \/.*\n/m)
      assert.notInclude(raw, "\u001b[2J")
      assert.match(shown, /Allow it\?[^]*Yes, once[^]*No; stop the turn/)
      assert.match(shown, /^allowed: \$ .*'echo hello'$/m)
    }).pipe(Effect.scoped))

  it.effect.each(
    [
      { keys: ["down", "return"], says: /^allowed for the session: /m, answer: "Said.\n", exitCode: 0 },
      { keys: ["down", "down", "return"], says: /^declined: \$ .*hello'$/m, answer: "Not said.\n", exitCode: 0 },
      {
        keys: ["down", "down", "down", "return"],
        says: /^declined, and the turn is stopped: /m,
        answer: "",
        exitCode: 130
      },
      { keys: ["escape"], says: /^declined, and the turn is stopped: [^]*^interrupted in /m, answer: "", exitCode: 130 }
    ] as const
  )("takes $keys for an answer", ({ answer, exitCode, keys, says }) =>
    Effect.gen(function*() {
      const outcome = yield* answered(keys)
      assert.match(outcome.shown, says)
      assert.strictEqual(outcome.stdout, answer)
      assert.strictEqual(outcome.exitCode, exitCode)
    }).pipe(Effect.scoped))

  it.effect("has stdout for the events alone, with --json", () =>
    Effect.gen(function*() {
      const { exitCode, stdout } = yield* answered(["return"], "--json")
      assert.strictEqual(exitCode, 0)
      const lines = stdout.trimEnd().split("\n")
      assert.include(
        lines.find((line) => line.startsWith("{\"method\":\"cli/approval\"")),
        "\"decision\":{\"_tag\":\"Accept\",\"scope\":\"once\"},\"asked\":true"
      )
      assert.isTrue(lines.every((line) => line.startsWith("{\"method\":")))
    }).pipe(Effect.scoped))
})
