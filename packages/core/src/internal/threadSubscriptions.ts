/**
 * Which threads the server tells this connection of: what the requests that change it have come to, and whoever needs
 * to hear of a thread again.
 */
import type { ClientRequestMethod, ClientRequestResults } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import { InvalidRequest, type RequestError } from "../CodexError.ts"
import type { Agents } from "./agents.ts"
import * as Log from "./log.ts"
import { idAt } from "./notifications.ts"
import type { Settings } from "./options.ts"
import type { Call } from "./requester.ts"
import type { Router } from "./router.ts"
import type { Desk } from "./serverRequestDesk.ts"
import * as ThreadId from "./threadId.ts"
import { mayBeDone } from "./uncertain.ts"

export const make = Effect.fnUntraced(function*(options: {
  readonly call: Call
  readonly router: Router
  readonly desk: Pick<Desk, "lineage">
  readonly agents: Pick<Agents, "leave">
  readonly settings: Pick<Settings, "timeoutOf">
}) {
  const { agents, call, desk, router, settings } = options
  const departures = yield* FiberSet.makeRuntime<never>()
  /** Threads that are being unsubscribed from: what is begun on one of them would be told to nobody. */
  const leaving = new Map<string, Deferred.Deferred<void>>()

  /** However it ends, what waits for its end goes on; where it may have been carried out, the thread counts as left. */
  const unsubscribing = <M extends ClientRequestMethod>(method: M, params: unknown, threadId: string) =>
    Effect.suspend(() => {
      const settled = Deferred.makeUnsafe<void>()
      leaving.set(threadId, settled)
      const answered = call(method, params, (result) => {
        if (idAt(result, ["status"]) !== "notLoaded") router.unsubscribed(threadId)
      })
      return Effect.onExit(answered, (exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) && isUncertain(exit.cause)) router.mayBeUnheard(threadId)
          if (leaving.get(threadId) === settled) leaving.delete(threadId)
          Deferred.doneUnsafe(settled, Exit.void)
        }))
    })

  /** A thread whose start nobody waits for any more would stay loaded as long as the connection lasts: nobody knows its id. */
  const starting = <M extends ClientRequestMethod>(method: M, params: unknown) =>
    Effect.suspend(() => {
      let threadId: string | undefined
      let isForgotten = false
      const leave = () => {
        if (isForgotten && threadId !== undefined) leaveLater(threadId)
      }
      return Effect.onExit(
        call(method, params, (result) => {
          threadId = idAt(result, ["thread", "id"])
          leave()
        }),
        (exit) =>
          Effect.sync(() => {
            isForgotten = Exit.isFailure(exit)
            leave()
          })
      )
    })

  const resuming = <M extends ClientRequestMethod>(method: M, params: unknown, threadId: string) =>
    Effect.suspend(() => {
      router.stay(threadId)
      return call(method, params, (result) => {
        router.subscribed(threadId)
        const parentThreadId = idAt(result, ["thread", "parentThreadId"])
        if (parentThreadId !== undefined) desk.lineage.learn(threadId, parentThreadId)
      })
    }).pipe(Effect.retry({ schedule: untilClosed(settings.timeoutOf("thread/resume")), while: isClosing }))

  const request = <M extends ClientRequestMethod>(
    method: M,
    params: unknown
  ): Effect.Effect<ClientRequestResults[M], RequestError> => {
    const threadId = threadIdOf(params)
    switch (method) {
      case "thread/start":
      case "thread/fork":
        return starting(method, params)
      case "thread/unsubscribe":
        return threadId === undefined ? call(method, params) : unsubscribing(method, params, threadId)
      case "thread/resume":
        return threadId === undefined ? call(method, params) : resuming(method, params, threadId)
      case "thread/archive":
      case "thread/delete":
        return call(method, params, () => threadId === undefined ? undefined : router.subscribed(threadId))
      default:
        return call(method, params)
    }
  }

  const unsubscribe = (threadId: string) => Effect.asVoid(request("thread/unsubscribe", { threadId }))

  const leave = (threadId: string): Effect.Effect<void, RequestError> =>
    Effect.flatMap(Effect.exit(agents.leave(threadId)), (exit) => Effect.andThen(unsubscribe(threadId), exit))

  const leaveLater = (threadId: string): void =>
    void departures(Effect.catch(leave(threadId), (error) =>
      router.closed === undefined
        ? Log.warning(`Could not unsubscribe from thread ${threadId}: ${error.message}`)
        : Effect.void))

  const leaveThread = (threadId: string): Effect.Effect<void, RequestError> =>
    Effect.suspend(() => {
      if (!router.isAtWorkOn(threadId)) return leave(threadId)
      router.onceIdle(threadId, () => leaveLater(threadId))
      return Effect.void
    })

  /** On a thread that the server does not tell about, a turn would never end. */
  const ensureSubscribed = (threadId: string): Effect.Effect<void, RequestError> =>
    Effect.suspend(() => {
      const left = leaving.get(threadId)
      if (left !== undefined) return Effect.andThen(Deferred.await(left), ensureSubscribed(threadId))
      return router.isUnheard(threadId)
        ? Effect.asVoid(request("thread/resume", { threadId, excludeTurns: true }))
        : Effect.void
    })

  return { request, leaveThread, ensureSubscribed }
})

const threadIdOf = (params: unknown): string | undefined => {
  const id = idAt(params, ["threadId"])
  return id === undefined ? undefined : ThreadId.canonical(id)
}

/** Whether the server may have carried the request out all the same. */
const isUncertain = (cause: Cause.Cause<RequestError>): boolean =>
  Cause.hasInterrupts(cause) || cause.reasons.some((reason) => reason._tag === "Fail" && mayBeDone(reason.error))

/** A closing thread is closed soon, or not at all. */
const untilClosed = (limit: Duration.Duration) =>
  Schedule.upTo(Schedule.min([Schedule.exponential("5 millis"), Schedule.spaced("250 millis")]), { duration: limit })

/**
 * Whether the thread was let go of and is still being closed: the server has done nothing and asks for the same again.
 * That it has closed the thread may have been told before this refusal, so there is nothing to wait for but time.
 */
const isClosing = (error: RequestError): boolean =>
  error instanceof InvalidRequest && error.description.includes(" is closing; retry ")
