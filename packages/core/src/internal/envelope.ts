/**
 * The envelope of the app-server's JSON-RPC: one JSON object per line, no
 * `jsonrpc` member. Decides what a line is; never looks into a payload.
 */
import type { W3cTraceContext } from "@effect-codex/generated"
import * as Predicate from "effect/Predicate"

/** A request id as it stands on the wire. */
export type RequestId = string | number

/** The `error` member of a response. */
export interface WireError {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

export type Envelope =
  | { readonly _tag: "Response"; readonly id: RequestId; readonly result: unknown }
  | { readonly _tag: "Failure"; readonly id: RequestId | null; readonly error: WireError }
  | { readonly _tag: "ServerRequest"; readonly id: RequestId; readonly method: string; readonly params: unknown }
  | {
    readonly _tag: "Notification"
    readonly method: string
    readonly params: unknown
    readonly emittedAtMs: number | undefined
  }
  | Junk

/** A line that is no envelope, with the reason. */
export interface Junk {
  readonly _tag: "Junk"
  readonly reason: "InvalidJson" | "NotAnObject" | "NoMethodAndNoId" | "BadId" | "BadError" | "LineTooLong"
}

const junk = (reason: Junk["reason"]): Junk => ({ _tag: "Junk", reason })

/** Reads one line. */
export const parse = (line: string): Envelope => {
  let message: unknown
  try {
    message = JSON.parse(line)
  } catch {
    return junk("InvalidJson")
  }
  return classify(message)
}

/** Decides what a parsed line is. */
export const classify = (message: unknown): Envelope => {
  if (!isRecord(message)) return junk("NotAnObject")
  const { id, method } = message
  if (typeof method === "string") {
    if (id === undefined) {
      const { emittedAtMs } = message
      return {
        _tag: "Notification",
        method,
        params: message.params,
        emittedAtMs: typeof emittedAtMs === "number" ? emittedAtMs : undefined
      }
    }
    return isRequestId(id) ? { _tag: "ServerRequest", id, method, params: message.params } : junk("BadId")
  }
  if (message.error !== undefined && (id === null || id === undefined || isRequestId(id))) {
    return isWireError(message.error)
      ? { _tag: "Failure", id: id ?? null, error: message.error }
      : isRequestId(id)
      ? { _tag: "Failure", id, error: { code: -32603, message: "The error member of the response is malformed" } }
      : junk("BadError")
  }
  if (id === undefined) return junk("NoMethodAndNoId")
  return isRequestId(id) ? { _tag: "Response", id, result: message.result } : junk("BadId")
}

/**
 * JSON of well-formed text. JavaScript's strings may hold half a character, as when one is cut within an emoji; the server
 * drops a whole message for it and never answers, so that U+FFFD stands in its place, as in every other text that is made bytes.
 */
const stringify = (message: object): string => {
  const text = JSON.stringify(message)
  // A surrogate is escaped only when it is alone.
  return text.includes("\\ud") ? text.replace(/\\(?:ud[89a-f][0-9a-f]{2}|.)/g, wellFormed) : text
}

const wellFormed = (escape: string): string => escape.startsWith("\\ud") ? "\ufffd" : escape

/** Encodes a request; absent params leave the member out, and so does an absent trace. */
export const encodeRequest = (id: RequestId, method: string, params: unknown, trace?: W3cTraceContext): string =>
  stringify({ id, method, params, trace })

/** Encodes a notification. */
export const encodeNotification = (method: string, params: unknown): string => stringify({ method, params })

/** Encodes the answer to a server request. */
export const encodeResult = (id: RequestId, result: unknown): string => stringify({ id, result: result ?? {} })

/** Encodes the refusal of a server request. */
export const encodeError = (id: RequestId, error: WireError): string => stringify({ id, error })

const isRecord = (value: unknown): value is Record<string, unknown> =>
  Predicate.isObject(value) && !Array.isArray(value)

const isRequestId = (value: unknown): value is RequestId => typeof value === "string" || typeof value === "number"

/** Errors take whole codes only, and the reader must not meet one that they refuse. */
const isWireError = (value: unknown): value is WireError =>
  isRecord(value) && Number.isSafeInteger(value.code) && typeof value.message === "string"

/**
 * What the start of an over-long line says it was, so that the message it belongs
 * to can fail. The server writes `id` or `method` first.
 */
export const identify = (head: string): { readonly id?: RequestId; readonly method?: string } => {
  const id = /^\{(?:"method":"[^"\\]{1,200}",)?"id":(?:(\d{1,15})|"((?:[^"\\]){1,200})")[,}]/.exec(head)
  const method = /^\{(?:"id":[^,]{1,210},)?"method":"([^"\\]{1,200})"/.exec(head)
  return {
    ...(id === null ? {} : { id: id[1] === undefined ? id[2] ?? "" : Number(id[1]) }),
    ...(method?.[1] === undefined ? {} : { method: method[1] })
  }
}
