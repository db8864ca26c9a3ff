/** Where a command writes: what was asked for to stdout, all the rest to stderr. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as Semaphore from "effect/Semaphore"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import { styleText } from "node:util"
import * as Redact from "../internal/redact.ts"
import { ended, ExitCode, failed, type Failure } from "./failure.ts"

type Format = Parameters<typeof styleText>[0]

/** Who reads no more knows that; that what was asked for is lost is said. */
const unwritten = ({ reason }: PlatformError): Failure => {
  const code = Predicate.hasProperty(reason.cause, "code") ? reason.cause.code : undefined
  return code === "EPIPE" ? ended(ExitCode.failed) : failed(`stdout cannot be written (${String(code ?? reason._tag)})`)
}

/** The two outputs of the process, and the terminal behind them. */
export class Output extends Context.Service<Output, {
  /** Writes to stdout. Fails where nobody reads it any more. */
  readonly answer: (text: string) => Effect.Effect<void, Failure>
  /** Writes to stderr, without the secrets of the environment. */
  readonly tell: (text: string) => Effect.Effect<void>
  /** Writes a line to stderr, below whatever line has begun on the terminal. */
  readonly tellLine: (text: string) => Effect.Effect<void>
  /** A text of stderr in a colour, where stderr has colours. */
  readonly paint: (format: Format, text: string) => string
  /** A text of stdout in a colour, where stdout has colours. */
  readonly paintAnswer: (format: Format, text: string) => string
  readonly stdoutIsTerminal: boolean
  readonly stderrIsTerminal: boolean
  /** Whether somebody can be asked something. */
  readonly interactive: boolean
  /** Runs something that has the terminal for itself, on stderr; what others write waits. */
  readonly ask: <A, E, R>(
    dialogue: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, Exclude<R, Terminal.Terminal>>
}>()("effect-codex/Output") {
  static readonly layer = Layer.effect(
    Output,
    Effect.gen(function*() {
      const stdio = yield* Stdio.Stdio
      const terminal = yield* Terminal.Terminal
      const stdoutIsTerminal = yield* stdio.stdoutIsTerminal
      const stderrIsTerminal = yield* stdio.stderrIsTerminal
      const turns = yield* Semaphore.make(1)

      const redact = Redact.make(Redact.secretsOf(process.env))
      const write = (text: string) => Stream.run(Stream.make(redact(text)), stdio.stderr({ endOnDone: false }))
      let lineIsOpen = false
      const wrote = (text: string) =>
        Effect.sync(() => {
          if (text !== "") lineIsOpen = !text.endsWith("\n")
        })

      const tell = (text: () => string) =>
        // Who does not want to hear of it closes stderr.
        turns.withPermit(Effect.suspend(() => {
          const told = text()
          return Effect.andThen(Effect.ignore(write(told)), wrote(told))
        }))
      const colours = (isTerminal: boolean, stream: NodeJS.WriteStream) => (format: Format, text: string) =>
        isTerminal || process.env["FORCE_COLOR"] !== undefined ? styleText(format, text, { stream }) : text

      return Output.of({
        answer: (text) =>
          turns.withPermit(
            Stream.run(Stream.make(text), stdio.stdout({ endOnDone: false })).pipe(
              Effect.mapError(unwritten),
              Effect.andThen(stdoutIsTerminal ? wrote(text) : Effect.void)
            )
          ),
        tell: (text) => tell(() => text),
        tellLine: (text) => tell(() => `${lineIsOpen ? "\n" : ""}${text}\n`),
        paint: colours(stderrIsTerminal, process.stderr),
        paintAnswer: colours(stdoutIsTerminal, process.stdout),
        stdoutIsTerminal,
        stderrIsTerminal,
        interactive: stderrIsTerminal && (yield* stdio.stdinIsTerminal),
        ask: (dialogue) =>
          turns.withPermit(
            Effect.suspend(() => lineIsOpen ? Effect.ignore(write("\n")) : Effect.void).pipe(
              Effect.andThen(dialogue),
              // A question that is left stays as it is.
              Effect.onError(() => Effect.ignore(write("\n"))),
              Effect.ensuring(wrote("\n")),
              Effect.provideService(
                Terminal.Terminal,
                Terminal.make({
                  ...terminal,
                  columns: Effect.map(terminal.columns, (columns) => columns || process.stderr.columns || 80),
                  display: write
                })
              )
            )
          )
      })
    })
  )
}
