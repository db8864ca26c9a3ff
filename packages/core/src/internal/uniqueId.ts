/** Names that this client gives to what it asks for. */
import * as Effect from "effect/Effect"

/** A name that nobody else on the connection, or on the server, has. */
export const uniqueId: Effect.Effect<string> = Effect.sync(() => globalThis.crypto.randomUUID())
