/**
 * Everything that can go wrong between a program and the app-server, as flat
 * tagged classes. Each method's error channel names just those it can meet.
 *
 * No error carries a payload: messages name methods, ids, field paths and what
 * was expected there, never the value that was found. What a turn had produced is
 * in `result` for the program, and is not shown where the error is printed or logged.
 *
 * @since 0.1.0
 */
import { ThreadItem, ThreadTokenUsage, TurnError, TurnStatus } from "@effect-codex/generated"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * One place where a payload is not what its Schema says: the path to the field
 * and what was expected there. Never the value.
 *
 * @since 0.1.0
 * @category models
 */
export const PayloadIssue = Schema.Struct({
  /** The field, as `thread.turns[0].id`; empty for the payload itself. */
  path: Schema.String,
  /** What the Schema expects at that place. */
  expected: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export type PayloadIssue = typeof PayloadIssue.Type

// =============================================================================
// Connection
// =============================================================================

/**
 * The app-server could not be started or did not complete its handshake because
 * it stopped: no binary, a bad configuration, an exit before `initialize`.
 *
 * @since 0.1.0
 * @category errors
 */
export class AppServerSpawnError extends Schema.TaggedError<AppServerSpawnError>()("AppServerSpawnError", {
  /** What stood in the way. */
  reason: Schema.Literals([
    "BinaryNotFound",
    "UnsupportedPlatform",
    "BadWorkingDirectory",
    "SpawnFailed",
    "ExitedEarly"
  ]),
  /** The executable that was to be started, where one was found. */
  executable: Schema.optionalKey(Schema.String),
  /** A sentence for the reader. */
  description: Schema.String,
  /** The end of what the process wrote to stderr, redacted. */
  stderr: Schema.optionalKey(Schema.String),
  /** The exit code, where the process ran and ended with one. */
  exitCode: Schema.optionalKey(Schema.Int),
  /** The signal that ended the process, where it ran and one did. */
  signal: Schema.optionalKey(Schema.String),
  /** The platform's own error, where there is one. */
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return withStderr(`${this.reason}: ${this.description}`, this.stderr)
  }
}

/**
 * The app-server process ended. Every waiter, stream and later call of the
 * connection settles with this one cause.
 *
 * @since 0.1.0
 * @category errors
 */
export class AppServerExited extends Schema.TaggedError<AppServerExited>()("AppServerExited", {
  /** The exit code; absent when a signal ended the process. */
  exitCode: Schema.optionalKey(Schema.Int),
  /** A description of the signal that ended the process. */
  signal: Schema.optionalKey(Schema.String),
  /** The end of what the process wrote to stderr, redacted. */
  stderr: Schema.String,
  /** The method that was waiting for an answer, where the error reached a request. */
  method: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const how = this.exitCode === undefined ? this.signal ?? "ended by a signal" : `exit code ${this.exitCode}`
    const during = this.method === undefined ? "" : ` during ${this.method}`
    return withStderr(`The app-server exited${during} (${how})`, this.stderr)
  }
}

/**
 * Bytes could not be moved: the transport failed, ended or was closed.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransportError extends Schema.TaggedError<TransportError>()("TransportError", {
  /** What the transport was doing. */
  operation: Schema.Literals(["open", "read", "write", "close"]),
  /**
   * What went wrong, where the transport knows: nobody listens or answers
   * (`Unreachable`), the credentials are refused (`Unauthorized`), something else listens
   * there (`NotAnAppServer`), the other side was silent for too long (`Timeout`), it
   * closed the connection (`Closed`), or a message is longer than it may be (`TooLarge`).
   */
  reason: Schema.optionalKey(
    Schema.Literals(["Unreachable", "Unauthorized", "NotAnAppServer", "Timeout", "Closed", "TooLarge"])
  ),
  /** A sentence for the reader. */
  description: Schema.String,
  /** The method that was waiting for an answer, where the error reached a request. */
  method: Schema.optionalKey(Schema.String),
  /** The platform's own error, where there is one. */
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    const during = this.method === undefined ? "" : ` during ${this.method}`
    return `${this.description} (${this.operation}${during})`
  }
}

/**
 * An option has a value that it cannot have. Nothing was started.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidOptions extends Schema.TaggedError<InvalidOptions>()("InvalidOptions", {
  /** Which options, and what each of them may be. */
  issues: Schema.Array(PayloadIssue)
}) {
  override get message(): string {
    return formatIssues(this.issues)
  }
}

/**
 * The runtime is older than the protocol of this package. Update it, or leave
 * `codexPath` out to start the pinned one.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnsupportedRuntime extends Schema.TaggedError<UnsupportedRuntime>()("UnsupportedRuntime", {
  /** The version that it told. */
  version: Schema.String,
  /** The oldest version that is accepted. */
  minimum: Schema.String,
  /** The version that this package is tested with. */
  tested: Schema.String
}) {
  override get message(): string {
    return `The app-server is ${this.version}; this package needs ${this.minimum} or newer (tested with ${this.tested})`
  }
}

/**
 * Why a connection is over: the reason every waiter of it is given. Only a
 * supervised one ends with `SupervisorGaveUp`.
 *
 * @since 0.1.0
 * @category errors
 */
export type ConnectionError = AppServerExited | TransportError | SupervisorGaveUp

// =============================================================================
// Payloads
// =============================================================================

/**
 * What the server sent does not match the Schema generated from the pinned
 * runtime. Only the call or turn it belongs to fails.
 *
 * @since 0.1.0
 * @category errors
 */
export class DecodeError extends Schema.TaggedError<DecodeError>()("DecodeError", {
  /** The method whose payload it was. */
  method: Schema.String,
  /** Which payload of the method. */
  payload: Schema.Literals(["result", "notification", "envelope"]),
  /** Where it does not fit. */
  issues: Schema.Array(PayloadIssue)
}) {
  override get message(): string {
    return `${this.method}: the ${this.payload} does not match its schema: ${formatIssues(this.issues)}`
  }
}

// =============================================================================
// Requests
// =============================================================================

/**
 * No response came in time. The request may still be carried out; a late
 * response is dropped.
 *
 * @since 0.1.0
 * @category errors
 */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", {
  /** The method that was not answered. */
  method: Schema.String,
  /** The deadline that passed. */
  timeout: Schema.Duration
}) {
  override get message(): string {
    return `${this.method}: no response within ${Duration.format(this.timeout)}`
  }
}

const rpcFields = {
  /** The method that was refused. */
  method: Schema.String,
  /** The JSON-RPC error code. */
  code: Schema.Int,
  /** The server's own words. */
  description: Schema.String,
  /** The error's `data` member, as it came. */
  data: Schema.optionalKey(Schema.Unknown)
}

const rpcMessage = (self: { readonly method: string; readonly code: number; readonly description: string }): string =>
  `${self.method}: ${self.description} (${self.code})`

/**
 * The server refuses work because it is full. With code -32001 the request was not
 * carried out, so it is safe to repeat; with any other code the error's `data` says
 * `serverOverloaded`, and only requests that change nothing are repeated.
 *
 * @since 0.1.0
 * @category errors
 */
export class ServerOverloaded extends Schema.TaggedError<ServerOverloaded>()("ServerOverloaded", rpcFields) {
  override get message(): string {
    return rpcMessage(this)
  }
}

/**
 * The server could not parse the message (-32700).
 *
 * @since 0.1.0
 * @category errors
 */
export class ParseError extends Schema.TaggedError<ParseError>()("ParseError", rpcFields) {
  override get message(): string {
    return rpcMessage(this)
  }
}

/**
 * The server refuses the request as it stands (-32600): unknown thread, wrong
 * state, a method it does not know.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", rpcFields) {
  override get message(): string {
    return rpcMessage(this)
  }
}

/**
 * The method does not exist on the other side (-32601).
 *
 * @since 0.1.0
 * @category errors
 */
export class MethodNotFound extends Schema.TaggedError<MethodNotFound>()("MethodNotFound", rpcFields) {
  override get message(): string {
    return rpcMessage(this)
  }
}

/**
 * The params are wrong (-32602). With `sent: false` they were checked here and
 * nothing was written; `issues` then names each field.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidParams extends Schema.TaggedError<InvalidParams>()("InvalidParams", {
  ...rpcFields,
  /** Whether the request reached the server. */
  sent: Schema.Boolean,
  /** Which fields are wrong, where that is known. */
  issues: Schema.Array(PayloadIssue)
}) {
  override get message(): string {
    return rpcMessage(this)
  }
}

/**
 * The server failed to carry the request out (-32603).
 *
 * @since 0.1.0
 * @category errors
 */
export class InternalError extends Schema.TaggedError<InternalError>()("InternalError", rpcFields) {
  override get message(): string {
    return rpcMessage(this)
  }
}

/**
 * Any other JSON-RPC error.
 *
 * @since 0.1.0
 * @category errors
 */
export class RpcError extends Schema.TaggedError<RpcError>()("RpcError", rpcFields) {
  override get message(): string {
    return rpcMessage(this)
  }
}

/**
 * A JSON-RPC error that the server answers a request with.
 *
 * @since 0.1.0
 * @category errors
 */
export type ResponseError =
  | ParseError
  | InvalidRequest
  | MethodNotFound
  | InvalidParams
  | InternalError
  | ServerOverloaded
  | RpcError

/**
 * Everything a request can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type RequestError =
  | ConnectionError
  | ResponseError
  | RetryLimitExceeded
  | RequestTimeout
  | DecodeError
  | ExperimentalApiRequired

// =============================================================================
// Turns
// =============================================================================

const partialResult = Schema.Struct({
  threadId: Schema.String,
  turnId: Schema.String,
  status: Schema.suspend(() => TurnStatus),
  finalResponse: Schema.NullOr(Schema.String),
  items: Schema.Array(Schema.suspend(() => ThreadItem)),
  usage: Schema.NullOr(Schema.suspend(() => ThreadTokenUsage)),
  startedAt: Schema.NullOr(Schema.DateTimeUtc),
  completedAt: Schema.NullOr(Schema.DateTimeUtc),
  durationMs: Schema.NullOr(Schema.Finite)
})

/**
 * The turn ended with status `failed`. What it had done until then is kept in
 * `result`.
 *
 * @since 0.1.0
 * @category errors
 */
export class TurnFailed extends Schema.TaggedError<TurnFailed>()("TurnFailed", {
  /** The thread the turn ran on. */
  threadId: Schema.String,
  /** The turn that failed. */
  turnId: Schema.String,
  /** The server's error: its message, `codexErrorInfo` and details; null when it gave none. */
  error: Schema.NullOr(Schema.suspend(() => TurnError)),
  /** What the turn had produced before it failed. */
  result: partialResult
}) {
  override toJSON(): unknown {
    return withoutContent(this)
  }

  override get message(): string {
    return `Turn ${this.turnId} failed: ${this.error?.message ?? "the server gave no reason"}`
  }
}

/**
 * A retry policy gave up; `lastError` is what the last attempt failed with.
 *
 * @since 0.1.0
 * @category errors
 */
export class RetryLimitExceeded extends Schema.TaggedError<RetryLimitExceeded>()("RetryLimitExceeded", {
  /** The method that was tried. */
  method: Schema.String,
  /** How often it was sent, the first time included. */
  attempts: Schema.Int,
  /** What the last attempt failed with. */
  lastError: Schema.Union([ServerOverloaded, TurnFailed])
}) {
  override get message(): string {
    return `${this.method}: gave up after ${this.attempts} attempts: ${this.lastError.message}`
  }
}

/**
 * The turn ended with status `interrupted`, whoever asked for it. What it had
 * done until then is kept in `result`.
 *
 * @since 0.1.0
 * @category errors
 */
export class TurnInterrupted extends Schema.TaggedError<TurnInterrupted>()("TurnInterrupted", {
  /** The thread the turn ran on. */
  threadId: Schema.String,
  /** The turn that was interrupted. */
  turnId: Schema.String,
  /** The server's error, where it gave one. */
  error: Schema.NullOr(Schema.suspend(() => TurnError)),
  /** What the turn had produced before it was interrupted. */
  result: partialResult
}) {
  override toJSON(): unknown {
    return withoutContent(this)
  }

  override get message(): string {
    return `Turn ${this.turnId} was interrupted`
  }
}

/**
 * Input was meant for a turn that is not the one the thread runs now: it has ended,
 * or another one has begun. The input was not taken.
 *
 * @since 0.1.0
 * @category errors
 */
export class StaleTurn extends Schema.TaggedError<StaleTurn>()("StaleTurn", {
  /** The method that was refused. */
  method: Schema.String,
  /** The thread. */
  threadId: Schema.String,
  /** The turn that the input was meant for. */
  expectedTurnId: Schema.String,
  /** The turn that runs instead; null when none does. */
  actualTurnId: Schema.NullOr(Schema.String)
}) {
  override get message(): string {
    const instead = this.actualTurnId === null ? "no turn runs" : `turn ${this.actualTurnId} runs`
    return `${this.method}: turn ${this.expectedTurnId} is not running any more, ${instead}`
  }
}

/**
 * The answer of a turn is not what the output Schema says. The turn itself has
 * completed: `result` is what it came to.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutputDecodeError extends Schema.TaggedError<OutputDecodeError>()("OutputDecodeError", {
  /** The thread the turn ran on. */
  threadId: Schema.String,
  /** The turn that gave the answer. */
  turnId: Schema.String,
  /** The answer as it came; null when the turn gave none. Not part of the message. */
  raw: Schema.NullOr(Schema.String),
  /** Where it does not fit. */
  issues: Schema.Array(PayloadIssue),
  /** What the turn came to. */
  result: partialResult
}) {
  override toJSON(): unknown {
    return withoutContent(this)
  }

  override get message(): string {
    return `The answer of turn ${this.turnId} does not match its schema: ${formatIssues(this.issues)}`
  }
}

/**
 * A Schema that the model cannot be held to. Nothing was sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnsupportedOutputSchema extends Schema.TaggedError<UnsupportedOutputSchema>()("UnsupportedOutputSchema", {
  /** The place in the Schema, as `items[].note`; empty for the Schema itself. */
  path: Schema.String,
  /** What is wrong with it. */
  description: Schema.String
}) {
  override get message(): string {
    return `${this.path === "" ? "The output schema" : `The output schema at ${this.path}`}: ${this.description}`
  }
}

/**
 * A run took more than its budget; the turn was interrupted.
 *
 * @since 0.1.0
 * @category errors
 */
export class BudgetExceeded extends Schema.TaggedError<BudgetExceeded>()("BudgetExceeded", {
  /** The thread the turn ran on. */
  threadId: Schema.String,
  /** The turn that was interrupted. */
  turnId: Schema.String,
  /** Which limit was passed. */
  limit: Schema.Literals(["wallTime", "tokens", "toolCalls"]),
  /** What the turn had produced by then. */
  result: partialResult
}) {
  override toJSON(): unknown {
    return withoutContent(this)
  }

  override get message(): string {
    return `Turn ${this.turnId} was interrupted: it took more ${budgetNames[this.limit]} than its budget`
  }
}

const budgetNames = { wallTime: "time", tokens: "tokens", toolCalls: "tool calls" }

/**
 * The method or the field needs the experimental API, which the layer did not ask
 * for. Nothing was sent.
 *
 * @since 0.1.0
 * @category errors
 */
export class ExperimentalApiRequired extends Schema.TaggedError<ExperimentalApiRequired>()("ExperimentalApiRequired", {
  /** The method that was to be called. */
  method: Schema.String,
  /** The fields of its params that need it, with the value where only that does; none when the whole method does. */
  fields: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const what = this.fields.length === 0 ? this.method : `${this.method} with ${this.fields.join(", ")}`
    return `${what} needs the experimental API: give the layer \`experimental: true\``
  }
}

/**
 * Nothing was heard of the turn for longer than `turnIdleTimeout`, and the server
 * could not tell how it ended. What the turn had done until then is kept in
 * `result`.
 *
 * @since 0.1.0
 * @category errors
 */
export class TurnStalled extends Schema.TaggedError<TurnStalled>()("TurnStalled", {
  /** The thread the turn ran on. */
  threadId: Schema.String,
  /** The turn that is silent. */
  turnId: Schema.String,
  /** What the server said of it: that it does not run, or nothing that could be read. */
  reason: Schema.Literals(["unknownTurn", "noAnswer"]),
  /** How long nothing was heard of it, at the least. */
  idle: Schema.Duration,
  /** What the turn had produced by then. */
  result: partialResult
}) {
  override toJSON(): unknown {
    return withoutContent(this)
  }

  override get message(): string {
    const reason = this.reason === "noAnswer" ? "the server does not answer" : "the server does not know how it ended"
    return `Turn ${this.turnId} has been silent for ${Duration.format(this.idle)}, and ${reason}`
  }
}

/**
 * A reader of a turn's events was slower than its buffer allows, so this
 * reader's stream ends. The turn itself, its `result` and other readers go on.
 *
 * @since 0.1.0
 * @category errors
 */
export class TurnLagged extends Schema.TaggedError<TurnLagged>()("TurnLagged", {
  /** The thread the turn runs on. */
  threadId: Schema.String,
  /** The turn whose events were not read in time. */
  turnId: Schema.String,
  /** How many events the buffer holds. */
  bufferEvents: Schema.Int,
  /** How many bytes the buffer holds, measured on the wire. */
  bufferBytes: Schema.Int
}) {
  override get message(): string {
    return `The events of turn ${this.turnId} were not read in time (buffer: ${this.bufferEvents} events, ${this.bufferBytes} bytes)`
  }
}

/**
 * The output of a process was not read in time, or not at all, so that not all of
 * it was kept. The process itself goes on.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutputLagged extends Schema.TaggedError<OutputLagged>()("OutputLagged", {
  /** Which output. */
  stream: Schema.Literals(["stdout", "stderr"]),
  /** How many chunks the buffer holds. */
  bufferEvents: Schema.Int,
  /** How many bytes the buffer holds. */
  bufferBytes: Schema.Int
}) {
  override get message(): string {
    return `The ${this.stream} of a process was not read in time (buffer: ${this.bufferEvents} chunks, ${this.bufferBytes} bytes)`
  }
}

// =============================================================================
// Supervision
// =============================================================================

/**
 * Why a supervised app-server has to be started again, or why that did not work.
 *
 * @since 0.1.0
 * @category errors
 */
export const RestartCause = Schema.Union([
  AppServerExited,
  TransportError,
  AppServerSpawnError,
  InvalidOptions,
  UnsupportedRuntime,
  RequestTimeout,
  DecodeError,
  ParseError,
  InvalidRequest,
  MethodNotFound,
  InvalidParams,
  InternalError,
  ServerOverloaded,
  RpcError,
  RetryLimitExceeded,
  ExperimentalApiRequired
])

/**
 * @since 0.1.0
 * @category errors
 */
export type RestartCause = typeof RestartCause.Type

/**
 * The app-server has ended and is not started again: the schedule of the restarts
 * is exhausted, or no restart can mend what is wrong. Everything that waits and
 * every later call is given this.
 *
 * @since 0.1.0
 * @category errors
 */
export class SupervisorGaveUp extends Schema.TaggedError<SupervisorGaveUp>()("SupervisorGaveUp", {
  /** Why it is not started again. */
  reason: Schema.Literals(["scheduleExhausted", "cannotBeMended"]),
  /** How often a restart was tried since the last healthy run. */
  attempts: Schema.Int,
  /** How many restarts there were since the supervisor began. */
  restarts: Schema.Int,
  /** What ended the last connection, or the last try. */
  lastCause: RestartCause
}) {
  override get message(): string {
    const why = this.reason === "scheduleExhausted" ? "its schedule is exhausted" : "a restart cannot mend this"
    return `The app-server is not started again after ${this.attempts} attempts, ${why}: ${this.lastCause.message}`
  }
}

/**
 * Every error of this package, as the `error` of an `Rpc` or an `HttpApi` endpoint takes it.
 * What is encoded of an error is all of it, unlike what is printed.
 *
 * @since 0.1.0
 * @category errors
 */
export const CodexError = Schema.Union([
  AppServerSpawnError,
  InvalidOptions,
  UnsupportedRuntime,
  AppServerExited,
  TransportError,
  SupervisorGaveUp,
  ParseError,
  InvalidRequest,
  MethodNotFound,
  InvalidParams,
  InternalError,
  ServerOverloaded,
  RpcError,
  RetryLimitExceeded,
  RequestTimeout,
  DecodeError,
  ExperimentalApiRequired,
  TurnFailed,
  TurnInterrupted,
  TurnStalled,
  StaleTurn,
  TurnLagged,
  OutputLagged,
  OutputDecodeError,
  UnsupportedOutputSchema,
  BudgetExceeded
])

/**
 * The union of every error of this package.
 *
 * @since 0.1.0
 * @category errors
 */
export type CodexError = typeof CodexError.Type

/** @internal */
export const formatIssues = (issues: ReadonlyArray<PayloadIssue>): string =>
  issues.map((issue) => `${issue.path === "" ? "(payload)" : issue.path}: ${issue.expected}`).join("; ")

/**
 * What an error shows of itself where it is printed or logged: what the agent and the
 * user said is for the program to read, and not for its logs.
 */
const withoutContent = (error: Error): unknown => ({
  ...Object.fromEntries(Object.entries(error).filter(([key]) => key !== "result" && key !== "raw")),
  message: error.message
})

const withStderr = (message: string, stderr: string | undefined): string =>
  stderr === undefined || stderr === "" ? message : `${message}\n${stderr}`
