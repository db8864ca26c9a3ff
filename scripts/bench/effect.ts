/** The least program with Effect's own spawner and streams, in which nothing is checked and nothing is routed. */
import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { sinceSpawn } from "./pipes.ts"
import { type Measures, stopwatch, type Target } from "./task.ts"

const layer = Layer.provide(
  NodeChildProcessSpawner.layer,
  Layer.provideMerge(NodeFileSystem.layer, NodePath.layer)
)

/** From the start of the program to the word that it has shaken hands. */
export const drive = ({ executable, home }: Target): Promise<Measures> =>
  Effect.runPromise(Effect.suspend(() => {
    const spawned = sinceSpawn()
    const stop = stopwatch()
    return Effect.gen(function*() {
      const child = yield* ChildProcess.make(executable, ["app-server"], {
        ...(home === undefined ? {} : { env: { CODEX_HOME: home } }),
        extendEnv: true,
        stderr: "ignore"
      })
      const lines = yield* Queue.bounded<string>(2)
      yield* Effect.forkScoped(Stream.run(Stream.encodeText(Stream.fromQueue(lines)), child.stdin))
      const answered = yield* Deferred.make<void>()
      yield* child.stdout.pipe(
        Stream.decodeText,
        Stream.splitLines,
        Stream.runForEach((line) =>
          Effect.andThen(Effect.sync(() => JSON.parse(line)), Deferred.succeed(answered, undefined))
        ),
        Effect.forkScoped
      )
      const params = { clientInfo: { name: "effect", title: null, version: "0.0.0" }, capabilities: null }
      yield* Queue.offer(lines, `${JSON.stringify({ id: 1, method: "initialize", params })}\n`)
      yield* Deferred.await(answered)
      yield* Queue.offer(lines, `${JSON.stringify({ method: "initialized" })}\n`)
      return { ...stop(), sinceSpawn: spawned() }
    }).pipe(Effect.scoped, Effect.provide(layer))
  }))
