/** What docs/cli.md shows is what one sees: its commands are run, one after the other, and their output is compared. */
import { OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { run } from "../support/program.ts"
import { Cli, executable } from "./support.ts"

const page = readFileSync(fileURLToPath(new URL("../../docs/cli.md", import.meta.url)), "utf8")

/** The commands of the page, each with the output below it. */
const shown = [...page.matchAll(/^```console\n([^]*?)^```$/gm)].flatMap(([, block = ""]) =>
  block.split(/^\$ (?=.*effect-codex)/m).slice(1).map((text) => {
    const [command = "", ...output] = text.split("\n")
    return { command, output: output.join("\n") }
  })
)

const call = (cmd: string, more: { readonly [key: string]: string } = {}) =>
  OfflineModel.functionCall({ name: "exec_command", callId: "call", arguments: { cmd, ...more } })

const environment = Cli.layer({
  respond: ({ text, toolOutput }) => {
    const done = toolOutput("call") !== undefined
    switch (text) {
      case "Say hello with a command":
        return done
          ? OfflineModel.finalAnswer("It says hello.")
          : [OfflineModel.commentary("I will try it."), call("echo hello")]
      case "Say hello outside the sandbox":
        return done
          ? OfflineModel.finalAnswer("I was not allowed to.")
          : call("echo hello", { sandbox_permissions: "require_escalated", justification: "It has to" })
      default:
        return OfflineModel.finalAnswer("Hello.")
    }
  }
})

const id = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

/** Without what is another each time: ids, times, places, the shell, and what it says itself. */
const comparable = (output: string): string =>
  output
    .replace(id, "ID")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/\b[\d.]+ (?:ms|s)\b/g, "DURATION")
    .replace(/\/bin\/\w+ -l?c /g, "SHELL ")
    .replace(/(?<=\s)\/\S+/g, "PATH")
    .replace(/^ {2}(?!hello$|exit code|declined$).*\n/gm, "")
    .replace(/ +/g, " ")

layer(environment, { excludeTestServices: true, timeout: "120 seconds" })("docs/cli.md", (it) => {
  it.effect("shows what the commands show", () =>
    Effect.gen(function*() {
      const { home } = yield* Cli
      const fs = yield* FileSystem.FileSystem
      const cwd = yield* fs.makeTempDirectoryScoped({ prefix: "cli-docs-" })
      assert.isAbove(shown.length, 8)
      /** The ids of the page, and those that they stand for. */
      const ids = new Map<string, string>()
      const node = `'${process.execPath}' --conditions=@effect-codex/source '${executable}'`
      for (const { command, output } of shown) {
        const line = command.replaceAll("effect-codex", "effect_codex").replace(id, (text) => ids.get(text) ?? text)
        const { stdout } = yield* run("sh", ["-c", `effect_codex() { ${node} "$@" 2>&1; }\n${line}`], {
          cwd,
          env: { CODEX_HOME: home, CODEX_PATH: "" }
        })
        assert.strictEqual(comparable(stdout), comparable(output), command)
        const there = stdout.match(id) ?? []
        for (const [index, text] of (output.match(id) ?? []).entries()) ids.set(text, there[index] ?? text)
      }
    }).pipe(Effect.scoped), 180_000)

  it.effect("names every command", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { stdout } = yield* cli.run(["--help"])
      const commands = [...(stdout.split("SUBCOMMANDS")[1] ?? "").matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name)
      assert.deepStrictEqual(commands, ["run", "doctor", "threads", "record", "replay", "schema"])
      for (const name of commands) assert.match(page, new RegExp(`^## .*${name}`, "m"))
    }), 120_000)

  it.effect.each([
    { shell: "bash", part: "_init_completion" },
    { shell: "zsh", part: "#compdef effect-codex" },
    { shell: "fish", part: "complete -c effect-codex" }
  ])("has completions for $shell", ({ part, shell }) =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { exitCode, stdout } = yield* cli.run(["--completions", shell])
      assert.strictEqual(exitCode, 0)
      for (const name of [part, "doctor", "threads", "output-schema", "fail-on"]) assert.include(stdout, name)
    }), 120_000)
})
