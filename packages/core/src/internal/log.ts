/** What is said in the program's log. A logger of the program that throws ends nothing here: it has no part in the work. */
import * as Effect from "effect/Effect"

type Log = (...message: ReadonlyArray<unknown>) => Effect.Effect<void>

const safely = (log: Log): Log => (...message) => Effect.catchDefect(log(...message), () => Effect.void)

export const warning = safely(Effect.logWarning)

export const debug = safely(Effect.logDebug)
