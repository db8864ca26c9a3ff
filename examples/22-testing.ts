/**
 * A service of one's own, tried out in three ways: on an app-server in memory, on the
 * real one offline, and on a transcript. As tests they stand in assistant.test.ts.
 */
import { AppServerClient, Codex } from "@effect-codex/core"
import { TestAppServer, Transcript } from "@effect-codex/core/testing"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Layer, Path, References } from "effect"
import { Assistant } from "./assistant.ts"

const triage = Assistant.use(({ triage }) => triage("It deletes my files."))
const show = (how: string) => (outcome: Effect.Success<typeof triage>) =>
  Console.log(`${how}: ${outcome === "gave up" ? outcome : `${outcome.severity}, ${outcome.summary}`}`)

const answer = { severity: "high", summary: "Data is lost." }
const model = { respond: () => OfflineModel.json(answer) }

const inMemory = Effect.gen(function*() {
  const server = yield* TestAppServer
  yield* server.enqueue(({ json }) => json({ severity: "low", summary: "It is in memory." }))
  yield* Effect.flatMap(triage, show("In memory"))
  const asked = yield* server.received
  yield* Console.log(`It was asked for ${asked.map(({ method }) => method).join(", ")}`)
}).pipe(Effect.provide(Assistant.layer.pipe(Layer.provideMerge(TestAppServer.layer()))))

const offline = triage.pipe(
  Effect.flatMap(show("Offline")),
  Effect.provide(Assistant.layer.pipe(Layer.provide(OfflineCodex.layer({ model }))))
)

const assistant = Assistant.layer.pipe(Layer.provide(Codex.layer), Layer.provide(AppServerClient.layer()))

const recorded = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(yield* fs.makeTempDirectoryScoped(), "triage.jsonl")
  yield* triage.pipe(
    Effect.flatMap(show("Recorded")),
    Effect.provide(assistant.pipe(
      Layer.provide(Transcript.record(file)),
      Layer.provide(OfflineCodex.layerTransport({ model }))
    ))
  )
  yield* Effect.gen(function*() {
    yield* Effect.flatMap(triage, show("Replayed"))
    yield* (yield* Transcript.Replay).verify
    // What was not recorded is not answered.
    const other = Assistant.use(({ triage }) => triage("It is slow."))
    yield* Effect.catch(other, ({ _tag }) => Console.log(`Something else: ${_tag}`))
  }).pipe(Effect.provide(assistant.pipe(Layer.provideMerge(Transcript.replay(file)))))
}).pipe(Effect.scoped)

inMemory.pipe(
  Effect.andThen(offline),
  Effect.andThen(recorded),
  Effect.provide(NodeServices.layer),
  Effect.provideService(References.MinimumLogLevel, "Error"),
  NodeRuntime.runMain
)
