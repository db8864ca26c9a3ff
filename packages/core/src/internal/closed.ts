/** The end of a connection that the program itself closed. */
import { type ConnectionError, TransportError } from "../CodexError.ts"

export const closed = (): TransportError =>
  new TransportError({ operation: "close", description: "The client was closed" })

/** Whether the connection is over because the client was closed. */
export const isClosed = (error: ConnectionError | undefined): boolean =>
  error?._tag === "TransportError" && error.operation === "close"
