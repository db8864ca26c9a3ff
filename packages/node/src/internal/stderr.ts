/** Drains the process's stderr: into Effect's logger, and into a bounded tail for errors. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Escapes from "./escapes.ts"

const TAIL_LINES = 40
const LINE_LENGTH = 2_000
const MAX_REST = 65_536

/** A line of the server's log as `LOG_FORMAT=json` has it. */
const LogLine = Schema.fromJsonString(Schema.Struct({
  timestamp: Schema.optionalKey(Schema.String),
  level: Schema.Literals(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]),
  target: Schema.optionalKey(Schema.String),
  fields: Schema.Struct({ message: Schema.optionalKey(Schema.String) })
}))

const decodeLogLine = Schema.decodeUnknownOption(LogLine)

/** What a stripped executable has of a backtrace. */
const unresolvedFrame = /^\s*(?:Stack backtrace:|\d+: <unknown>)$/

/** One step milder: what the server calls an error is often a command of the agent's that failed. */
const levels = { ERROR: "Warn", WARN: "Info", INFO: "Debug", DEBUG: "Trace", TRACE: "Trace" } as const

export interface Stderr {
  /** The last lines, redacted. */
  readonly tail: Effect.Effect<string>
  /** Reads to the end. */
  readonly drain: Effect.Effect<void>
}

export const make = <E>(bytes: Stream.Stream<Uint8Array, E>, redact: (text: string) => string): Stderr => {
  const lines: Array<string> = []
  const log = (line: string): Effect.Effect<void> => {
    const text = redact(Escapes.strip(line)).slice(0, LINE_LENGTH).trimEnd()
    if (text === "" || unresolvedFrame.test(text)) return Effect.void
    // What cannot be JSON is not tried: a parser's exception is dear when there are many lines.
    const entry = text.startsWith("{") ? decodeLogLine(text) : Option.none()
    const said = Option.match(entry, {
      onNone: () => ({ message: text, line: text, level: "Debug" as const, annotations: {} }),
      onSome: ({ fields, level, target, timestamp }) => {
        // Once more: the line had a secret's quotes escaped.
        const message = redact(fields.message ?? text)
        return {
          message,
          line: target === undefined ? message : `${target}: ${message}`,
          level: levels[level],
          annotations: {
            level,
            ...(target === undefined ? {} : { target }),
            ...(timestamp === undefined ? {} : { time: timestamp })
          }
        }
      }
    })
    lines.push(said.line)
    if (lines.length > TAIL_LINES) lines.shift()
    return Effect.logWithLevel(said.level)(said.message).pipe(
      Effect.annotateLogs({ source: "codex app-server", ...said.annotations }),
      // A logger that throws: a pipe that is read no further would make the process wait.
      Effect.catchDefect(() => Effect.void)
    )
  }
  return {
    tail: Effect.sync(() => lines.join("\n")),
    drain: Effect.suspend(() =>
      bytes.pipe(
        Stream.decodeText(),
        boundedLines,
        Stream.runForEach(log),
        // The pipe ends with the process; how it ended is told by its exit.
        Effect.ignore
      )
    )
  }
}

/**
 * Lines, and the beginning of one that is too long: nothing that the process writes is kept without a bound, and in
 * pieces of a line a secret would not be known any more.
 */
const boundedLines = <E>(text: Stream.Stream<string, E>): Stream.Stream<string, E> =>
  Stream.suspend(() => {
    let rest = ""
    return text.pipe(
      Stream.map((chunk) => {
        const lines = (rest + chunk).split(/\r?\n/)
        rest = (lines.pop() ?? "").slice(0, MAX_REST)
        return lines
      }),
      Stream.concat(Stream.sync(() => [rest])),
      Stream.flattenIterable
    )
  })
