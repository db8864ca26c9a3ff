/**
 * Where the server's requests wait for their answers. Each has a fiber of its own, at
 * once, and is answered once: a person may take an hour while everything else flows,
 * and a tool may wait for a turn that calls the same tool.
 */
import type { ServerRequestMethod, ServerRequestParams, ServerRequestResults } from "@effect-codex/generated"
import { ServerRequests } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import * as Approvals from "../Approvals.ts"
import { type ConnectionError, formatIssues } from "../CodexError.ts"
import type { CodexEvent } from "../Notification.ts"
import * as ApprovalRequest from "./approvalRequest.ts"
import { closed } from "./closed.ts"
import * as Envelope from "./envelope.ts"
import { Feed } from "./feed.ts"
import { Lineage } from "./lineage.ts"
import * as Log from "./log.ts"
import { idAt } from "./notifications.ts"
import type { Outlet } from "./outlet.ts"
import * as OwnFailure from "./ownFailure.ts"
import * as Payload from "./payload.ts"
import { INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, SERVER_OVERLOADED } from "./responseError.ts"
import { ThreadAnswers } from "./threadAnswers.ts"
import * as Tracing from "./tracing.ts"
import type { TurnsTelemetry } from "./turnTelemetry.ts"

type ServerRequestEnvelope = Extract<Envelope.Envelope, { readonly _tag: "ServerRequest" }>

/** How many requests are open at once; further ones are refused as overload, as one that waited might be waited for. */
const MAX_OPEN = 1_024
/** How many decisions are kept for a reader of the audit that is behind. */
const AUDIT = 1_024

interface OpenRequest {
  fiber: Fiber.Fiber<void> | undefined
  readonly turnId: string | undefined
  /** Nobody waits for an answer any more. */
  settled: boolean
}

/** A file change that is under way. */
interface FileChange {
  readonly turnId: string
  readonly paths: ReadonlyArray<string>
}

/** How long the word that a question is withdrawn may take to be written. */
const WITHDRAWAL = Duration.seconds(1)

/** The methods that ask for permission. */
const approvals: ReadonlySet<ServerRequestMethod> = new Set([
  "item/commandExecution/requestApproval",
  "item/fileChange/requestApproval",
  "item/permissions/requestApproval",
  "applyPatchApproval",
  "execCommandApproval"
])

/** Somebody who answers, as the audit names them. */
interface Source {
  readonly by: "thread" | "layer"
  readonly answers: Approvals.Service
}

/** The error that a request is refused with. */
class Refusal {
  readonly code: number
  readonly message: string
  constructor(code: number, message: string) {
    this.code = code
    this.message = message
  }
}

export interface Desk {
  /** Takes a request of the server. */
  readonly open: (request: ServerRequestEnvelope) => void
  /** Lets go of requests that an event says are over. */
  readonly observe: (event: CodexEvent) => void
  /** Whether a request of one of these turns waits for its answer. */
  readonly isAsking: (turnIds: ReadonlyArray<string>) => boolean
  /** The connection is over: what is open needs no answer. */
  readonly close: (error: ConnectionError) => void
  /** Answers for single threads and their agents, before those of the connection. */
  readonly answers: ThreadAnswers
  /** Whose agents threads are. */
  readonly lineage: Lineage
  readonly decisions: Feed<Approvals.DecisionRecord>
}

/** Where decisions are told. */
export const makeAudit = (): Feed<Approvals.DecisionRecord> => new Feed({ events: AUDIT, bytes: Infinity })

export const make = Effect.fnUntraced(function*(options: {
  readonly send: (line: string) => Effect.Effect<void, ConnectionError>
  readonly answers: Approvals.Service | undefined
  /** Whether the server tells all that it asks for. */
  readonly experimental: boolean
  readonly outlet?: Pick<Outlet, "answers" | "decisions"> | undefined
  /** The turns that requests belong to, as far as they are recorded. */
  readonly turns?: Pick<TurnsTelemetry, "find"> | undefined
}): Effect.fn.Return<Desk, never, Scope.Scope> {
  const origin = yield* Tracing.origin
  const run = yield* FiberSet.makeRuntime<never>()
  const decisions = makeAudit()
  const audits = options.outlet === undefined ? [decisions] : [decisions, options.outlet.decisions]
  const open = new Map<Envelope.RequestId, OpenRequest>()
  const threads = options.outlet?.answers ?? new ThreadAnswers()
  const lineage = new Lineage()
  const fileChanges = new Map<string, FileChange>()

  /** Who answers on the thread, first come first asked: its own answers, those of the threads it works for, the connection's. */
  const sourcesOf = (threadId: string | undefined): ReadonlyArray<Source> => {
    const sources: Array<Source> = []
    for (const id of threadId === undefined ? [] : lineage.of(threadId)) {
      const answers = threads.of(id)
      if (answers !== undefined) sources.push({ by: "thread", answers })
    }
    if (options.answers !== undefined) sources.push({ by: "layer", answers: options.answers })
    return sources
  }

  /** Asks the policies, one source after the other; without any, the answer is no. */
  const decide = <M extends ServerRequestMethod>(
    method: M,
    translation: ApprovalRequest.Translation<ServerRequestParams[M], ServerRequestResults[M]>
  ) =>
    Effect.fnUntraced(function*(params: ServerRequestParams[M]): Effect.fn.Return<ServerRequestResults[M], unknown> {
      const request = translation.request(params)
      const record = (decision: Approvals.Decision | null, by: Approvals.DecisionRecord["by"]) =>
        Effect.map(DateTime.now, (at) => {
          for (const feed of audits) feed.publish({ at, request, decision, by }, 0)
        }).pipe(Effect.andThen(Tracing.annotateCurrent(decided(decision, by))))
      /** What is recorded is what the answer says, which may be less than what was decided. */
      const settle = (result: ServerRequestResults[M], by: Approvals.DecisionRecord["by"]) =>
        Effect.as(
          // What does not fit is refused, and was no answer.
          Exit.isSuccess(Payload.outgoing(ServerRequests[method].result)(result))
            ? record(translation.decision(result), by)
            : record(null, "failure"),
          result
        )
      for (const { answers, by } of sourcesOf(request.threadId)) {
        const withdrawn = Effect.onInterrupt(() => record(null, by))
        if (answers.handles(method)) {
          const answer = () => answers.answer(method, params) ?? unanswerable(method)()
          const result = yield* OwnFailure.contain(answer).pipe(
            Effect.tapCause((cause) => Cause.hasInterruptsOnly(cause) ? Effect.void : record(null, "failure")),
            withdrawn
          )
          return yield* settle(result, by)
        }
        const { policy } = answers
        if (policy === undefined) continue
        const exit = yield* OwnFailure.contain(() => policy(request)).pipe(
          Effect.map(Option.map((decision) => translation.result(decision, params))),
          Effect.exit,
          withdrawn
        )
        if (Exit.isFailure(exit)) {
          yield* Log.warning(`An approval policy failed, so the request is declined: ${describe(exit.cause)}`)
          yield* OwnFailure.logPlace("The approval policy", exit.cause)
          return yield* settle(translation.result(Approvals.decline, params), "failure")
        }
        if (Option.isNone(exit.value)) continue
        return yield* settle(exit.value.value, by)
      }
      return yield* settle(translation.result(Approvals.decline, params), "default")
    })

  const unanswerable = (method: string) => () =>
    Effect.fail(new Refusal(METHOD_NOT_FOUND, `${method}: this client has no handler for it`))

  /** What a method is answered where there is no handler for it. */
  const fallbacks: Fallbacks = {
    "item/commandExecution/requestApproval": decide(
      "item/commandExecution/requestApproval",
      ApprovalRequest.command(options.experimental)
    ),
    "item/fileChange/requestApproval": decide(
      "item/fileChange/requestApproval",
      ApprovalRequest.fileChange((threadId, itemId) => fileChanges.get(itemKey(threadId, itemId))?.paths ?? [])
    ),
    "item/permissions/requestApproval": decide("item/permissions/requestApproval", ApprovalRequest.permissions),
    "applyPatchApproval": decide("applyPatchApproval", ApprovalRequest.legacyPatch),
    "execCommandApproval": decide("execCommandApproval", ApprovalRequest.legacyCommand),
    "mcpServer/elicitation/request": () => Effect.succeed({ action: "decline" }),
    "item/tool/call": ({ tool }) =>
      Effect.succeed({
        success: false,
        contentItems: [{ type: "inputText", text: `There is no tool ${tool} on this thread.` }]
      }),
    "currentTime/read": () =>
      Effect.map(Clock.currentTimeMillis, (now) => ({ currentTimeAt: Math.floor(now / 1_000) })),
    "item/tool/requestUserInput": unanswerable("item/tool/requestUserInput"),
    "account/chatgptAuthTokens/refresh": unanswerable("account/chatgptAuthTokens/refresh"),
    "attestation/generate": unanswerable("attestation/generate")
  }

  const answerOf = <M extends ServerRequestMethod>(
    method: M,
    params: ServerRequestParams[M],
    threadId: string | undefined
  ): Effect.Effect<ServerRequestResults[M], unknown> => {
    // Approvals are asked for source by source: a thread's own policy goes before the connection's handlers.
    for (const { answers } of approvals.has(method) ? [] : sourcesOf(threadId)) {
      const answer = answers.answer(method, params)
      if (answer !== undefined) return OwnFailure.contain(() => answer)
    }
    return fallbackOf(fallbacks, method)(params)
  }

  /** The line that answers the request. */
  const handle = Effect.fnUntraced(function*<M extends ServerRequestMethod>(
    id: Envelope.RequestId,
    method: M,
    payload: unknown
  ): Effect.fn.Return<string, Refusal> {
    const definition = ServerRequests[method]
    const params = Payload.incoming(definition.params)(payload)
    if (Exit.isFailure(params)) {
      const issues = formatIssues(Payload.issuesOfCause(params.cause))
      yield* Log.warning(`${method}: the params of the server's request do not match their schema: ${issues}`)
      return yield* Effect.fail(new Refusal(INVALID_PARAMS, `${method}: the params do not match the schema: ${issues}`))
    }
    const exit = yield* Effect.exit(
      Effect.suspend(() => answerOf(method, params.value, idAt(payload, definition.threadId)))
    )
    if (Exit.isFailure(exit)) {
      const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      if (error instanceof Refusal) return yield* Effect.fail(error)
      const reason = describe(exit.cause)
      yield* Log.warning(`${method}: the handler failed: ${reason}`)
      yield* OwnFailure.logPlace(`The handler of ${method}`, exit.cause)
      return yield* Effect.fail(new Refusal(INTERNAL_ERROR, `${method}: the handler failed: ${reason}`))
    }
    const result = Payload.outgoing(definition.result)(exit.value)
    if (Exit.isFailure(result)) {
      const issues = formatIssues(Payload.issuesOfCause(result.cause))
      yield* Log.warning(`${method}: the handler's answer does not match its schema: ${issues}`)
      return yield* Effect.fail(new Refusal(INTERNAL_ERROR, `${method}: the answer does not match the schema`))
    }
    return Envelope.encodeResult(id, result.value)
  })

  const send = (line: string): Effect.Effect<void> =>
    // A connection that is over has told its cause to everybody else already.
    Effect.ignore(options.send(line))

  const refusal = (id: Envelope.RequestId, { code, message }: Refusal): string =>
    Envelope.encodeError(id, { code, message })

  /** The request with a span of its own, below the item or turn that it belongs to. */
  const traced = <M extends ServerRequestMethod, A, E, R>(
    { params }: ServerRequestEnvelope,
    method: M,
    turnId: string | undefined,
    answer: (refused: (refusal: Refusal) => Effect.Effect<void>) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> => {
    const turn = options.turns?.find(turnId, idAt(params, ["itemId"]) ?? idAt(params, ["callId"]))
    const whose = turn?.origin ?? origin
    return Tracing.serverRequest(
      whose,
      turn?.span,
      method,
      idAt(params, ServerRequests[method].threadId),
      (span) => answer((refusal) => Effect.sync(() => span === undefined ? undefined : refuse(whose, span, refusal)))
    )
  }

  const take = (request: ServerRequestEnvelope): void => {
    const { id, method } = request
    if (!isKnown(method)) {
      run(send(refusal(id, new Refusal(METHOD_NOT_FOUND, `Unknown method: ${method}`))))
      return
    }
    // A thread that is resumed asks again, under the same id, what nobody has answered yet.
    if (open.has(id)) return
    if (open.size >= MAX_OPEN) {
      run(send(refusal(id, new Refusal(SERVER_OVERLOADED, "Too many requests are waiting for an answer"))))
      return
    }
    const entry: OpenRequest = {
      turnId: idAt(request.params, ServerRequests[method].turnId),
      settled: false,
      fiber: undefined
    }
    open.set(id, entry)
    const fiber = run(
      traced(request, method, entry.turnId, (refused) =>
        handle(id, method, request.params).pipe(
          Effect.catch((error) => Effect.as(refused(error), refusal(id, error))),
          Effect.flatMap(send),
          Effect.tap(() => Effect.sync(() => entry.settled = true))
        )).pipe(
          Effect.onInterrupt(() =>
            entry.settled
              ? Effect.void
              : send(refusal(id, new Refusal(INTERNAL_ERROR, "The turn has ended"))).pipe(
                Effect.timeoutOption(WITHDRAWAL),
                Effect.andThen(Effect.sync(() => entry.settled = true))
              )
          )
        )
    )
    entry.fiber = fiber
    // Whatever it has died of: the turn would wait for the answer for ever.
    fiber.addObserver(() => {
      forget(id, entry)
      if (!entry.settled) run(giveUp(id, method))
    })
  }

  const giveUp = (id: Envelope.RequestId, method: ServerRequestMethod): Effect.Effect<void> => {
    const reason = `${method}: the answer could not be written`
    return Effect.andThen(Log.warning(reason), send(refusal(id, new Refusal(INTERNAL_ERROR, reason))))
  }

  const forget = (id: Envelope.RequestId, entry: OpenRequest): void => {
    if (open.get(id) === entry) open.delete(id)
  }

  /** From now on the id may come again, with another question. */
  const letGo = (id: Envelope.RequestId, entry: OpenRequest): void => {
    forget(id, entry)
    if (entry.fiber !== undefined) run(Fiber.interrupt(entry.fiber))
  }

  const observe = (event: CodexEvent): void => {
    lineage.observe(event)
    switch (event.method) {
      case "serverRequest/resolved": {
        const entry = open.get(event.params.requestId)
        if (entry === undefined) return
        entry.settled = true
        return letGo(event.params.requestId, entry)
      }
      case "turn/completed": {
        const turnId = event.params.turn.id
        for (const [id, entry] of open) if (entry.turnId === turnId) letGo(id, entry)
        for (const [key, change] of fileChanges) if (change.turnId === turnId) fileChanges.delete(key)
        return
      }
      case "item/started": {
        const { item, threadId, turnId } = event.params
        if (item.type !== "fileChange") return
        fileChanges.set(itemKey(threadId, item.id), { turnId, paths: ApprovalRequest.pathsOf(item.changes) })
        return
      }
      case "item/completed": {
        const { item, threadId } = event.params
        if (item.type === "fileChange") fileChanges.delete(itemKey(threadId, item.id))
        return
      }
      case "thread/closed":
      case "thread/archived":
      case "thread/deleted":
        threads.assign(event.params.threadId, undefined)
        return
      default:
    }
  }

  let isClosed = false

  const close = (error: ConnectionError): void => {
    if (isClosed) return
    isClosed = true
    const asking: Array<Fiber.Fiber<void>> = []
    for (const [id, entry] of open) {
      entry.settled = true
      forget(id, entry)
      if (entry.fiber !== undefined) asking.push(entry.fiber)
    }
    // The audit ends with what becomes of them.
    run(
      Fiber.interruptAll(asking).pipe(
        Effect.andThen(Effect.sync(() => decisions.close(error))),
        Effect.uninterruptible
      )
    )
    if (options.outlet === undefined) threads.clear()
    fileChanges.clear()
    lineage.close()
  }

  // Added after the fibers, so that it runs before they are interrupted: nobody reads an answer then.
  yield* Effect.addFinalizer(() => Effect.sync(() => close(closed())))

  return {
    open: take,
    close,
    isAsking: (turnIds) => {
      for (const { turnId } of open.values()) if (turnId !== undefined && turnIds.includes(turnId)) return true
      return false
    },
    observe,
    answers: threads,
    lineage,
    decisions
  }
})

/** By method, so that params and result stay together. */
type Fallbacks<Methods extends ServerRequestMethod = ServerRequestMethod> = {
  readonly [M in Methods]: (params: ServerRequestParams[M]) => Effect.Effect<ServerRequestResults[M], unknown>
}

const fallbackOf = <M extends ServerRequestMethod>(fallbacks: Fallbacks<M>, method: M): Fallbacks<M>[M] =>
  fallbacks[method]

const itemKey = (threadId: string, itemId: string): string => `${threadId}/${itemId}`

/** What the span of an approval says of the decision; none where nobody waits for it any more. */
const decided = (decision: Approvals.Decision | null, by: Approvals.DecisionRecord["by"]) => ({
  "codex.approval.by": by,
  "codex.approval.decision": decision === null
    ? "none"
    : decision._tag === "Accept" && decision.scope === "session"
    ? "acceptForSession"
    : decision._tag.toLowerCase()
})

const refuse = (origin: Tracing.Origin, span: Tracer.Span, { code }: Refusal): void => {
  Tracing.annotate(origin, span, { "error.type": String(code), "rpc.response.status_code": String(code) })
  Tracing.end(origin, span, Exit.fail(new Tracing.RequestRefused({ message: `Answered with the error ${code}` })))
}

const isKnown = (method: string): method is ServerRequestMethod => Object.hasOwn(ServerRequests, method)

/** The tag of a failure, or that there was a defect: what a handler fails with may hold anything. */
const describe = (cause: Cause.Cause<unknown>): string =>
  Option.match(Cause.findErrorOption(cause), {
    onNone: () => Cause.hasDies(cause) ? "a defect" : "interrupted",
    onSome: (error) => Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "an error"
  })
