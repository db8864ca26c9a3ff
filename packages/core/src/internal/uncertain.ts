/** What is not known of a request that has failed. */
import type { RequestError } from "../CodexError.ts"

/** Whether the server may have carried it out all the same: its answer did not come in time, or could not be read. */
export const mayBeDone = (error: RequestError): boolean =>
  error._tag === "RequestTimeout" || error._tag === "DecodeError"
