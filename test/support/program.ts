/** Programs as child processes, run to their end. */
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Stream from "effect/Stream"

/** What a program came to. */
export interface Outcome {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Starts a program; the scope ends it. Its HOME is none, so that the login shells of
 * the agent's commands do not wait for what somebody's profile does.
 */
export const start = Effect.fnUntraced(function*(
  command: string,
  args: ReadonlyArray<string>,
  options: {
    readonly cwd?: string
    readonly env?: Record<string, string>
    readonly stdin?: ReadonlyArray<string>
  } = {}
) {
  const spawner = yield* ChildProcessSpawner
  return yield* spawner.spawn(
    ChildProcess.make(command, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { FORCE_COLOR: "0", NO_COLOR: "1", HOME: "/nonexistent", ...options.env },
      extendEnv: true,
      stdin: Stream.encodeText(Stream.fromIterable(options.stdin ?? [])),
      forceKillAfter: "5 seconds"
    })
  )
})

/** Runs a program to its end, with what it wrote. */
export const run = (...args: Parameters<typeof start>) =>
  Effect.gen(function*() {
    const child = yield* start(...args)
    const [stdout, stderr, exitCode] = yield* Effect.all([
      Stream.mkString(Stream.decodeText(child.stdout)),
      Stream.mkString(Stream.decodeText(child.stderr)),
      child.exitCode
    ], { concurrency: "unbounded" })
    return { exitCode, stdout, stderr } satisfies Outcome
  }).pipe(Effect.scoped)
