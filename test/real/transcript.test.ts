import { Approvals, AppServerClient, Codex } from "@effect-codex/core"
import { Transcript } from "@effect-codex/core/testing"
import { OfflineCodex } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { agent } from "./agent.ts"

const KEY = "sk-s3nt1nel0123456789"

/** What a user of the SDK does: threads, turns, an approval, a login, history. */
const program = (cwd: string) =>
  Effect.gen(function*() {
    const codex = yield* Codex
    yield* codex.loginApiKey(Redacted.make(KEY))
    const thread = yield* codex.startThread({ cwd, sandbox: "readOnly", approvalMode: "ask" })
    const hello = yield* thread.run("Hello")
    const command = yield* thread.run("a run: echo hi")
    yield* thread.setName("Recorded")
    const events = yield* thread.stream("Once more").pipe(
      Stream.map(({ method }) => method),
      Stream.runCollect
    )
    const stored = yield* thread.read({ includeTurns: true })
    return {
      answers: [hello.finalResponse, command.finalResponse],
      items: command.items.map(({ type }) => type),
      usage: hello.usage?.last.totalTokens,
      events,
      name: stored.name,
      turns: stored.turns.length,
      isHere: stored.cwd === cwd
    }
  })

/** Threads that take turns at the same time. */
const several = Effect.gen(function*() {
  const codex = yield* Codex
  return yield* Effect.forEach(["Rome", "Oslo", "Lima"], (city) =>
    Effect.gen(function*() {
      const thread = yield* codex.startThread({ sandbox: "readOnly" })
      const first = yield* thread.run(city)
      const second = yield* thread.run(`${city} again`)
      return [first.finalResponse, second.finalResponse]
    }), { concurrency: "unbounded" })
})

const client = Codex.layer.pipe(
  Layer.provideMerge(AppServerClient.layer()),
  Layer.provide(Approvals.layer({ policy: () => Effect.succeedSome(Approvals.accept) }))
)

/** A directory of its own each time, so that no two recordings are made at the same place. */
const workspace = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.realPath(yield* fs.makeTempDirectoryScoped({ prefix: "workspace-" }))
})

const recorded = <A, E, R>(file: string, program: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const result = yield* program.pipe(
      Effect.provide(
        client.pipe(
          Layer.provide(Transcript.record(file)),
          Layer.provide(OfflineCodex.layerTransport({ model: agent }))
        )
      )
    )
    const fs = yield* FileSystem.FileSystem
    return { result, text: yield* fs.readFileString(file) }
  })

const replayed = <A, E, R>(file: string, program: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const result = yield* program
    yield* (yield* Transcript.Replay).verify
    return result
  }).pipe(Effect.provide(client.pipe(Layer.provideMerge(Transcript.replay(file)))))

const canonical = (text: string) =>
  Effect.map(Transcript.parse(text), (recording) => Transcript.format(Transcript.canonical(recording)))

describe("a transcript of the real app-server", () => {
  it.live(
    "is the same when the same program is recorded again, holds no key, and can be replayed",
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const folder = yield* fs.makeTempDirectoryScoped()
        const first = yield* recorded(path.join(folder, "first.jsonl"), program(yield* workspace))
        const second = yield* recorded(path.join(folder, "second.jsonl"), program(yield* workspace))
        assert.strictEqual(first.result.answers[1], "Done: a")
        assert.deepStrictEqual(second.result, first.result)
        assert.strictEqual(yield* canonical(second.text), yield* canonical(first.text))
        assert.include(first.text, "item/commandExecution/requestApproval")
        assert.notInclude(first.text, KEY)
        assert.notInclude(first.text, "s3nt1nel")
        // In another directory, and for the program it is still the one that it named.
        assert.deepStrictEqual(
          yield* replayed(path.join(folder, "first.jsonl"), program(yield* workspace)),
          first.result
        )
      }).pipe(Effect.provide(NodeServices.layer)),
    120_000
  )

  it.live("of threads at the same time is replayed to the same threads", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const file = path.join(yield* fs.makeTempDirectoryScoped(), "several.jsonl")
      const { result } = yield* recorded(file, several)
      assert.deepStrictEqual(result[1], ["Answer to: Oslo", "Answer to: Oslo again"])
      for (let time = 0; time < 5; time++) assert.deepStrictEqual(yield* replayed(file, several), result)
    }).pipe(Effect.provide(NodeServices.layer)), 120_000)
})
