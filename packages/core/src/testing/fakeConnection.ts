/**
 * The wire of the app-server in memory: what it writes is encoded by the generated
 * Schemas, what it reads is decoded by them, and faults lie in between.
 */
import type {
  ClientRequestMethod,
  ClientRequestParams,
  ClientRequestResults,
  ServerNotificationMethod,
  ServerNotificationParams,
  ServerRequestMethod,
  ServerRequestParams,
  ServerRequestResults
} from "@effect-codex/generated"
import { ClientRequests, ServerNotifications, ServerRequests } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type ConnectionError, formatIssues, TransportError } from "../CodexError.ts"
import * as Envelope from "../internal/envelope.ts"
import * as Payload from "../internal/payload.ts"
import { INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, SERVER_OVERLOADED } from "../internal/responseError.ts"
import { Transport } from "../Transport.ts"

/**
 * What a request is refused with, as the JSON-RPC error that the other side gets.
 *
 * @since 0.1.0
 * @category errors
 */
export class Refusal extends Schema.TaggedError<Refusal>()("Refusal", {
  /** The JSON-RPC error code. */
  code: Schema.Int,
  /** The words of the one who refuses. */
  description: Schema.String,
  /** The error's `data` member. */
  data: Schema.optionalKey(Schema.Json)
}) {
  override get message(): string {
    return `${this.description} (${this.code})`
  }
}

/**
 * A request of the client, as it was received.
 *
 * @since 0.1.0
 * @category models
 */
export interface Received {
  /** What was asked for. */
  readonly method: ClientRequestMethod
  /** With what, as the client sent it. */
  readonly params: unknown
}

/** The last requests of one method. */
interface Log<P> {
  readonly kept: Array<P>
  count: number
}

type Logs = { [M in ClientRequestMethod]?: Log<ClientRequestParams[M]> }

/** Carries a request out; `respond` writes its result, and what comes behind is behind it. */
export type Handler<M extends ClientRequestMethod> = (
  params: ClientRequestParams[M],
  respond: (result: ClientRequestResults[M]) => Effect.Effect<void>
) => Effect.Effect<void, Refusal>

export type Handlers = { readonly [M in ClientRequestMethod]?: Handler<M> | undefined }

type OpenHandlers = { [M in ClientRequestMethod]?: Handler<M> | undefined }

/** Something that happens to the next requests. */
interface Fault {
  readonly method: ClientRequestMethod | undefined
  readonly kind: { readonly _tag: "Refuse"; readonly error: Envelope.WireError } | { readonly _tag: "Drop" } | {
    readonly _tag: "Delay"
    readonly duration: Duration.Input
  }
  times: number
}

interface Pending {
  readonly method: ServerRequestMethod
  readonly threadId: string | undefined
  readonly line: string
  readonly answer: Deferred.Deferred<unknown, Refusal>
}

const encoder = new TextEncoder()

/** So much may wait to be read; then the server waits. */
const UNREAD = 4_096
/** So many requests are remembered. */
const REMEMBERED = 10_000

const isClientMethod = (method: string): method is ClientRequestMethod => Object.hasOwn(ClientRequests, method)

/** A script or a test has made the server say what the real one cannot say: that has to be seen. */
const misfit = (what: string, cause: Cause.Cause<Schema.SchemaError>): Error =>
  new Error(`TestAppServer: ${what} does not fit the protocol: ${formatIssues(Payload.issuesOfCause(cause))}`)

export interface FakeConnection {
  readonly transport: Transport["Service"]
  /** What carries the client's requests out. */
  readonly handlers: OpenHandlers
  readonly received: () => ReadonlyArray<Received>
  readonly requests: <M extends ClientRequestMethod>(method: M) => ReadonlyArray<ClientRequestParams[M]>
  readonly waitFor: <M extends ClientRequestMethod>(
    method: M,
    count: number
  ) => Effect.Effect<ClientRequestParams[M] | undefined>
  readonly notify: <M extends ServerNotificationMethod>(
    method: M,
    params: ServerNotificationParams[M]
  ) => Effect.Effect<void>
  /** Tells nothing of these any more, as the client has wished in its handshake. */
  readonly leaveOut: (methods: ReadonlyArray<string>) => void
  /** Asks the client. When the answer is there, or `Effect.interrupt` has ended the wait, `resolved` says so to the client. */
  readonly ask: <M extends ServerRequestMethod>(
    method: M,
    params: ServerRequestParams[M],
    threadId?: string
  ) => Effect.Effect<ServerRequestResults[M], Refusal>
  /** Takes the questions of a thread back, and says so. */
  readonly resolveAll: (threadId: string) => Effect.Effect<void>
  /** Asks again what is open on a thread. */
  readonly askAgain: (threadId: string) => Effect.Effect<void>
  readonly fault: (fault: Omit<Fault, "times">, times: number) => Effect.Effect<void>
  /** Writes text as it is. */
  readonly raw: (text: string) => Effect.Effect<void>
  readonly stall: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  readonly end: (error: ConnectionError) => Effect.Effect<void>
  /** Runs something beside the requests, until the scope closes; a defect ends the connection and says why. */
  readonly fork: <A>(effect: Effect.Effect<A>) => Effect.Effect<Fiber.Fiber<A>>
}

export const refuse = (code: number, description: string, data?: Schema.Json): Refusal =>
  new Refusal({ code, description, ...(data === undefined ? {} : { data }) })

export const overloaded: Envelope.WireError = { code: SERVER_OVERLOADED, message: "Server overloaded; retry later." }

export const invalidRequest = (description: string, data?: Schema.Json): Refusal =>
  refuse(INVALID_REQUEST, description, data)

export const make: Effect.Effect<FakeConnection, never, Scope.Scope> = Effect.gen(function*() {
  const output = yield* Queue.bounded<Uint8Array, ConnectionError>(UNREAD)
  let stalled: Deferred.Deferred<void, ConnectionError> | undefined
  const tasks = yield* Scope.fork(yield* Effect.scope)
  // Closed before them: what ends with the scope does not wait for a reader that is gone.
  yield* Effect.addFinalizer(() => Effect.andThen(Effect.suspend(() => resume), Queue.shutdown(output)))

  const handlers: OpenHandlers = {}
  const received: Array<Received> = []
  const logs: Logs = {}
  const waiting = new Set<{
    readonly method: ClientRequestMethod
    readonly count: number
    readonly reached: Deferred.Deferred<void>
  }>()
  const faults: Array<Fault> = []
  let leftOut: ReadonlySet<string> = new Set()
  const pending = new Map<string | number, Pending>()
  let asked = 0
  let over: ConnectionError | undefined

  const raw = (text: string): Effect.Effect<void> => Effect.asVoid(Queue.offer(output, encoder.encode(text)))

  // It is held back where it is read: what is written later stays behind it.
  const incoming = Stream.fromPull(Effect.succeed(
    Effect.tap(Queue.takeAll(output), () => stalled === undefined ? Effect.void : Deferred.await(stalled))
  ))

  const resume = Effect.suspend(() => {
    const held = stalled
    stalled = undefined
    return held === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(held, undefined))
  })

  const end = (error: ConnectionError): Effect.Effect<void> =>
    Effect.suspend(() => {
      over = error
      // What is held back never comes.
      const lost = stalled === undefined ? Effect.void : Deferred.fail(stalled, error)
      return Effect.asVoid(Effect.andThen(lost, Queue.fail(output, error)))
    })

  const brokenBy = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
    const error = Cause.squash(cause)
    return end(
      new TransportError({
        operation: "read",
        description: error instanceof Error ? error.message : String(error),
        cause: error
      })
    )
  }

  const fork = <A>(effect: Effect.Effect<A>): Effect.Effect<Fiber.Fiber<A>> =>
    effect.pipe(
      Effect.tapCause((cause) => Cause.hasDies(cause) ? brokenBy(cause) : Effect.void),
      Effect.forkIn(tasks, { startImmediately: true })
    )

  const notify = <M extends ServerNotificationMethod>(method: M, params: ServerNotificationParams[M]) =>
    Effect.flatMap(Clock.currentTimeMillis, (emittedAtMs) => {
      if (leftOut.has(method)) return Effect.void
      const checked = Payload.outgoing(ServerNotifications[method].params)(params)
      return Exit.isSuccess(checked)
        ? raw(`${JSON.stringify({ method, params: checked.value, emittedAtMs })}\n`)
        : Effect.die(misfit(`the notification ${method}`, checked.cause))
    })

  // The real one says so of what people are asked, and not of what a tool is.
  const resolved = (id: string | number, { method, threadId }: Pending): Effect.Effect<void> =>
    threadId === undefined || method === "item/tool/call"
      ? Effect.void
      : notify("serverRequest/resolved", { requestId: id, threadId })

  const ask = <M extends ServerRequestMethod>(
    method: M,
    params: ServerRequestParams[M],
    threadId?: string
  ): Effect.Effect<ServerRequestResults[M], Refusal> =>
    Effect.gen(function*() {
      const checked = Payload.outgoing(ServerRequests[method].params)(params)
      if (Exit.isFailure(checked)) return yield* Effect.die(misfit(`the request ${method}`, checked.cause))
      const id = asked++
      const line = `${Envelope.encodeRequest(id, method, checked.value)}\n`
      const entry: Pending = { method, threadId, line, answer: yield* Deferred.make<unknown, Refusal>() }
      pending.set(id, entry)
      yield* raw(line)
      const answer = yield* Deferred.await(entry.answer)
      const result = Payload.incoming(ServerRequests[method].result)(answer)
      return Exit.isSuccess(result)
        ? result.value
        : yield* Effect.die(misfit(`the client's answer to ${method}`, result.cause))
    })

  // ---------------------------------------------------------------------------
  // Requests
  // ---------------------------------------------------------------------------

  const faultFor = (method: ClientRequestMethod): Fault["kind"] | undefined => {
    const index = faults.findIndex((fault) => fault.method === undefined || fault.method === method)
    const fault = faults[index]
    if (fault === undefined) return undefined
    if (--fault.times <= 0) faults.splice(index, 1)
    return fault.kind
  }

  const logOf = <M extends ClientRequestMethod>(method: M): Log<ClientRequestParams[M]> => {
    const slot: { [K in M]?: Log<ClientRequestParams[M]> } = logs
    return slot[method] ??= { kept: [], count: 0 }
  }

  const keep = <A>(list: Array<A>, item: A): void => {
    list.push(item)
    if (list.length > REMEMBERED) list.shift()
  }

  const remember = <M extends ClientRequestMethod>(method: M, params: ClientRequestParams[M]): Effect.Effect<void> =>
    Effect.suspend(() => {
      const log = logOf(method)
      keep(received, { method, params })
      keep(log.kept, params)
      log.count++
      return Effect.forEach([...waiting], (one) => {
        if (one.method !== method || one.count > log.count) return Effect.void
        waiting.delete(one)
        return Deferred.succeed(one.reached, undefined)
      }, { discard: true })
    })

  const dispatch = <M extends ClientRequestMethod>(
    method: M,
    id: string | number,
    payload: unknown
  ): Effect.Effect<void> => {
    const decoded = Payload.incoming(ClientRequests[method].params)(payload)
    const answer = (line: string): Effect.Effect<void> => raw(`${line}\n`)
    const refusing = ({ code, data, description }: Refusal): Effect.Effect<void> =>
      answer(Envelope.encodeError(id, { code, message: description, ...(data === undefined ? {} : { data }) }))
    if (Exit.isFailure(decoded)) {
      return refusing(invalidRequest(`Invalid request: ${formatIssues(Payload.issuesOfCause(decoded.cause))}`))
    }
    const params = decoded.value
    const fault = method === "initialize" ? undefined : faultFor(method)
    if (fault?._tag === "Refuse") {
      return Effect.andThen(remember(method, params), answer(Envelope.encodeError(id, fault.error)))
    }
    const handler: Handler<M> | undefined = handlers[method]
    const unhandled = refuse(
      METHOD_NOT_FOUND,
      `TestAppServer does not do ${method}: say what it does with on("${method}", ...)`
    )
    const respond = (result: ClientRequestResults[M]): Effect.Effect<void> =>
      Effect.suspend(() => {
        const checked = Payload.outgoing(ClientRequests[method].result)(result)
        if (Exit.isFailure(checked)) {
          return refusing(refuse(INTERNAL_ERROR, misfit(`the result of ${method}`, checked.cause).message))
        }
        const line = Envelope.encodeResult(id, checked.value)
        if (fault?._tag === "Drop") return Effect.void
        return fault?._tag === "Delay"
          ? Effect.asVoid(fork(Effect.andThen(Effect.sleep(fault.duration), answer(line))))
          : answer(line)
      })
    const carried = handler === undefined ? Effect.fail(unhandled) : handler(params, respond)
    return Effect.andThen(remember(method, params), Effect.catch(carried, refusing))
  }

  const receive = (line: string): Effect.Effect<void> => {
    const message = Envelope.parse(line)
    switch (message._tag) {
      case "ServerRequest":
        // It is one of the client's here.
        return isClientMethod(message.method)
          ? dispatch(message.method, message.id, message.params)
          : raw(
            `${
              Envelope.encodeError(message.id, {
                code: INVALID_REQUEST,
                message: `Invalid request: unknown variant \`${message.method}\``
              })
            }\n`
          )
      case "Response":
      case "Failure": {
        const entry = message.id === null ? undefined : pending.get(message.id)
        if (message.id === null || entry === undefined) return Effect.void
        pending.delete(message.id)
        return Effect.andThen(
          resolved(message.id, entry),
          message._tag === "Response"
            ? Deferred.succeed(entry.answer, message.result)
            : Deferred.fail(entry.answer, refuse(message.error.code, message.error.message))
        )
      }
      default:
        return Effect.void
    }
  }

  return {
    transport: Transport.of({
      incoming,
      send: (line) => Effect.suspend(() => over === undefined ? Effect.asVoid(fork(receive(line))) : Effect.fail(over))
    }),
    handlers,
    received: () => [...received],
    requests: (method) => [...logOf(method).kept],
    waitFor: <M extends ClientRequestMethod>(method: M, count: number) =>
      Effect.gen(function*() {
        const log = logOf(method)
        if (log.count < count) {
          const one = { method, count, reached: yield* Deferred.make<void>() }
          waiting.add(one)
          yield* Effect.ensuring(Deferred.await(one.reached), Effect.sync(() => waiting.delete(one)))
        }
        const place = count - 1 - (log.count - log.kept.length)
        const params = log.kept[place]
        return place < 0 || params === undefined && place >= log.kept.length
          ? yield* Effect.die(new Error(`The request number ${count} of ${method} is not remembered any more`))
          : params
      }),
    notify,
    leaveOut: (methods) => {
      leftOut = new Set(methods)
    },
    ask,
    resolveAll: (threadId) =>
      Effect.forEach([...pending], ([id, entry]) => {
        if (entry.threadId !== threadId) return Effect.void
        pending.delete(id)
        return resolved(id, entry)
      }, { discard: true }),
    askAgain: (threadId) =>
      Effect.forEach(
        [...pending.values()].filter((entry) => entry.threadId === threadId),
        ({ line }) => raw(line),
        { discard: true }
      ),
    fault: (fault, times) => Effect.sync(() => faults.push({ ...fault, times })),
    raw,
    stall: Effect.sync(() => {
      stalled ??= Deferred.makeUnsafe()
    }),
    resume,
    end,
    fork
  }
})
