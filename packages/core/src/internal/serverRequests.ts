/**
 * Answers what the server asks. Whatever would let the agent do something is
 * declined; whatever only the user's program could know is refused with an error.
 */
import type { ServerRequestMethod, ServerRequestResults } from "@effect-codex/generated"
import { ServerRequests } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Envelope from "./envelope.ts"
import * as Payload from "./payload.ts"
import { INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND } from "./responseError.ts"
import type { ServerRequestEnvelope } from "./router.ts"

type Declined = { readonly [M in ServerRequestMethod]: ServerRequestResults[M] | undefined }

const declined: Declined = {
  "item/commandExecution/requestApproval": { decision: "decline" },
  "item/fileChange/requestApproval": { decision: "decline" },
  "item/permissions/requestApproval": { permissions: {} },
  "mcpServer/elicitation/request": { action: "decline" },
  "item/tool/call": {
    success: false,
    contentItems: [{ type: "inputText", text: "This client provides no tools." }]
  },
  "applyPatchApproval": { decision: { denied: { rejection: "Declined" } } },
  "execCommandApproval": { decision: { denied: { rejection: "Declined" } } },
  "item/tool/requestUserInput": undefined,
  "account/chatgptAuthTokens/refresh": undefined,
  "attestation/generate": undefined,
  "currentTime/read": undefined
}

const isKnown = (method: string): method is ServerRequestMethod => Object.hasOwn(ServerRequests, method)

const checkParams = <M extends ServerRequestMethod>(method: M, params: unknown) =>
  Payload.incoming(ServerRequests[method].params)(params)

const checkResult = <M extends ServerRequestMethod>(method: M, result: unknown) =>
  Payload.outgoing(ServerRequests[method].result)(result)

const refuse = (id: Envelope.RequestId, code: number, message: string): string =>
  Envelope.encodeError(id, { code, message })

/** The line that answers the request. */
export const answer = Effect.fnUntraced(function*(request: ServerRequestEnvelope): Effect.fn.Return<string> {
  const { id, method } = request
  if (!isKnown(method)) return refuse(id, METHOD_NOT_FOUND, `Unknown method: ${method}`)
  const params = checkParams(method, request.params)
  if (Exit.isFailure(params)) {
    yield* Effect.logWarning(`${method}: the params of the server's request do not match their schema`)
    return refuse(id, INVALID_PARAMS, `${method}: the params do not match the schema`)
  }
  const answer = declined[method]
  if (answer === undefined) return refuse(id, METHOD_NOT_FOUND, `${method}: this client has no handler for it`)
  const result = checkResult(method, answer)
  return Exit.isSuccess(result)
    ? Envelope.encodeResult(id, result.value)
    : refuse(id, INTERNAL_ERROR, `${method}: the answer does not match its schema`)
})
