/** The end of a connection that the program itself closed. */
import { type ConnectionError, TransportError } from "../CodexError.ts"

export const closed = (): TransportError =>
  new TransportError({ operation: "close", description: "The client was closed" })

/** What those wait for in vain whose scope ends before it has come. */
export const scopeClosed = (what: string, method: string): TransportError =>
  new TransportError({ operation: "close", description: `The scope of the ${what} was closed before its end`, method })

/** Whether the connection is over because the client was closed. */
export const isClosed = (error: ConnectionError | undefined): boolean =>
  error?._tag === "TransportError" && error.operation === "close"
