import { Thread } from "@effect-codex/generated"
import { OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { Cli } from "./support.ts"

const decodeThread = Schema.decodeUnknownSync(Schema.fromJsonString(Thread))

const environment = Cli.layer({
  respond: ({ input, text, toolOutput }) =>
    text === "Say hello" && toolOutput("call") === undefined
      ? [
        OfflineModel.commentary("I will try it."),
        OfflineModel.functionCall({ name: "exec_command", callId: "call", arguments: { cmd: "echo hello" } })
      ]
      : OfflineModel.finalAnswer(`Message ${input.filter(({ role }) => role === "user").length - 1}`)
})

layer(environment, { excludeTestServices: true, timeout: "120 seconds" })("effect-codex threads", (it) => {
  it.effect("lists, shows and goes on with threads", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const fs = yield* FileSystem.FileSystem
      const none = yield* cli.run(["threads", "list"])
      assert.deepStrictEqual(none, { exitCode: 0, stdout: "", stderr: "There are no such threads.\n" })

      const elsewhere = yield* fs.realPath(yield* fs.makeTempDirectoryScoped({ prefix: "cli-threads-" }))
      yield* cli.run(["run", "--quiet", "Say hello"])
      yield* cli.run(["run", "--quiet", "--cd", elsewhere, "Another\nthing"])

      const { exitCode, stderr, stdout } = yield* cli.run(["threads", "list"])
      assert.strictEqual(exitCode, 0, stderr)
      const [heading, first = "", second = "", ...rest] = stdout.trimEnd().split("\n")
      assert.match(heading ?? "", /^ID {35} AGE  TITLE {10}MODEL {4}DIRECTORY$/)
      assert.match(first, /^[0-9a-f-]{36}  now  Another thing  gpt-5.4  \//)
      assert.match(second, /^[0-9a-f-]{36}  now  Say hello      gpt-5.4  \//)
      assert.deepStrictEqual(rest, [])

      const page = yield* cli.run(["threads", "list", "--limit", "1", "--json"])
      assert.strictEqual(decodeThread(page.stdout).preview, "Another\nthing")
      const cursor = /^There are more: --cursor "(.*)"\n$/.exec(page.stderr)?.[1] ?? ""
      const next = yield* cli.run(["threads", "list", "--json", "--cursor", cursor])
      assert.strictEqual(next.stderr, "")
      const { id, preview } = decodeThread(next.stdout)
      assert.strictEqual(preview, "Say hello")

      const there = yield* cli.run(["threads", "list", "--cwd", ".", "--json"], { cwd: elsewhere })
      assert.strictEqual(decodeThread(there.stdout).cwd, elsewhere)

      const resumed = yield* cli.run(["threads", "resume", id, "And now?", "--quiet"])
      assert.deepStrictEqual(resumed, { exitCode: 0, stdout: "Message 2\n", stderr: "" })

      const shown = yield* cli.run(["threads", "show", id])
      assert.match(
        shown.stdout,
        new RegExp(
          `^Say hello\nid         ${id}\nmodel      gpt-5.4 \\(offline\\)\n(.*\n)*turns      2\n\n` +
            "> Say hello\nI will try it\\.\n\\$ .*echo hello'\n(  .*\n)*  exit code 0 in .*\nMessage 1\n\\(completed in .*\\)\n\n" +
            "> And now\\?\nMessage 2\n\\(completed in .*\\)\n$"
        )
      )
      const json = yield* cli.run(["threads", "show", id, "--json"])
      assert.deepStrictEqual(decodeThread(json.stdout).turns.map(({ status }) => status), ["completed", "completed"])
    }).pipe(Effect.scoped), 120_000)

  it.effect("says what is wrong", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      assert.deepStrictEqual(yield* cli.run(["threads", "show"]), {
        exitCode: 2,
        stdout: "",
        stderr: "effect-codex: Missing required argument: id\nTry: effect-codex threads show --help\n"
      })
      const { exitCode, stderr } = yield* cli.run(["threads", "show", "00000000-0000-7000-8000-000000000000"])
      assert.strictEqual(exitCode, 1)
      assert.match(stderr, /^effect-codex: The app-server refused thread\/read: .*\n$/)
    }), 120_000)
})
