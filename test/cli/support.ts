/** `effect-codex` as its user has it: a process of its own, on the real app-server and an offline model. */
import { OfflineHome, OfflineModel, type OfflineModelOptions } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type { PlatformError } from "effect/PlatformError"
import { type ChildProcessHandle, ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { fileURLToPath } from "node:url"
import * as Program from "../support/program.ts"

/** The entry of the command line. */
export const executable = fileURLToPath(new URL("../../packages/node/src/cli.ts", import.meta.url))

/** What a process of it is given. */
export interface Given {
  readonly env?: Record<string, string>
  readonly stdin?: ReadonlyArray<string>
  readonly cwd?: string
}

/** Secrets of the environment, which nothing may show. */
export const secrets = { OPENAI_API_KEY: "sk-sentinel-0123456789", SOME_TOKEN: "sentinel-token-0123456789" }

/** The arguments of Node with which it runs. */
export const argumentsOf = (args: ReadonlyArray<string>) => ["--conditions=@effect-codex/source", executable, ...args]

/** A home on the offline model, and the command line on it. */
export class Cli extends Context.Service<Cli, {
  readonly home: string
  /** Runs it to its end. */
  readonly run: (args: ReadonlyArray<string>, given?: Given) => Effect.Effect<Program.Outcome, PlatformError>
  /** Starts it. */
  readonly start: (
    args: ReadonlyArray<string>,
    given?: Given
  ) => Effect.Effect<ChildProcessHandle, PlatformError, Scope.Scope>
}>()("test/Cli") {
  static readonly layer = (model?: OfflineModelOptions) =>
    Layer.effect(
      Cli,
      Effect.gen(function*() {
        const { baseUrl } = yield* OfflineModel
        const home = yield* OfflineHome.make({ baseUrl })
        const spawner = yield* ChildProcessSpawner
        const given = (options: Given = {}) => ({
          ...options,
          // The agent's shell reads the profile that is there: not that of whoever runs the tests.
          env: { HOME: home, CODEX_HOME: home, CODEX_PATH: "", ...secrets, ...options.env }
        })
        return {
          home,
          run: (args, options) =>
            Program.run(process.execPath, argumentsOf(args), given(options)).pipe(
              Effect.provideService(ChildProcessSpawner, spawner)
            ),
          start: (args, options) =>
            Program.start(process.execPath, argumentsOf(args), given(options)).pipe(
              Effect.provideService(ChildProcessSpawner, spawner)
            )
        }
      })
    ).pipe(Layer.provideMerge(OfflineModel.layer(model)), Layer.provideMerge(NodeServices.layer))
}

/** The text of a stream as far as it has come, and Effects that wait for a part of it and for its end. */
export const follow = Effect.fnUntraced(function*<E>(bytes: Stream.Stream<Uint8Array, E>) {
  let text = ""
  const waiting = new Set<{ readonly part: string; readonly found: Deferred.Deferred<void> }>()
  const reading = yield* bytes.pipe(
    Stream.decodeText,
    Stream.runForEach((part) =>
      Effect.sync(() => {
        text += part
        for (const waiter of waiting) {
          if (text.includes(waiter.part)) Deferred.doneUnsafe(waiter.found, Effect.void)
        }
      })
    ),
    Effect.forkScoped
  )
  return {
    text: () => text,
    until: (part: string) =>
      Effect.gen(function*() {
        const found = yield* Deferred.make<void>()
        waiting.add({ part, found })
        if (!text.includes(part)) yield* Deferred.await(found)
      }),
    /** The whole text: a process may have ended before all that it wrote is read. */
    whole: Effect.map(Fiber.join(reading), () => text)
  }
})

const decodeLine = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Struct({
      method: Schema.String,
      params: Schema.Record(Schema.String, Schema.Json),
      emittedAtMs: Schema.optionalKey(Schema.Finite)
    })
  ),
  { onExcessProperty: "error" }
)

/** The lines of `--json`. */
export const lines = (stdout: string) => stdout.trimEnd().split("\n").map((line) => decodeLine(line))
