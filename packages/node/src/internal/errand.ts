/** An executable that is started for what it says, and not to stay. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Groups from "./groups.ts"

/** How long it may take to end once it was told to. */
const GRACE = Duration.seconds(1)

/** Starts it with nothing to read. It is ended with the scope, and with this process. */
export const start = Effect.fnUntraced(function*(
  executable: string,
  args: ReadonlyArray<string>,
  output: Pick<ChildProcess.CommandOptions, "stdout" | "stderr">
) {
  const [child, ended] = yield* Groups.track(GRACE, (marks) =>
    ChildProcess.make(executable, args, {
      ...output,
      stdin: "ignore",
      env: marks,
      extendEnv: true,
      windowsHide: true,
      forceKillAfter: GRACE
    }))
  yield* Effect.exit(child.exitCode).pipe(Effect.andThen(ended), Effect.forkScoped)
  return child
})
