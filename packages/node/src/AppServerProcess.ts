/**
 * `codex app-server` as a child process of this one, and the transport over its
 * stdin and stdout.
 *
 * @since 0.1.0
 */
import { AppServerExited, type ConnectionError, InvalidOptions, Transport, TransportError } from "@effect-codex/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { resolve } from "node:path"
import * as Binary from "./internal/binary.ts"
import * as Groups from "./internal/groups.ts"
import * as Redact from "./internal/redact.ts"
import * as SpawnError from "./internal/spawnError.ts"
import * as Stderr from "./internal/stderr.ts"

/**
 * How to start the process.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The executable to start instead of the one in the pinned `@openai/codex`. The
   * launcher that npm installs (`codex`, `codex.cmd`, `codex.ps1`) stands for the
   * executable of its own package, which is started directly. A name is looked for in
   * `PATH`; a relative path counts from this process's working directory, and not from
   * `cwd`.
   */
  readonly codexPath?: string | undefined
  /**
   * The home directory of the server (`CODEX_HOME`): configuration, login, stored
   * threads. It must exist. A relative path counts from this process's working directory,
   * and not from `cwd`.
   */
  readonly codexHome?: string | undefined
  /**
   * Configuration overrides, by dotted key as in `config.toml`; each becomes `--config
   * key=value`. No error shows them, but whoever else uses the machine may see the
   * command line (`ps`): what is secret belongs in `env`, or in `config.toml`.
   */
  readonly config?: ConfigOverrides | undefined
  /** Further arguments of `codex app-server`. They are seen by the same as `config`. */
  readonly args?: ReadonlyArray<string> | undefined
  /** The working directory of the process, and of threads that name none. */
  readonly cwd?: string | undefined
  /** Variables over the inherited environment; `undefined` takes one away. */
  readonly env?: Readonly<Record<string, string | Redacted.Redacted<string> | undefined>> | undefined
  /**
   * How long the process may take to end by itself once its stdin has ended, and again
   * after SIGTERM; in real time, also under a `TestClock`. Default: 5 seconds.
   */
  readonly shutdownGrace?: Duration.Input | undefined
}

/**
 * Values of configuration overrides. A record becomes one override per key, and
 * everything else a TOML value.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConfigOverrides {
  readonly [key: string]: ConfigValue
}

/**
 * @since 0.1.0
 * @category models
 */
export type ConfigValue = string | number | boolean | ReadonlyArray<ConfigValue> | ConfigOverrides

const defaultGrace = Duration.seconds(5)

/** How many messages may wait for the process to read its stdin. */
const OUTBOX = 256

/** How many chunks of its output may wait for the reader. */
const INBOX = 16

/** Processes live in real time: nothing that waits for one goes by a clock that a test holds. */
const inRealTime = Effect.provideService(Clock.Clock, Context.get(Context.empty(), Clock.Clock))

/**
 * How long the last output of a process that has ended may take to arrive: another
 * process may keep the pipe open. In steps, so that a host that was busy for longer
 * reads what is there all the same.
 */
const drainGrace = inRealTime(Effect.repeat(Effect.sleep("100 millis"), { times: 4 }))

/** How long the exit of a process may take that does not read its stdin any more. */
const EXIT_GRACE = Duration.seconds(4)

/**
 * Starts the process and gives the transport to it. When the scope closes, stdin
 * ends; a process that is still there after `shutdownGrace` gets SIGTERM with its
 * whole group, and after the same time again SIGKILL. Where this process ends without
 * closing the scope (`process.exit`, an uncaught error) the group is killed at once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fn("AppServerProcess.make")(function*(options: Options = {}) {
  const spawner = yield* ChildProcessSpawner
  const grace = yield* graceOf(options)
  yield* check(options)
  // The process would take what is relative from its own working directory. An empty home is none.
  const codexHome = options.codexHome && resolve(options.codexHome)
  const { codexPath } = options
  const executable = yield* Binary.locate(
    codexPath === undefined || Binary.isName(codexPath) ? codexPath : resolve(codexPath)
  )

  const [child, leaderEnded] = yield* Groups.track(grace, (marks) =>
    spawner.spawn(
      ChildProcess.make(executable, argumentsOf(options), {
        cwd: options.cwd,
        env: {
          LOG_FORMAT: "json",
          ...options.env,
          ...marks,
          ...(codexHome === undefined ? {} : { CODEX_HOME: codexHome })
        },
        extendEnv: true,
        windowsHide: true,
        killSignal: "SIGTERM",
        forceKillAfter: grace
      })
    )).pipe(SpawnError.told(executable, options.cwd))

  // While the process starts: what comes before it is waited for. The writer is the first fiber to run, as the server
  // waits for the first line.
  const outbox = yield* Queue.bounded<string, Cause.Done>(OUTBOX)
  yield* Stream.fromQueue(outbox).pipe(
    // A write costs more than a line does.
    Stream.mapArray((lines) => [Buffer.from(lines.join(""))]),
    Stream.run(child.stdin),
    // A pipe that nobody reads any more: the process's exit says why.
    Effect.ensuring(Queue.shutdown(outbox)),
    Effect.ignore,
    Effect.forkScoped
  )

  const redact = Redact.make(Redact.secretsOf({ ...process.env, ...options.env }))
  const stderr = Stderr.make(child.stderr, redact)
  const stderrDrained = yield* Effect.forkScoped(stderr.drain)

  // The reason the connection is over: the process's exit, told once its last words have been read. Another process may
  // have inherited the pipe and keep it open: so what has been read is in a queue, which the exit ends.
  const exited = yield* Deferred.make<never, AppServerExited>()
  const inbox = yield* Queue.bounded<Uint8Array, ConnectionError>(INBOX)
  const stdoutDrained = yield* child.stdout.pipe(
    Stream.mapError((cause) =>
      new TransportError({ operation: "read", description: "Could not read the app-server's output", cause })
    ),
    Stream.runForEachArray((chunks) => Queue.offerAll(inbox, chunks)),
    Effect.catchCause((cause) => Queue.failCause(inbox, cause)),
    Effect.forkScoped
  )
  yield* Effect.exit(child.exitCode).pipe(
    Effect.tap(() => leaderEnded),
    Effect.tap(() =>
      Effect.raceFirst(
        Effect.all([Fiber.await(stdoutDrained), Fiber.await(stderrDrained)], { concurrency: 2, discard: true }),
        drainGrace
      )
    ),
    Effect.flatMap((exit) =>
      Effect.flatMap(stderr.tail, (tail) => {
        const error = new AppServerExited({
          stderr: tail,
          ...(exit._tag === "Success" ? { exitCode: exit.value } : { signal: signalOf(exit.cause) })
        })
        return Effect.andThen(Deferred.fail(exited, error), Queue.fail(inbox, error))
      })
    ),
    Effect.forkScoped
  )

  yield* Effect.addFinalizer(() =>
    Queue.end(outbox).pipe(
      Effect.andThen(Effect.exit(child.exitCode)),
      Effect.timeoutOption(grace),
      inRealTime
    )
  )

  return Transport.of({
    incoming: Stream.fromQueue(inbox),
    send: (line) =>
      Effect.flatMap(
        Queue.offer(outbox, `${line}\n`),
        (accepted) =>
          accepted
            ? Effect.void
            // The pipe breaks before the process's exit is known.
            : inRealTime(Effect.timeoutOrElse(Deferred.await(exited), {
              duration: EXIT_GRACE,
              orElse: () =>
                Effect.fail(
                  new TransportError({ operation: "write", description: "The app-server reads no more input" })
                )
            }))
      )
  })
})

const graceOf = ({ shutdownGrace = defaultGrace }: Options): Effect.Effect<Duration.Duration, InvalidOptions> =>
  Effect.mapError(
    Effect.fromOption(
      Option.filter(
        Duration.fromInput(shutdownGrace),
        // Effect takes what is no number for no time at all.
        (grace) => !Duration.isNegative(grace) && !Number.isNaN(shutdownGrace)
      )
    ),
    () =>
      new InvalidOptions({
        issues: [{ path: "shutdownGrace", expected: "Expected a duration that is not below zero" }]
      })
  )

/** What comes from the outside, as JSON or from plain JavaScript, would look like a fault of the executable. */
const check = ({ args = [], config = {}, env = {} }: Options): Effect.Effect<void, InvalidOptions> => {
  const texts: ReadonlyArray<readonly [path: string, value: unknown]> = [
    ...args.map((value, index) => [`args[${index}]`, value] as const),
    ...Object.entries(env).flatMap(([name, value]) =>
      value === undefined || Redacted.isRedacted(value) ? [] : [[`env.${name}`, value] as const]
    )
  ]
  const issues = [
    ...unwritable(config, "config").map((path) => ({
      path,
      expected: "Expected a string, a finite number, a boolean, an array or a record"
    })),
    ...texts.flatMap(([path, value]) => typeof value === "string" ? [] : [{ path, expected: "Expected a string" }])
  ]
  return issues.length === 0 ? Effect.void : Effect.fail(new InvalidOptions({ issues }))
}

/** Where there are values that the command line has no words for, as null. */
const unwritable = (value: unknown, path: string): ReadonlyArray<string> => {
  if (Array.isArray(value)) return value.flatMap((member, index) => unwritable(member, `${path}[${index}]`))
  if (Predicate.isObject(value)) {
    return Object.entries(value).flatMap(([key, member]) => unwritable(member, `${path}.${key}`))
  }
  return typeof value === "string" || typeof value === "boolean" || Number.isFinite(value) ? [] : [path]
}

/** The arguments of the process. An error of the platform's shows the whole command line. */
const argumentsOf = (options: Options): ReadonlyArray<string | Redacted.Redacted<string>> => [
  "app-server",
  ...overrides(options.config ?? {}).flatMap(([key, value]) => ["--config", Redacted.make(`${key}=${value}`)]),
  ...(options.args ?? []).map((argument) => Redacted.make(argument))
]

/** Dotted keys and TOML values, one for each leaf of the record. */
const overrides = (config: ConfigOverrides, prefix = ""): ReadonlyArray<readonly [string, string]> =>
  Object.entries(config).flatMap(([key, value]) => {
    const path = `${prefix}${key}`
    return isRecord(value) && Object.keys(value).every((name) => bareKey.test(name))
      ? overrides(value, `${path}.`)
      : [[path, toToml(value)] as const]
  })

/** The server splits the path at every dot: any other key can only stand in a table. */
const bareKey = /^[A-Za-z0-9_-]+$/

/** JSON's scalars and arrays are TOML, but for one character and halves of some; its objects are not. */
const toToml = (value: ConfigValue): string => {
  if (isRecord(value)) {
    const entries = Object.entries(value).map(([key, value]) => `${toToml(key)} = ${toToml(value)}`)
    return `{ ${entries.join(", ")} }`
  }
  if (isList(value)) return `[${value.map(toToml).join(", ")}]`
  // Half a character becomes U+FFFD, as in every other text that is made bytes.
  const scalar = typeof value === "string" ? Buffer.from(value).toString() : value
  return JSON.stringify(scalar).replaceAll("\u007f", "\\u007f")
}

const isList = (value: ConfigValue): value is ReadonlyArray<ConfigValue> => Array.isArray(value)

const isRecord = (value: ConfigValue): value is ConfigOverrides => typeof value === "object" && !isList(value)

const signalOf = (cause: Cause.Cause<PlatformError.PlatformError>): string =>
  /'(SIG[A-Z0-9]+)'/.exec(Cause.pretty(cause))?.[1] ?? "unknown signal"
