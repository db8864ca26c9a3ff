/**
 * What the server tells and asks by itself: where the tests see each of it come from the real app-server, decoded. The
 * tests that are named fail when it does not come: the first two listen to everything and hold it against these tables,
 * the third has a test for each.
 */
import type { ServerNotificationMethod, ServerRequestMethod } from "@effect-codex/generated"
import * as Predicate from "effect/Predicate"

/** The tests that listen: to the cases of every method, to turns that do a bit of everything, to what wants an answer. */
export type Listener =
  | "test/real/protocol.test.ts"
  | "test/real/protocolTurns.test.ts"
  | "test/real/serverRequests.test.ts"

/** Why nothing without an account, a network or another system brings it about. */
export interface Unseen {
  readonly unseen: string
}

const cases: Listener = "test/real/protocol.test.ts"
const turns: Listener = "test/real/protocolTurns.test.ts"
const requests: Listener = "test/real/serverRequests.test.ts"
const unseen = (why: string): Unseen => ({ unseen: why })

const account = unseen("wants a ChatGPT account")
const backend = unseen("the makers' own backend sends it")
const realtime = unseen("wants a realtime session, which runs over their network")
const windows = unseen("Windows only")
const remote = unseen("wants a remote execution server")
const superseded = unseen("superseded; this version no longer sends it")

/** Every notification. */
export const notifications: { readonly [M in ServerNotificationMethod]: Listener | Unseen } = {
  "account/gatewayOAuth/changed": unseen("wants a gateway with a login"),
  "account/login/completed": cases,
  "account/rateLimits/updated": cases,
  "account/updated": cases,
  "app/list/updated": account,
  "autoApprovalReview/strictReviewRequired": backend,
  "command/exec/outputDelta": cases,
  "configWarning": turns,
  "deprecationNotice": cases,
  "error": cases,
  "externalAgentConfig/import/completed": cases,
  "externalAgentConfig/import/progress": cases,
  "fs/changed": cases,
  "fuzzyFileSearch/sessionCompleted": cases,
  "fuzzyFileSearch/sessionUpdated": cases,
  "guardianWarning": backend,
  "hook/completed": turns,
  "hook/started": turns,
  "item/agentMessage/delta": turns,
  "item/autoApprovalReview/completed": turns,
  "item/autoApprovalReview/started": turns,
  "item/commandExecution/outputDelta": turns,
  "item/commandExecution/terminalInteraction": turns,
  "item/completed": turns,
  "item/fileChange/outputDelta": superseded,
  "item/fileChange/patchUpdated": unseen("wants a model that streams the input of a custom tool"),
  "item/mcpToolCall/progress": superseded,
  "item/plan/delta": turns,
  "item/reasoning/summaryPartAdded": turns,
  "item/reasoning/summaryTextDelta": turns,
  "item/reasoning/textDelta": turns,
  "item/started": turns,
  "mcpServer/event/stream/notification": account,
  "mcpServer/oauthLogin/completed": unseen("wants an MCP server with a login in the browser"),
  "mcpServer/startupStatus/updated": turns,
  "model/rerouted": backend,
  "model/safetyBuffering/updated": backend,
  "model/verification": backend,
  "modelProvider/authRecoveryCompleted": unseen("wants a provider whose login ran out"),
  "modelProvider/authRecoveryStarted": unseen("wants a provider whose login ran out"),
  "process/exited": cases,
  "process/outputDelta": cases,
  "project/changed": cases,
  "remoteControl/status/changed": turns,
  "serverRequest/resolved": turns,
  "skills/changed": cases,
  "thread/archived": cases,
  "thread/attachment/updated": cases,
  "thread/closed": unseen("half an hour after the last subscriber has left"),
  "thread/compacted": superseded,
  "thread/deleted": cases,
  "thread/environment/connected": remote,
  "thread/environment/disconnected": remote,
  "thread/goal/cleared": cases,
  "thread/goal/updated": cases,
  "thread/name/updated": cases,
  "thread/prediction/updated": unseen("predictions are not implemented yet in this version"),
  "thread/project/updated": cases,
  "thread/queue/changed": cases,
  "thread/readState/changed": cases,
  "thread/realtime/closed": cases,
  "thread/realtime/error": cases,
  "thread/realtime/item/completed": realtime,
  "thread/realtime/item/started": realtime,
  "thread/realtime/item/transcript/delta": realtime,
  "thread/realtime/itemAdded": realtime,
  "thread/realtime/outputAudio/delta": realtime,
  "thread/realtime/sdp": realtime,
  "thread/realtime/started": realtime,
  "thread/realtime/transcript/delta": realtime,
  "thread/realtime/transcript/done": realtime,
  "thread/reverted": cases,
  "thread/section/changed": cases,
  "thread/settings/updated": cases,
  "thread/started": turns,
  "thread/status/changed": turns,
  "thread/tokenUsage/updated": turns,
  "thread/unarchived": cases,
  "turn/completed": turns,
  "turn/diff/updated": turns,
  "turn/moderationMetadata": backend,
  "turn/plan/updated": unseen("wants the tool update_plan, which this version gives to no model offline"),
  "turn/started": turns,
  "warning": turns,
  "windows/worldWritableWarning": windows,
  "windowsSandbox/setupCompleted": cases
}

/** Every server request. */
export const serverRequests: { readonly [M in ServerRequestMethod]: Listener | Unseen } = {
  "account/chatgptAuthTokens/refresh": requests,
  "applyPatchApproval": superseded,
  "attestation/generate": requests,
  "currentTime/read": requests,
  "execCommandApproval": superseded,
  "item/commandExecution/requestApproval": turns,
  "item/fileChange/requestApproval": turns,
  "item/permissions/requestApproval": turns,
  "item/tool/call": turns,
  "item/tool/requestUserInput": turns,
  "mcpServer/elicitation/request": turns
}

/** Whether it is told why something is not seen. */
export const isUnseen = (proof: Listener | Unseen): proof is Unseen => Predicate.hasProperty(proof, "unseen")

/** The methods that a test says it sees. */
export const claimedBy = (
  listener: Listener,
  table: { readonly [method: string]: Listener | Unseen }
): ReadonlyArray<string> => Object.keys(table).filter((method) => table[method] === listener)
