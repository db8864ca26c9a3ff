/**
 * The Responses API on loopback: lets the real app-server, or any program that speaks to that API, run with no account
 * and no network, with every answer decided by the test.
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Reply from "./Reply.ts"

// ============================================================================
// Requests
// ============================================================================

const InputItem = Schema.StructWithRest(
  Schema.Struct({
    type: Schema.optionalKey(Schema.String),
    role: Schema.optionalKey(Schema.String),
    content: Schema.optionalKey(Schema.Json),
    call_id: Schema.optionalKey(Schema.String),
    output: Schema.optionalKey(Schema.Json)
  }),
  [Schema.Record(Schema.String, Schema.Json)]
)

const Tool = Schema.StructWithRest(
  Schema.Struct({ type: Schema.optionalKey(Schema.String), name: Schema.optionalKey(Schema.String) }),
  [Schema.Record(Schema.String, Schema.Json)]
)

const nullable = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Body = Schema.Struct({
  model: nullable(Schema.String),
  instructions: nullable(Schema.String),
  input: Schema.optionalKey(Schema.Union([Schema.String, Schema.Array(InputItem)])),
  tools: nullable(Schema.Array(Tool)),
  reasoning: nullable(Schema.Struct({ effort: nullable(Schema.String), summary: nullable(Schema.String) })),
  text: nullable(Schema.Struct({ format: nullable(Schema.Json), verbosity: nullable(Schema.String) })),
  client_metadata: nullable(Schema.Record(Schema.String, Schema.Json))
})

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json))
const decodeBody = Schema.decodeUnknownOption(Body)
const TurnMetadata = Schema.fromJsonString(Schema.Struct({ request_kind: Schema.optionalKey(Schema.String) }))
const decodeTurnMetadata = Schema.decodeUnknownOption(TurnMetadata)

/**
 * How the answer to a request ended: `answered` in full, `cut` by the script, `disconnected` by the client (as when a
 * turn is interrupted) or by the end of the server, `unscripted` where the script had nothing for it.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "answered" | "cut" | "disconnected" | "unscripted"

/**
 * What the model was asked.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelRequest {
  /** The number of the request, from 1, in order of arrival. The ids of the reply's items carry it. */
  readonly index: number
  /** The path of the URL, without its query. */
  readonly path: string
  /** The headers with lower-case names, without authorization and cookies. */
  readonly headers: { readonly [name: string]: string }
  /** The thread that the app-server says it asks for. */
  readonly threadId: string | undefined
  /** The turn that the app-server says it asks for. */
  readonly turnId: string | undefined
  /** Why the app-server asks, such as `turn` or `compaction`. */
  readonly kind: string | undefined
  /** The id of the model that is asked. */
  readonly model: string | undefined
  /** `instructions`, or else the text of the first developer message: the app-server uses either by model. */
  readonly instructions: string | undefined
  /** The conversation until now, oldest first. */
  readonly input: ReadonlyArray<typeof InputItem.Type>
  /** The texts of the last user message, joined by line breaks; the empty string where there is none. */
  readonly text: string
  /** The output that the request brings for a tool call, by call id. */
  readonly toolOutput: (callId: string) => Schema.Json | undefined
  /** The tools that the model may call. */
  readonly tools: ReadonlyArray<typeof Tool.Type>
  /** How much the model is to reason: `reasoning.effort`. */
  readonly effort: string | undefined
  /** How its reasoning is to be summarised: `reasoning.summary`. */
  readonly summary: string | undefined
  /** `text.format`: the output schema of the turn. */
  readonly format: Schema.Json | undefined
  /** The whole body; the text itself where it is not JSON. */
  readonly body: Schema.Json
  /** Completes when the answer has ended. */
  readonly outcome: Effect.Effect<Outcome>
}

const textOf = (content: Schema.Json | undefined): string => {
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return ""
  const texts: Array<string> = []
  for (const part of content) {
    if (typeof part === "object" && part !== null && "text" in part && typeof part.text === "string") {
      texts.push(part.text)
    }
  }
  return texts.join("\n")
}

const asString = (value: Schema.Json | undefined): string | undefined => typeof value === "string" ? value : undefined

const secretHeaders = new Set(["authorization", "cookie", "proxy-authorization"])

const makeRequest = (
  index: number,
  path: string,
  rawHeaders: { readonly [name: string]: string },
  rawBody: string,
  outcome: Effect.Effect<Outcome>
): { readonly request: ModelRequest; readonly valid: boolean } => {
  const json = decodeJson(rawBody)
  const decoded = Option.flatMap(json, decodeBody)
  const body = Option.getOrUndefined(decoded)
  const input = body?.input === undefined
    ? []
    : typeof body.input === "string"
    ? [{ type: "message", role: "user", content: body.input }]
    : body.input
  const metadata = body?.client_metadata ?? {}
  const headers = Object.fromEntries(Object.entries(rawHeaders).filter(([name]) => !secretHeaders.has(name)))
  const kind = Option.getOrUndefined(decodeTurnMetadata(headers["x-codex-turn-metadata"]))?.request_kind
  return {
    valid: Option.isSome(decoded),
    request: {
      index,
      path,
      headers,
      threadId: asString(metadata["thread_id"]) ?? headers["thread-id"],
      turnId: asString(metadata["turn_id"]),
      kind,
      model: body?.model ?? undefined,
      instructions: body?.instructions ??
        input.filter((entry) => entry.role === "developer").map((entry) => textOf(entry.content))[0],
      input,
      text: textOf(input.findLast((entry) => entry.role === "user")?.content),
      toolOutput: (callId) => input.findLast((entry) => entry.call_id === callId && entry.output !== undefined)?.output,
      tools: body?.tools ?? [],
      effort: body?.reasoning?.effort ?? undefined,
      summary: body?.reasoning?.summary ?? undefined,
      format: body?.text?.format ?? undefined,
      body: Option.getOrElse(json, () => rawBody),
      outcome
    }
  }
}

// ============================================================================
// Service
// ============================================================================

/**
 * Decides the reply by the request, at once or by an Effect. `undefined` leaves it to the default.
 *
 * @category models
 * @since 0.1.0
 */
export type Handler = (
  request: ModelRequest
) => Reply.Reply | undefined | Effect.Effect<Reply.Reply | undefined>

/**
 * The members of the `OfflineModel` service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** The base URL of the API, such as `http://127.0.0.1:41234/v1`. */
  readonly baseUrl: string
  /**
   * Adds replies for the next requests, in order of their arrival. Scripted replies go before the handler. Dies where
   * more replies wait than `scriptLimit` allows.
   */
  readonly enqueue: (...replies: ReadonlyArray<Reply.Reply>) => Effect.Effect<void>
  /** Sets the handler for whatever is not scripted, in place of the one before. */
  readonly respond: (handler: Handler) => Effect.Effect<void>
  /** The scripted replies that no request has taken yet. */
  readonly remaining: Effect.Effect<number>
  /** The most recent requests, oldest first, at most `recordLimit`. */
  readonly requests: Effect.Effect<ReadonlyArray<ModelRequest>>
  /** Takes the next request that nobody has taken by this, waiting for it where needed. */
  readonly nextRequest: Effect.Effect<ModelRequest>
  /** The first remembered or coming request that fits. Waits for it; bound it with a timeout. */
  readonly awaitRequest: (predicate: (request: ModelRequest) => boolean) => Effect.Effect<ModelRequest>
  /** The remembered requests and all that follow. A reader that is far behind loses the oldest. */
  readonly requestStream: Stream.Stream<ModelRequest>
}

/**
 * The options of `OfflineModel.layer`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The replies to the first requests, in order. */
  readonly replies?: ReadonlyArray<Reply.Reply> | undefined
  /** The first handler, as set by `respond`. */
  readonly respond?: Handler | undefined
  /**
   * The reply to a request for which there is neither script nor handler: `Hello from the offline model.` unless given.
   * With `null` such a request is refused with HTTP 400 and a message that says so.
   */
  readonly default?: Reply.Reply | null | undefined
  /** How many requests are remembered; 256 unless given. */
  readonly recordLimit?: number | undefined
  /** How many scripted replies may wait; 4096 unless given. */
  readonly scriptLimit?: number | undefined
  /** The largest request body in bytes; 64 MiB unless given. */
  readonly maxBodyBytes?: number | undefined
}

const defaultReply = Reply.text("Hello from the offline model.")

// 400 and not 500: the app-server shows the body of a 400 to its user, and hides that of a 500 behind a text of its own.
const refuse = (message: string) =>
  HttpServerResponse.jsonUnsafe(
    { error: { message, type: "offline_model", code: "offline_model", param: null } },
    { status: 400 }
  )

// An ESM import of node:http would load the platform's fetch client as well.
const http = process.getBuiltinModule("node:http")

// Destroying a response throws away what is not on the wire yet; ending the socket sends that first.
const flushSocket = (incoming: HttpServerRequest.HttpServerRequest): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (!(incoming.source instanceof http.IncomingMessage) || incoming.source.socket.destroyed) {
      return resume(Effect.void)
    }
    const { socket } = incoming.source
    const done = () => resume(Effect.void)
    socket.once("close", done)
    socket.end(done)
    return Effect.sync(() => socket.off("close", done))
  })

const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<Service, HttpServerError.ServeError, Scope.Scope> {
  const recordLimit = Math.max(1, options.recordLimit ?? 256)
  const scriptLimit = options.scriptLimit ?? 4096
  const fallback = options.default === undefined ? defaultReply : options.default ?? undefined
  const script: Array<Reply.Reply> = [...options.replies ?? []]
  let handler: Handler | undefined = options.respond
  let count = 0
  const recorded: Array<ModelRequest> = []
  const untaken = yield* Queue.sliding<ModelRequest>(recordLimit)
  const published = yield* PubSub.sliding<ModelRequest>({ capacity: recordLimit, replay: recordLimit })
  yield* Effect.addFinalizer(() => Effect.andThen(Queue.shutdown(untaken), PubSub.shutdown(published)))

  const choose = (request: ModelRequest): Effect.Effect<Reply.Reply | undefined> => {
    const scripted = script.shift()
    if (scripted !== undefined) return Effect.succeed(scripted)
    const chosen = handler?.(request)
    const answer = Effect.isEffect(chosen) ? chosen : Effect.succeed(chosen)
    return Effect.map(answer, (reply) => reply ?? fallback)
  }

  const answer = Effect.fnUntraced(function*(path: string, incoming: HttpServerRequest.HttpServerRequest) {
    const rawBody = yield* incoming.text
    const outcome = yield* Deferred.make<Outcome>()
    const end = (value: Outcome) => Deferred.succeed(outcome, value)
    const { request, valid } = makeRequest(++count, path, incoming.headers, rawBody, Deferred.await(outcome))
    recorded.push(request)
    if (recorded.length > recordLimit) recorded.shift()
    yield* Queue.offer(untaken, request)
    yield* PubSub.publish(published, request)
    if (path !== "/v1/responses" || !valid) {
      yield* end("unscripted")
      return refuse(
        path === "/v1/responses"
          ? `The offline model cannot read the body of request ${request.index}.`
          : `The offline model does not serve ${incoming.method} ${path}.`
      )
    }
    const reply = yield* Effect.suspend(() => choose(request)).pipe(
      Effect.onInterrupt(() => end("disconnected")),
      Effect.sandbox,
      Effect.result
    )
    if (reply._tag === "Failure") {
      yield* end("unscripted")
      return refuse(
        `The handler of the offline model failed on request ${request.index}: ${Cause.pretty(reply.failure)}`
      )
    }
    if (reply.success === undefined) {
      yield* end("unscripted")
      return refuse(
        `The offline model has no reply for request ${request.index} (last user text: ${JSON.stringify(request.text)}).`
      )
    }
    if ("status" in reply.success) {
      yield* end("answered")
      return HttpServerResponse.jsonUnsafe(reply.success.body, {
        status: reply.success.status,
        headers: reply.success.headers
      })
    }
    const body = Reply.encode(reply.success, request.index, flushSocket(incoming)).pipe(
      Stream.encodeText,
      Stream.onExit((exit) =>
        end(exit._tag === "Success" ? "answered" : Cause.hasInterrupts(exit.cause) ? "disconnected" : "cut")
      )
    )
    return HttpServerResponse.stream(body, {
      contentType: "text/event-stream",
      headers: { "cache-control": "no-cache" }
    })
  })

  const app = Effect.gen(function*() {
    const incoming = yield* HttpServerRequest.HttpServerRequest
    const path = incoming.url.split("?", 1)[0] ?? incoming.url
    if (incoming.method === "GET" && path === "/v1/models") {
      return HttpServerResponse.jsonUnsafe({ object: "list", data: [], models: [] })
    }
    return yield* answer(path, incoming)
  }).pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(options.maxBodyBytes ?? 64 * 1024 * 1024)),
    // The spans of this server are no part of what a test traces.
    Effect.withTracerEnabled(false)
  )

  const listener = http.createServer()
  const server = yield* NodeHttpServer.make(() => listener, {
    host: "127.0.0.1",
    port: 0,
    disablePreemptiveShutdown: true
  })
  yield* server.serve(app)
  // Open streams and kept-alive connections would hold up the end of the scope.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      listener.close()
      listener.closeAllConnections()
    })
  )

  return {
    baseUrl: `${HttpServer.formatAddress(server.address)}/v1`,
    enqueue: (...replies) =>
      Effect.suspend(() => {
        if (script.length + replies.length > scriptLimit) {
          return Effect.die(new Error(`More than ${scriptLimit} replies are waiting in the script.`))
        }
        script.push(...replies)
        return Effect.void
      }),
    respond: (next) =>
      Effect.sync(() => {
        handler = next
      }),
    remaining: Effect.sync(() => script.length),
    requests: Effect.sync(() => [...recorded]),
    nextRequest: Queue.take(untaken),
    awaitRequest: (predicate) =>
      Stream.fromPubSub(published).pipe(
        Stream.filter(predicate),
        Stream.runHead,
        // The stream ends early only where the model itself has ended.
        Effect.flatMap(Option.match({ onNone: () => Effect.interrupt, onSome: Effect.succeed }))
      ),
    requestStream: Stream.fromPubSub(published)
  }
})

/**
 * A model that answers what the test says, over the Responses API on a loopback port of its own. Requests take the
 * scripted replies in order of arrival; what is not scripted goes to the handler, then to the default reply. Everything
 * that was asked is recorded.
 *
 * **Example** (Scripting two requests)
 *
 * ```ts
 * import { OfflineModel } from "@effect-codex/node/testing"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const model = yield* OfflineModel
 *   const gate = yield* OfflineModel.gate
 *   yield* model.enqueue(
 *     [OfflineModel.commentary("Looking."), OfflineModel.functionCall({ name: "exec_command", arguments: { cmd: "ls" } })],
 *     OfflineModel.text(["Half ", OfflineModel.hold(gate), "and whole."])
 *   )
 *   // ... start a turn against model.baseUrl ...
 *   const request = yield* model.nextRequest
 *   yield* gate.reached
 *   yield* gate.open
 *   return yield* request.outcome
 * }).pipe(Effect.provide(OfflineModel.layer()))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class OfflineModel extends Context.Service<OfflineModel, Service>()("@effect-codex/node/testing/OfflineModel") {
  /** Starts the server; the scope's end closes it and every open stream. Fails where no port can be bound. */
  static readonly make = make
  /** Provides the model. Every use of the function makes a server of its own. */
  static readonly layer = (options?: Options): Layer.Layer<OfflineModel, HttpServerError.ServeError> =>
    Layer.effect(this, make(options))

  /** A message of the assistant, cut into deltas by word, by `deltas` characters, or as the array says. */
  static readonly text = Reply.text
  /** A message of phase `commentary`. */
  static readonly commentary = Reply.commentary
  /** A message of phase `final_answer`. */
  static readonly finalAnswer = Reply.finalAnswer
  /** A JSON value as the text of the answer. */
  static readonly json = Reply.json
  /** A reasoning item with the given summary parts. */
  static readonly reasoning = Reply.reasoning
  /** A tool call; its output comes with the agent's next request. */
  static readonly functionCall = Reply.functionCall
  /** An output item exactly as given. */
  static readonly item = Reply.item
  /** A server-sent event exactly as given. */
  static readonly event = Reply.event
  /** The tokens that the reply reports at its end. */
  static readonly usage = Reply.usage
  /** Makes a closed gate, for `hold`. */
  static readonly gate = Reply.gate
  /** Holds the reply until the gate or latch is open, or the Effect succeeds. */
  static readonly hold = Reply.hold
  /** Holds the reply for a time. */
  static readonly delay = Reply.delay
  /** Ends the reply with `response.failed`. */
  static readonly failed = Reply.failed
  /** Ends the reply with `response.incomplete`. */
  static readonly incomplete = Reply.incomplete
  /** Ends the reply by closing the connection after what was sent before. */
  static readonly cut = Reply.cut
  /** Answers with an HTTP status in place of a stream. */
  static readonly httpError = Reply.httpError
}
