/**
 * What crosses the wire between a program and an app-server, written down once and
 * played back as often as wanted: with no process, no account and no network.
 *
 * A transcript is text, a JSON object a line: a header, then every message with who
 * wrote it. Ids, times and places are placeholders, but for times that the agent speaks
 * of, so that a program recorded twice gives the same text where the server does the
 * same, and what changes between two recordings is what changed. Keys and tokens are
 * taken out, also of texts that come in deltas, which are written at their end; **prompts, answers and
 * the content of files are not**, since they are what is played back.
 *
 * @since 0.1.0
 */
import { codexVersion } from "@effect-codex/generated"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as PlatformError from "effect/PlatformError"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { AppServerExited, type ConnectionError, TransportError } from "../CodexError.ts"
import { Framer } from "../internal/framer.ts"
import * as Log from "../internal/log.ts"
import { Transport } from "../Transport.ts"
import { canonicalOrder } from "./canonicalOrder.ts"
import { isMessage, type Message, Normaliser, type Side } from "./normaliser.ts"
import { Pieces } from "./pieces.ts"
import { type Divergence, Playback } from "./playback.ts"

// =============================================================================
// Models
// =============================================================================

const FORMAT = 1
const PROTOCOL = "codex app-server"

/**
 * The first line of a transcript. `codex` is the version whose protocol the recorder
 * knew; what the server said of itself is its answer to `initialize`.
 *
 * @since 0.1.0
 * @category models
 */
export const Header = Schema.Struct({
  transcript: Schema.Literal(FORMAT),
  protocol: Schema.Literal(PROTOCOL),
  codex: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export type Header = typeof Header.Type

/** When it came, in milliseconds since the recording began; only where it was asked for. */
const at = Schema.optionalKey(Schema.Finite)

/**
 * How a connection ended.
 *
 * @since 0.1.0
 * @category models
 */
export const End = Schema.Union([
  Schema.TaggedStruct("AppServerExited", {
    exitCode: Schema.optionalKey(Schema.Int),
    signal: Schema.optionalKey(Schema.String),
    stderr: Schema.String
  }),
  Schema.TaggedStruct("TransportError", {
    description: Schema.String,
    reason: TransportError.fields.reason
  })
])

/**
 * Any other line: a message and who wrote it, a line of the server that is no
 * message, or the end of the connection.
 *
 * @since 0.1.0
 * @category models
 */
export const Entry = Schema.Union([
  Schema.Struct({
    at,
    from: Schema.Literals(["client", "server"]),
    message: Schema.Record(Schema.String, Schema.Json)
  }),
  Schema.Struct({ at, from: Schema.Literal("server"), line: Schema.String }),
  Schema.Struct({ at, from: Schema.Literal("server"), end: End })
])

/**
 * @since 0.1.0
 * @category models
 */
export type Entry = typeof Entry.Type

/**
 * A transcript that has been read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Recording {
  /** What it was recorded with. */
  readonly header: Header
  /** The messages, in the order in which they went by. */
  readonly entries: ReadonlyArray<Entry>
}

/**
 * What is taken out of a transcript and what stands for it; the same for recording and
 * for replaying.
 *
 * @since 0.1.0
 * @category models
 */
export interface NormaliseOptions {
  /** Secrets that do not look like any, by their values. What looks like one, or is named like one, goes anyway. */
  readonly secrets?: ReadonlyArray<string | Redacted.Redacted<string>> | undefined
  /**
   * Directories by the placeholders that stand for them, as `{ "/home/me": homedir() }`.
   * The server's home and working directories are found without that.
   */
  readonly paths?: Readonly<Record<string, string>> | undefined
}

/**
 * Options of `record`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordOptions extends NormaliseOptions {
  /**
   * Whether each line says when it came, so that it can be replayed at that pace. Two
   * recordings are then never the same. Default: false.
   */
  readonly times?: boolean | undefined
  /** Where the recording stops, with a warning; the connection goes on. Default: 64 MiB. */
  readonly maxBytes?: number | undefined
}

/**
 * Options of `replay`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReplayOptions extends NormaliseOptions {
  /** Whether the server takes as long as it did, on the program's clock (so, on the TestClock), where the transcript has times. Default: false. */
  readonly pacing?: boolean | undefined
}

// =============================================================================
// Errors
// =============================================================================

/**
 * The program does something else than what was recorded, or less. The connection has
 * ended with a `TransportError` whose `cause` is this.
 *
 * It shows messages, for that is what it is about, but no secrets.
 *
 * @since 0.1.0
 * @category errors
 */
export class TranscriptMismatch extends Schema.TaggedError<TranscriptMismatch>()("TranscriptMismatch", {
  /** What could have come next, the likeliest first; as JSON, cut after 2,000 characters each. */
  expected: Schema.Array(Schema.String),
  /** What came, in the same form; absent where nothing did. */
  actual: Schema.optionalKey(Schema.String),
  /** The path to the first difference from the likeliest message. */
  difference: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const place = this.difference === undefined ? "" : ` (they differ at ${this.difference})`
    const expected = this.expected.length === 0 ? "nothing more" : this.expected.join("\n      or ")
    return this.actual === undefined
      ? `The program has not done all that was recorded. Left:\n         ${expected}`
      : `The program does not do what was recorded${place}.\nExpected ${expected}\n     got ${this.actual}`
  }
}

/**
 * A text is no transcript, or one of another format.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidTranscript extends Schema.TaggedError<InvalidTranscript>()("InvalidTranscript", {
  /** The line, from 1. */
  line: Schema.Int,
  /** What is wrong with it. */
  description: Schema.String
}) {
  override get message(): string {
    return `Line ${this.line} of the transcript: ${this.description}`
  }
}

const MAX_SHOWN = 2_000

const shown = (value: unknown): string => {
  const text = JSON.stringify(value)
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

// =============================================================================
// Text
// =============================================================================

const header: Header = { transcript: FORMAT, protocol: PROTOCOL, codex: codexVersion }

const decodeHeader = Schema.decodeUnknownExit(Schema.fromJsonString(Header))
const decodeEntry = Schema.decodeUnknownExit(Schema.fromJsonString(Entry))

const lineOf = (value: Header | Entry): string => `${JSON.stringify(value)}\n`

/**
 * The text of a recording.
 *
 * @since 0.1.0
 * @category conversions
 */
export const format = (recording: Recording): string =>
  lineOf(recording.header) + recording.entries.map(lineOf).join("")

/**
 * Reads the text of a transcript. Fails with `InvalidTranscript` at the first line that
 * does not belong there.
 *
 * @since 0.1.0
 * @category conversions
 */
export const parse = (text: string): Effect.Effect<Recording, InvalidTranscript> =>
  Effect.suspend(() => {
    const [first = "", ...others] = text.split("\n")
    const header = decodeHeader(first)
    if (Exit.isFailure(header)) {
      return Effect.fail(new InvalidTranscript({ line: 1, description: `no header of format ${FORMAT}` }))
    }
    const entries: Array<Entry> = []
    for (const [index, line] of others.entries()) {
      if (line === "") continue
      const entry = decodeEntry(line)
      if (Exit.isFailure(entry)) {
        return Effect.fail(new InvalidTranscript({ line: index + 2, description: "no message, line or end" }))
      }
      entries.push(entry.value)
    }
    return Effect.succeed({ header: header.value, entries })
  })

const normaliserOf = (options: NormaliseOptions): Normaliser =>
  new Normaliser({
    secrets: (options.secrets ?? []).map((secret) => Redacted.isRedacted(secret) ? Redacted.value(secret) : secret),
    paths: options.paths ?? {},
    findsPaths: true
  })

/**
 * The same recording in an order that does not depend on what raced: what belongs to no
 * thread first, then thread after thread. Recordings of the same program, of which the
 * server has made the same, are then the same text: it is for comparing them, and not
 * for replaying.
 *
 * @since 0.1.0
 * @category conversions
 */
export const canonical = ({ entries, header }: Recording): Recording => {
  const normaliser = new Normaliser({ secrets: [], paths: {}, findsPaths: false })
  return {
    header,
    entries: canonicalOrder(entries).map((entry) =>
      "message" in entry ? { ...entry, message: normaliser.message(entry.from, entry.message) } : entry
    )
  }
}

// =============================================================================
// Record
// =============================================================================

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024
/** As the client's own limit: a longer line is no message there either. */
const MAX_LINE_BYTES = 32 * 1024 * 1024
/** So many lines may wait to be written; then whoever writes or reads waits too. */
const UNWRITTEN = 256

const encoder = new TextEncoder()

/**
 * The same transport, with everything that crosses it written to a file. When the file
 * cannot be opened the layer fails with `PlatformError`; when it cannot be written the
 * connection ends with a `TransportError`. The scope's end writes what is left.
 *
 * **Example** (Recording a program)
 *
 * ```ts
 * import { AppServerClient, Codex } from "@effect-codex/core"
 * import { Transcript } from "@effect-codex/core/testing"
 * import { NodeCodex } from "@effect-codex/node"
 * import { NodeServices } from "@effect/platform-node"
 * import { Layer } from "effect"
 *
 * const recorded = Codex.layer.pipe(
 *   Layer.provideMerge(AppServerClient.layer()),
 *   Layer.provide(Transcript.record("hello.jsonl")),
 *   Layer.provide(NodeCodex.layerTransport()),
 *   Layer.provide(NodeServices.layer)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const record = (
  path: string,
  options: RecordOptions = {}
): Layer.Layer<Transport, PlatformError.PlatformError, Transport | FileSystem.FileSystem> =>
  Layer.effect(
    Transport,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.open(path, { flag: "w" })
      return yield* recorder((text) => file.writeAll(encoder.encode(text)), options)
    })
  )

/**
 * The same with the lines, one or several at once, given to a function: each ends with
 * a line break.
 *
 * @since 0.1.0
 * @category layers
 */
export const recordTo = <E, R>(
  write: (text: string) => Effect.Effect<void, E, R>,
  options: RecordOptions = {}
): Layer.Layer<Transport, never, Transport | R> => Layer.effect(Transport, recorder(write, options))

const recorder = <E, R>(
  write: (text: string) => Effect.Effect<void, E, R>,
  options: RecordOptions
): Effect.Effect<Transport["Service"], never, Transport | Scope.Scope | R> =>
  Effect.gen(function*() {
    const transport = yield* Transport
    const normaliser = normaliserOf(options)
    const pieces = new Pieces(normaliser)
    const framer = new Framer(MAX_LINE_BYTES)
    const began = yield* Clock.currentTimeMillis
    const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
    const queue = yield* Queue.bounded<string, Cause.Done>(UNWRITTEN)
    const failed = yield* Deferred.make<never, TransportError>()
    let bytes = 0
    let over = false

    const writer = yield* Stream.fromQueue(queue).pipe(
      Stream.runForEachArray((lines) => write(lines.join(""))),
      Effect.mapError((cause) =>
        new TransportError({ operation: "write", description: "The transcript could not be written", cause })
      ),
      Effect.tapError((error) => Deferred.fail(failed, error)),
      Effect.ensuring(Queue.shutdown(queue)),
      Effect.forkScoped
    )
    const put = (lines: ReadonlyArray<string>): Effect.Effect<void, TransportError> =>
      lines.length === 0
        ? Effect.void
        : Effect.flatMap(
          Queue.offerAll(queue, lines),
          (refused) => refused.length === 0 || over ? Effect.void : Deferred.await(failed)
        )

    const putEntries = (entries: ReadonlyArray<Entry>): Effect.Effect<void, TransportError> => {
      const lines: Array<string> = []
      for (const entry of entries) {
        const line = lineOf(entry)
        bytes += encoder.encode(line).byteLength
        if (bytes > maxBytes) {
          over = true
          const description = `The recording ends here: it has reached ${maxBytes} bytes`
          lines.push(lineOf({ from: "server", end: { _tag: "TransportError", description } }))
          return Effect.andThen(Log.warning(description), put(lines))
        }
        lines.push(line)
      }
      return put(lines)
    }

    /** Numbers what it writes in the order of the calls. */
    const note = (entries: () => ReadonlyArray<Entry>): Effect.Effect<void, TransportError> =>
      Effect.suspend(() => over ? Effect.void : putEntries(entries()))

    yield* Effect.addFinalizer(() =>
      Effect.ignore(note(() => pieces.end())).pipe(
        Effect.andThen(Effect.suspend(() => {
          over = true
          return Queue.end(queue)
        })),
        Effect.andThen(Fiber.await(writer)),
        Effect.tap((exit) =>
          Exit.isFailure(exit) ? Log.warning("The transcript is not complete", exit.cause) : Effect.void
        )
      )
    )

    const clock = yield* Clock.Clock
    const time = (): { readonly at?: number } =>
      options.times === true ? { at: clock.currentTimeMillisUnsafe() - began } : {}

    const noteLine = (from: Side, line: string): Effect.Effect<void, TransportError> =>
      note(() => {
        const message = messageOf(line)
        return message === undefined
          ? pieces.push({ ...time(), from: "server", line: normaliser.text("server", line) }, {}, line.length)
          : pieces.push({ ...time(), from, message: normaliser.message(from, message) }, message, line.length)
      })

    const noteEnd = (error: ConnectionError): Effect.Effect<void, TransportError> =>
      note(() => [
        ...pieces.end(),
        { ...time(), from: "server", end: endOf(error, (text) => normaliser.text("server", text)) }
      ])

    yield* Queue.offer(queue, lineOf(header))

    return Transport.of({
      ...transport,
      incoming: transport.incoming.pipe(
        Stream.mapArrayEffect((chunks) => {
          const lines: Array<string> = []
          for (const chunk of chunks) {
            framer.push(chunk, (frame) => lines.push(typeof frame === "string" ? frame : frame.head))
          }
          return Effect.as(Effect.forEach(lines, (line) => noteLine("server", line), { discard: true }), chunks)
        }),
        Stream.tapError(noteEnd),
        Stream.interruptWhen(Deferred.await(failed))
      ),
      send: (line) => Effect.andThen(noteLine("client", line), transport.send(line))
    })
  })

const messageOf = (line: string): Message | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return isMessage(value) ? value : undefined
  } catch {
    return undefined
  }
}

const endOf = (error: ConnectionError, name: (text: string) => string): typeof End.Type => {
  switch (error._tag) {
    case "AppServerExited": {
      const { exitCode, signal, stderr } = error
      return {
        _tag: "AppServerExited",
        ...(exitCode === undefined ? {} : { exitCode }),
        ...(signal === undefined ? {} : { signal }),
        stderr: name(stderr)
      }
    }
    case "TransportError": {
      const { description, reason } = error
      return { _tag: "TransportError", description: name(description), ...(reason === undefined ? {} : { reason }) }
    }
    case "SupervisorGaveUp":
      return { _tag: "TransportError", description: name(error.message) }
  }
}

// =============================================================================
// Replay
// =============================================================================

/**
 * How a replay goes on.
 *
 * @since 0.1.0
 * @category services
 */
export class Replay extends Context.Service<Replay, {
  /** What has not been played yet: what the client has not sent, and what the server has not said. */
  readonly unplayed: Effect.Effect<ReadonlyArray<Entry>>
  /** Waits until the program does something that was not recorded. */
  readonly diverged: Effect.Effect<TranscriptMismatch>
  /**
   * Fails when the program has done something that was not recorded, or has not done something that was. What the
   * server has still to say to a program that asks for nothing more is not the program's.
   */
  readonly verify: Effect.Effect<void, TranscriptMismatch>
}>()("@effect-codex/core/testing/Replay") {}

/**
 * A transport to nobody: what a program sends is compared with what it sent when it was
 * recorded, and is answered with what it was answered then. Threads may take turns in
 * another order; what is about one thread keeps its own. Ids that the program makes may
 * be others than they were, and so may its working directories.
 *
 * Anything else ends the connection with a `TransportError` whose `cause` is a
 * `TranscriptMismatch`. A program that waits for what was recorded behind something
 * that it does not send waits on: `Replay.unplayed` tells for what. The layer fails with `PlatformError` when the file cannot be
 * read, and with `InvalidTranscript` when it is none.
 *
 * @since 0.1.0
 * @category layers
 */
export const replay = (
  path: string,
  options: ReplayOptions = {}
): Layer.Layer<Transport | Replay, PlatformError.PlatformError | InvalidTranscript, FileSystem.FileSystem> =>
  Layer.unwrap(
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      return replayRecording(yield* parse(yield* fs.readFileString(path)), options)
    })
  )

/**
 * The same with a recording that is in memory.
 *
 * @since 0.1.0
 * @category layers
 */
export const replayRecording = (
  recording: Recording,
  options: ReplayOptions = {}
): Layer.Layer<Transport | Replay> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const { entries } = recording
      const playback = new Playback(entries, normaliserOf(options), options.paths ?? {})
      const output = yield* Queue.bounded<Uint8Array, ConnectionError>(UNWRITTEN)
      const wake = yield* Queue.sliding<void>(1)
      const diverged = yield* Deferred.make<TranscriptMismatch>()
      /** The recorded time that has been played to. */
      let played = 0

      const wait = (index: number): Effect.Effect<void> => {
        const at = entries[index]?.at ?? 0
        const pause = options.pacing === true ? at - played : 0
        played = Math.max(played, at)
        return pause > 0 ? Effect.sleep(pause) : Effect.void
      }

      const tell = (index: number): Effect.Effect<void> => {
        const delivery = playback.deliver(index)
        if (delivery === undefined) return Effect.void
        const entry = entries[index]
        if (entry !== undefined && "end" in entry) return Effect.asVoid(Queue.fail(output, errorOf(entry.end)))
        return "line" in delivery
          ? Effect.asVoid(Queue.offer(output, encoder.encode(`${delivery.line}\n`)))
          : "message" in delivery
          ? Effect.asVoid(Queue.offer(output, encoder.encode(`${JSON.stringify(delivery.message)}\n`)))
          : Effect.void
      }

      const step = Effect.suspend(() => {
        const index = playback.peek()
        return index === undefined ? Queue.take(wake) : Effect.andThen(wait(index), tell(index))
      })
      yield* Effect.forkScoped(Effect.forever(step))

      let over: TransportError | undefined

      const refuse = (divergence: Divergence): Effect.Effect<never, TransportError> => {
        const mismatch = mismatchOf(divergence)
        const error = new TransportError({ operation: "write", description: mismatch.message, cause: mismatch })
        over = error
        return Deferred.succeed(diverged, mismatch).pipe(
          Effect.andThen(Queue.fail(output, error)),
          Effect.andThen(Effect.fail(error))
        )
      }

      const service = Replay.of({
        unplayed: Effect.sync(() => entries.filter((_, index) => !playback.isDone(index))),
        diverged: Deferred.await(diverged),
        verify: Effect.suspend(() => {
          const left = entries.filter(({ from }, index) => from === "client" && !playback.isDone(index))
          return Deferred.isDoneUnsafe(diverged)
            ? Effect.flatMap(Deferred.await(diverged), Effect.fail)
            : left.length > 0
            ? Effect.fail(new TranscriptMismatch({ expected: left.slice(0, 3).map(shown) }))
            : Effect.void
        })
      })

      const transport = Transport.of({
        incoming: Stream.fromQueue(output),
        send: (line) =>
          Effect.suspend(() => {
            if (over !== undefined) return Effect.fail(over)
            const message = messageOf(line)
            if (message === undefined) return Effect.die(new Error("The client has sent a line that is no message"))
            const outcome = playback.receive(message)
            if ("divergence" in outcome) return refuse(outcome.divergence)
            played = Math.max(played, entries[outcome.index]?.at ?? 0)
            return Effect.asVoid(Queue.offer(wake, undefined))
          })
      })

      return Context.make(Transport, transport).pipe(Context.add(Replay, service))
    })
  )

const mismatchOf = ({ actual, difference, expected }: Divergence): TranscriptMismatch =>
  new TranscriptMismatch({
    expected: expected.map(shown),
    actual: shown(actual),
    ...(difference === undefined ? {} : { difference })
  })

const errorOf = (end: typeof End.Type): ConnectionError =>
  end._tag === "AppServerExited"
    ? new AppServerExited({
      stderr: end.stderr,
      ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
      ...(end.signal === undefined ? {} : { signal: end.signal })
    })
    : new TransportError({
      operation: "read",
      description: end.description,
      ...(end.reason === undefined ? {} : { reason: end.reason })
    })
