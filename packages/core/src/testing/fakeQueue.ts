/** What waits on threads of the app-server in memory until their turns have ended. */
import * as Effect from "effect/Effect"
import { type Handlers, invalidRequest, type Refusal } from "./fakeConnection.ts"
import { pageOf } from "./fakePage.ts"
import type { FakeStore } from "./fakeStore.ts"
import type { Telling } from "./fakeTelling.ts"
import { type FakeThread, type Numbers, type Queued, submissionOf, takeOut } from "./fakeThread.ts"
import type { Turns } from "./fakeTurns.ts"

export const handlers = (
  store: FakeStore,
  { tell }: Telling,
  numbers: Numbers,
  { beginQueued, goOn }: Turns
): Handlers => {
  const queuedOn = ({ queue }: FakeThread, id: string): Effect.Effect<Queued, Refusal> => {
    const queued = queue.find((one) => one.id === id)
    return queued === undefined
      ? Effect.fail(invalidRequest(`queued submission not found: ${id}`))
      : Effect.succeed(queued)
  }

  const tellChanged = (thread: FakeThread): Effect.Effect<void> =>
    tell(thread, "thread/queue/changed", { threadId: thread.id })

  return {
    "thread/queue/add": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.withQueue(params.threadId)
        if (params.input.length === 0) {
          return yield* invalidRequest("only user input can be added to the user-message queue")
        }
        const { clientUserMessageId, input } = params
        const queued: Queued = { id: numbers.id(), input, clientUserMessageId }
        thread.queue.push(queued)
        yield* respond({ queuedSubmission: submissionOf(queued) })
        yield* tellChanged(thread)
        yield* goOn(thread)
      }),
    "thread/queue/list": (params, respond) =>
      Effect.gen(function*() {
        const { queue } = yield* store.withQueue(params.threadId)
        const { data, nextCursor } = yield* pageOf(queue.map(submissionOf), params)
        yield* respond({ data, nextCursor })
      }),
    "thread/queue/update": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.withQueue(params.threadId)
        const queued = yield* queuedOn(thread, params.queuedSubmissionId)
        queued.input = params.input
        yield* respond({ queuedSubmission: submissionOf(queued) })
        yield* tellChanged(thread)
      }),
    "thread/queue/delete": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.withQueue(params.threadId)
        const deleted = takeOut(thread, params.queuedSubmissionId)
        yield* respond({ deleted })
        if (deleted) yield* tellChanged(thread)
      }),
    "thread/queue/reorder": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.withQueue(params.threadId)
        const places = new Map(params.queuedSubmissionIds.map((id, place) => [id, place]))
        if (
          params.queuedSubmissionIds.length !== thread.queue.length || !thread.queue.every(({ id }) => places.has(id))
        ) {
          return yield* invalidRequest("queue reorder must include every queued submission exactly once")
        }
        thread.queue.sort((a, b) => (places.get(a.id) ?? 0) - (places.get(b.id) ?? 0))
        yield* respond({})
        yield* tellChanged(thread)
      }),
    "thread/queue/start": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.withQueue(params.threadId)
        if (thread.running !== undefined) return yield* invalidRequest("thread already has an active or pending turn")
        const [first] = thread.queue
        if (first === undefined) return yield* invalidRequest("queue is empty")
        const { queuedSubmissionId: id } = params
        yield* beginQueued(thread, id == null ? first : yield* queuedOn(thread, id), respond)
      })
  }
}
