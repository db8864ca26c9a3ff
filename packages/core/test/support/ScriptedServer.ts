/** An app-server in memory that does what the test says, behind a `Transport`. */
import { type AppServerClient, type AppServerClientOptions, type ConnectionError, Transport } from "@effect-codex/core"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { make } from "../../src/AppServerClient.ts"

const Id = Schema.Union([Schema.Int, Schema.String])

const Message = Schema.Struct({
  id: Schema.optionalKey(Id),
  method: Schema.optionalKey(Schema.String),
  params: Schema.optionalKey(Schema.Unknown),
  result: Schema.optionalKey(Schema.Unknown),
  error: Schema.optionalKey(Schema.Struct({ code: Schema.Int, message: Schema.String }))
})

/** A message that the client sent. */
export type Message = typeof Message.Type

/** A request that the client sent. */
export interface Request {
  readonly id: number | string
  readonly method: string
  readonly params: unknown
}

const decodeMessage = Schema.decodeUnknownSync(Schema.fromJsonString(Message))

const encoder = new TextEncoder()

/** Messages as the server writes them, one a line. */
export const encode = (...messages: ReadonlyArray<unknown>): Uint8Array =>
  encoder.encode(messages.map((message) => `${JSON.stringify(message)}\n`).join(""))

export const initializeResult = {
  userAgent: "scripted/0.169.0 (Test 1; x86_64) test (test; 0)",
  codexHome: "/home/test/.codex",
  platformFamily: "unix",
  platformOs: "linux"
}

export interface ScriptedServer {
  readonly transport: Transport["Service"]
  /** Every message of the client so far. */
  readonly sent: ReadonlyArray<Message>
  /** The methods of the requests and notifications of the client so far, after the handshake. */
  readonly methods: () => ReadonlyArray<string>
  /** Waits for the next message of the client. */
  readonly next: Effect.Effect<Message>
  /** Waits for the next message, which must be a request of the method. */
  readonly request: (method: string) => Effect.Effect<Request>
  /** Writes messages, one a line, in one chunk. */
  readonly push: (...messages: ReadonlyArray<unknown>) => Effect.Effect<void>
  /** Writes bytes as they are. */
  readonly pushBytes: (...chunks: ReadonlyArray<Uint8Array>) => Effect.Effect<void>
  /** Answers a request. */
  readonly respond: (request: Request, result: unknown) => Effect.Effect<void>
  /** Refuses a request. */
  readonly refuse: (request: Request, code: number, message: string) => Effect.Effect<void>
  /** Asks the client something it does not know and waits for its refusal: by then it has read everything before. */
  readonly barrier: Effect.Effect<void>
  /** Ends the connection. */
  readonly end: (error: ConnectionError) => Effect.Effect<void>
}

export interface Options {
  /** Answers `initialize` and takes `initialized` by itself. Default: true. */
  readonly handshake?: boolean | undefined
}

export const start = (options: Options = {}): Effect.Effect<ScriptedServer> =>
  Effect.gen(function*() {
    const output = yield* Queue.unbounded<Uint8Array, ConnectionError>()
    const input = yield* Queue.unbounded<Message>()
    const sent: Array<Message> = []
    let barriers = 0

    const push: ScriptedServer["push"] = (...messages) => Effect.asVoid(Queue.offer(output, encode(...messages)))

    const receive = (message: Message): Effect.Effect<void> => {
      sent.push(message)
      if (options.handshake !== false) {
        if (message.method === "initialize") return push({ id: message.id, result: initializeResult })
        if (message.method === "initialized") return Effect.void
      }
      return Effect.asVoid(Queue.offer(input, message))
    }

    const next = Queue.take(input)

    return {
      transport: Transport.of({
        incoming: Stream.fromQueue(output),
        send: (line) => Effect.suspend(() => receive(decodeMessage(line)))
      }),
      sent,
      methods: () =>
        sent.flatMap(({ method }) =>
          method === undefined || method === "initialize" || method === "initialized" ? [] : [method]
        ),
      next,
      request: (method) =>
        Effect.flatMap(next, (message) =>
          message.method === method && message.id !== undefined
            ? Effect.succeed({ id: message.id, method, params: message.params })
            : Effect.die(new Error(`Expected a request ${method}, got ${JSON.stringify(message)}`))),
      push,
      pushBytes: (...chunks) => Effect.asVoid(Queue.offerAll(output, chunks)),
      respond: ({ id }, result) => push({ id, result }),
      refuse: ({ id }, code, message) => push({ id, error: { code, message } }),
      barrier: Effect.suspend(() => {
        const id = `barrier-${barriers++}`
        return push({ id, method: "test/barrier", params: {} }).pipe(
          Effect.andThen(next),
          Effect.flatMap((message) =>
            message.id === id
              ? Effect.void
              : Effect.die(new Error(`Expected the answer to the barrier, got ${JSON.stringify(message)}`))
          )
        )
      }),
      end: (error) => Effect.asVoid(Queue.fail(output, error))
    }
  })

/** A client over a scripted server, after the handshake, for as long as the scope is open. */
export const connect = (options?: AppServerClientOptions) =>
  Effect.gen(function*() {
    const server = yield* start()
    const client: AppServerClient["Service"] = yield* make(options).pipe(
      Effect.provideService(Transport, server.transport)
    )
    return { client, server }
  })

/** The same with a server that goes on behind the connection, which the scope ends. */
export const connectToDaemon = Effect.gen(function*() {
  const server = yield* start()
  const scope = yield* Scope.make()
  const client: AppServerClient["Service"] = yield* make().pipe(
    Effect.provideService(Transport, { ...server.transport, serverGoesOn: true }),
    Scope.provide(scope)
  )
  return { client, scope, server }
})
