/** Commands that the scripts run to their end. */
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  command: Schema.String,
  exitCode: Schema.Int,
  output: Schema.String
}) {
  override get message(): string {
    return `${this.command} ended with ${this.exitCode}\n${this.output}`
  }
}

/** Runs a command in a directory and gives what it printed. */
export const run = Effect.fn("run")(function*(cwd: string, command: string, ...args: ReadonlyArray<string>) {
  const spawner = yield* ChildProcessSpawner
  const child = yield* spawner.spawn(ChildProcess.make(command, args, { cwd, forceKillAfter: "5 seconds" }))
  const output = yield* child.all.pipe(Stream.decodeText(), Stream.mkString)
  const exitCode = yield* child.exitCode
  if (exitCode !== 0) return yield* new CommandFailed({ command: [command, ...args].join(" "), exitCode, output })
  return output
}, Effect.scoped)
