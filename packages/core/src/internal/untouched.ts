/** Threads in which nothing was said yet. */
import type { Thread } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import type { AppServerClient } from "../AppServerClient.ts"
import type { MethodNotFound, RequestError } from "../CodexError.ts"

/**
 * The thread without turns, if it has none. Once they were asked for before the first, the
 * server says that it cannot list them, which it might say of other threads too.
 */
export const untouched = (
  client: AppServerClient["Service"],
  threadId: string,
  refusal: MethodNotFound
): Effect.Effect<Thread, RequestError> =>
  client.request("thread/read", { threadId }).pipe(
    Effect.map(({ thread }) => thread),
    Effect.filterOrFail(({ preview }) => preview === "", () => refusal)
  )
