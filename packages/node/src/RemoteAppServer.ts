/**
 * An app-server that somebody else runs (`codex app-server --listen`), and the
 * transport over a WebSocket to it. It listens on a TCP port or on a Unix socket, and
 * speaks WebSocket on both: one text frame is one message.
 *
 * @since 0.1.0
 */
import { type ConnectionError, InvalidOptions, type PayloadIssue, Transport, TransportError } from "@effect-codex/core"
import * as NodeWS from "@effect/platform-node/NodeWS"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { createConnection } from "node:net"
import { homedir } from "node:os"

// =============================================================================
// Options
// =============================================================================

/**
 * How to connect, wherever the server listens.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The bearer token that the server asks for (`--ws-auth`): a capability token or a
   * signed one. An effect is asked anew for each connection, so that a token may expire.
   * Send one over `ws://` only where nobody else can listen.
   */
  readonly token?: Redacted.Redacted<string> | Effect.Effect<Redacted.Redacted<string>, TransportError> | undefined
  /** How long connecting may take, until the server accepts the WebSocket. Default: 10 seconds. */
  readonly connectTimeout?: Duration.Input | undefined
  /**
   * How often the other side is asked whether it is there. One that leaves two questions
   * unanswered has gone without a word, and the connection ends with a `TransportError`
   * (`Timeout`). Default: 30 seconds; `Duration.infinity` to wait for ever.
   */
  readonly pingInterval?: Duration.Input | undefined
  /** The longest message accepted, in bytes; a longer one fails alone, one of more than four times as many ends the connection. Default: 32 MiB. */
  readonly maxLineBytes?: number | undefined
}

/**
 * Options of `webSocket`.
 *
 * @since 0.1.0
 * @category models
 */
export interface WebSocketOptions extends Options {
  /** Where it listens: `ws://127.0.0.1:4500`, or `wss://` where something before it speaks TLS. */
  readonly url: string | URL
}

/**
 * Options of `unixSocket`.
 *
 * @since 0.1.0
 * @category models
 */
export interface UnixSocketOptions extends Options {
  /**
   * The path after `unix://`. Default: where a server listens that was given none,
   * `app-server-control/app-server-control.sock` in the server's home.
   */
  readonly path?: string | undefined
  /** The server's home, where no `path` is given. Default: `CODEX_HOME`, or else `~/.codex`. */
  readonly codexHome?: string | undefined
}

/** A longer message is sent in parts: the server closes the connection at a frame of more than 16 MiB. */
const FRAME_BYTES = 8 * 1024 * 1024

/** The server closes the connection at a longer message. */
const MESSAGE_BYTES = 64 * 1024 * 1024

/** How much longer a message may be than what is accepted, to fail alone: the socket keeps all of it. */
const OVERSIZE = 4

const DEFAULT_LINE_BYTES = 32 * 1024 * 1024

/** How long the other side may take to close the connection that is let go. */
const CLOSE_GRACE = Duration.seconds(1)

// =============================================================================
// Constructors
// =============================================================================

/**
 * Connects to a server at a URL. The scope ends the connection, and nothing else: the
 * server goes on. Fails with `InvalidOptions`, or with a `TransportError` whose `reason`
 * says what is wrong.
 *
 * @since 0.1.0
 * @category constructors
 */
export const webSocket = Effect.fn("RemoteAppServer.webSocket")(function*(options: WebSocketOptions) {
  const url = URL.parse(String(options.url))
  if (url === null || !/^wss?:$/.test(url.protocol) || url.hash !== "") {
    return yield* invalid({ path: "url", expected: "Expected a URL that begins with ws:// or wss://" })
  }
  return yield* connect({ url, name: url.host, dial: {} }, options)
})

/**
 * The same for a server that listens on a Unix socket.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unixSocket = Effect.fn("RemoteAppServer.unixSocket")(function*(options: UnixSocketOptions = {}) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const given = options.path ??
    path.join(
      // The server takes an empty one for none.
      options.codexHome || process.env["CODEX_HOME"] || path.join(homedir(), ".codex"),
      "app-server-control",
      "app-server-control.sock"
    )
  // The server leaves a link there: its own socket has a path that is short enough for one.
  const target = yield* Effect.orElseSucceed(fs.realPath(given), () => given)
  return yield* connect(
    {
      url: new URL("ws://localhost/"),
      name: given,
      dial: { createConnection: () => createConnection(target) }
    },
    options
  )
})

/** Where the server is. */
interface Target {
  readonly url: URL
  /** For the reader of an error: nothing that is secret. */
  readonly name: string
  readonly dial: Pick<NodeWS.WebSocket.ClientOptions, "createConnection">
}

const connect = Effect.fnUntraced(function*(
  target: Target,
  options: Options
): Effect.fn.Return<Transport["Service"], ConnectionError | InvalidOptions, Scope.Scope> {
  const connectTimeout = yield* duration("connectTimeout", options.connectTimeout, Duration.seconds(10))
  const pingInterval = yield* duration("pingInterval", options.pingInterval, Duration.seconds(30))
  const maxPayload = OVERSIZE * (options.maxLineBytes ?? DEFAULT_LINE_BYTES)
  const { token } = options
  const credentials = token === undefined || Redacted.isRedacted(token) ? token : yield* token
  const errors = new Errors(target.name, credentials !== undefined, maxPayload)

  const ws = yield* Effect.acquireRelease(
    Effect.try({
      try: () =>
        new NodeWS.WebSocket(target.url, {
          ...target.dial,
          maxPayload,
          perMessageDeflate: false,
          headers: credentials === undefined ? {} : { authorization: `Bearer ${Redacted.value(credentials).trim()}` }
        }),
      // What it says of a header names the header, and not its value.
      catch: () => new InvalidOptions({ issues: [{ path: "token", expected: "Expected what fits into a header" }] })
    }),
    hangUp
  )
  // Until somebody listens, and when nobody does any more.
  ws.on("error", () => {})
  ws.once("unexpected-response", (_request, { statusCode }) => {
    errors.status = statusCode
    ws.terminate()
  })

  const socket = yield* Socket.fromWebSocket(Effect.succeed(ws), { openTimeout: connectTimeout })
  const pull = yield* Effect.mapError(Socket.readerBytes(socket), errors.open)

  let unanswered = 0
  ws.on("pong", () => unanswered = 0)
  if (Duration.isFinite(pingInterval)) {
    yield* Effect.sleep(pingInterval).pipe(
      Effect.andThen(Effect.sync(() => {
        // An answer may be here that this process has been too busy to read.
        if (unanswered++ < 2) return ws.ping()
        errors.isSilent = true
        ws.terminate()
      })),
      Effect.forever,
      Effect.forkScoped
    )
  }

  return Transport.of({
    serverGoesOn: true,
    incoming: Stream.fromPull(Effect.succeed(
      Effect.map(Effect.mapError(pull, errors.read), ([first, ...rest]) => {
        unanswered = 0
        const [line, end] = lineOf(first)
        return [line, end, ...rest.flatMap(lineOf)]
      })
    )),
    send: (line) =>
      Effect.suspend(() => {
        const bytes = Buffer.byteLength(line)
        if (bytes > MESSAGE_BYTES) return Effect.fail(errors.tooLong(bytes))
        return Effect.callback<void, TransportError>((resume) => {
          // Called once the operating system has taken it.
          const sent = (error?: Error | null) =>
            resume(error === undefined || error === null ? Effect.void : Effect.fail(errors.write(error)))
          if (bytes <= FRAME_BYTES) return ws.send(line, sent)
          const message = Buffer.from(line)
          for (let start = 0; start < bytes; start += FRAME_BYTES) {
            const fin = start + FRAME_BYTES >= bytes
            ws.send(message.subarray(start, start + FRAME_BYTES), { binary: false, fin }, fin ? sent : undefined)
          }
        })
      })
  })
})

const hangUp = (ws: NodeWS.WebSocket): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (ws.readyState === NodeWS.WebSocket.CLOSED) return resume(Effect.void)
    ws.once("close", () => resume(Effect.void))
    ws.close()
  }).pipe(
    Effect.timeoutOption(CLOSE_GRACE),
    Effect.andThen(Effect.sync(() => ws.terminate()))
  )

const LINE_FEED = 0x0a
const SPACE = 0x20
const lineEnd = Uint8Array.of(LINE_FEED)

/** A message as a line. Between the tokens of JSON, where alone it may stand, a line break is as good as a space. */
const lineOf = (message: Uint8Array): readonly [line: Uint8Array, end: Uint8Array] => [
  message.includes(LINE_FEED) ? message.map((byte) => byte === LINE_FEED ? SPACE : byte) : message,
  lineEnd
]

const duration = (
  path: string,
  input: Duration.Input | undefined,
  fallback: Duration.Duration
): Effect.Effect<Duration.Duration, InvalidOptions> =>
  Option.match(Option.filter(Duration.fromInput(input ?? fallback), Duration.isPositive), {
    onNone: () => invalid({ path, expected: "Expected a duration above zero" }),
    onSome: Effect.succeed
  })

const invalid = (issue: PayloadIssue): Effect.Effect<never, InvalidOptions> =>
  Effect.fail(new InvalidOptions({ issues: [issue] }))

// =============================================================================
// Errors
// =============================================================================

/** What went wrong with a connection. The socket's own events are not shown: they hold the request with its token. */
class Errors {
  /** The HTTP status that came in place of a WebSocket. */
  status: number | undefined
  /** Whether the other side has not shown for too long that it is there. */
  isSilent = false

  private readonly name: string
  private readonly hasToken: boolean
  private readonly maxPayload: number

  constructor(name: string, hasToken: boolean, maxPayload: number) {
    this.name = name
    this.hasToken = hasToken
    this.maxPayload = maxPayload
  }

  readonly open = ({ reason }: Socket.SocketError): TransportError => {
    const failed = (why: NonNullable<TransportError["reason"]>, description: string, cause?: Error) =>
      new TransportError({ operation: "open", reason: why, description, ...(cause === undefined ? {} : { cause }) })
    if (reason._tag === "SocketOpenError" && reason.kind === "Timeout") {
      return failed("Timeout", `${this.name} did not accept the connection in time`)
    }
    const { status } = this
    if (status === 401 || status === 403) {
      return failed(
        "Unauthorized",
        `The app-server at ${this.name} ${this.hasToken ? "refuses the token" : "asks for a token"} (HTTP ${status})`
      )
    }
    if (status !== undefined && status >= 500) {
      return failed("Unreachable", `What is before the app-server at ${this.name} does not reach it (HTTP ${status})`)
    }
    const cause = errorOf(reason)
    const code = codeOf(cause)
    // What has no code is the WebSocket's own verdict on the answer.
    return status !== undefined || code === undefined || code.startsWith("HPE_")
      ? failed(
        "NotAnAppServer",
        `What listens at ${this.name} is no app-server${status === undefined ? "" : ` (HTTP ${status})`}`,
        cause
      )
      : failed("Unreachable", `Could not connect to ${this.name}: ${code}`, cause)
  }

  readonly read = ({ reason }: Socket.SocketError): TransportError => {
    if (this.isSilent) {
      return new TransportError({
        operation: "read",
        reason: "Timeout",
        description: `Nothing came from the app-server at ${this.name} for too long`
      })
    }
    const cause = errorOf(reason)
    if (codeOf(cause) === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") {
      return new TransportError({
        operation: "read",
        reason: "TooLarge",
        description: `The app-server at ${this.name} sent a message of more than ${this.maxPayload} bytes`
      })
    }
    return new TransportError({
      operation: "read",
      reason: "Closed",
      description: `The connection to the app-server at ${this.name} was closed by the other side`,
      ...(cause === undefined ? {} : { cause })
    })
  }

  write(cause: Error): TransportError {
    return new TransportError({
      operation: "write",
      reason: "Closed",
      description: `The connection to the app-server at ${this.name} is closed`,
      cause
    })
  }

  tooLong(bytes: number): TransportError {
    return new TransportError({
      operation: "write",
      reason: "TooLarge",
      description:
        `The app-server at ${this.name} takes messages of up to ${MESSAGE_BYTES} bytes; this one has ${bytes}`
    })
  }
}

const errorOf = (reason: Socket.SocketError["reason"]): Error | undefined =>
  Predicate.hasProperty(reason, "cause") && Predicate.hasProperty(reason.cause, "error") &&
    reason.cause.error instanceof Error
    ? reason.cause.error
    : undefined

const codeOf = (error: Error | undefined): string | undefined =>
  Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : undefined
