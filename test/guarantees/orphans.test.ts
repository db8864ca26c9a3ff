import { Codex } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Stream from "effect/Stream"
import { existsSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import * as Binary from "../../packages/node/src/internal/binary.ts"
import * as Fake from "../../packages/node/test/support/FakeExecutable.ts"
import * as FakeAppServer from "../support/FakeAppServer.ts"

const live = { excludeTestServices: true } as const

/** Longer than any way to end takes, on a busy machine. */
const PATIENCE = "100 seconds"

const host = fileURLToPath(new URL("host.ts", import.meta.url))

const root = fileURLToPath(new URL("../../", import.meta.url))

/** Starts `host.ts`, waits until its agent runs, and gives what waits for its end. */
const startHost = (env: Record<string, string>, flags: ReadonlyArray<string> = []) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    // The agent's commands run in a login shell: its profile is none of the machine's, which may hold locks when it is killed.
    const HOME = yield* fs.makeTempDirectoryScoped({ prefix: "profile-" })
    const child = yield* ChildProcess.make(
      process.execPath,
      [...flags, "--conditions=@effect-codex/source", host],
      { env: { HOME, ...env }, extendEnv: true, stdin: "ignore", forceKillAfter: "1 second" }
    )
    const said = yield* Effect.forkScoped(child.stderr.pipe(Stream.decodeText(), Stream.mkString))
    const last = yield* child.stdout.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.takeUntil((line) => line === "ready"),
      Stream.runLast
    )
    if (!Option.contains(last, "ready")) assert.fail(`The host did not get ready: ${yield* Fiber.join(said)}`)
    return {
      kill: (signal: NodeJS.Signals) => Effect.sync(() => process.kill(child.pid, signal)),
      ended: Effect.match(child.exitCode, { onSuccess: (code): string => `code ${code}`, onFailure: () => "a signal" })
    }
  })

/** The ways in which a host ends by itself, and what its own end then is. */
const byItself: ReadonlyArray<readonly [way: string, end: string]> = [
  ["success", "code 0"],
  ["failure", "code 1"],
  ["defect", "code 1"],
  ["interruption", "code 0"],
  ["process.exit", "code 3"],
  ["an uncaught error", "code 1"],
  ["an unhandled rejection", "code 1"]
]

layer(NodeServices.layer, live)(
  "a server that minds neither the end of stdin nor SIGTERM, and its children, one of them with a session of its own",
  (it) => {
    const stubborn = FakeAppServer.make({ ignore: ["eof", "SIGTERM"], grandchildren: 2, escaped: 1 })

    const outlived = (way: string, env: Record<string, string>, signal?: NodeJS.Signals) =>
      Effect.gen(function*() {
        const fake = yield* stubborn
        const started = yield* startHost({
          HOST_WAY: way,
          HOST_CODEX: fake.options.codexPath,
          ...fake.options.env,
          ...env
        })
        if (signal !== undefined) yield* started.kill(signal)
        const end = yield* started.ended
        assert.strictEqual(fake.pids().length, 3)
        yield* fake.gone
        return end
      }).pipe(Effect.scoped, Effect.timeout(PATIENCE))

    it.effect.each(byItself)("do not outlive a host that ends by %s", ([way, end]) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* outlived(way, { HOST_RUNTIME: "runMain" }), end)
      }))

    it.effect.each(["SIGINT", "SIGTERM"] as const)(
      "do not outlive a host that runs with runMain and gets %s",
      (signal) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* outlived("signal", { HOST_RUNTIME: "runMain" }, signal), "code 130")
        })
    )
  }
)

layer(NodeServices.layer, live)("a server that minds neither, of a host that may not read /proc", (it) => {
  const flags = [
    "--permission",
    "--allow-child-process",
    "--allow-fs-write=*",
    ...[root, tmpdir()].map((directory) => `--allow-fs-read=${directory}`)
  ]

  it.effect.each(["success", "process.exit"])(
    "does not outlive it with its group, when it ends by %s",
    (way) =>
      Effect.gen(function*() {
        const fake = yield* FakeAppServer.make({ ignore: ["eof", "SIGTERM"], grandchildren: 1 })
        const env = { HOST_WAY: way, HOST_CODEX: fake.options.codexPath, HOST_RUNTIME: "runMain", ...fake.options.env }
        const started = yield* startHost(env, flags)
        assert.strictEqual(yield* started.ended, way === "success" ? "code 0" : "code 3")
        assert.strictEqual(fake.pids().length, 2)
        yield* fake.gone
      }).pipe(Effect.scoped, Effect.timeout(PATIENCE))
  )
})

layer(NodeServices.layer, live)("a server that ends with its stdin", (it) => {
  it.effect.each(["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] as const)(
    "does not outlive a host that is ended by %s, without a word",
    (signal) =>
      Effect.gen(function*() {
        const fake = yield* FakeAppServer.make()
        const started = yield* startHost({
          HOST_WAY: "signal",
          HOST_CODEX: fake.options.codexPath,
          ...fake.options.env
        })
        yield* started.kill(signal)
        assert.strictEqual(yield* started.ended, "a signal")
        yield* fake.gone
      }).pipe(Effect.scoped, Effect.timeout(PATIENCE))
  )
})

/** Has the agent run a command that ignores every signal it can, and writes its id to the file. */
const commandThatMindsNothing = (file: string) =>
  OfflineModel.functionCall({
    name: "exec_command",
    arguments: {
      cmd: `trap '' HUP INT TERM; echo $$ > '${file}.new'; mv '${file}.new' '${file}'; while :; do sleep 1; done`,
      yield_time_ms: 30_000
    }
  })

const model = OfflineModel.layer().pipe(Layer.provideMerge(NodeServices.layer))

layer(model, live)("the real server and a command of its agent that minds no signal", (it) => {
  const ways: ReadonlyArray<readonly [how: string, way: string, end: string, signal?: NodeJS.Signals]> = [
    ...byItself.flatMap(([way, end]) => way === "interruption" ? [] : [[way, way, end] as const]),
    ["SIGINT", "signal", "code 130", "SIGINT"],
    ["SIGTERM", "signal", "code 130", "SIGTERM"],
    ["SIGHUP", "signal", "a signal", "SIGHUP"],
    ["SIGKILL", "signal", "a signal", "SIGKILL"]
  ]
  it.effect.each(ways)(
    "do not outlive a host however it ends: by %s",
    ([, way, end, signal]) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const { baseUrl, respond } = yield* OfflineModel
        const log = path.join(yield* fs.makeTempDirectoryScoped({ prefix: "orphans-" }), "command")
        yield* respond(() => commandThatMindsNothing(log))
        const fake = yield* Fake.recorded(yield* Binary.pinned())
        const started = yield* startHost({
          HOST_WAY: way,
          HOST_RUNTIME: "runMain",
          HOST_CODEX: fake.path,
          HOST_CODEX_HOME: yield* OfflineHome.make({ baseUrl }),
          HOST_COMMAND_RUNS: log
        })
        if (signal !== undefined) yield* started.kill(signal)
        assert.strictEqual(yield* started.ended, end)
        const command = Number(readFileSync(log, "utf8"))
        yield* fake.awaitGone()
        yield* Fake.until(() => !Fake.isRunning(command))
      }).pipe(Effect.scoped, Effect.timeout(PATIENCE))
  )

  it.effect("leaves the scope without survivors when it is killed itself", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const { baseUrl, respond } = yield* OfflineModel
      const home = yield* fs.makeTempDirectoryScoped({ prefix: "orphans-" })
      const log = path.join(home, "command")
      yield* respond(() => commandThatMindsNothing(log))
      const fake = yield* Fake.recorded(yield* Binary.pinned())
      const options = {
        codexPath: fake.path,
        codexHome: yield* OfflineHome.make({ baseUrl }),
        env: { HOME: home },
        shutdownGrace: "300 millis"
      } as const
      yield* Effect.gen(function*() {
        const thread = yield* (yield* Codex).startThread({ sandbox: "fullAccess" })
        const turn = yield* thread.turn("Run the command")
        yield* Fake.until(() => existsSync(log))
        process.kill(Number(yield* fake.awaitValue("pid")), "SIGKILL")
        yield* Effect.exit(turn.result)
        assert.isTrue(Fake.isRunning(Number(readFileSync(log, "utf8"))))
      }).pipe(Effect.scoped, Effect.provide(NodeCodex.layer(options)))
      yield* Fake.until(() => !Fake.isRunning(Number(readFileSync(log, "utf8"))))
    }).pipe(Effect.scoped, Effect.timeout(PATIENCE)))
})
