/** Commands that the benchmarks run, and the other clients that they install. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { fileURLToPath } from "node:url"

export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  command: Schema.String,
  output: Schema.String
}) {
  override get message(): string {
    return `${this.command} failed\n${this.output}`
  }
}

/** Runs a command and gives what it printed. */
export const run = Effect.fn("run")(function*(command: string, ...args: ReadonlyArray<string>) {
  const spawner = yield* ChildProcessSpawner
  const child = yield* spawner.spawn(ChildProcess.make(command, args, { forceKillAfter: "5 seconds" }))
  const text = <E>(stream: Stream.Stream<Uint8Array, E>) => Stream.mkString(Stream.decodeText(stream))
  const [output, errors] = yield* Effect.all([text(child.stdout), text(child.stderr)], { concurrency: 2 })
  const exitCode = yield* child.exitCode
  if (exitCode !== 0) return yield* new CommandFailed({ command, output: errors === "" ? output : errors })
  return output
}, Effect.scoped)

/** What is compared with the SDK. */
export interface Peers {
  /** The Python that has the official Python SDK. */
  readonly python: string | undefined
  /** The directory that has the official TypeScript SDK. */
  readonly typescript: string | undefined
}

/** Nothing there is part of the repository. */
const directory = fileURLToPath(new URL("../../node_modules/.cache/effect-codex-bench", import.meta.url))

/** Whether it is there, or could be put there. */
const installed = Effect.fnUntraced(function*<E, R>(
  name: string,
  path: string,
  install: Effect.Effect<unknown, E, R>
) {
  const fs = yield* FileSystem.FileSystem
  if (yield* fs.exists(path)) return true
  return yield* Effect.timeout(install, "4 minutes").pipe(
    Effect.as(true),
    Effect.catch(() => Effect.as(Console.error(`Skipped: ${name} could not be installed here.`), false))
  )
})

/** Installs the official SDKs, each of them only where its registry is reached. */
export const installPeers = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(directory, { recursive: true })
  const venv = `${directory}/python`
  const python = yield* installed(
    "the Python SDK",
    `${venv}/ready`,
    run("python3", "-m", "venv", venv).pipe(
      Effect.andThen(run(`${venv}/bin/pip`, "install", "--quiet", "openai-codex==0.163.0")),
      Effect.andThen(fs.writeFileString(`${venv}/ready`, ""))
    )
  )
  const typescript = yield* installed(
    "the TypeScript SDK",
    `${directory}/node_modules/@openai/codex-sdk`,
    // Without the executables, which are optional dependencies.
    run(
      "npm",
      "install",
      "--prefix",
      directory,
      "--no-audit",
      "--no-fund",
      "--omit=optional",
      "@openai/codex-sdk@0.163.0"
    )
  )
  const peers: Peers = {
    python: python ? `${venv}/bin/python` : undefined,
    typescript: typescript ? directory : undefined
  }
  return peers
})
