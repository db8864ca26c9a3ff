/**
 * Requests, from the call to the typed result: checked, admitted, written, awaited, repeated where the server was
 * full, decoded.
 */
import type { ClientRequestMethod, ClientRequestResults } from "@effect-codex/generated"
import { ClientRequests } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Tracer from "effect/Tracer"
import {
  type ConnectionError,
  DecodeError,
  ExperimentalApiRequired,
  formatIssues,
  InvalidParams,
  type PayloadIssue,
  type RequestError,
  RequestTimeout,
  type ResponseError,
  ServerOverloaded
} from "../CodexError.ts"
import * as CodexMetrics from "../CodexMetrics.ts"
import type { Transport } from "../Transport.ts"
import * as Admission from "./admission.ts"
import * as Deadlines from "./deadlines.ts"
import * as Envelope from "./envelope.ts"
import { isOpenEnded, mayRepeat } from "./methodTraits.ts"
import * as Metrics from "./metrics.ts"
import { idAt } from "./notifications.ts"
import type { Settings } from "./options.ts"
import * as Payload from "./payload.ts"
import { INVALID_PARAMS } from "./responseError.ts"
import { retry } from "./retry.ts"
import { duringMethod, type Router } from "./router.ts"
import * as Tracing from "./tracing.ts"

/** Sends a request and waits for its result; `onResult` runs on the reader, before the next message is looked at. */
export type Call = <M extends ClientRequestMethod>(
  method: M,
  params: unknown,
  onResult?: (result: unknown) => void
) => Effect.Effect<ClientRequestResults[M], RequestError>

type SendError = ConnectionError | ResponseError | DecodeError | RequestTimeout

export const make = Effect.fnUntraced(function*(options: {
  readonly transport: Pick<Transport["Service"], "send">
  readonly router: Router
  readonly settings: Settings
  readonly context: Context.Context<never>
}) {
  const { context, router, settings, transport } = options
  const deadlines = yield* Deadlines.make(context)
  const admission = yield* Admission.make(settings.maxInFlight, {
    window: (by) => CodexMetrics.requestWindow.modifyUnsafe(by, context),
    queued: (by) => CodexMetrics.requestsQueued.modifyUnsafe(by, context)
  })
  // So that it is shown before the first request.
  CodexMetrics.requestsInFlight.modifyUnsafe(0, context)
  CodexMetrics.requestsQueued.modifyUnsafe(0, context)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => CodexMetrics.requestWindow.modifyUnsafe(-admission.window(), context))
  )

  let nextId = 1

  const send = (
    method: string,
    params: unknown,
    timeout: Duration.Duration,
    span: Tracer.Span | undefined,
    onResult?: (result: unknown) => void
  ): Effect.Effect<unknown, SendError> =>
    Effect.suspend(() => {
      const id = nextId++
      if (span !== undefined) Tracing.annotate(span, { "jsonrpc.request.id": String(id) })
      CodexMetrics.requestsInFlight.modifyUnsafe(1, context)
      const response = Deferred.makeUnsafe<unknown, SendError>()
      let written = false
      router.await(id, { method, params, response, onResult })
      const deadline = deadlines.begin(timeout, () => {
        Deferred.doneUnsafe(response, Exit.fail(new RequestTimeout({ method, timeout })))
      })
      const write = Effect.catch(
        transport.send(Envelope.encodeRequest(id, method, params, Tracing.carrier(span))),
        // A connection that is over answers with its cause, whatever writing to it says.
        (error) => router.closed === undefined ? Effect.fail(duringMethod(error, method)) : Effect.void
      )
      return Effect.onExitPrimitive(
        Effect.flatMap(unlessAnswered(write, response), () => {
          written = true
          return Deferred.await(response)
        }),
        () => {
          if (deadline !== undefined) deadlines.cancel(deadline)
          CodexMetrics.requestsInFlight.modifyUnsafe(-1, context)
          // A late answer still names the turn that nobody waits for any more.
          if (!written || onResult === undefined) router.forget(id)
          return undefined
        }
      )
    })

  const call: Call = <M extends ClientRequestMethod>(
    method: M,
    params: unknown,
    onResult?: (result: unknown) => void
  ) =>
    Tracing.request(
      method,
      idAt(params, ["threadId"]),
      (span): Effect.Effect<ClientRequestResults[M], RequestError> => {
        if (router.closed !== undefined) return Effect.fail(duringMethod(router.closed, method))
        const checks = checksOf(method)
        const checked = checks.params(params)
        if (Exit.isFailure(checked)) {
          return Effect.fail(invalidParams(method, Payload.issuesOfCause(checked.cause)))
        }
        const experimental = settings.experimental ? undefined : needsExperimental(method, params)
        if (experimental !== undefined) return Effect.fail(experimental)
        const exchange = isOpenEnded(method)
          ? send(method, checked.value, Duration.infinity, span, onResult)
          : admission.admit(send(method, checked.value, settings.timeoutOf(method), span, onResult), isRefusal)
        return repeat(method, exchange).pipe(
          Effect.flatMap((result) => {
            const decoded = checks.result(result)
            if (!(decoded instanceof Payload.Misfit)) return Effect.succeed(decoded)
            Metrics.decodeFailures.result.updateUnsafe(1, context)
            return Effect.fail(new DecodeError({ method, payload: "result", issues: decoded.issues }))
          })
        )
      }
    )

  /** Tries again what is refused, and waits in between no longer than the connection lasts. */
  const repeat = <A, E>(method: ClientRequestMethod, exchange: Effect.Effect<A, E>) => {
    const counts = (error: E | ServerOverloaded): error is ServerOverloaded =>
      error instanceof ServerOverloaded && mayRepeat(method, error)
    return Effect.catch(exchange, (error) => {
      if (!counts(error)) return Effect.fail(error)
      let answer: Effect.Effect<A, E | ServerOverloaded> = Effect.fail(error)
      const again = Effect.andThen(Metric.update(Metrics.requestRetries(method), 1), exchange)
      const attempts = Effect.suspend(() => {
        const attempt = answer
        answer = again
        return attempt
      })
      return Effect.raceFirst(
        retry(attempts, settings.retry, counts),
        // An answer that came just before goes first.
        Effect.flatMap(Effect.tap(router.ended, Effect.yieldNow), (end) => Effect.fail(duringMethod(end, method)))
      )
    })
  }

  return call
})

/** How the payloads of one method are checked. */
interface Checks<M extends ClientRequestMethod> {
  readonly params: Payload.Check<unknown>
  readonly result: (payload: unknown) => ClientRequestResults[M] | Payload.Misfit
}

/** Made at a method's first request. */
const allChecks: { [M in ClientRequestMethod]?: Checks<M> } = {}

const checksOf = <M extends ClientRequestMethod>(method: M): Checks<M> => {
  const made: Checks<M> | undefined = allChecks[method]
  if (made !== undefined) return made
  const { params, result } = ClientRequests[method]
  const checks: Checks<M> = { params: Payload.outgoing(params), result: Payload.incomingMany(result) }
  const slot: { [K in M]?: Checks<K> } = allChecks
  slot[method] = checks
  return checks
}

const invalidParams = (method: string, issues: ReadonlyArray<PayloadIssue>): InvalidParams =>
  new InvalidParams({
    method,
    code: INVALID_PARAMS,
    description: `The params do not match the schema: ${formatIssues(issues)}`,
    sent: false,
    issues
  })

/** Waits for the write, which may stand before a pipe that is full, no longer than the request itself may take. */
const unlessAnswered = <E>(
  write: Effect.Effect<void, E>,
  response: Deferred.Deferred<unknown, E>
): Effect.Effect<unknown, E> =>
  Effect.flatMap(
    // Most are written at once, and need no race.
    Effect.forkChild(write, { startImmediately: true }),
    (writing) =>
      writing.pollUnsafe() ?? Effect.ensuring(
        Effect.raceFirst(Fiber.join(writing), Deferred.await(response)),
        Fiber.interrupt(writing)
      )
  )

const isRefusal = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) &&
  Cause.findErrorOption(exit.cause).pipe(Option.exists((error) => error instanceof ServerOverloaded))

/** What of a request is not part of the stable protocol, if anything is. */
const needsExperimental = (method: ClientRequestMethod, params: unknown): ExperimentalApiRequired | undefined => {
  const { experimentalFields, stability } = ClientRequests[method]
  if (stability === "experimental") return new ExperimentalApiRequired({ method, fields: [] })
  const fields = experimentalFields.filter((field) =>
    Predicate.hasProperty(params, field) && params[field] !== undefined
  )
  return fields.length === 0 ? undefined : new ExperimentalApiRequired({ method, fields })
}
