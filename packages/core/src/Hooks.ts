/**
 * Hooks: commands that the app-server runs at fixed points of a turn.
 *
 * @since 0.1.0
 */
import type { HooksListEntry } from "@effect-codex/generated"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, RequestError } from "./CodexError.ts"
import { unwrapScoped } from "./internal/unwrapScoped.ts"
import type { CodexEvent, ServerNotification } from "./Notification.ts"

/** What is kept for a reader that is behind: the oldest give way. */
const KEPT = 4_096

type HookRun = ServerNotification<"hook/started" | "hook/completed">

/**
 * Whose hooks: those of directories, or those of a loaded thread.
 *
 * @since 0.1.0
 * @category models
 */
export type ListOptions =
  | {
    /** The directories to look from; the server's own when left out. */
    readonly cwds?: ReadonlyArray<string> | undefined
  }
  | {
    /** The loaded thread. */
    readonly threadId: string
  }

/**
 * The hooks of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Hooks {
  /** The hooks that are configured, with what is wrong with them. Mirrors `hooks/list`. */
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<HooksListEntry>, RequestError>
  /** The hooks that run, of every thread, while the stream runs; in the order that the server tells it. */
  readonly runs: Stream.Stream<ServerNotification<"hook/started" | "hook/completed">, ConnectionError>
}

/**
 * The hooks behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Hooks => ({
  list: Effect.fn("Hooks.list")(function*(options: ListOptions = {}) {
    const { data } = yield* client.request(
      "hooks/list",
      "threadId" in options ? { threadId: options.threadId } : { cwds: options.cwds }
    )
    return data
  }),
  runs: unwrapScoped(Effect.gen(function*() {
    // A subscription to each of the two methods would not keep their order. What else is told must not take their room.
    const runs = yield* Effect.acquireRelease(
      Queue.sliding<HookRun, ConnectionError | Cause.Done>(KEPT),
      Queue.shutdown
    )
    yield* client.notifications.pipe(
      Stream.filter(isRun),
      Stream.runIntoQueue(runs),
      Effect.forkScoped({ startImmediately: true })
    )
    return Stream.fromQueue(runs)
  }))
})

const isRun = (event: CodexEvent): event is HookRun =>
  event.method === "hook/started" || event.method === "hook/completed"
