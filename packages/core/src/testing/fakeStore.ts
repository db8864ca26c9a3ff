/** The threads of the app-server in memory, and the words with which it refuses those that it has not, by what is wanted of them. */
import * as Effect from "effect/Effect"
import { INTERNAL_ERROR, METHOD_NOT_FOUND } from "../internal/responseError.ts"
import * as ThreadId from "../internal/threadId.ts"
import { invalidRequest, type Refusal, refuse } from "./fakeConnection.ts"
import type { FakeThread } from "./fakeThread.ts"

type Found = Effect.Effect<FakeThread, Refusal>

export class FakeStore {
  private readonly threads = new Map<string, FakeThread>()

  add(thread: FakeThread): void {
    this.threads.set(thread.id, thread)
  }

  delete(thread: FakeThread): void {
    this.threads.delete(thread.id)
  }

  all(): ReadonlyArray<FakeThread> {
    return [...this.threads.values()]
  }

  get(id: string): FakeThread | undefined {
    return this.threads.get(ThreadId.canonical(id))
  }

  /** One whose name and content can be read. */
  known(id: string): Found {
    return this.find(id, () => true, () => invalidRequest(`thread not loaded: ${id}`))
  }

  /** One that takes turns. */
  loaded(id: string): Found {
    return this.find(id, ({ loaded }) => loaded, () => notFound(id))
  }

  /** One that can be put away: that is there for longer than the process. */
  lasting(id: string): Found {
    return this.find(id, ({ ephemeral }) => !ephemeral, () => noRollout(id))
  }

  /** One that others begin with: of which there is something, and that is not put away. */
  stored(id: string): Found {
    return this.lasting(id).pipe(
      Effect.filterOrFail(({ stored }) => stored !== "nothing", () => noRollout(id)),
      Effect.filterOrFail(({ archived }) => !archived, () => isArchived(id))
    )
  }

  /** One whose turns can be listed. */
  withTurns(id: string): Found {
    return this.known(id).pipe(
      Effect.filterOrFail(
        ({ ephemeral }) => !ephemeral,
        () => invalidRequest("ephemeral threads do not support thread/turns/list")
      ),
      Effect.filterOrFail(({ stored }) => stored !== "nothing", () =>
        invalidRequest(
          `thread ${id} is not materialized yet; thread/turns/list is unavailable before first user message`
        )),
      Effect.filterOrFail(isWhole, noTurns)
    )
  }

  /** One whose items can be listed. */
  withItems(id: string): Found {
    return this.find(
      id,
      (thread) => !thread.ephemeral && isWhole(thread),
      () => refuse(METHOD_NOT_FOUND, "thread/items/list is not supported yet")
    )
  }

  /** One that may have a goal. */
  withGoal(id: string): Found {
    return lasting("goals", this.find(id, ({ archived }) => !archived, () => notFound(id)))
  }

  /** One that may have a queue. */
  withQueue(id: string): Found {
    return this.find(
      id,
      () => true,
      () => refuse(INTERNAL_ERROR, `failed to read thread: invalid thread-store request: ${noRollout(id).description}`)
    ).pipe(
      Effect.filterOrFail(({ archived }) => !archived, () => isArchived(id)),
      (found) => lasting("queued submissions", found)
    )
  }

  private find(id: string, is: (thread: FakeThread) => boolean, refusal: () => Refusal): Found {
    const thread = this.get(id)
    return thread !== undefined && is(thread) ? Effect.succeed(thread) : Effect.fail(refusal())
  }
}

const lasting = (what: string, found: Found): Found =>
  Effect.filterOrFail(
    found,
    ({ ephemeral }) => !ephemeral,
    ({ id }) => invalidRequest(`ephemeral thread does not support ${what}: ${id}`)
  )

export const isWhole = ({ stored }: FakeThread): boolean => stored === "whole"

export const noTurns = (): Refusal => refuse(METHOD_NOT_FOUND, "list_turns is not supported yet")

export const noRollout = (id: string): Refusal => invalidRequest(`no rollout found for thread id ${id}`)

const isArchived = (id: string): Refusal =>
  invalidRequest(`session ${id} is archived. Run \`codex unarchive ${id}\` to unarchive it first.`)

const notFound = (id: string): Refusal => invalidRequest(`thread not found: ${id}`)
