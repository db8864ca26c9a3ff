/** The typed error for the `error` member of a response. */
import * as Predicate from "effect/Predicate"
import {
  formatIssues,
  InternalError,
  InvalidParams,
  InvalidRequest,
  MethodNotFound,
  ParseError,
  type PayloadIssue,
  type ResponseError,
  RpcError,
  ServerOverloaded
} from "../CodexError.ts"
import type { WireError } from "./envelope.ts"
import { scrubAll, scrubber } from "./scrub.ts"

export const PARSE_ERROR = -32700
export const INVALID_REQUEST = -32600
export const METHOD_NOT_FOUND = -32601
export const INVALID_PARAMS = -32602
export const INTERNAL_ERROR = -32603
export const SERVER_OVERLOADED = -32001

/** What the server says, with code -32600, of a message that it could not deserialize. */
const NOT_DESERIALIZED = "Invalid request: "

/** `params` are those of the request: what they hold is taken out of the server's words. */
export const fromWireError = (method: string, error: WireError, params?: unknown): ResponseError => {
  const scrub = scrubber(params)
  const fields = {
    method,
    code: error.code,
    description: scrub(error.message),
    ...(error.data === undefined ? {} : { data: scrubAll(error.data, scrub) })
  }
  if (error.code === SERVER_OVERLOADED || saysOverloaded(error.data)) return new ServerOverloaded(fields)
  switch (error.code) {
    case PARSE_ERROR:
      return new ParseError(fields)
    case INVALID_REQUEST:
      if (!error.message.startsWith(NOT_DESERIALIZED)) return new InvalidRequest(fields)
      return error.message.startsWith(`${NOT_DESERIALIZED}unknown variant \`${method}\``)
        ? new MethodNotFound({ ...fields, description: "The server does not know this method" })
        : new InvalidParams({ ...fields, description: withoutValues(fields.description), sent: true, issues: [] })
    case METHOD_NOT_FOUND:
      return new MethodNotFound(fields)
    case INVALID_PARAMS:
      return new InvalidParams({ ...fields, description: withoutValues(fields.description), sent: true, issues: [] })
    case INTERNAL_ERROR:
      return new InternalError(fields)
    default:
      return new RpcError(fields)
  }
}

/** The same for what is wrong before anything is sent. */
export const unsent = (method: string, issues: ReadonlyArray<PayloadIssue>): InvalidParams =>
  new InvalidParams({
    method,
    code: INVALID_PARAMS,
    description: `The params do not match the schema: ${formatIssues(issues)}`,
    sent: false,
    issues
  })

/** The same for a method of which nothing is known. */
export const unknownMethod = (method: string): MethodNotFound =>
  new MethodNotFound({
    method,
    code: METHOD_NOT_FOUND,
    description: "This client does not know this method. Nothing was sent"
  })

/** Some errors bring the cause of a turn's failure along, in either spelling. */
const saysOverloaded = (data: unknown): boolean =>
  Predicate.isObject(data) &&
  [data, Predicate.hasProperty(data, "error") ? data.error : undefined].some((carrier) =>
    errorInfoNames.some((name) => Predicate.hasProperty(carrier, name) && overloadNames.has(carrier[name]))
  )

const errorInfoNames = ["codexErrorInfo", "codex_error_info"]

const overloadNames: ReadonlySet<unknown> = new Set(["serverOverloaded", "server_overloaded"])

/**
 * A deserializer quotes the value it stumbled over: `invalid type: string "…"`, `unknown variant \`…\``. A quotation
 * without an end is matched too, and left as it is: an end would be looked for again and again from within it.
 */
const withoutValues = (message: string): string =>
  message
    .replace(/"[^"\\]*(?:\\.[^"\\]*)*("?)/g, (quoted: string, end: string) => end === "" ? quoted : "\"…\"")
    .replace(
      /(unknown variant|unknown field|integer|floating point|boolean|character) `[^]*?(?:`(?=, expected|, there are|$)|($))/g,
      (quoted: string, kind: string, end: string | undefined) => end === "" ? quoted : `${kind} \`…\``
    )
