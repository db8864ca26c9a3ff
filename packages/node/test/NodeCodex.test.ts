import { AppServerClient, Codex, InvalidOptions } from "@effect-codex/core"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as NodeCodex from "../src/NodeCodex.ts"
import * as Fake from "./support/FakeExecutable.ts"

const live = { excludeTestServices: true } as const

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** An executable that tells how it was started and what it was asked. */
const curious = Fake.script(`
record("home " + process.env.CODEX_HOME)
record("cwd " + process.cwd())
onMessage((message) => record((message.method ?? "answer") + " " + JSON.stringify(message.params)))
process.stdin.on("end", () => process.exit(0))`)

const Initialize = Schema.fromJsonString(Schema.Struct({
  clientInfo: Schema.Struct({ name: Schema.String, title: Schema.NullOr(Schema.String), version: Schema.String }),
  capabilities: Schema.Struct({ experimentalApi: Schema.Boolean })
}))

const decodeInitialize = Schema.decodeUnknownEffect(Initialize)

const fromEnv = (env: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))

layer(NodeServices.layer, live)("NodeCodex.layer", (it) => {
  it.effect("shakes hands as it is told and gives the agent and the client", () =>
    Effect.gen(function*() {
      const fake = yield* curious
      const [metadata, server] = yield* Effect.gen(function*() {
        const codex = yield* Codex
        const client = yield* AppServerClient
        return [codex.metadata, client.server] as const
      }).pipe(Effect.provide(NodeCodex.layer({
        codexPath: fake.path,
        clientInfo: { name: "my_service", title: "My service", version: "1.0.0" },
        experimental: true
      })))
      assert.deepStrictEqual(metadata, {
        version: "1.2.3",
        userAgent: "fake/1.2.3 (x)",
        codexHome: "/",
        platformFamily: "unix",
        platformOs: "linux"
      })
      assert.strictEqual(server.userAgent, "fake/1.2.3 (x)")
      const initialize = yield* decodeInitialize(yield* fake.awaitValue("initialize"))
      assert.deepStrictEqual(initialize, {
        clientInfo: { name: "my_service", title: "My service", version: "1.0.0" },
        capabilities: { experimentalApi: true }
      })
      assert.strictEqual(yield* fake.awaitValue("initialized"), "undefined")
    }))

  it.effect("starts nothing with options that cannot be", () =>
    Effect.gen(function*() {
      const fake = yield* curious
      const bad: ReadonlyArray<readonly [path: string, options: NodeCodex.Options]> = [
        ["maxInFlight", { maxInFlight: 0 }],
        ["maxLineBytes", { maxLineBytes: 1.5 }],
        ["requestTimeout", { requestTimeout: 0 }],
        ["handshakeTimeout", { handshakeTimeout: "-1 seconds" }],
        ["turnBuffer.events", { turnBuffer: { events: -1, bytes: 1 } }],
        ["turnBuffer.bytes", { turnBuffer: { events: 1, bytes: Number.NaN } }],
        ["turnIdleTimeout", { turnIdleTimeout: Number.NaN }],
        ["shutdownGrace", { shutdownGrace: Number.NaN }],
        // As from the outside, where nothing has checked it.
        ["env.PORT", JSON.parse(`{"env":{"PORT":5,"HOST":"here"}}`)],
        ["args[1]", JSON.parse(`{"args":["-c",5]}`)]
      ]
      for (const [path, options] of bad) {
        const error = yield* Effect.flip(
          Effect.scoped(Layer.build(NodeCodex.layer({ ...options, codexPath: fake.path })))
        )
        assert.instanceOf(error, InvalidOptions)
        assert.deepStrictEqual(error.issues.map((issue) => issue.path), [path])
      }
      assert.deepStrictEqual(fake.recorded(), [])
    }))

  it.effect("ends the process with its scope: after success, failure and interruption", () =>
    Effect.gen(function*() {
      const uses: ReadonlyArray<Effect.Effect<unknown, string>> = [
        Effect.void,
        Effect.fail("failed"),
        Effect.die("died")
      ]
      for (const use of uses) {
        const fake = yield* curious
        yield* Effect.exit(Effect.provide(Effect.andThen(Codex, use), NodeCodex.layer({ codexPath: fake.path })))
        yield* fake.awaitGone()
      }
      const fake = yield* curious
      const fiber = yield* fork(
        Effect.provide(Effect.andThen(Codex, Effect.never), NodeCodex.layer({ codexPath: fake.path }))
      )
      yield* fake.awaitValue("initialized")
      yield* Fiber.interrupt(fiber)
      assert.isFalse(Fake.isRunning(Number(yield* fake.awaitValue("pid"))))
    }))

  it.effect("ends the process when it is interrupted in the handshake", () =>
    Effect.gen(function*() {
      const fake = yield* Fake.script(`onLine(() => record("asked"))
        process.stdin.on("end", () => process.exit(0))`)
      const fiber = yield* fork(Effect.scoped(Layer.build(NodeCodex.layer({ codexPath: fake.path }))))
      yield* fake.awaitRecord("asked")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.isFalse(Fake.isRunning(Number(yield* fake.awaitValue("pid"))))
    }))
})

layer(NodeServices.layer, live)("NodeCodex.layerConfig", (it) => {
  it.effect("reads its variables", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const fake = yield* curious
      const directory = yield* Effect.flatMap(fs.makeTempDirectoryScoped(), fs.realPath)
      const options = yield* NodeCodex.defaultConfig.pipe(Effect.provide(fromEnv({
        CODEX_PATH: "/bin/codex",
        CODEX_HOME: "/home",
        CODEX_CWD: "/work",
        CODEX_EXPERIMENTAL: "yes",
        CODEX_REQUEST_TIMEOUT: "10 seconds",
        CODEX_HANDSHAKE_TIMEOUT: "1 minute",
        CODEX_SHUTDOWN_GRACE: "250 millis",
        CODEX_MAX_IN_FLIGHT: "8",
        CODEX_MAX_LINE_BYTES: "1024"
      })))
      assert.deepStrictEqual(JSON.parse(JSON.stringify(options)), {
        codexPath: "/bin/codex",
        codexHome: "/home",
        cwd: "/work",
        experimental: true,
        requestTimeout: { _id: "Duration", _tag: "Millis", millis: 10_000 },
        handshakeTimeout: { _id: "Duration", _tag: "Millis", millis: 60_000 },
        shutdownGrace: { _id: "Duration", _tag: "Millis", millis: 250 },
        maxInFlight: 8,
        maxLineBytes: 1024
      })
      yield* Effect.scoped(Layer.build(NodeCodex.layerConfig())).pipe(Effect.provide(fromEnv({
        CODEX_PATH: fake.path,
        CODEX_HOME: directory,
        CODEX_CWD: directory,
        CODEX_EXPERIMENTAL: "true"
      })))
      assert.strictEqual(yield* fake.awaitValue("home"), directory)
      assert.strictEqual(yield* fake.awaitValue("cwd"), directory)
      const initialize = yield* decodeInitialize(yield* fake.awaitValue("initialize"))
      assert.isTrue(initialize.capabilities.experimentalApi)
    }))

  it.effect("needs none of them, and takes empty ones for none", () =>
    Effect.gen(function*() {
      const options = yield* NodeCodex.defaultConfig.pipe(
        Effect.provide(fromEnv({ CODEX_PATH: "", CODEX_HOME: "", CODEX_CWD: "" }))
      )
      assert.deepStrictEqual(Object.values(options).filter((value) => value !== undefined), [])
    }))

  it.effect("rejects those that cannot be", () =>
    Effect.gen(function*() {
      const bad = [
        { CODEX_EXPERIMENTAL: "perhaps" },
        { CODEX_REQUEST_TIMEOUT: "soon" },
        { CODEX_MAX_IN_FLIGHT: "many" },
        { CODEX_MAX_IN_FLIGHT: "1.5" }
      ]
      for (const env of bad) {
        const error = yield* Effect.flip(
          Effect.scoped(Layer.build(NodeCodex.layerConfig())).pipe(
            Effect.provide(fromEnv({ CODEX_PATH: "/no/such/codex", ...env }))
          )
        )
        assert.instanceOf(error, Config.ConfigError, JSON.stringify(env))
      }
      const zero = yield* Effect.flip(
        Effect.scoped(Layer.build(NodeCodex.layerConfig())).pipe(
          Effect.provide(fromEnv({ CODEX_PATH: "/no/such/codex", CODEX_MAX_IN_FLIGHT: "0" }))
        )
      )
      assert.instanceOf(zero, InvalidOptions)
    }))

  it.effect("takes any configuration for its options", () =>
    Effect.gen(function*() {
      const fake = yield* curious
      yield* Effect.scoped(Layer.build(NodeCodex.layerConfig({
        codexPath: Config.String("MY_CODEX"),
        experimental: Config.succeed(true)
      }))).pipe(Effect.provide(fromEnv({ MY_CODEX: fake.path })))
      const initialize = yield* decodeInitialize(yield* fake.awaitValue("initialize"))
      assert.isTrue(initialize.capabilities.experimentalApi)
    }))
})
