/** Where code of the program's own has failed, as a policy, a handler or a tool. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Log from "./log.ts"

/**
 * To the log at Debug, for whoever looks for the fault: what kind of error it was and where in the program it was
 * thrown. What it says is left out, as it may quote what the agent was working on.
 */
export const logPlace = (of: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Log.debug([`${of} failed`, ...Cause.prettyErrors(cause).flatMap(placeOf)].join("\n"))

/**
 * Runs such code, in a fiber of its own: what is no Effect, as the promise of an `async` function, ends the fiber that
 * runs it, past everything that would catch it there.
 */
export const contain = <A, E, R>(code: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.forkChild(restore(Effect.suspend(code)), { startImmediately: true }),
      (fiber) => Effect.onInterrupt(restore(Fiber.join(fiber)), () => Fiber.interrupt(fiber))
    )
  )

const placeOf = ({ message, name, stack = "" }: Error): ReadonlyArray<string> => {
  const said = `${name}: ${message}`
  const frames = stack.startsWith(said) ? stack.slice(said.length) : ""
  return [`  with ${name}`, ...frames.split("\n").filter((line) => /^\s+at /.test(line))]
}
