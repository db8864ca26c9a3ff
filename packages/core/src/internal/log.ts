/** What is said in the program's log. A logger of the program that throws ends nothing here: it has no part in the work. */
import * as Effect from "effect/Effect"

const safely = (log: Effect.Effect<void>): Effect.Effect<void> => Effect.catchDefect(log, () => Effect.void)

export const warning = (message: string): Effect.Effect<void> => safely(Effect.logWarning(message))

export const debug = (message: string): Effect.Effect<void> => safely(Effect.logDebug(message))
