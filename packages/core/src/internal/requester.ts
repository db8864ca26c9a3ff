/**
 * Requests, from the call to the typed result: checked, admitted, written, awaited, repeated where the server was
 * full, decoded.
 */
import type { ClientRequestMethod, ClientRequestResults } from "@effect-codex/generated"
import { ClientRequests } from "@effect-codex/generated"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import type * as Tracer from "effect/Tracer"
import { DecodeError, ExperimentalApiRequired, type RequestError, ServerOverloaded } from "../CodexError.ts"
import * as CodexMetrics from "../CodexMetrics.ts"
import type { Transport } from "../Transport.ts"
import * as Admission from "./admission.ts"
import * as Deadlines from "./deadlines.ts"
import * as Envelope from "./envelope.ts"
import * as Exchange from "./exchange.ts"
import { experimentalValues, isOpenEnded, mayRepeat } from "./methodTraits.ts"
import * as Metrics from "./metrics.ts"
import { idAt } from "./notifications.ts"
import type { Settings } from "./options.ts"
import * as Payload from "./payload.ts"
import { unknownMethod, unsent } from "./responseError.ts"
import { retry } from "./retry.ts"
import { duringMethod, type Question, type Router, type SendError } from "./router.ts"
import * as Tracing from "./tracing.ts"

/** Sends a request and waits for its result; for `onResult` and `onOut` see `Router.Question`. */
export type Call = <M extends ClientRequestMethod>(
  method: M,
  params: unknown,
  onResult?: Question["onResult"],
  onOut?: Question["onOut"]
) => Effect.Effect<ClientRequestResults[M], RequestError>

export const make = Effect.fnUntraced(function*(options: {
  readonly transport: Pick<Transport["Service"], "send">
  readonly router: Router
  readonly settings: Settings
  readonly context: Context.Context<never>
}) {
  const { context, router, settings, transport } = options
  const deadlines = yield* Deadlines.make(context)
  const admission = Admission.make(settings.maxInFlight, {
    window: (by) => CodexMetrics.requestWindow.modifyUnsafe(by, context),
    queued: (by) => CodexMetrics.requestsQueued.modifyUnsafe(by, context)
  })
  // So that it is shown before the first request.
  CodexMetrics.requestsInFlight.modifyUnsafe(0, context)
  CodexMetrics.requestsQueued.modifyUnsafe(0, context)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => CodexMetrics.requestWindow.modifyUnsafe(-admission.window(), context))
  )

  const line: Exchange.Line = {
    router,
    deadlines,
    admission,
    needsPlace: ({ method }) => !isOpenEnded(method),
    timeoutOf: ({ method }) =>
      isOpenEnded(method) && !settings.isTimed(method) ? Duration.infinity : settings.timeoutOf(method),
    inFlight: (by) => CodexMetrics.requestsInFlight.modifyUnsafe(by, context),
    write: (id, { method, params, span }) =>
      Effect.withFiber((fiber) => {
        if (span !== undefined) Tracing.annotate(fiber, span, { "jsonrpc.request.id": String(id) })
        return Effect.catch(
          transport.send(Envelope.encodeRequest(id, method, params, Tracing.carrier(fiber, span))),
          // A connection that is over answers with its cause, whatever writing to it says.
          (error) => router.closed === undefined ? Effect.fail(duringMethod(error, method)) : Effect.void
        )
      }),
    nextId: 1
  }

  const call: Call = (method, params, onResult, onOut) =>
    Effect.withFiber((fiber) =>
      Tracing.isTraced(fiber)
        ? Tracing.request(
          fiber,
          method,
          idAt(params, ["threadId"]),
          (span) => ask(fiber, method, params, span, onResult, onOut)
        )
        : ask(fiber, method, params, undefined, onResult, onOut)
    )

  const ask = <M extends ClientRequestMethod>(
    { context }: Fiber.Fiber<unknown, unknown>,
    method: M,
    params: unknown,
    span: Tracer.Span | undefined,
    onResult: Question["onResult"],
    onOut: Question["onOut"]
  ): Effect.Effect<ClientRequestResults[M], RequestError> => {
    if (router.closed !== undefined) return Effect.fail(duringMethod(router.closed, method))
    // A name that is given may be one that there is not.
    if (!Object.hasOwn(ClientRequests, method)) return Effect.fail(unknownMethod(method))
    const checked = checksOf(method).params(params)
    if (Exit.isFailure(checked)) return Effect.fail(unsent(method, Payload.issuesOfCause(checked.cause)))
    const experimental = settings.experimental ? undefined : needsExperimental(method, params)
    if (experimental !== undefined) return Effect.fail(experimental)
    return Exchange.run(line, { method, params: checked.value, span, onResult, onOut }, context, repeated)
  }

  const decoded = <M extends ClientRequestMethod>(
    { method }: Exchange.Question<M>,
    exit: Exit.Exit<unknown, SendError>
  ): Effect.Effect<ClientRequestResults[M], RequestError> => {
    if (Exit.isFailure(exit)) return Effect.failCause(exit.cause)
    const result = checksOf(method).result(exit.value)
    if (!(result instanceof Payload.Misfit)) return Effect.succeed(result)
    Metrics.decodeFailures.result.updateUnsafe(1, context)
    return Effect.fail(new DecodeError({ method, payload: "result", issues: result.issues }))
  }

  /** Tries again what is refused, and waits in between no longer than the connection lasts. */
  const repeated = <M extends ClientRequestMethod>(
    question: Exchange.Question<M>,
    exit: Exit.Exit<unknown, SendError>
  ): Effect.Effect<ClientRequestResults[M], RequestError> => {
    const { method } = question
    const counts = (error: RequestError): error is ServerOverloaded =>
      error instanceof ServerOverloaded && mayRepeat(method, error)
    const answer = decoded(question, exit)
    if (Exit.isSuccess(exit)) return answer
    return Effect.catch(answer, (error) => {
      if (!counts(error)) return Effect.fail(error)
      let attempt: Effect.Effect<ClientRequestResults[M], RequestError> = Effect.fail(error)
      const again = Effect.andThen(
        Metric.update(Metrics.requestRetries(method), 1),
        Effect.withFiber(({ context }) => Exchange.run(line, question, context, decoded<M>))
      )
      const attempts = Effect.suspend(() => {
        const next = attempt
        attempt = again
        return next
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

/** What of a request is not part of the stable protocol, if anything is. */
const needsExperimental = (method: ClientRequestMethod, params: unknown): ExperimentalApiRequired | undefined => {
  const { experimentalFields, stability } = ClientRequests[method]
  if (stability === "experimental") return new ExperimentalApiRequired({ method, fields: [] })
  const fields = [
    ...experimentalFields.filter((field) => Predicate.hasProperty(params, field) && params[field] !== undefined),
    ...experimentalValues(method, params)
  ]
  return fields.length === 0 ? undefined : new ExperimentalApiRequired({ method, fields })
}
