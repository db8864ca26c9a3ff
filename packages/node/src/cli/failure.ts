/** What goes wrong in a command, as its user is told of it. */
import type { CodexError } from "@effect-codex/core"
import * as Schema from "effect/Schema"
import { line } from "./text.ts"

/** The exit codes of `effect-codex`. */
export const ExitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  timedOut: 124,
  hungUp: 129,
  interrupted: 130,
  terminated: 143
} as const

export type ExitCode = typeof ExitCode[keyof typeof ExitCode]

/** A command that did not do what it was for. Where there is nothing to say of it, the command has said it already. */
export class Failure extends Schema.TaggedError<Failure>()("Failure", {
  /** What went wrong, in a line; empty where it was said. */
  description: Schema.String,
  /** What the process said that it is about, and what can be done. */
  details: Schema.Array(Schema.String),
  exitCode: Schema.Literals([1, 2, 124, 130])
}) {}

/** The command failed. */
export const failed = (description: string, ...details: ReadonlyArray<string>): Failure =>
  new Failure({ description, details, exitCode: ExitCode.failed })

/** The command was not asked for something that it can do. */
export const misused = (description: string, ...details: ReadonlyArray<string>): Failure =>
  new Failure({ description, details, exitCode: ExitCode.usage })

/** The command ends with this code, and has said why. */
export const ended = (exitCode: Failure["exitCode"]): Failure => new Failure({ description: "", details: [], exitCode })

/** What to do where nobody is logged in. */
export const LOGIN_ADVICE =
  "Log in with `npx codex login`, or name a home that holds a login with --codex-home or CODEX_HOME."

/** What to do where there is no executable. */
export const INSTALL_ADVICE = "Install @openai/codex, or name an executable with --codex-path."

/** Where more can be known. */
export const DOCTOR_ADVICE = "`effect-codex doctor` says more."

/** The failure that an error of the agent is. */
export const fromCodexError = (error: CodexError): Failure => {
  switch (error._tag) {
    case "AppServerSpawnError":
      return failed(
        error.description,
        ...saidBy(error.stderr),
        error.reason === "BinaryNotFound" ? INSTALL_ADVICE : DOCTOR_ADVICE
      )
    case "AppServerExited":
      return failed(
        `The app-server has ended (${error.exitCode === undefined ? error.signal : `exit code ${error.exitCode}`})`,
        ...saidBy(error.stderr),
        DOCTOR_ADVICE
      )
    case "UnsupportedRuntime":
      return failed(
        `codex ${error.version} is too old: effect-codex needs ${error.minimum} or newer`,
        "Update it, or leave --codex-path out to use the one that comes with effect-codex."
      )
    case "TurnFailed":
      return error.error?.codexErrorInfo === "unauthorized"
        ? failed(`The turn failed: ${line(error.error.message, WIDTH)}`, LOGIN_ADVICE)
        : failed(`The turn failed: ${line(error.error?.message ?? "the server gave no reason", WIDTH)}`)
    case "TurnInterrupted":
      return new Failure({ description: "The turn was interrupted", details: [], exitCode: ExitCode.interrupted })
    case "InvalidRequest":
    case "InvalidParams":
    case "InternalError":
    case "RpcError":
      return failed(`The app-server refused ${error.method}: ${line(error.description, WIDTH)}`)
    default:
      return failed(line(error.message, WIDTH))
  }
}

/** How long a line about what went wrong may be. */
const WIDTH = 400

/** How much of what a process has said is shown. */
const STDERR_LINES = 5

const saidBy = (stderr: string | undefined): ReadonlyArray<string> => {
  const lines = (stderr ?? "").split("\n").map((said) => line(said, WIDTH)).filter((said) => said !== "")
  const errors = lines.filter((said) => !said.startsWith("WARNING"))
  return (errors.length === 0 ? lines : errors).slice(-STDERR_LINES)
}
