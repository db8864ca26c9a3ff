import { AppServerClient, AppServerExited, AppServerSpawnError } from "@effect-codex/core"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as Path from "effect/Path"
import * as PlatformError from "effect/PlatformError"
import type * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import * as AppServerProcess from "../src/AppServerProcess.ts"
import * as Binary from "../src/internal/binary.ts"
import * as NodeCodex from "../src/NodeCodex.ts"
import * as Fake from "./support/FakeExecutable.ts"

const live = { excludeTestServices: true } as const

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** The client of a process, for as long as the scope is open. */
const connect = (options: NodeCodex.Options) =>
  Effect.map(Layer.build(NodeCodex.layer(options)), (context) =>
    AppServerClient.useSync((client) => client).pipe(
      Effect.provide(context)
    )).pipe(Effect.flatten)

/** What starting the process fails with. */
const startError = (options: NodeCodex.Options) => Effect.flip(Effect.scoped(Layer.build(NodeCodex.layer(options))))

const spawnError = (options: NodeCodex.Options) =>
  Effect.map(startError(options), (error) => {
    assert.instanceOf(error, AppServerSpawnError)
    return error
  })

/** A client in a scope of its own. */
const closable = (options: NodeCodex.Options) =>
  Effect.gen(function*() {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const client = yield* Scope.provide(connect(options), scope)
    return { client, close: Scope.close(scope, Exit.void) }
  })

const cooperative = `onMessage(() => {})
process.stdin.on("end", () => { record("stdin ended"); process.exit(0) })`

layer(NodeServices.layer, live)("starting the process", (it) => {
  it.effect("fails with BinaryNotFound when there is no executable", () =>
    Effect.gen(function*() {
      for (const codexPath of ["/no/such/codex", "no-such-codex-anywhere"]) {
        const error = yield* spawnError({ codexPath })
        assert.deepStrictEqual([error.reason, error.executable], ["BinaryNotFound", codexPath])
        assert.include(error.message, codexPath)
      }
    }))

  it.effect("fails with BinaryNotFound when its name is empty", () =>
    Effect.gen(function*() {
      const error = yield* spawnError({ codexPath: "" })
      assert.deepStrictEqual([error.reason, error.executable], ["BinaryNotFound", undefined])
    }))

  it.effect("fails with SpawnFailed when the file cannot be executed", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const codexPath = yield* fs.makeTempFileScoped()
      const error = yield* spawnError({ codexPath })
      assert.deepStrictEqual([error.reason, error.executable], ["SpawnFailed", codexPath])
    }))

  it.effect("fails with BadWorkingDirectory when that is missing or none", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.makeTempFileScoped()
      const { path } = yield* Fake.script(cooperative)
      for (const cwd of ["/no/such/directory", file]) {
        const error = yield* spawnError({ codexPath: path, cwd })
        assert.strictEqual(error.reason, "BadWorkingDirectory", error.message)
        assert.include(error.message, cwd)
      }
    }))

  it.effect("fails with SpawnFailed where Node throws", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(cooperative)
      const inside = yield* spawnError({ codexPath: `${fake.path}/codex` })
      assert.strictEqual(inside.reason, "SpawnFailed", inside.message)
      const tooMuch = yield* spawnError({ codexPath: fake.path, args: ["x".repeat(10_000_000)] })
      assert.strictEqual(tooMuch.reason, "SpawnFailed", tooMuch.message)
    }))

  it.effect("shows nothing of its configuration and arguments where it fails", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.makeTempFileScoped()
      for (const codexPath of ["/no/such/codex", file, `${file}/codex`]) {
        const error = yield* spawnError({
          codexPath,
          config: { mcp_servers: { db: { command: "db", env: { DB_PASSWORD: "hunter2" } } } },
          args: ["--config", "model_providers.mine.http_headers.Authorization=\"Basic hunter2\""]
        })
        const cause = Cause.fail(error)
        for (const shown of [Cause.pretty(cause), JSON.stringify(error), inspect(error, { depth: null })]) {
          assert.include(shown, "AppServerSpawnError")
          assert.notInclude(shown, "hunter2")
        }
      }
    }))

  it.effect("finds the pinned executable of this platform, and says so where there is none", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      assert.isTrue(yield* fs.exists(yield* Binary.pinned()))
      const unsupported = yield* Effect.flip(Binary.pinned({ platform: "sunos", arch: "sparc" }))
      assert.strictEqual(unsupported.reason, "UnsupportedPlatform")
      assert.include(unsupported.message, "sunos on sparc")
      const other = process.platform === "win32" ? "darwin" : "win32"
      const missing = yield* Effect.flip(Binary.pinned({ platform: other, arch: "x64" }))
      assert.strictEqual(missing.reason, "BinaryNotFound")
      assert.include(missing.message, `@openai/codex-${other}-x64`)
    }))

  it.effect("is started without a console window, and leads a group where there are groups", () =>
    Effect.gen(function*() {
      const commands: Array<ChildProcess.Command> = []
      const spawner = ChildProcessSpawner.make((command) => {
        commands.push(command)
        return Effect.fail(PlatformError.badArgument({ module: "ChildProcess", method: "spawn" }))
      })
      yield* Effect.flip(AppServerProcess.make({ codexPath: "/bin/codex" })).pipe(
        Effect.provideService(ChildProcessSpawner.ChildProcessSpawner, spawner)
      )
      const [command] = commands
      if (command?._tag !== "StandardCommand") return assert.fail("Nothing was started")
      const { detached, shell, windowsHide } = command.options
      // Left to the platform: a group of its own, except on Windows.
      assert.deepStrictEqual({ detached, shell, windowsHide }, {
        detached: undefined,
        shell: undefined,
        windowsHide: true
      })
    }))

  it.effect("fails with ExitedEarly, the exit code and stderr when the process ends before the handshake", () =>
    Effect.gen(function*() {
      const { path } = yield* Fake.script(`say("Error: no luck"); process.exit(3)`)
      const error = yield* spawnError({ codexPath: path })
      assert.deepStrictEqual([error.reason, error.exitCode, error.stderr], ["ExitedEarly", 3, "Error: no luck"])
      assert.strictEqual(error.executable, path)
      assert.include(error.message, "exited with code 3")
      assert.include(error.message, "no luck")
    }))

  it.effect("fails with ExitedEarly when a signal ends the process before the handshake", () =>
    Effect.gen(function*() {
      const { path } = yield* Fake.script(`onLine(() => process.kill(process.pid, "SIGKILL"))`)
      const error = yield* spawnError({ codexPath: path })
      assert.deepStrictEqual([error.reason, error.exitCode], ["ExitedEarly", undefined])
      assert.include(error.message, "SIGKILL")
    }))
})

layer(NodeServices.layer)("a process that does not answer", (it) => {
  it.effect("initialize fails with RequestTimeout and is ended", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`onLine(() => record("asked"))
        process.stdin.on("end", () => process.exit(0))`)
      const starting = yield* fork(startError({ codexPath: fake.path, handshakeTimeout: "20 seconds" }))
      yield* fake.awaitRecord("asked")
      yield* TestClock.adjust("20 seconds")
      const error = yield* Fiber.join(starting)
      assert.strictEqual(error._tag, "RequestTimeout")
      assert.strictEqual(error.message, "initialize: no response within 20s")
      yield* fake.awaitGone()
    }))
})

layer(NodeServices.layer, live)("the real executable", (it) => {
  const home = Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* fs.makeTempDirectoryScoped({ prefix: "codex-home-" })
  })

  const offline = { "features.plugins": false, analytics: { enabled: false } } as const

  it.effect("tells why it does not accept its configuration", () =>
    Effect.gen(function*() {
      const error = yield* spawnError({ codexHome: yield* home, config: { approval_policy: "bogus" } })
      assert.deepStrictEqual([error.reason, error.exitCode], ["ExitedEarly", 1])
      assert.include(error.stderr, "approval_policy")
      assert.include(error.message, "bogus")
    }))

  it.effect("is not started with a value that no override can have", () =>
    Effect.gen(function*() {
      // As from JavaScript, or from a file.
      const config = { ...JSON.parse("{\"model\":null,\"tools\":{\"view_image\":null}}"), limits: [1, Number.NaN] }
      const error = yield* Effect.flip(Effect.scoped(AppServerProcess.make({ codexHome: yield* home, config })))
      assert.strictEqual(error._tag, "InvalidOptions")
      assert.deepStrictEqual(
        error._tag === "InvalidOptions" ? error.issues.map((issue) => issue.path) : [],
        ["config.model", "config.tools.view_image", "config.limits[1]"]
      )
    }))

  it.effect("tells that its home does not exist", () =>
    Effect.gen(function*() {
      const path = yield* Path.Path
      const codexHome = path.join(yield* home, "missing")
      const error = yield* spawnError({ codexHome })
      assert.deepStrictEqual([error.reason, error.exitCode], ["ExitedEarly", 1])
      assert.include(error.message, "does not exist")
    }))

  it.effect("understands configuration overrides of every kind", () =>
    Effect.gen(function*() {
      const client = yield* connect({
        codexHome: yield* home,
        config: {
          ...offline,
          model: "a \"quoted\" \\ 'model' é\n\t= [x]",
          model_context_window: 12_345,
          hide_agent_reasoning: true,
          model_providers: {
            mine: { name: "Mine", base_url: "http://127.0.0.1:1/v1", http_headers: { "X-A.b": "c = \"d\"" } },
            "with.dots": { name: "Dots", base_url: "http://127.0.0.1:2/v1" }
          },
          "model_providers.other.name": "Other",
          shell_environment_policy: { include_only: ["PATH", "A \"B\""], set: { "A.B": "x" } },
          notify: ["say", "it's = done"],
          // What is no TOML would be taken as it stands, with its escapes.
          developer_instructions: "a line\nhalf a \ud83d"
        }
      })
      const { config } = yield* client.request("config/read", { includeLayers: true })
      const seen = JSON.parse(JSON.stringify(config))
      assert.deepInclude(seen, {
        model: "a \"quoted\" \\ 'model' é\n\t= [x]",
        model_context_window: 12_345,
        hide_agent_reasoning: true,
        notify: ["say", "it's = done"],
        developer_instructions: "a line\nhalf a \ufffd"
      })
      assert.deepNestedInclude(seen, { "model_providers.mine.http_headers": { "X-A.b": "c = \"d\"" } })
      assert.strictEqual(seen.model_providers["with.dots"].name, "Dots")
      assert.strictEqual(seen.model_providers.other.name, "Other")
      assert.deepInclude(seen.shell_environment_policy, { include_only: ["PATH", "A \"B\""], set: { "A.B": "x" } })
    }))

  it.effect("does not outlive the layer, however that ends", () =>
    Effect.gen(function*() {
      const executable = yield* Binary.pinned()
      const uses: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.void,
        Effect.fail("failed"),
        Effect.die("died"),
        Effect.interrupt
      ]
      yield* Effect.forEach(uses, (use) =>
        Effect.gen(function*() {
          const fake = yield* Fake.recorded(executable)
          const codex = NodeCodex.layer({ codexPath: fake.path, codexHome: yield* home, config: offline })
          const exit = yield* Effect.exit(Effect.scoped(Effect.andThen(Layer.build(codex), use)))
          assert.strictEqual(exit._tag, use === Effect.void ? "Success" : "Failure")
          yield* fake.awaitGone()
        }), { concurrency: 2 })
    }))

  it.effect("that is killed in the middle of a request tells so", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.recorded(yield* Binary.pinned())
      const client = yield* connect({ codexPath: fake.path, codexHome: yield* home, config: offline })
      const waiting = yield* fork(
        Effect.flip(
          client.request("command/exec", { command: ["sleep", "600"], sandboxPolicy: { type: "dangerFullAccess" } })
        )
      )
      process.kill(Number(yield* fake.awaitValue("pid")), "SIGKILL")
      const error = yield* Fiber.join(waiting)
      assert.instanceOf(error, AppServerExited)
      assert.deepStrictEqual([error.signal, error.exitCode, error.method], ["SIGKILL", undefined, "command/exec"])
    }))
})

layer(NodeServices.layer, live)("what the process is given", (it) => {
  it.effect("are its arguments, in order", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`record("argv " + JSON.stringify(process.argv.slice(2)))\n${cooperative}`)
      yield* connect({
        codexPath: fake.path,
        config: {
          model: "x\"y\"",
          "a.b": 1.5,
          nested: { one: { two: true, list: [1, "two", { three: [3] }] }, empty: [] },
          projects: { "/home/a.b": { trust_level: "trusted" } },
          delete: "\u007f"
        },
        args: ["--listen", "stdio://"]
      })
      assert.deepStrictEqual(JSON.parse(yield* fake.awaitValue("argv")), [
        "app-server",
        "--config",
        `model="x\\"y\\""`,
        "--config",
        "a.b=1.5",
        "--config",
        "nested.one.two=true",
        "--config",
        `nested.one.list=[1, "two", { "three" = [3] }]`,
        "--config",
        "nested.empty=[]",
        "--config",
        `projects={ "/home/a.b" = { "trust_level" = "trusted" } }`,
        "--config",
        `delete="\\u007f"`,
        "--listen",
        "stdio://"
      ])
    }))

  it.effect("is the inherited environment with the given one over it, and the working directory", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const cwd = yield* Effect.flatMap(fs.makeTempDirectoryScoped(), fs.realPath)
      const fake = yield* Fake.script(
        `record("env " + JSON.stringify(process.env))\nrecord("cwd " + process.cwd())\n${cooperative}`
      )
      process.env["CODEX_TEST_INHERITED"] = "inherited"
      process.env["CODEX_TEST_REMOVED"] = "removed"
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          delete process.env["CODEX_TEST_INHERITED"]
          delete process.env["CODEX_TEST_REMOVED"]
        })
      )
      yield* connect({
        codexPath: fake.path,
        codexHome: "/some/home",
        cwd,
        env: {
          CODEX_TEST_REMOVED: undefined,
          CODEX_TEST_SECRET: Redacted.make("plain"),
          HOME: "/other",
          CODEX_HOME: "/overridden"
        }
      })
      const env = JSON.parse(yield* fake.awaitValue("env"))
      assert.deepInclude(env, {
        CODEX_TEST_INHERITED: "inherited",
        CODEX_TEST_SECRET: "plain",
        HOME: "/other",
        CODEX_HOME: "/some/home",
        PATH: process.env["PATH"]
      })
      assert.notProperty(env, "CODEX_TEST_REMOVED")
      assert.strictEqual(yield* fake.awaitValue("cwd"), cwd)
    }))
})

layer(NodeServices.layer, live)("relative paths", (it) => {
  it.effect("count from the working directory of this process, wherever the app-server's is", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const home = yield* fs.makeTempDirectoryScoped()
      const fake = yield* Fake.script(`record("home " + process.env.CODEX_HOME)\n${cooperative}`)
      const fromHere = (file: string) => path.relative(process.cwd(), file)
      assert.notStrictEqual(fromHere(home), home)
      yield* connect({
        codexPath: fromHere(fake.path),
        codexHome: fromHere(home),
        cwd: yield* fs.makeTempDirectoryScoped({ prefix: "deeper", directory: home })
      })
      assert.strictEqual(yield* fake.awaitValue("home"), home)
    }))

  it.effect("leave an empty home what it is for the app-server: none", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`record("home " + JSON.stringify(process.env.CODEX_HOME))\n${cooperative}`)
      yield* connect({ codexPath: fake.path, codexHome: "" })
      assert.strictEqual(yield* fake.awaitValue("home"), "\"\"")
    }))
})

layer(NodeServices.layer, live)("what the process writes to stderr", (it) => {
  it.effect("is kept as a bounded, redacted tail", () =>
    Effect.gen(function*() {
      const { path } = yield* Fake.script(`
        for (let line = 0; line < 500; line++) say("line " + line)
        say("x".repeat(100000))
        say("key sk-abcdefghijklmnop, Authorization: Bearer abc.def")
        say("by name " + process.env.MY_API_KEY + ", by type " + process.env.PLAIN)
        say("of lines " + process.env.PEM)
        say(JSON.stringify({ level: "ERROR", fields: { message: "quoted " + process.env.QUOTED_TOKEN } }))
        process.exit(1)`)
      const error = yield* spawnError({
        codexPath: path,
        env: {
          MY_API_KEY: "by-its-name",
          PLAIN: Redacted.make("by-its-type"),
          PEM: Redacted.make("-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n"),
          QUOTED_TOKEN: "with\"quotes\"\\inside"
        }
      })
      const tail = error.stderr ?? ""
      const lines = tail.split("\n")
      assert.isAtMost(lines.length, 40)
      assert.isAtMost(tail.length, 40 * 2001)
      assert.notInclude(tail, "line 100\n")
      assert.include(tail, "line 499")
      for (
        const secret of ["sk-abc", "abc.def", "by-its-name", "by-its-type", "with\"quotes", "inside", "MIIE", "Bgkq"]
      ) {
        assert.notInclude(tail, secret)
        assert.notInclude(error.message, secret)
      }
      assert.deepStrictEqual(lines.slice(-6), [
        "key <redacted>, Authorization: Bearer <redacted>",
        "by name <redacted>, by type <redacted>",
        "of lines <redacted>",
        "<redacted>",
        "<redacted>",
        "quoted <redacted>"
      ])
    }))

  it.effect("goes to Effect's logger, one level milder, with what the server says of the line", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`
        say(JSON.stringify({ timestamp: "2026-01-02T03:04:05Z", level: "ERROR", target: "codex_core", fields: { message: "it broke: sk-abcdefghijklmnop" } }))
        say(JSON.stringify({ level: "WARN", fields: { message: "careful" } }))
        say(JSON.stringify({ level: "INFO", target: "t", fields: {} }))
        say("WARNING: \\u001b[31mplain\\u001b[0m words")
        say("")
        ${cooperative}`)
      const listen = (minimum: LogLevel.LogLevel) =>
        Effect.gen(function*() {
          const logged: Array<readonly [level: string, message: unknown, annotations: unknown]> = []
          const logger = Logger.make(({ fiber, logLevel, message }) => {
            const { source, ...annotations } = fiber.getRef(References.CurrentLogAnnotations)
            if (source === "codex app-server") logged.push([logLevel, message, annotations])
          })
          yield* Effect.scoped(connect({ codexPath: fake.path })).pipe(
            Effect.provide(Logger.layer([logger])),
            Effect.provideService(References.MinimumLogLevel, minimum)
          )
          return logged
        })
      const all = yield* listen("All")
      assert.deepStrictEqual(all, [
        ["Warn", ["it broke: <redacted>"], { level: "ERROR", target: "codex_core", time: "2026-01-02T03:04:05Z" }],
        ["Info", ["careful"], { level: "WARN" }],
        ["Debug", [`{"level":"INFO","target":"t","fields":{}}`], { level: "INFO", target: "t" }],
        ["Debug", ["WARNING: plain words"], {}]
      ])
      assert.deepStrictEqual(yield* listen("Info"), all.slice(0, 2))
    }))

  it.effect("is read on where a logger throws", () =>
    Effect.gen(function*() {
      const { path } = yield* Fake.script(`
        for (let line = 0; line < 3; line++) say("line " + line)
        process.exit(1)`)
      const broken = Logger.make(() => {
        throw new Error("No luck")
      })
      const error = yield* spawnError({ codexPath: path }).pipe(
        Effect.provide(Logger.layer([broken])),
        Effect.provideService(References.MinimumLogLevel, "All")
      )
      assert.strictEqual(error.stderr, "line 0\nline 1\nline 2")
    }))
})

// Under the clock of a test, which stands still: processes live in real time.
layer(NodeServices.layer)("closing", (it) => {
  // So long that a busy machine gets round to the signal.
  const shutdownGrace = "2 seconds"

  const noticing = `onMessage(() => {})
        process.stdin.on("end", () => record("stdin ended"))
        setInterval(() => {}, 1000)`

  it.effect("ends stdin, and lets the process end by itself", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`process.on("SIGTERM", () => record("SIGTERM"))
        ${cooperative}`)
      const { close } = yield* closable({ codexPath: fake.path })
      yield* close
      assert.isFalse(Fake.isRunning(Number(yield* fake.awaitValue("pid"))))
      assert.deepStrictEqual(fake.recorded().slice(1), ["stdin ended"])
    }))

  it.effect("terminates a process that does not mind the end of stdin", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`${noticing}
        process.on("SIGTERM", () => { record("SIGTERM"); process.exit(0) })`)
      const { close } = yield* closable({ codexPath: fake.path, shutdownGrace })
      yield* close
      assert.isFalse(Fake.isRunning(Number(yield* fake.awaitValue("pid"))))
      assert.deepStrictEqual(fake.recorded().slice(1), ["stdin ended", "SIGTERM"])
    }))

  it.effect("kills a process that does not mind SIGTERM either", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`${noticing}
        process.on("SIGTERM", () => record("SIGTERM"))`)
      const { close } = yield* closable({ codexPath: fake.path, shutdownGrace })
      yield* close
      assert.isFalse(Fake.isRunning(Number(yield* fake.awaitValue("pid"))))
      assert.deepStrictEqual(fake.recorded().slice(1), ["stdin ended", "SIGTERM"])
    }))

  it.effect("takes the processes along that the process has started", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`
        const child = require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], {
          stdio: "ignore"
        })
        record("grandchild " + child.pid)
        ${noticing}`)
      const { close } = yield* closable({ codexPath: fake.path, shutdownGrace })
      yield* close
      yield* fake.awaitGone("pid")
      yield* fake.awaitGone("grandchild")
    }))

  it.effect("waits for nothing when the process has ended already", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`onMessage((message) => message.method === "initialized" && process.exit(0))`)
      const { client, close } = yield* closable({ codexPath: fake.path, shutdownGrace: "1 hour" })
      yield* Effect.flip(Stream.runDrain(client.notifications))
      yield* close
    }))
})

layer(NodeServices.layer, live)("a process that ends", (it) => {
  it.effect("tells its last words, its exit code and what it said on stderr", () =>
    Effect.gen(function*() {
      const { path } = yield* Fake.script(`onMessage((message) => {
        if (message.method !== "model/list") return
        send({ id: message.id, result: { data: [], nextCursor: null } })
        for (let index = 0; index < 2000; index++) {
          send({ method: "thread/closed", params: { threadId: "thread-" + index } })
        }
        say("that was all")
        process.exit(7)
      })`)
      const client = yield* connect({ codexPath: path })
      const seen: Array<string> = []
      const reader = yield* fork(Effect.flip(Stream.runForEach(
        client.on("thread/closed"),
        (event) => Effect.sync(() => seen.push(event.params.threadId))
      )))
      assert.deepStrictEqual((yield* client.request("model/list", {})).data, [])
      const error = yield* Fiber.join(reader)
      assert.deepStrictEqual(seen, Array.from({ length: 2000 }, (_, index) => `thread-${index}`))
      assert.instanceOf(error, AppServerExited)
      assert.deepStrictEqual([error.exitCode, error.signal, error.stderr], [7, undefined, "that was all"])
    }))

  it.effect("by a signal in the middle of a request tells the signal, the method and stderr", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`onMessage((message) => {
        if (message.method === "model/list") { say("about to go"); record("asked") }
      })`)
      const client = yield* connect({ codexPath: fake.path })
      const waiting = yield* fork(Effect.flip(client.request("model/list", {})))
      yield* fake.awaitRecord("asked")
      process.kill(Number(yield* fake.awaitValue("pid")), "SIGKILL")
      const error = yield* Fiber.join(waiting)
      assert.instanceOf(error, AppServerExited)
      assert.deepStrictEqual(
        [error.signal, error.exitCode, error.method, error.stderr],
        ["SIGKILL", undefined, "model/list", "about to go"]
      )
      const later = yield* Effect.flip(client.request("account/read", { refreshToken: false }))
      assert.instanceOf(later, AppServerExited)
      assert.deepStrictEqual([later.signal, later.method], ["SIGKILL", "account/read"])
    }))

  it.effect("has one cause, also for requests that it does not read any more", () =>
    Effect.gen(function*() {
      const { path } = yield* Fake.script(`onMessage((message) => {
        if (message.method !== "model/list") return
        process.stdin.destroy()
        setTimeout(() => process.exit(5), 200)
      })`)
      const client = yield* connect({ codexPath: path })
      const first = yield* fork(Effect.flip(client.request("model/list", {})))
      const others = yield* Effect.forEach(
        Array.from({ length: 40 }),
        () =>
          Effect.flip(client.request("thread/name/set", { threadId: "A", name: "x".repeat(100_000) })).pipe(
            Effect.delay("5 millis"),
            fork
          )
      )
      for (const fiber of [first, ...others]) {
        const error = yield* Fiber.join(fiber)
        assert.instanceOf(error, AppServerExited)
        assert.strictEqual(error.exitCode, 5)
      }
    }))

  it.effect("is known to have ended although another one still has its output", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`onMessage((message) => {
        if (message.method !== "initialized") return
        const child = require("node:child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], {
          stdio: ["ignore", "inherit", "inherit"],
          detached: true
        })
        record("grandchild " + child.pid)
        process.exit(0)
      })`)
      yield* Effect.addFinalizer(() =>
        Effect.map(fake.awaitValue("grandchild"), (pid) => process.kill(Number(pid), "SIGKILL"))
      )
      const client = yield* connect({ codexPath: fake.path })
      const error = yield* Effect.flip(Stream.runDrain(client.notifications))
      assert.instanceOf(error, AppServerExited)
      assert.strictEqual(error.exitCode, 0)
    }))
})

layer(NodeServices.layer, live)("the transport", (it) => {
  it.effect("ends as the output does when reading that dies", () =>
    Effect.gen(function*() {
      const { path } = yield* Fake.script(cooperative)
      const { spawn } = yield* ChildProcessSpawner.ChildProcessSpawner
      const dying = ChildProcessSpawner.make((command) =>
        Effect.map(
          spawn(command),
          (handle) => ChildProcessSpawner.makeHandle({ ...handle, stdout: Stream.die("The stream is broken") })
        )
      )
      const { incoming } = yield* Effect.provideService(
        AppServerProcess.make({ codexPath: path }),
        ChildProcessSpawner.ChildProcessSpawner,
        dying
      )
      const exit = yield* Effect.exit(Stream.runDrain(incoming))
      assert.isTrue(Exit.hasDies(exit))
    }))

  it.effect("carries a message of five megabytes each way", () =>
    Effect.gen(function*() {
      const { path } = yield* Fake.script(`onLine(write)
        process.stdin.on("end", () => process.exit(0))`)
      const transport = yield* AppServerProcess.make({ codexPath: path })
      const line = JSON.stringify({ method: "echo", params: "é€😀x".repeat(500_000) })
      assert.isAbove(Buffer.byteLength(line), 5_000_000)
      yield* transport.send(line)
      const decoder = new TextDecoder()
      const received = yield* transport.incoming.pipe(
        Stream.map((bytes) => decoder.decode(bytes, { stream: true })),
        Stream.scan(() => "", (text, part) => text + part),
        Stream.takeUntil((text) => text.endsWith("\n")),
        Stream.runLast
      )
      assert.isTrue(received._tag === "Some" && received.value === `${line}\n`)
    }))
})
