/** What the app-server in memory tells of a thread to a client that has subscribed to it. */
import type { ServerNotificationMethod, ServerNotificationParams, ThreadStatus } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import type { FakeConnection } from "./fakeConnection.ts"
import { type FakeThread, statusOf } from "./fakeThread.ts"

const CONTEXT_WINDOW = 258_400

/** Tells of threads. */
export interface Telling {
  readonly tell: <M extends ServerNotificationMethod>(
    thread: FakeThread,
    method: M,
    params: ServerNotificationParams[M]
  ) => Effect.Effect<void>
  readonly tellStatus: (thread: FakeThread, status?: ThreadStatus) => Effect.Effect<void>
  readonly tellUsage: (thread: FakeThread, turnId: string) => Effect.Effect<void>
}

/** Tells nothing, as of what the model does to sum a history up. */
export const mute: Telling = {
  tell: () => Effect.void,
  tellStatus: () => Effect.void,
  tellUsage: () => Effect.void
}

export const make = (connection: FakeConnection): Telling => {
  const tell = <M extends ServerNotificationMethod>(
    thread: FakeThread,
    method: M,
    params: ServerNotificationParams[M]
  ): Effect.Effect<void> =>
    thread.subscribed || method === "thread/status/changed" || method.startsWith("thread/goal/")
      ? connection.notify(method, params)
      : Effect.void

  const tellStatus = (thread: FakeThread, status = statusOf(thread)): Effect.Effect<void> =>
    tell(thread, "thread/status/changed", { threadId: thread.id, status })

  const tellUsage = (thread: FakeThread, turnId: string): Effect.Effect<void> =>
    tell(thread, "thread/tokenUsage/updated", {
      threadId: thread.id,
      turnId,
      tokenUsage: { ...thread.spent, modelContextWindow: CONTEXT_WINDOW }
    })

  return { tell, tellStatus, tellUsage }
}
