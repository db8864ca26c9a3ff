/** Where code of the program's own has failed, as a policy, a handler or a tool. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"

/**
 * To the log at Debug, for whoever looks for the fault: what kind of error it was and where in the program it was
 * thrown. What it says is left out, as it may quote what the agent was working on.
 */
export const logPlace = (of: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.logDebug([`${of} failed`, ...Cause.prettyErrors(cause).flatMap(placeOf)].join("\n"))

const placeOf = ({ message, name, stack = "" }: Error): ReadonlyArray<string> => {
  const said = `${name}: ${message}`
  const frames = stack.startsWith(said) ? stack.slice(said.length) : ""
  return [`  with ${name}`, ...frames.split("\n").filter((line) => /^\s+at /.test(line))]
}
