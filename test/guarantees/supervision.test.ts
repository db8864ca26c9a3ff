import { AppServerClient, AppServerExited, AppServerSpawnError, Codex, SupervisorGaveUp } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Binary from "../../packages/node/src/internal/binary.ts"
import * as Fake from "../../packages/node/test/support/FakeExecutable.ts"
import * as FakeAppServer from "../support/FakeAppServer.ts"
import { left } from "../support/leftovers.ts"

const live = { excludeTestServices: true } as const

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const connect = (options: NodeCodex.SupervisedOptions) =>
  Effect.map(Layer.build(NodeCodex.layerSupervised({ restart: Schedule.recurs(3), ...options })), (context) => ({
    codex: Context.get(context, Codex),
    client: Context.get(context, AppServerClient)
  }))

/** The next restart that is told of. */
const restarted = (codex: Codex["Service"]) =>
  Effect.flatMap(
    codex.events.pipe(
      Stream.flatMap((event) => event.method === "client/restarted" ? Stream.succeed(event.params) : Stream.empty),
      Stream.runHead
    ),
    Effect.fromOption
  )

const model = OfflineModel.layer({ respond: ({ text }) => OfflineModel.text(`Answer to: ${text}`) })

layer(Layer.provideMerge(model, NodeServices.layer), live)("the real app-server under supervision", (it) => {
  it.effect("comes back after SIGKILL, with the threads that were named and their history", () =>
    Effect.gen(function*() {
      const { baseUrl } = yield* OfflineModel
      const fake = yield* Fake.recorded(yield* Binary.pinned())
      const threads = yield* Ref.make<ReadonlyArray<string>>([])
      const { codex } = yield* connect({
        codexPath: fake.path,
        codexHome: yield* OfflineHome.make({ baseUrl }),
        resumeThreads: Ref.get(threads)
      })
      const thread = yield* codex.startThread()
      yield* thread.run("First")
      yield* Ref.set(threads, [thread.id])
      for (const round of [1, 2]) {
        const waiting = yield* fork(restarted(codex))
        const pids = fake.recorded().flatMap((line) => line.startsWith("pid ") ? [Number(line.slice(4))] : [])
        assert.strictEqual(pids.length, round)
        process.kill(pids.at(-1) ?? assert.fail("It did not tell its id"), "SIGKILL")
        const { attempt, cause, failed, resumed } = yield* Fiber.join(waiting)
        assert.deepStrictEqual([attempt, resumed, failed], [round, [thread.id], []])
        assert.instanceOf(cause, AppServerExited)
        assert.strictEqual(cause.signal, "SIGKILL")
        assert.instanceOf(yield* Effect.flip(thread.run("Too late")), AppServerExited)
        const again = yield* codex.resumeThread(thread.id)
        assert.strictEqual((yield* again.run(`Round ${round}`)).finalResponse, `Answer to: Round ${round}`)
        assert.strictEqual((yield* again.read({ includeTurns: true })).turns.length, 1 + round)
      }
    }))
})

layer(NodeServices.layer, live)("an app-server under supervision", (it) => {
  it.effect("that crashes again and again is given up", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({ on: { initialized: [{ say: "no luck" }, { exit: 7 }] } })
      const { client, codex } = yield* connect(fake.options)
      const error = yield* client.closed
      assert.instanceOf(error, SupervisorGaveUp)
      assert.strictEqual(error.reason, "scheduleExhausted")
      assert.strictEqual(error.attempts, 3)
      const { lastCause } = error
      assert.instanceOf(lastCause, AppServerExited)
      assert.deepStrictEqual([lastCause.exitCode, lastCause.stderr], [7, "no luck"])
      assert.strictEqual(yield* Effect.flip(codex.startThread()), error)
      assert.strictEqual(fake.pids().length, 4)
      yield* fake.gone
    }))

  it.effect("whose executable is gone is given up at once", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const fake = yield* Fake.script(`onMessage(() => {})`)
      const { client } = yield* connect({ codexPath: fake.path })
      yield* fs.remove(fake.path)
      process.kill(Number(yield* fake.awaitValue("pid")), "SIGKILL")
      const error = yield* client.closed
      assert.instanceOf(error, SupervisorGaveUp)
      assert.deepStrictEqual([error.reason, error.attempts], ["cannotBeMended", 1])
      assert.strictEqual(error.lastCause._tag === "AppServerSpawnError" && error.lastCause.reason, "BinaryNotFound")
    }))

  it.effect("has to start the first time", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({ on: { "(start)": [{ exit: 3 }] } })
      const error = yield* Effect.flip(Effect.scoped(connect(fake.options)))
      assert.instanceOf(error, AppServerSpawnError)
      assert.deepStrictEqual([error.reason, error.exitCode], ["ExitedEarly", 3])
      assert.strictEqual(fake.pids().length, 1)
    }))

  it.effect("leaves nothing of the processes that have ended, nor of the last one", () =>
    Effect.gen(function*() {
      const fake = yield* FakeAppServer.make({ on: { "thread/list": [{ signal: "SIGKILL" }] } })
      const rounds = (count: number) =>
        Effect.gen(function*() {
          const { client, codex } = yield* connect({ ...fake.options, restart: Schedule.forever })
          for (let round = 0; round < count; round++) {
            const waiting = yield* fork(restarted(codex))
            assert.instanceOf(yield* Effect.flip(client.request("thread/list", {})), AppServerExited)
            yield* Fiber.join(waiting)
          }
          yield* client.request("model/list", {})
        }).pipe(Effect.scoped)
      yield* rounds(1)
      const counts = yield* left(rounds(10))
      assert.deepStrictEqual(counts, { fibers: 0, descriptors: 0, processes: 0, pipes: 0, listeners: 0, timers: 0 })
      yield* fake.gone
    }))
})
