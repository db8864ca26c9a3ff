/** The command line: its commands, and how it ends. */
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { CodexHome, CodexPath, Overrides, version } from "./codex.ts"
import { doctor } from "./doctor.ts"
import { ExitCode, Failure } from "./failure.ts"
import { Output } from "./output.ts"
import { run } from "./run.ts"
import { schema } from "./schema.ts"
import { threads } from "./threads.ts"
import { record, replay } from "./transcripts.ts"

const root = Command.make("effect-codex").pipe(
  Command.withDescription(
    "Runs OpenAI's Codex agent, and looks after what it needs. " +
      "Exit codes: 0 done, 1 failed, 2 wrong usage, 124 out of time, 130 interrupted."
  ),
  Command.withSubcommands([run, doctor, threads, record, replay, schema]),
  Command.withGlobalFlags([CodexPath, CodexHome, Overrides])
)

/** Runs the command of the command line, and gives the exit code. Whatever goes wrong is said on stderr, in a line. */
export const program = Effect.gen(function*() {
  const { tell } = yield* Output
  const say = (description: string, details: ReadonlyArray<string>) =>
    description === ""
      ? Effect.void
      : tell([`effect-codex: ${description}`, ...details.map((detail) => `  ${detail}`), ""].join("\n"))

  const presenter: CliOutput.Presenter = {
    present: (event) =>
      event._tag === "InvalidInvocation"
        ? Effect.forEach(event.errors, (error) => say(error.message, []), { discard: true }).pipe(
          Effect.andThen(tell(`Try: ${event.commandPath.join(" ")} --help\n`))
        )
        : event._tag === "Help" && event.reason === "Implicit"
        // Nobody has asked for it.
        ? Effect.flatMap(CliOutput.Formatter, ({ formatHelpDoc }) => tell(`${formatHelpDoc(event.helpDoc)}\n`))
        : CliOutput.defaultPresenter.present(event)
  }

  return yield* Command.run(root, { version }).pipe(
    Effect.provideService(CliOutput.Presenter, presenter),
    Effect.as<ExitCode>(ExitCode.ok),
    Effect.catchCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.succeed<ExitCode>(ExitCode.interrupted)
      const error = Cause.squash(cause)
      if (error instanceof Failure) return Effect.as(say(error.description, error.details), error.exitCode)
      if (CliError.isCliError(error)) return Effect.succeed<ExitCode>(ExitCode.usage)
      return Effect.as(
        say("Something unexpected went wrong", [
          error instanceof Error ? `${error.name}: ${error.message}` : "unknown"
        ]),
        ExitCode.failed
      )
    })
  )
}).pipe(
  Effect.provide(Output.layer),
  // stdout is for the answer. The app-server's own log would stand in between what is told of it.
  Effect.provideService(Logger.LogToStderr, true),
  Effect.provideService(References.MinimumLogLevel, "None")
)
