import { codexVersion } from "@effect-codex/generated"
import { OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Binary from "../../packages/node/src/internal/binary.ts"
import * as Fake from "../../packages/node/test/support/FakeExecutable.ts"
import { Cli } from "./support.ts"

const Findings = Schema.fromJsonString(Schema.Struct({
  ok: Schema.Boolean,
  findings: Schema.Array(Schema.Struct({
    check: Schema.String,
    status: Schema.Literals(["ok", "warning", "failure", "skipped"]),
    message: Schema.String,
    advice: Schema.optionalKey(Schema.String)
  }))
}))
const decodeFindings = Schema.decodeUnknownSync(Findings)

/** An executable that says it is another version than it is, and does all else as the real one. */
const disguised = (version: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const file = path.join(yield* fs.makeTempDirectoryScoped({ prefix: "cli-doctor-" }), "codex")
    const real = yield* Binary.pinned()
    yield* fs.writeFileString(
      file,
      `#!/bin/sh\nif [ "$1" = --version ]; then echo "codex-cli ${version}"; else exec '${real}' "$@"; fi\n`,
      { mode: 0o755 }
    )
    return file
  })

const model = Cli.layer({
  respond: () => [OfflineModel.finalAnswer("pong"), OfflineModel.usage({ input: 7, output: 2 })]
})

layer(model, { excludeTestServices: true, timeout: "120 seconds" })("effect-codex doctor", (it) => {
  it.effect("finds everything well", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { exitCode, stderr, stdout } = yield* cli.run(["doctor", "--live"])
      assert.strictEqual(stderr, "")
      assert.strictEqual(exitCode, 0, stdout)
      const lines = stdout.split("\n")
      assert.deepStrictEqual(
        lines.slice(0, 8).map((line) => line.slice(0, 21).trim().replace(/ +/, " ")),
        ["executable", "version", "home", "schema", "handshake", "config", "login", "turn"].map((name) => `ok ${name}`)
      )
      assert.match(lines[7] ?? "", /the model answers "pong" \(.*, 9 tokens\)$/)
      assert.deepStrictEqual(lines.slice(8), ["", "Everything is well.", ""])
    }), 120_000)

  it.effect("does not run a turn unasked, and says what one costs", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const requests = (yield* (yield* OfflineModel).requests).length
      const { exitCode, stdout } = yield* cli.run(["doctor", "--json"])
      assert.strictEqual(exitCode, 0)
      const { findings, ok } = decodeFindings(stdout)
      assert.isTrue(ok)
      assert.deepStrictEqual(findings.at(-1)?.check, "turn")
      assert.strictEqual(findings.at(-1)?.status, "skipped")
      assert.include(findings.at(-1)?.message ?? "", "tokens of your account")
      assert.strictEqual((yield* (yield* OfflineModel).requests).length, requests)
    }), 120_000)

  it.effect("says where nobody is logged in, and what to do", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const home = path.join(yield* fs.makeTempDirectoryScoped({ prefix: "cli-home-" }), "home")
      yield* fs.makeDirectory(home)
      const { exitCode, stdout } = yield* cli.run(["doctor", "--live", "--json", "--codex-home", home])
      assert.strictEqual(exitCode, 1)
      const { findings, ok } = decodeFindings(stdout)
      assert.isFalse(ok)
      const [login, turn] = findings.slice(-2)
      assert.deepInclude(login, { check: "login", status: "failure", message: "nobody is logged in" })
      assert.include(login?.advice ?? "", "npx codex login")
      assert.deepInclude(turn, { check: "turn", status: "skipped" })
    }).pipe(Effect.scoped), 120_000)

  it.effect("warns of a newer executable, and fails an older one", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      for (const [version, status, exitCode] of [["99.0.0", "warning", 0], ["0.1.0", "failure", 1]] as const) {
        const outcome = yield* cli.run(["doctor", "--json", "--codex-path", yield* disguised(version)])
        const finding = decodeFindings(outcome.stdout).findings.find(({ check }) => check === "version")
        assert.strictEqual(finding?.status, status)
        assert.strictEqual(finding?.message, `codex ${version}; effect-codex is made for ${codexVersion}`)
        assert.strictEqual(outcome.exitCode, exitCode, outcome.stdout)
      }
    }).pipe(Effect.scoped), 120_000)

  it.effect.each([
    { signals: 1, args: ["doctor", "--codex-path"], hangs: "--version" },
    { signals: 2, args: ["doctor", "--codex-path"], hangs: "--version" },
    { signals: 1, args: ["schema", "diff", "pinned"], hangs: "app-server" },
    { signals: 2, args: ["schema", "diff", "pinned"], hangs: "app-server" }
  ])(
    "leaves no executable that minds no signal, after Ctrl-C: $signals times, in $args",
    (given) =>
      Effect.gen(function*() {
        const cli = yield* Cli
        const fake = yield* Fake.script(`
        if (process.argv[2] !== ${JSON.stringify(given.hangs)}) return write("codex-cli 1.0.0")
        process.on("SIGTERM", () => record("SIGTERM"))
        setInterval(() => {}, 1000)
        record("stubborn " + process.pid)`)
        const child = yield* cli.start([...given.args, fake.path])
        yield* fake.awaitValue("stubborn")
        process.kill(child.pid, "SIGINT")
        if (given.signals === 2) {
          yield* fake.awaitRecord("SIGTERM")
          process.kill(child.pid, "SIGINT")
        }
        assert.strictEqual(yield* child.exitCode, 130)
        yield* fake.awaitGone("stubborn")
      }).pipe(Effect.scoped, Effect.timeout("100 seconds")),
    120_000
  )

  it.effect.each([
    { args: ["--codex-path", "/none"], says: /^failure  executable  There is no executable at \/none\n {21}Install / },
    { args: ["--codex-path", "/tmp"], says: /^failure  executable  Could not start \/tmp: PermissionDenied\n(?! )/ },
    {
      args: ["--codex-path", "/etc/passwd/codex"],
      says: /^failure  executable  Could not start \/etc\/passwd\/codex\n/
    },
    { args: ["--codex-path", ""], says: /^failure  executable  The path of codex is empty\n {21}Install / },
    { args: ["--codex-path", "/bin/true"], says: /^failure  executable  \/bin\/true is no codex: / },
    { args: ["--codex-home", "/none"], says: /^failure  home        \/none is not there\n {21}Make it, /m },
    {
      args: ["--config", "model_providers=3"],
      says: /^failure  handshake   .*invalid type: integer `3`, expected a map/m
    }
  ])("finds what is wrong with $args", ({ args, says }) =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { exitCode, stderr, stdout } = yield* cli.run(["doctor", ...args])
      assert.strictEqual(stderr, "")
      assert.match(stdout, says)
      assert.match(stdout, /^\d of \d checks failed\.$/m)
      assert.strictEqual(exitCode, 1)
    }), 120_000)
})
