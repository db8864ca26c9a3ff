/**
 * What the server tells without being asked, as one union discriminated by
 * `method`. Methods that begin with `client/` are made by this client and never
 * stand on the wire.
 *
 * @since 0.1.0
 */
import type { ServerNotificationMethod, ServerNotificationParams, UnknownMember } from "@effect-codex/generated"
import type { DecodeError, RequestError, RestartCause } from "./CodexError.ts"

interface Origin {
  /** The thread it belongs to, where the payload names one. */
  readonly threadId: string | undefined
  /** The turn it belongs to, where the payload names one. */
  readonly turnId: string | undefined
  /** When the server sent it, in milliseconds since the Unix epoch. */
  readonly emittedAtMs: number | undefined
}

/**
 * One notification of the protocol, decoded.
 *
 * @since 0.1.0
 * @category models
 */
export interface Notification<M extends ServerNotificationMethod> extends Origin {
  /** What it tells of; the type of `params` follows from it. */
  readonly method: M
  /** What it tells. */
  readonly params: ServerNotificationParams[M]
}

/**
 * Every notification that the pinned runtime knows; or those of the given methods.
 *
 * @since 0.1.0
 * @category models
 */
export type ServerNotification<M extends ServerNotificationMethod = ServerNotificationMethod> = {
  readonly [K in M]: Notification<K>
}[M]

/**
 * A notification of a newer runtime: its method is not in the generated
 * registry, so its payload is kept as it came and its thread is not known.
 *
 * @since 0.1.0
 * @category models
 */
export interface UnknownNotification extends Origin {
  /** The method as the server named it. */
  readonly method: UnknownMember
  /** The payload as it came, not decoded. */
  readonly params: unknown
}

/**
 * A message that did not match its Schema, or a line that was no message. The
 * connection goes on; `error` says where it does not fit, never what it held.
 *
 * @since 0.1.0
 * @category models
 */
export interface DecodeFailure extends Origin {
  /** Told by this client, not by the server. */
  readonly method: "client/decodeFailure"
  /** The failure. */
  readonly params: { readonly error: DecodeError }
}

/**
 * This many events before the next one are missing: a subscriber to connection-wide or
 * thread-wide events was slower than its buffer allows; or, where a turn is named, it
 * had more than could be kept while it was not certain whose it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lagged extends Origin {
  /** Told by this client, not by the server. */
  readonly method: "client/lagged"
  /** How many events are missing. */
  readonly params: { readonly dropped: number }
}

/**
 * A supervised app-server had ended and runs again. What the new connection told
 * before, as its threads were resumed, has come before this.
 *
 * @since 0.1.0
 * @category models
 */
export interface Restarted extends Origin {
  /** Told by this client, not by the server. */
  readonly method: "client/restarted"
  /** What came back and what did not. */
  readonly params: {
    /** How many tries it took since the last healthy run. */
    readonly attempt: number
    /** Why the connection before it, or the last try, came to its end. */
    readonly cause: RestartCause
    /** The threads that were resumed. */
    readonly resumed: ReadonlyArray<string>
    /** The threads that could not be resumed. */
    readonly failed: ReadonlyArray<{ readonly threadId: string; readonly error: RequestError }>
  }
}

/**
 * What reaches the stream of a turn.
 *
 * @since 0.1.0
 * @category models
 */
export type TurnEvent = ServerNotification | DecodeFailure

/**
 * An event of an agent that a turn has at work, in the stream of that turn where it
 * was asked for (`includeChildren`). `threadId` and `turnId` are the turn's own.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChildEvent extends Origin {
  /** Told by this client, not by the server. */
  readonly method: "client/childEvent"
  /** The event, and whose it is. */
  readonly params: {
    /** The thread of the agent. */
    readonly childThreadId: string
    /** The thread that gave it its work: the turn's, or another child's. */
    readonly parentThreadId: string
    /** The item of the parent's by which it did; null while that item is not known. */
    readonly parentItemId: string | null
    /** What the server told of the child. */
    readonly event: TurnEvent
  }
}

/**
 * What reaches the streams of a thread and of the connection.
 *
 * @since 0.1.0
 * @category models
 */
export type CodexEvent = TurnEvent | UnknownNotification | Lagged | Restarted
