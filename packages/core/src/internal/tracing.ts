/**
 * Spans of the exchange with the server. They are made only where a tracer is
 * installed, so that without one nothing is paid for them and nothing is sent. A
 * tracer that throws loses its spans, and keeps nothing from going on.
 *
 * No attribute holds content: ids, names, kinds, counts and outcomes only.
 */
import type { W3cTraceContext } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Predicate from "effect/Predicate"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type { ConnectionError } from "../CodexError.ts"
import * as Log from "./log.ts"
import * as OwnFailure from "./ownFailure.ts"

/** What the attributes of one span are. */
export type Attributes = Readonly<Record<string, string | number | boolean | null | undefined>>

/** Whose spans they are: the fiber's that calls, or the layer's. */
export interface Origin {
  readonly context: Context.Context<never>
  /** Whether somebody records spans. */
  readonly isTraced: boolean
}

/** Without a tracer, Effect's own one makes spans that nobody sees. */
export const isTraced = ({ cache }: Fiber.Fiber<unknown, unknown>): boolean =>
  cache.tracerEnabled && cache.tracer !== undefined

/** The fiber that asks. */
export const origin: Effect.Effect<Origin> = Effect.withFiber((fiber) =>
  Effect.succeed({ context: fiber.context, isTraced: isTraced(fiber) })
)

/** The tracers that have thrown: each is told of once, as it may throw at every span. */
const failed = new WeakSet<Tracer.Tracer>()

/** Spans are made on the reader too, which a tracer of the program must not end. */
const guarded = <A>({ context }: Pick<Origin, "context">, record: () => A): A | undefined => {
  try {
    return record()
  } catch (error) {
    const tracer = Context.get(context, Tracer.Tracer)
    if (failed.has(tracer)) return undefined
    failed.add(tracer)
    Effect.runForkWith(context)(
      Effect.andThen(
        Log.warning("The tracer has failed: spans are missing, or not complete"),
        OwnFailure.logPlace("The tracer", Cause.die(error))
      )
    )
    return undefined
  }
}

interface SpanOptions {
  readonly kind?: Tracer.SpanKind
  /** The origin's, unless there is another or there is to be none. */
  readonly parent?: Tracer.AnySpan
  readonly root?: boolean
  readonly attributes?: Attributes
}

/** Begins a span. There is none where the tracer fails. */
export const begin = (
  origin: Origin,
  name: string,
  options: SpanOptions
): Tracer.Span | undefined => {
  const { attributes = {}, ...others } = options
  const span = guarded(origin, () => Effect.runSyncWith(origin.context)(Effect.makeSpan(name, others)))
  if (span !== undefined) annotate(origin, span, attributes)
  return span
}

/** Ends a span, without what the exit holds of a success; one that has ended stays as it was. */
export const end = (origin: Origin, span: Tracer.Span, exit: Exit.Exit<unknown, unknown>): void =>
  guarded(origin, () => {
    if (span.status._tag === "Ended") return
    const { context } = origin
    const isTimed = Context.get(context, References.TracerTimingEnabled)
    span.end(isTimed ? Context.get(context, Clock.Clock).currentTimeNanosUnsafe() : 0n, Exit.asVoid(exit))
  })

export const annotate = (origin: Pick<Origin, "context">, span: Tracer.Span, attributes: Attributes): void =>
  guarded(origin, () => {
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== null) span.attribute(key, value)
    }
  })

/** To the span that the fiber is below. */
export const annotateCurrent = (attributes: Attributes): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const { span } = fiber.cache
    return span?._tag === "Span" ? Effect.sync(() => annotate(fiber, span, attributes)) : Effect.void
  })

/** From before the first step of what is done to its exit. */
const spanned = <A, E, R>(
  origin: Origin,
  name: string,
  options: SpanOptions,
  use: (span: Tracer.Span | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => begin(origin, name, options)),
    use,
    (span, exit) => span === undefined ? Effect.void : Effect.sync(() => end(origin, span, exit))
  )

/** How a span tells what went wrong, where no error of the program does. */
export class ItemFailed extends Data.TaggedError("ItemFailed")<{ readonly message: string }> {}

/** The server's request was answered with an error. */
export class RequestRefused extends Data.TaggedError("RequestRefused")<{ readonly message: string }> {}

// -----------------------------------------------------------------------------
// Connections
// -----------------------------------------------------------------------------

/** The span of a connection, from before its handshake to its end. */
export interface Connection {
  readonly annotate: (attributes: Attributes) => void
  /** Makes it the parent of what belongs to the connection and to nobody's call. */
  readonly enclose: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The end: by this side, or by what the error says. */
  readonly end: (error: ConnectionError | undefined) => void
}

const unrecorded: Connection = { annotate: () => {}, enclose: (effect) => effect, end: () => {} }

export const connection = (origin: Origin, client: string): Connection => {
  if (!origin.isTraced) return unrecorded
  const span = begin(origin, "codex.connection", { attributes: { "codex.client.name": client } })
  if (span === undefined) return unrecorded
  return {
    annotate: (attributes) => annotate(origin, span, attributes),
    enclose: (effect) => Effect.provideService(effect, Tracer.ParentSpan, span),
    end: (error) => {
      if (error !== undefined) annotate(origin, span, failure(error))
      end(origin, span, error === undefined ? Exit.void : Exit.fail(error))
    }
  }
}

// -----------------------------------------------------------------------------
// Requests
// -----------------------------------------------------------------------------

const rpc = (method: string, threadId: string | undefined): Attributes => ({
  "rpc.system.name": "jsonrpc",
  "rpc.method": method,
  "gen_ai.conversation.id": threadId
})

/** The span of a request of a traced fiber's, from the call to its exit, with the wait for its place and its retries. */
export const request = <A, E, R>(
  { context }: Fiber.Fiber<unknown, unknown>,
  method: string,
  threadId: string | undefined,
  exchange: (span: Tracer.Span | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const caller: Origin = { context, isTraced: true }
  return spanned(
    caller,
    method,
    { kind: "client", attributes: rpc(method, threadId) },
    (span) =>
      span === undefined
        ? exchange(undefined)
        : Effect.tapError(exchange(span), (error) => Effect.sync(() => annotate(caller, span, failure(error))))
  )
}

/** What an error is, without its words. */
const failure = (error: unknown): Attributes => ({
  "error.type": Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Error",
  "rpc.response.status_code": Predicate.hasProperty(error, "code") && typeof error.code === "number"
    ? String(error.code)
    : undefined
})

/** The span of what the server asks, from its arrival to its answer. */
export const serverRequest = <A, E, R>(
  origin: Origin,
  parent: Tracer.AnySpan | undefined,
  method: string,
  threadId: string | undefined,
  answer: (span: Tracer.Span | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  if (!origin.isTraced) return answer(undefined)
  const place = parent === undefined ? { root: true } : { parent }
  return spanned(
    origin,
    method,
    { kind: "server", attributes: rpc(method, threadId), ...place },
    (span) =>
      span === undefined
        ? answer(undefined)
        : Effect.withParentSpan(answer(span), span, { captureStackTrace: false })
  ).pipe(Effect.provideService(Tracer.Tracer, Context.get(origin.context, Tracer.Tracer)))
}

/** What the server continues the trace with. */
export const carrier = (
  origin: Pick<Origin, "context">,
  span: Tracer.Span | undefined
): W3cTraceContext | undefined => {
  const traceparent = span === undefined
    ? undefined
    : guarded(origin, () => HttpTraceContext.toHeaders(span))?.["traceparent"]
  return traceparent === undefined ? undefined : { traceparent }
}
