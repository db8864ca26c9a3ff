import * as Generated from "@effect-codex/generated"
import { OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { existsSync } from "node:fs"
import * as Binary from "../../packages/node/src/internal/binary.ts"
import { recorded } from "../../packages/node/test/support/FakeExecutable.ts"
import * as FakeAppServer from "../support/FakeAppServer.ts"
import { run } from "../support/program.ts"
import { argumentsOf, Cli, follow, lines, secrets } from "./support.ts"

const command = (cmd: string, more: { readonly [key: string]: string } = {}) =>
  OfflineModel.functionCall({ name: "exec_command", callId: "call", arguments: { cmd, ...more } })
const escalated = { sandbox_permissions: "require_escalated", justification: "It has to say hello" }

const environment = Cli.layer({
  respond: ({ format, input, text, toolOutput }) => {
    const done = toolOutput("call") !== undefined
    // What stands after it tells of the images.
    switch (text.split("\n")[0]) {
      case "Use a command":
        return done
          ? [OfflineModel.finalAnswer("It says hello."), OfflineModel.usage({ input: 30, cachedInput: 20, output: 7 })]
          : [OfflineModel.commentary("I will try it."), command("echo hello")]
      case "Ask for a command":
        return done ? OfflineModel.finalAnswer("Well then.") : command("echo hello", escalated)
      case "Take your time":
        return done
          ? OfflineModel.text(["Once upon ", OfflineModel.hold(Effect.never), "a time"])
          : [OfflineModel.commentary("Let me think."), command("echo hello")]
      case "Break":
        return OfflineModel.failed({ code: "invalid_prompt", message: "It broke." })
      case "Trick":
        return OfflineModel.finalAnswer("a\u001b[2Jb")
      case "Which image?":
        return OfflineModel.finalAnswer(JSON.stringify(input).includes("input_image") ? "I see it." : "There is none.")
      case "A city":
        return OfflineModel.json({ city: "Oslo", asked: format !== undefined })
      default:
        return OfflineModel.finalAnswer(`You said: ${text}`)
    }
  }
})

const quiet = ["run", "--quiet"]

layer(environment, { excludeTestServices: true, timeout: "120 seconds" })("effect-codex run", (it) => {
  it.effect("gives the answer on stdout, and tells the rest on stderr", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { exitCode, stderr, stdout } = yield* cli.run(["run", "Use", "a", "command"])
      assert.strictEqual(exitCode, 0, stderr)
      assert.strictEqual(stdout, "It says hello.\n")
      assert.match(
        stderr,
        new RegExp(
          "^thread [0-9a-f-]{36}\nI will try it\\.\n\\$ .*echo hello'\n(.*\n)*  hello\n  exit code 0 in .*\n" +
            "completed in .*\n" +
            "52 tokens in this thread \\(input 40, of it cached 20; output 12\\)\n" +
            "go on with: effect-codex threads resume [0-9a-f-]{36}\n$"
        )
      )
    }), 120_000)

  it.effect("takes the prompt from stdin, and with --quiet says nothing but the answer", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      for (const args of [quiet, [...quiet, "-"]]) {
        assert.deepStrictEqual(yield* cli.run(args, { stdin: ["Hello ", "there"] }), {
          exitCode: 0,
          stdout: "You said: Hello there\n",
          stderr: ""
        })
      }
    }), 120_000)

  it.effect(
    "goes on with a thread, in the directory, with the model and the effort that are asked for",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli
        const model = yield* OfflineModel
        const fs = yield* FileSystem.FileSystem
        const directory = yield* fs.makeTempDirectoryScoped({ prefix: "cli-cd-" })
        const first = yield* cli.run([
          "run",
          "Remember",
          "-m",
          "gpt-5.4",
          "--effort",
          "high",
          "--cd",
          directory,
          "--json"
        ])
        const [opening] = lines(first.stdout)
        assert.strictEqual(opening?.method, "cli/turn")
        const second = yield* cli.run([...quiet, "--resume", String(opening?.params["threadId"]), "And now?"])
        assert.strictEqual(second.stdout, "You said: And now?\n")
        const [asked, then] = (yield* model.requests).slice(-2)
        assert.strictEqual(asked?.model, "gpt-5.4")
        assert.strictEqual(asked?.effort, "high")
        assert.include(JSON.stringify(asked?.input), directory)
        assert.strictEqual(then?.threadId, asked?.threadId)
        assert.include(JSON.stringify(then?.input), "Remember")
      }).pipe(Effect.scoped),
    120_000
  )

  it.effect("shows images, and holds the answer to a schema", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped({ prefix: "cli-input-" })
      const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
      yield* fs.writeFile(path.join(folder, "a.png"), Buffer.from(png, "base64"))
      yield* fs.writeFileString(
        path.join(folder, "city.json"),
        JSON.stringify({
          type: "object",
          properties: { city: { type: "string" }, asked: { type: "boolean" } },
          required: ["city", "asked"],
          additionalProperties: false
        })
      )
      const image = yield* cli.run([...quiet, "--image", "a.png", "Which image?"], { cwd: folder })
      assert.strictEqual(image.stdout, "I see it.\n", image.stderr)
      const city = yield* cli.run([...quiet, "--output-schema", "city.json", "A city"], { cwd: folder })
      assert.deepStrictEqual(JSON.parse(city.stdout), { city: "Oslo", asked: true }, city.stderr)
    }).pipe(Effect.scoped), 120_000)

  it.effect("with --json writes each event as a line, as the protocol has it", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { exitCode, stderr, stdout } = yield* cli.run(["run", "--json", "Use a command"])
      assert.strictEqual(stderr, "")
      assert.strictEqual(exitCode, 0)
      const events = lines(stdout)
      assert.strictEqual(events[0]?.method, "cli/turn")
      const notifications = new Map(Object.entries(Generated.ServerNotifications))
      for (const { method, params } of events.slice(1, -1)) {
        const definition = notifications.get(method)
        assert.isTrue(definition !== undefined && Schema.is(definition.params)(params), method)
      }
      const methods = events.map(({ method }) => method)
      for (const method of ["turn/started", "item/started", "item/agentMessage/delta", "turn/completed"]) {
        assert.include(methods, method)
      }
      const last = events.at(-1)
      assert.strictEqual(last?.method, "cli/result")
      assert.strictEqual(last?.params["status"], "completed")
      assert.strictEqual(last?.params["finalResponse"], "It says hello.")
    }), 120_000)

  it.effect("declines what there is nobody to ask about, and says so", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const told = yield* cli.run(["run", "Ask for a command"])
      assert.strictEqual(told.stdout, "Well then.\n")
      assert.match(told.stderr, /^declined: \$ .*echo hello' \(there is no terminal to ask; see --approval\)$/m)
      assert.match(told.stderr, /^  declined$/m)

      const json = yield* cli.run(["run", "--json", "Ask for a command"])
      const approval = lines(json.stdout).find(({ method }) => method === "cli/approval")
      assert.deepInclude(approval?.params, { decision: { _tag: "Decline" }, asked: false })

      const denied = yield* cli.run(["run", "--approval", "deny", "Ask for a command"])
      assert.notInclude(denied.stderr, "see --approval")
      assert.strictEqual(denied.stdout, "Well then.\n")
    }), 120_000)

  it.effect("shows what the agent writes, and does not let it at the terminal", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { stderr, stdout } = yield* cli.run(["run", "--resume", "\u001b[2J", "x"])
      assert.strictEqual(stdout, "")
      assert.notInclude(stderr, "\u001b")
      // Who pipes the answer gets it as it is.
      assert.strictEqual((yield* cli.run([...quiet, "Trick"])).stdout, "a\u001b[2Jb\n")
    }), 120_000)

  // Only Linux has a device that is always full.
  it.effect.runIf(existsSync("/dev/full"))("says that its answer cannot be written", () =>
    Effect.gen(function*() {
      const { home } = yield* Cli
      const { exitCode, stderr } = yield* run(
        "sh",
        ["-c", "exec \"$0\" \"$@\" > /dev/full", process.execPath, ...argumentsOf([...quiet, "Hello"])],
        { env: { CODEX_HOME: home, CODEX_PATH: "" } }
      )
      assert.strictEqual(stderr, "effect-codex: stdout cannot be written (ENOSPC)\n")
      assert.strictEqual(exitCode, 1)
    }), 120_000)

  it.effect("ends with 1 where the turn fails, in a line", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { exitCode, stderr, stdout } = yield* cli.run([...quiet, "Break"])
      assert.deepStrictEqual([exitCode, stdout], [1, ""])
      assert.match(stderr, /^effect-codex: The turn failed: .*It broke\..*\n$/)
    }), 120_000)

  it.effect("ends with 124 where the turn takes too long", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { exitCode, stderr } = yield* cli.run(["run", "--timeout", "1", "Take your time"])
      assert.strictEqual(exitCode, 124)
      assert.match(stderr, /^interrupted in /m)
      assert.match(stderr, /^effect-codex: The turn took too long and was interrupted\n$/m)
    }), 120_000)

  it.effect("on Ctrl-C interrupts the turn, tells what it took, and leaves no process", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const model = yield* OfflineModel
      const codex = yield* recorded(yield* Binary.pinned())
      const child = yield* cli.start(["run", "--json", "--codex-path", codex.path, "Take your time"])
      const stdout = yield* follow(child.stdout)
      const stderr = yield* follow(child.stderr)
      yield* stdout.until("Once upon")
      process.kill(child.pid, "SIGINT")
      assert.strictEqual(yield* child.exitCode, 130)
      yield* codex.awaitGone()
      const events = lines(yield* stdout.whole)
      assert.deepStrictEqual(events.slice(-2).map(({ method }) => method), ["turn/completed", "cli/result"])
      const result = events.at(-1)?.params
      assert.strictEqual(result?.["status"], "interrupted")
      assert.deepInclude(result?.["usage"], { total: { ...total, inputTokens: 10, outputTokens: 5, totalTokens: 15 } })
      assert.strictEqual(yield* stderr.whole, "")
      assert.strictEqual(yield* (yield* model.requests).at(-1)?.outcome ?? Effect.succeed("none"), "disconnected")
    }).pipe(Effect.scoped), 120_000)

  it.effect("tells people what an interrupted turn took", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const model = yield* OfflineModel
      const child = yield* cli.start(["run", "Take your time\nas long as it takes"])
      const stderr = yield* follow(child.stderr)
      yield* stderr.until("exit code 0")
      // The server tells what the first answer took before it asks for the next one.
      yield* model.awaitRequest(({ text, toolOutput }) =>
        text.endsWith("as long as it takes") && toolOutput("call") !== undefined
      )
      process.kill(child.pid, "SIGTERM")
      assert.strictEqual(yield* child.exitCode, 143)
      assert.match(yield* stderr.whole, /^interrupted in .*\n15 tokens in this thread/m)
    }).pipe(Effect.scoped), 120_000)

  it.effect("on a second Ctrl-C ends at once, whatever the server does", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const fake = yield* FakeAppServer.make({
        ignore: ["eof", "SIGTERM"],
        grandchildren: 1,
        turn: { hold: true },
        on: {
          "account/read": [{ result: { account: null, requiresOpenaiAuth: false } }],
          "turn/interrupt": [{ note: "asked to interrupt" }]
        }
      })
      const child = yield* cli.start(["run", "--json", "--codex-path", fake.options.codexPath, "Hello"], {
        env: fake.options.env
      })
      const stdout = yield* follow(child.stdout)
      yield* stdout.until("item/agentMessage/delta")
      process.kill(child.pid, "SIGINT")
      yield* fake.noted("asked to interrupt")
      process.kill(child.pid, "SIGINT")
      assert.strictEqual(yield* child.exitCode, 130)
      yield* fake.gone
    }).pipe(Effect.scoped), 120_000)

  it.effect.each([
    {
      args: ["run", "--nonsense", "x"],
      exitCode: 2,
      says: /^effect-codex: Unrecognized flag: --nonsense.*\nTry: .*--help\n$/
    },
    { args: [], exitCode: 2, says: /^DESCRIPTION\n[^]*\n {2}run / },
    { args: ["threads"], exitCode: 2, says: /^DESCRIPTION\n[^]*\n {2}list / },
    { args: ["nonsense"], exitCode: 2, says: /^effect-codex: Unknown subcommand "nonsense".*\nTry: .*--help\n$/ },
    { args: quiet, exitCode: 2, says: /^effect-codex: There is no prompt\n  .*stdin.*\n$/ },
    {
      args: [...quiet, "--timeout", "soon", "x"],
      exitCode: 2,
      says: /Expected a duration as "10 minutes", got "soon"/
    },
    { args: [...quiet, "--config", "nonsense", "x"], exitCode: 2, says: /Expected KEY=VALUE/ },
    {
      args: [...quiet, "--image", "/none.png", "x"],
      exitCode: 2,
      says: /^effect-codex: There is no image at \/none.png\n$/
    },
    {
      args: [...quiet, "--image", "/tmp", "x"],
      exitCode: 2,
      says: /^effect-codex: \/tmp is a directory, and not an image\n$/
    },
    { args: [...quiet, "--cd", "/none", "x"], exitCode: 2, says: /\/none/ },
    {
      args: [...quiet, "--codex-path", "/none", "x"],
      exitCode: 1,
      says: /^effect-codex: There is no executable at \/none\n  .*--codex-path\.\n$/
    },
    { args: [...quiet, "--codex-home", "/none", "x"], exitCode: 1, says: /CODEX_HOME points to "\/none"/ },
    {
      args: [...quiet, "--config", "model_providers=3", "x"],
      exitCode: 1,
      says: /invalid type: integer `3`, expected a map/
    },
    {
      args: [...quiet, "--ephemeral", "--resume", "00000000-0000-7000-8000-000000000000", "x"],
      exitCode: 2,
      says: /^effect-codex: --ephemeral is for a new thread: .*\n$/
    },
    {
      args: [...quiet, "--resume", "00000000-0000-7000-8000-000000000000", "x"],
      exitCode: 1,
      says: /^effect-codex: The app-server refused thread\/resume: .*\n$/
    }
  ])("says in a line what is wrong with $args", ({ args, exitCode, says }) =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const outcome = yield* cli.run(args)
      assert.strictEqual(outcome.stdout, "")
      assert.match(outcome.stderr, says)
      assert.notMatch(outcome.stderr, /^\s+at /m)
      assert.strictEqual(outcome.exitCode, exitCode)
    }), 120_000)

  it.effect(
    "says that the configuration cannot be read, and not that nobody is logged in",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const home = yield* fs.makeTempDirectoryScoped({ prefix: "cli-home-" })
        yield* fs.writeFileString(path.join(home, "config.toml"), "model = \n")
        const { exitCode, stderr, stdout } = yield* cli.run([...quiet, "--codex-home", home, "x"])
        assert.deepStrictEqual([exitCode, stdout], [1, ""])
        assert.match(stderr, /^effect-codex: The app-server refused config\/read: .*config\.toml:1:9: .*\n$/)
      }).pipe(Effect.scoped),
    120_000
  )

  it.effect("says what to do where nobody is logged in, and shows no secret", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const home = path.join(yield* fs.makeTempDirectoryScoped({ prefix: "cli-home-" }), "home")
      yield* fs.makeDirectory(home)
      const { exitCode, stderr, stdout } = yield* cli.run(
        [...quiet, "--config", `model=${secrets.SOME_TOKEN}`, "--codex-home", home, "x"]
      )
      assert.deepStrictEqual([exitCode, stdout], [1, ""])
      assert.match(stderr, /^effect-codex: You are not logged in\n  Log in with `npx codex login`.*\n$/)

      const wrong = yield* cli.run([...quiet, "--config", secrets.OPENAI_API_KEY, "--timeout", secrets.SOME_TOKEN, "x"])
      assert.strictEqual(wrong.exitCode, 2)
      assert.notInclude(wrong.stderr, "sentinel")
    }).pipe(Effect.scoped), 120_000)
})

const total = { cacheWriteInputTokens: 0, cachedInputTokens: 0, reasoningOutputTokens: 0 }
