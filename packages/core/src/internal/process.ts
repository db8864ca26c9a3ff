/**
 * A process on the app-server's machine, whichever methods it is driven by: its
 * output is kept by the reader, its end settles everything that waits.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { type DecodeError, type InvalidRequest, OutputLagged, type RequestError } from "../CodexError.ts"
import * as Base64 from "./base64.ts"
import { scopeClosed } from "./closed.ts"
import * as Log from "./log.ts"
import { hasRoom, type Limits } from "./subscription.ts"
import { mayBeDone } from "./uncertain.ts"

/** How a process ended. */
export interface ProcessExit {
  readonly exitCode: number
  readonly stdoutTruncated: boolean
  readonly stderrTruncated: boolean
}

/** How far the end of a process may be behind the server's word that it is gone. */
const refusalGrace = Duration.seconds(2)

/** How long an ending scope waits for the end of the process that it terminates. */
const terminateGrace = Duration.seconds(10)

/** The most that is written at once. */
const WRITE_BYTES = 1024 * 1024

// =============================================================================
// Output
// =============================================================================

/** Where the output goes, one of stdout and stderr. Fed on the reader. */
export interface Output {
  readonly push: (base64: string) => void
  readonly end: () => void
  readonly fail: (error: RequestError) => void
}

/** Output for one reader, bounded: a reader that is further behind than the limits gets what is kept and an error. */
export class Pipe implements Output {
  readonly stream: Stream.Stream<Uint8Array, RequestError | OutputLagged>
  private readonly name: "stdout" | "stderr"
  private readonly limits: Limits
  private readonly queue: Queue.Queue<string, RequestError | OutputLagged | Cause.Done>
  private bytes = 0

  constructor(
    name: "stdout" | "stderr",
    method: string,
    limits: Limits,
    queue: Queue.Queue<string, RequestError | OutputLagged | Cause.Done>
  ) {
    this.name = name
    this.limits = limits
    this.queue = queue
    // One chunk at a time: what a reader that stops has not seen is there for the next one.
    const take = Effect.flatMap(Queue.take(queue), (base64) => {
      this.bytes -= Base64.byteLength(base64)
      return Effect.map(decodeOutput(method, base64), Arr.of)
    })
    this.stream = Stream.fromPull(Effect.succeed(take))
  }

  push(base64: string): void {
    if (base64 === "") return
    const bytes = Base64.byteLength(base64)
    if (!hasRoom(this.limits, Queue.sizeUnsafe(this.queue), this.bytes, bytes)) {
      const { bytes, events } = this.limits
      return this.fail(new OutputLagged({ stream: this.name, bufferEvents: events, bufferBytes: bytes }))
    }
    if (Queue.offerUnsafe(this.queue, base64)) this.bytes += bytes
  }

  end(): void {
    Queue.endUnsafe(this.queue)
  }

  fail(error: RequestError | OutputLagged): void {
    Queue.failCauseUnsafe(this.queue, Cause.fail(error))
  }
}

export const makePipe = (name: "stdout" | "stderr", method: string, limits: Limits): Effect.Effect<Pipe> =>
  Effect.map(
    Queue.unbounded<string, RequestError | OutputLagged | Cause.Done>(),
    (queue) => new Pipe(name, method, limits, queue)
  )

/** All of the output, to be read when it is complete; the server bounds it. */
export class Collector implements Output {
  private readonly chunks: Array<string> = []
  private failure: RequestError | undefined

  push(base64: string): void {
    this.chunks.push(base64)
  }

  end(): void {}

  fail(error: RequestError): void {
    this.failure ??= error
  }

  /** The output as text; what is no UTF-8 is replaced. */
  text(method: string): Effect.Effect<string, RequestError> {
    return Effect.suspend((): Effect.Effect<string, RequestError> => {
      if (this.failure !== undefined) return Effect.fail(this.failure)
      const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
      return Effect.map(
        Effect.forEach(this.chunks, (chunk) => decodeOutput(method, chunk)),
        (parts) => parts.map((bytes) => decoder.decode(bytes, { stream: true })).join("") + decoder.decode()
      )
    })
  }
}

const decodeOutput = (method: string, base64: string): Effect.Effect<Uint8Array, DecodeError> =>
  Effect.fromResult(Base64.decode(base64, { method, payload: "notification", path: "deltaBase64" }))

// =============================================================================
// State
// =============================================================================

export class ProcessState {
  readonly exit = Deferred.makeUnsafe<ProcessExit, RequestError>()
  private readonly stdout: Output
  private readonly stderr: Output
  private stdoutTruncated = false
  private stderrTruncated = false
  private settled = false
  private isUncertain = false

  constructor(stdout: Output, stderr: Output) {
    this.stdout = stdout
    this.stderr = stderr
  }

  get isRunning(): boolean {
    return !this.settled
  }

  /** Whether there may be something to end, though nobody hears of it: the word of its end did not come in time. */
  get mayRun(): boolean {
    return this.isRunning || this.isUncertain
  }

  /** A chunk of output, as it is notified. */
  output(params: { readonly stream: string; readonly deltaBase64: string; readonly capReached: boolean }): void {
    if (params.stream === "stderr") {
      this.stderrTruncated ||= params.capReached
      this.stderr.push(params.deltaBase64)
    } else {
      this.stdoutTruncated ||= params.capReached
      this.stdout.push(params.deltaBase64)
    }
  }

  /** Output has come that cannot be had. */
  lost(error: DecodeError): void {
    this.stdout.fail(error)
    this.stderr.fail(error)
  }

  /** The process has ended. */
  ended(exitCode: number): void {
    if (this.settled) return
    this.settled = true
    this.stdout.end()
    this.stderr.end()
    const { stderrTruncated, stdoutTruncated } = this
    Deferred.doneUnsafe(this.exit, Exit.succeed({ exitCode, stdoutTruncated, stderrTruncated }))
  }

  /** Nothing more will be known of the process. */
  failed(error: RequestError): void {
    if (this.settled) return
    this.settled = true
    this.isUncertain = error._tag === "RequestTimeout"
    this.stdout.fail(error)
    this.stderr.fail(error)
    Deferred.doneUnsafe(this.exit, Exit.fail(error))
  }
}

/** Why the request that stands for the process has failed. */
export const errorOf = (cause: Cause.Cause<RequestError>, method: string): RequestError =>
  Option.getOrElse(Cause.findErrorOption(cause), () => scopeClosed("process", method))

// =============================================================================
// Control
// =============================================================================

/** The requests that drive a process. */
export interface Controls {
  readonly write: (params: {
    readonly deltaBase64?: string
    readonly closeStdin?: boolean
  }) => Effect.Effect<unknown, RequestError>
  readonly terminate: Effect.Effect<unknown, RequestError>
}

/** The server refuses what is asked of a process that has ended: then its end is on the way. Any other refusal stands. */
const unlessEnded = (state: ProcessState, refusal: InvalidRequest): Effect.Effect<void, RequestError> =>
  Deferred.await(state.exit).pipe(
    Effect.timeoutOrElse({ duration: refusalGrace, orElse: () => Effect.fail(refusal) }),
    Effect.asVoid
  )

/**
 * Waits until the process runs or has ended. A write of nothing is answered when the
 * process has been started, which nothing else tells.
 */
export const started = (
  state: ProcessState,
  knock: Effect.Effect<unknown, RequestError>
): Effect.Effect<void, RequestError> =>
  Effect.raceFirst(
    Deferred.await(state.exit),
    Effect.catchTag(
      knock,
      "InvalidRequest",
      () => Effect.timeoutOption(Deferred.await(state.exit), refusalGrace)
    )
  ).pipe(
    // When both are there, a process that could not be started counts.
    Effect.andThen(Effect.suspend(() => state.isRunning ? Effect.void : Effect.asVoid(Deferred.await(state.exit))))
  )

/** Ends the process and waits for its end. */
export const terminate = (state: ProcessState, controls: Controls): Effect.Effect<void, RequestError> =>
  Effect.suspend(() =>
    !state.mayRun
      ? Effect.void
      : controls.terminate.pipe(
        Effect.catchTag("InvalidRequest", (refusal) => unlessEnded(state, refusal)),
        Effect.andThen(Effect.exit(Deferred.await(state.exit))),
        Effect.asVoid
      )
  )

/**
 * Ends a process whose start may not have been answered. The server takes a kill right behind the start: only where it
 * knows of no process is there something to wait for.
 */
export const killStarting = (
  state: ProcessState,
  controls: Controls,
  starting: Fiber.Fiber<unknown, RequestError>
): Effect.Effect<void, RequestError> => {
  const kill = Effect.suspend(() => state.isRunning ? Effect.asVoid(controls.terminate) : Effect.void)
  /** What the answer to the start says, once it is there. */
  const learn = Effect.map(Fiber.await(starting), (exit) => {
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
    if (error !== undefined && !mayBeDone(error)) state.failed(error)
    return error
  })
  return Effect.suspend(() => {
    const isAnswered = starting.pollUnsafe() !== undefined
    return Effect.andThen(isAnswered ? learn : Effect.void, kill).pipe(
      Effect.catchTag("InvalidRequest", (refusal) =>
        Effect.flatMap(learn, (error) => {
          if (error !== undefined) return Effect.sync(() => state.failed(error))
          return isAnswered ? Effect.fail(refusal) : kill
        }))
    )
  })
}

/** The same for a scope that closes: bounded, and never an error. */
export const letGo = (state: ProcessState, controls: Controls, what: string): Effect.Effect<void> =>
  terminate(state, controls).pipe(
    Effect.timeoutOrElse({
      duration: terminateGrace,
      orElse: () => Log.warning(`${what} has not ended within ${Duration.format(terminateGrace)}`)
    }),
    Effect.catch((error) =>
      state.isRunning ? Log.warning(`Could not terminate ${what}: ${error.message}`) : Effect.void
    )
  )

const finished: Sink.End<void> = [undefined]

/** Writes what it is given and closes stdin at its end. Ends early when the process does. */
export const stdin = (state: ProcessState, controls: Controls): Sink.Sink<void, Uint8Array, never, RequestError> => {
  const write = (params: Parameters<Controls["write"]>[0]) =>
    controls.write(params).pipe(
      Effect.catchTag("InvalidRequest", (refusal) => unlessEnded(state, refusal))
    )
  return Sink.fromTransform((upstream) =>
    upstream.pipe(
      Effect.flatMap((chunks) =>
        Effect.forEach(pieces(chunks), (piece) => write({ deltaBase64: Base64.encode(piece) }), { discard: true })
      ),
      Effect.forever({ disableYield: true }),
      Pull.catchDone(() => write({ closeStdin: true })),
      Effect.raceFirst(Deferred.await(state.exit)),
      Effect.as(finished)
    )
  )
}

/** Chunks joined, and cut where they are too long for one write. */
const pieces = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> => {
  const [first] = chunks
  let all = first ?? new Uint8Array()
  if (chunks.length > 1) {
    all = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0))
    let at = 0
    for (const chunk of chunks) {
      all.set(chunk, at)
      at += chunk.length
    }
  }
  const cut: Array<Uint8Array> = []
  for (let at = 0; at < all.length; at += WRITE_BYTES) cut.push(all.subarray(at, at + WRITE_BYTES))
  return cut
}
