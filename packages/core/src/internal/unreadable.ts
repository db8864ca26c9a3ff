/** Notifications that could not be read, for those who wait for one of them. */
import type { ServerNotificationMethod } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "../AppServerClient.ts"
import type { ConnectionError, DecodeError } from "../CodexError.ts"

/** Fails when a notification of the method could not be read, from when it begins to run, or when the connection ends. */
export const unreadable = (
  client: AppServerClient["Service"],
  method: ServerNotificationMethod
): Effect.Effect<never, ConnectionError | DecodeError> =>
  Effect.andThen(
    Stream.runForEach(client.notifications, (event) =>
      event.method === "client/decodeFailure" && event.params.error.method === method
        ? Effect.fail(event.params.error)
        : Effect.void),
    Effect.never
  )
