/** What the server goes on with until it is told to stop. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { RequestError } from "../CodexError.ts"
import * as Log from "./log.ts"
import { mayBeDone } from "./uncertain.ts"

/** Says what could not be done for something that is over, but where the app-server is, and all with it. */
export const unlessGone = (what: string) => (error: RequestError): Effect.Effect<void> =>
  error._tag === "AppServerExited" || error._tag === "TransportError"
    ? Effect.void
    : Log.warning(`Could not ${what}: ${error.message}`)

/** How long an ending scope waits for the server to stop it. */
export const stopGrace = Duration.seconds(10)

/**
 * Starts something that the scope stops, unless the start is refused. Stopping what never
 * started must do no harm: a start that was interrupted, or not answered in time, may
 * have been carried out.
 */
export const stoppable = <A>(
  start: Effect.Effect<A, RequestError>,
  stop: Effect.Effect<unknown, RequestError>,
  what: string
): Effect.Effect<A, RequestError, Scope.Scope> =>
  Effect.suspend(() => {
    let refused = false
    return Effect.andThen(
      Effect.addFinalizer(() =>
        refused ?
          Effect.void :
          Effect.catch(Effect.timeoutOption(stop, stopGrace), unlessGone(`stop ${what}`))
      ),
      Effect.tapError(start, (error) =>
        Effect.sync(() => {
          refused = !mayBeDone(error)
        }))
    )
  })
