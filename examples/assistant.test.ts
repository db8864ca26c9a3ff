/** The tests of assistant.ts, as its author would write them: vitest examples/assistant.test.ts */
import { AppServerClient, Codex } from "@effect-codex/core"
import { TestAppServer, Transcript } from "@effect-codex/core/testing"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber, FileSystem, Layer, Path } from "effect"
import { TestClock } from "effect/testing"
import { Assistant } from "./assistant.ts"

const high = { severity: "high" as const, summary: "Data is lost." }

describe("on an app-server in memory", () => {
  const inMemory = Assistant.layer.pipe(Layer.provideMerge(TestAppServer.layer()))

  it.effect("triages", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue(({ json }) => json(high))
      const assistant = yield* Assistant
      assert.deepStrictEqual(yield* assistant.triage("It deletes my files"), high)
      const [thread] = yield* server.requests("thread/start")
      assert.strictEqual(thread?.sandbox, "read-only")
    }).pipe(Effect.provide(inMemory)))

  it.effect("tries again ten minutes later when the turn fails", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue(({ fail }) => fail("Come back later", "usageLimitExceeded"), ({ json }) => json(high))
      const assistant = yield* Assistant
      const triage = yield* Effect.forkChild(assistant.triage("It deletes my files"))
      yield* server.receive("turn/start")
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(yield* Fiber.join(triage), high)
      assert.strictEqual((yield* server.requests("turn/start")).length, 2)
    }).pipe(Effect.provide(inMemory)))

  it.effect("gives up after two hours, and stops the agent", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue(() => Effect.never)
      const assistant = yield* Assistant
      const triage = yield* Effect.forkChild(assistant.triage("It deletes my files"))
      yield* server.receive("turn/start")
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(yield* Fiber.join(triage), "gave up")
      yield* server.receive("turn/interrupt")
    }).pipe(Effect.provide(
      Assistant.layer.pipe(Layer.provideMerge(TestAppServer.layer({ client: { turnIdleTimeout: "1 day" } })))
    )))
})

/** The real app-server; the model behind it is a script. */
const offline = { respond: () => OfflineModel.json(high) }

layer(Assistant.layer.pipe(Layer.provide(OfflineCodex.layer({ model: offline }))), { excludeTestServices: true })(
  "on the real app-server, offline",
  (it) => {
    it.effect("triages", () =>
      Effect.gen(function*() {
        const assistant = yield* Assistant
        assert.deepStrictEqual(yield* assistant.triage("It deletes my files"), high)
      }))
  }
)

describe("on a transcript", () => {
  const assistant = Assistant.layer.pipe(Layer.provide(Codex.layer), Layer.provide(AppServerClient.layer()))

  // A real project records once, against the real model, and keeps the file beside its tests.
  it.live("triages as it was recorded", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const file = path.join(yield* fs.makeTempDirectoryScoped(), "triage.jsonl")
      const triage = Assistant.use(({ triage }) => triage("It deletes my files"))
      const recorded = yield* triage.pipe(
        Effect.provide(assistant.pipe(
          Layer.provide(Transcript.record(file)),
          Layer.provide(OfflineCodex.layerTransport({ model: offline }))
        ))
      )
      const replayed = yield* Effect.andThen(triage, (severity) =>
        Transcript.Replay.use(({ verify }) => Effect.as(verify, severity))).pipe(
          Effect.provide(assistant.pipe(Layer.provideMerge(Transcript.replay(file))))
        )
      assert.deepStrictEqual(replayed, recorded)
    }).pipe(Effect.provide(NodeServices.layer)))
})
