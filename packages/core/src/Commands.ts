/**
 * Commands and processes on the app-server's machine: each is a value of a scope,
 * with its output as streams, its input as a sink and its end as an effect.
 *
 * @since 0.1.0
 */
import type { CommandExecParams, ProcessSpawnParams } from "@effect-codex/generated"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import type { AppServerClient, BufferLimits } from "./AppServerClient.ts"
import type { InvalidParams, OutputLagged, RequestError } from "./CodexError.ts"
import { scopeClosed } from "./internal/closed.ts"
import { type OptionReader, readParams } from "./internal/options.ts"
import * as Process from "./internal/process.ts"
import { uniqueId } from "./internal/uniqueId.ts"
import * as Sandbox from "./Sandbox.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * The size of a terminal, in character cells.
 *
 * @since 0.1.0
 * @category models
 */
export interface TerminalSize {
  /** Its height. */
  readonly rows: number
  /** Its width. */
  readonly cols: number
}

/**
 * Changes to the environment of a process: what is set here goes before what the
 * app-server has, and null takes a variable away.
 *
 * @since 0.1.0
 * @category models
 */
export interface Environment {
  readonly [name: string]: string | Redacted.Redacted<string> | null
}

/**
 * What a process of `codex.exec` and `codex.spawn` is run with, whichever of the
 * two it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProcessOptions {
  /** Changes to the environment that the app-server would give it. */
  readonly env?: Environment | undefined
  /**
   * The server kills the process after this long; the exit code is then 124.
   * Default: never. A process of a scope ends with the scope in any case.
   */
  readonly timeout?: Duration.Input | undefined
  /**
   * How many bytes of each of stdout and stderr the server passes on; what comes after
   * them is lost and the exit says so. Default: all.
   */
  readonly outputLimit?: number | undefined
  /**
   * - `"pipe"` (default): whatever `stdin` is given;
   * - `"ignore"`: nothing, stdin is closed when the process starts.
   */
  readonly stdin?: "pipe" | "ignore" | undefined
  /**
   * Runs the process in a terminal, of this size: it then has one output, `stdout`.
   * Default: false.
   */
  readonly tty?: boolean | TerminalSize | undefined
  /**
   * How much of each of stdout and stderr is kept for a reader that is behind, or that
   * never comes. Beyond it the stream fails with `OutputLagged` after what was kept, and
   * the process goes on. Default: 16,384 chunks or 16 MiB.
   */
  readonly buffer?: BufferLimits | undefined
}

/**
 * Options of `codex.exec`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExecOptions extends ProcessOptions {
  /** The working directory; one that is relative is so to the app-server's, which is the default. */
  readonly cwd?: string | undefined
  /** What the command may touch. Default: what the app-server is configured with. */
  readonly sandbox?: Sandbox.Sandbox | undefined
  /**
   * What the command may do, by the name of a configured permission profile; instead of
   * `sandbox`. Needs `experimental: true` on the layer.
   */
  readonly permissionProfile?: string | undefined
}

/**
 * Options of `codex.execOutput`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExecOutputOptions
  extends Pick<ExecOptions, "cwd" | "env" | "permissionProfile" | "sandbox" | "timeout">
{
  /** What the command reads from stdin. Default: nothing. */
  readonly stdin?: string | Uint8Array | undefined
  /**
   * How many bytes of each of stdout and stderr are kept; `Infinity` for all. Default: 1 MiB.
   */
  readonly outputLimit?: number | undefined
}

/**
 * Options of `codex.spawn`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SpawnOptions extends ProcessOptions {
  /** The working directory, an absolute path. */
  readonly cwd: string
}

// =============================================================================
// Models
// =============================================================================

/**
 * How a process ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommandExit {
  /** The exit code. A process that signal `n` has ended has `128 + n`; one that ran out of time, 124. */
  readonly exitCode: number
  /** Whether `outputLimit` was reached on stdout. */
  readonly stdoutTruncated: boolean
  /** Whether `outputLimit` was reached on stderr. */
  readonly stderrTruncated: boolean
}

/**
 * What a command came to.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommandOutput extends CommandExit {
  /** What it wrote to stdout, read as UTF-8. */
  readonly stdout: string
  /** What it wrote to stderr, read as UTF-8. */
  readonly stderr: string
}

/**
 * A process on the app-server's machine. The scope it was started in ends it, and
 * waits for its end.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommandProcess {
  /** Its name on the wire: the `processId` of `command/exec`, the `processHandle` of `process/spawn`. */
  readonly id: string
  /**
   * Takes what the process reads. The end of the input closes its stdin; the end of
   * the process ends the sink, whatever there is left. In a terminal the end of the input
   * is a line's end and the end-of-file character.
   */
  readonly stdin: Sink.Sink<void, Uint8Array, never, RequestError>
  /**
   * What the process writes to stdout, in chunks as they come: `Stream.decodeText`
   * makes text of them. For one reader at a time; a later one goes on where the one
   * before stopped. Ends with the process.
   */
  readonly stdout: Stream.Stream<Uint8Array, RequestError | OutputLagged>
  /** The same for stderr; empty in a terminal. */
  readonly stderr: Stream.Stream<Uint8Array, RequestError | OutputLagged>
  /** Waits for the end of the process. Does not depend on anybody reading its output. */
  readonly exitCode: Effect.Effect<number, RequestError>
  /** The same, with all that is known of the end. */
  readonly exit: Effect.Effect<CommandExit, RequestError>
  /** Whether the process has not ended yet, as far as the server has told. */
  readonly isRunning: Effect.Effect<boolean>
  /** Gives its terminal another size; fails where it has none. */
  readonly resize: (size: TerminalSize) => Effect.Effect<void, RequestError>
  /**
   * Kills the process and all that it has started (SIGKILL), and waits for its end. Nothing
   * happens when it has ended already. The server does not get to it while something written
   * to stdin waits for a process that does not read: it keeps some 128 writes, no more.
   */
  readonly terminate: Effect.Effect<void, RequestError>
}

/**
 * Running commands and processes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Commands {
  /**
   * Runs a command, a program and its arguments, in the app-server's sandbox. Succeeds
   * as soon as it has been started; the scope ends it. Mirrors `command/exec`.
   */
  readonly exec: (
    command: ReadonlyArray<string>,
    options?: ExecOptions
  ) => Effect.Effect<CommandProcess, RequestError, Scope.Scope>
  /**
   * Runs a command to its end and gives its output. Interrupting it ends the command.
   * Mirrors `command/exec`.
   */
  readonly execOutput: (
    command: ReadonlyArray<string>,
    options?: ExecOutputOptions
  ) => Effect.Effect<CommandOutput, RequestError>
  /**
   * Starts a process with no sandbox; the scope ends it. Needs `experimental: true` on
   * the layer. Mirrors `process/spawn`.
   */
  readonly spawn: (
    command: ReadonlyArray<string>,
    options: SpawnOptions
  ) => Effect.Effect<CommandProcess, RequestError, Scope.Scope>
}

// =============================================================================
// Constructors
// =============================================================================

const defaultBuffer: BufferLimits = { events: 16_384, bytes: 16 * 1024 * 1024 }

const OUTPUT_LIMIT = 1024 * 1024

/**
 * Commands and processes of a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Commands => {
  /** Runs a command whose output goes where it is told, as a value of the scope. */
  const run = (
    command: ReadonlyArray<string>,
    options: ExecOptions,
    output: { readonly stdout: Process.Output; readonly stderr: Process.Output }
  ): Effect.Effect<Running, RequestError, Scope.Scope> =>
    inScope(Effect.fnUntraced(function*(scope, restore) {
      const params = yield* execParams(command, options)
      const processId = yield* uniqueId
      const state = new Process.ProcessState(output.stdout, output.stderr)
      const controls: Process.Controls = {
        write: (params) => client.request("command/exec/write", { ...params, processId }),
        terminate: client.request("command/exec/terminate", { processId })
      }
      yield* client.listen("command/exec/outputDelta", processId, {
        event: ({ params }) => state.output(params),
        unreadable: (error) => state.lost(error),
        closed: () => {}
      }).pipe(Scope.provide(scope))
      // The answer is the end of the command: it goes on while whoever has started it does something else.
      yield* client.experimental.request("command/exec", { ...params, processId }).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() =>
            Exit.match(exit, {
              onSuccess: ({ exitCode }) => state.ended(exitCode),
              onFailure: (cause) => state.failed(Process.errorOf(cause, "command/exec"))
            })
          )
        ),
        Effect.forkIn(scope, { startImmediately: true })
      )
      yield* Scope.addFinalizer(scope, Process.letGo(state, controls, `The command ${processId}`))
      yield* restore(Process.started(
        state,
        controls.write(options.stdin === "ignore" ? { closeStdin: true } : { deltaBase64: "" })
      ))
      return { id: processId, state, controls }
    }))

  const exec = Effect.fn("Codex.exec")(function*(command: ReadonlyArray<string>, options: ExecOptions = {}) {
    const pipes = yield* makePipes({ start: "command/exec", output: "command/exec/outputDelta" }, options)
    const running = yield* run(command, options, pipes)
    return handleOf(running, pipes, (size) => client.request("command/exec/resize", { processId: running.id, size }))
  })

  const execOutput = Effect.fn("Codex.execOutput")(
    function*(command: ReadonlyArray<string>, options: ExecOutputOptions = {}) {
      const output = { stdout: new Process.Collector(), stderr: new Process.Collector() }
      const { controls, state } = yield* run(command, {
        cwd: options.cwd,
        env: options.env,
        permissionProfile: options.permissionProfile,
        sandbox: options.sandbox,
        timeout: options.timeout,
        outputLimit: options.outputLimit ?? OUTPUT_LIMIT,
        stdin: options.stdin === undefined ? "ignore" : "pipe"
      }, output)
      if (options.stdin !== undefined) {
        const input = typeof options.stdin === "string" ? new TextEncoder().encode(options.stdin) : options.stdin
        yield* Stream.run(Stream.succeed(input), Process.stdin(state, controls))
      }
      const exit = yield* Deferred.await(state.exit)
      return {
        ...exit,
        stdout: yield* output.stdout.text("command/exec/outputDelta"),
        stderr: yield* output.stderr.text("command/exec/outputDelta")
      }
    },
    Effect.scoped
  )

  const spawn = Effect.fn("Codex.spawn")(function*(command: ReadonlyArray<string>, options: SpawnOptions) {
    const pipes = yield* makePipes({ start: "process/spawn", output: "process/outputDelta" }, options)
    const running = yield* inScope(Effect.fnUntraced(function*(scope, restore) {
      const params = yield* spawnParams(command, options)
      const processHandle = yield* uniqueId
      const state = new Process.ProcessState(pipes.stdout, pipes.stderr)
      const controls: Process.Controls = {
        write: (params) => client.experimental.request("process/writeStdin", { ...params, processHandle }),
        terminate: client.experimental.request("process/kill", { processHandle })
      }
      yield* client.listen("process/outputDelta", processHandle, {
        event: ({ params }) => state.output(params),
        unreadable: (error) => state.lost(error),
        closed: () => {}
      }).pipe(Scope.provide(scope))
      yield* client.listen("process/exited", processHandle, {
        event: ({ params }) => state.ended(params.exitCode),
        unreadable: (error) => state.failed(error),
        closed: (error) => state.failed(error)
      }).pipe(Scope.provide(scope))
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => state.failed(scopeClosed("process", "process/spawn")))
      )
      // It goes on when the caller is interrupted: only its answer tells whether there is something to kill.
      const starting = yield* client.experimental.request("process/spawn", {
        ...params,
        processHandle
      }).pipe(
        Effect.forkIn(scope, { startImmediately: true })
      )
      yield* Scope.addFinalizer(
        scope,
        Process.letGo(
          state,
          { ...controls, terminate: Process.killStarting(state, controls, starting) },
          `The process ${processHandle}`
        )
      )
      yield* restore(Fiber.join(starting))
      // The server opens the stdin of a terminal, whatever it is told.
      if (options.stdin === "ignore" && params.tty === true) {
        yield* restore(Process.started(state, controls.write({ closeStdin: true })))
      }
      return { id: processHandle, state, controls }
    }))
    return handleOf(
      running,
      pipes,
      (size) => client.experimental.request("process/resizePty", { processHandle: running.id, size })
    )
  })

  return { exec, execOutput, spawn }
}

interface Running {
  readonly id: string
  readonly state: Process.ProcessState
  readonly controls: Process.Controls
}

/** Starts something as a value of the scope; what has begun when the start fails, or is interrupted, is ended at once. */
const inScope = <A, E>(
  start: (
    scope: Scope.Scope,
    restore: <B, E2, R2>(effect: Effect.Effect<B, E2, R2>) => Effect.Effect<B, E2, R2>
  ) => Effect.Effect<A, E>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.scope, (parent) =>
      Effect.flatMap(Scope.fork(parent), (scope) =>
        Effect.onExit(
          start(scope, restore),
          (exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit)
        )))
  )

const makePipes = Effect.fnUntraced(function*(
  methods: { readonly start: string; readonly output: string },
  { buffer }: ProcessOptions
) {
  const limits = yield* readParams(methods.start, (read) => ({
    events: read.count("buffer.events", buffer?.events, defaultBuffer.events),
    bytes: read.count("buffer.bytes", buffer?.bytes, defaultBuffer.bytes)
  }))
  return {
    stdout: yield* Process.makePipe("stdout", methods.output, limits),
    stderr: yield* Process.makePipe("stderr", methods.output, limits)
  }
})

const handleOf = (
  { controls, id, state }: Running,
  pipes: { readonly stdout: Process.Pipe; readonly stderr: Process.Pipe },
  resize: (size: TerminalSize) => Effect.Effect<unknown, RequestError>
): CommandProcess => ({
  id,
  stdin: Process.stdin(state, controls),
  stdout: pipes.stdout.stream,
  stderr: pipes.stderr.stream,
  exit: Deferred.await(state.exit),
  exitCode: Effect.map(Deferred.await(state.exit), ({ exitCode }) => exitCode),
  isRunning: Effect.sync(() => state.isRunning),
  resize: Effect.fn("CommandProcess.resize")(function*({ cols, rows }: TerminalSize) {
    yield* resize({ rows, cols })
  }),
  terminate: Process.terminate(state, controls).pipe(Effect.withSpan("CommandProcess.terminate"))
})

const execParams = (
  command: ReadonlyArray<string>,
  options: ExecOptions
): Effect.Effect<CommandExecParams, InvalidParams> =>
  readParams("command/exec", (read) => {
    const timeout = timeoutMs(read, options)
    const outputLimit = outputBytes(read, options)
    return {
      command,
      cwd: options.cwd,
      env: environment(options.env),
      sandboxPolicy: read.choice("sandbox", options.sandbox, Sandbox.policies),
      permissionProfile: options.permissionProfile,
      ...(timeout === null ? { disableTimeout: true } : { timeoutMs: timeout }),
      ...(outputLimit === null ? { disableOutputCap: true } : { outputBytesCap: outputLimit }),
      streamStdin: true,
      streamStdoutStderr: true,
      ...terminal(options.tty)
    }
  })

const spawnParams = (
  command: ReadonlyArray<string>,
  options: SpawnOptions
): Effect.Effect<Omit<ProcessSpawnParams, "processHandle">, InvalidParams> =>
  readParams("process/spawn", (read) => ({
    command,
    cwd: options.cwd,
    env: environment(options.env),
    timeoutMs: timeoutMs(read, options),
    outputBytesCap: outputBytes(read, options),
    streamStdin: options.stdin !== "ignore",
    streamStdoutStderr: true,
    ...terminal(options.tty)
  }))

const timeoutMs = (read: OptionReader, { timeout }: ProcessOptions): number | null => {
  const duration = read.limitOfTime("timeout", timeout)
  return Duration.isFinite(duration) ? Math.ceil(Duration.toMillis(duration)) : null
}

const outputBytes = (read: OptionReader, { outputLimit }: ProcessOptions): number | null => {
  const bytes = read.limit("outputLimit", outputLimit, Number.POSITIVE_INFINITY)
  return bytes === Number.POSITIVE_INFINITY ? null : bytes
}

const environment = (env: Environment | undefined) =>
  env === undefined
    ? undefined
    : Object.fromEntries(
      Object.entries(env).map(([name, value]) => [name, Redacted.isRedacted(value) ? Redacted.value(value) : value])
    )

const terminal = (tty: boolean | TerminalSize | undefined) => {
  if (tty === undefined || tty === false) return {}
  return tty === true ? { tty: true } : { tty: true, size: { rows: tty.rows, cols: tty.cols } }
}
