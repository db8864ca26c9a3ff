/**
 * Input that waits on the server until the thread's turn has ended.
 *
 * @since 0.1.0
 */
import type { QueuedSubmission } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { RequestError } from "./CodexError.ts"
import * as Input from "./Input.ts"
import * as Pages from "./internal/pages.ts"
import { uniqueId } from "./internal/uniqueId.ts"
import * as TurnHandle from "./TurnHandle.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * Options of `thread.queue.add`.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueueAddOptions {
  /** The name that the user message will have as its `clientId`; a unique one when left out. */
  readonly clientId?: string | undefined
}

/**
 * The input that waits on a thread. The server starts a turn with the first one as
 * soon as no other turn runs, also after a turn that failed; after a turn that was
 * interrupted it waits until something is started. Those turns are nobody's:
 * `thread.events` has them. Needs `experimental: true` on the layer, and a thread that
 * is not ephemeral.
 *
 * @since 0.1.0
 * @category models
 */
export interface ThreadQueue {
  /** Puts input at the end. On an idle thread its turn starts at once. Mirrors `thread/queue/add`. */
  readonly add: (input: Input.Input, options?: QueueAddOptions) => Effect.Effect<QueuedSubmission, RequestError>
  /** What waits, first to be started first. Mirrors `thread/queue/list`. */
  readonly list: Stream.Stream<QueuedSubmission, RequestError>
  /** Puts other input in the place of one that waits. Mirrors `thread/queue/update`. */
  readonly update: (id: string, input: Input.Input) => Effect.Effect<QueuedSubmission, RequestError>
  /** Takes one out; false when it does not wait any more. Mirrors `thread/queue/delete`. */
  readonly delete: (id: string) => Effect.Effect<boolean, RequestError>
  /** Gives all that waits another order; each id has to be there once. Mirrors `thread/queue/reorder`. */
  readonly reorder: (ids: ReadonlyArray<string>) => Effect.Effect<void, RequestError>
  /**
   * Starts the first one, or that one, as a turn of this client; fails with
   * `InvalidRequest` while another turn runs. Mirrors `thread/queue/start`.
   */
  readonly start: (id?: string) => Effect.Effect<TurnHandle.TurnHandle, RequestError, Scope.Scope>
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * The queue of a thread.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"], threadId: string): ThreadQueue => ({
  add: Effect.fn("ThreadQueue.add")(function*(input: Input.Input, options?: QueueAddOptions) {
    const { queuedSubmission } = yield* client.experimental.request("thread/queue/add", {
      threadId,
      clientUserMessageId: options?.clientId ?? (yield* uniqueId),
      input: Input.toItems(input)
    })
    return queuedSubmission
  }),
  list: Pages.stream((cursor) => client.experimental.request("thread/queue/list", { threadId, cursor })),
  update: Effect.fn("ThreadQueue.update")(function*(id: string, input: Input.Input) {
    const { queuedSubmission } = yield* client.experimental.request("thread/queue/update", {
      threadId,
      queuedSubmissionId: id,
      input: Input.toItems(input)
    })
    return queuedSubmission
  }),
  delete: Effect.fn("ThreadQueue.delete")(function*(id: string) {
    const { deleted } = yield* client.experimental.request("thread/queue/delete", { threadId, queuedSubmissionId: id })
    return deleted
  }),
  reorder: Effect.fn("ThreadQueue.reorder")(function*(ids: ReadonlyArray<string>) {
    yield* client.experimental.request("thread/queue/reorder", { threadId, queuedSubmissionIds: ids })
  }),
  start: Effect.fn("ThreadQueue.start")(function*(id?: string) {
    const turn = yield* client.openTurn("thread/queue/start", { threadId, queuedSubmissionId: id })
    return TurnHandle.fromOpenTurn(client, turn)
  })
})
