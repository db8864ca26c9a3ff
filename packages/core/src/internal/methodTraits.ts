/** What the client has to know of single methods beyond their Schemas. */
import type { ClientRequestMethod, ServerNotificationMethod } from "@effect-codex/generated"
import * as Predicate from "effect/Predicate"
import type { ServerOverloaded } from "../CodexError.ts"
import type { TurnEvent } from "../Notification.ts"
import { SERVER_OVERLOADED } from "./responseError.ts"

/**
 * Requests whose response is the end of something that takes as long as it
 * takes. They hold no place in the admission window, and have no deadline unless it is given by their name.
 */
const openEnded: ReadonlySet<string> = new Set([
  "command/exec",
  // Answered when the process has taken the bytes in.
  "command/exec/write",
  "process/writeStdin",
  "fs/copy",
  "fs/remove",
  "fuzzyFileSearch",
  "mcpServer/tool/call",
  "mcpServer/resource/read",
  "userVerification/verify",
  "userVerification/enroll",
  "externalAgentConfig/import",
  "feedback/upload",
  "thread/sample",
  "thread/shellCommand"
])

export const isOpenEnded = (method: string): boolean => openEnded.has(method)

/**
 * Requests that change nothing, or that leave the same behind when they are carried
 * out twice. Every method may be repeated after an ingress refusal (-32001); only
 * these after an overload that was met while the request was carried out. A method
 * that is not here is not repeated: `turn/start` above all.
 */
const repeatable: ReadonlySet<ClientRequestMethod> = new Set<ClientRequestMethod>([
  "account/gatewayOAuth/read",
  "account/rateLimits/read",
  "account/read",
  "account/securitySetup/read",
  "account/usage/read",
  "account/workspaceMessages/read",
  "accountSession/list",
  "app/installed",
  "app/list",
  "app/read",
  "collaborationMode/list",
  "config/read",
  "configRequirements/read",
  "environment/info",
  "environment/status",
  "experimentalFeature/list",
  "externalAgentConfig/detect",
  "externalAgentConfig/import/readHistories",
  "fs/getMetadata",
  "fs/readDirectory",
  "fs/readFile",
  "hooks/list",
  "mcpServerStatus/list",
  "memory/status",
  "model/list",
  "modelProvider/capabilities/read",
  "modelProvider/list",
  "permissionProfile/list",
  "plugin/installed",
  "plugin/list",
  "plugin/read",
  "plugin/search",
  "plugin/share/list",
  "plugin/skill/read",
  "project/list",
  "project/read",
  "remoteControl/client/list",
  "remoteControl/pairing/status",
  "remoteControl/status/read",
  "server/diagnostics",
  "skills/list",
  "thread/archive",
  "thread/attachment/list",
  "thread/attachmentOwner/list",
  "thread/backgroundTerminals/list",
  "thread/goal/get",
  "thread/items/list",
  "thread/items/read",
  "thread/list",
  "thread/loaded/list",
  "thread/memory/read",
  "thread/name/set",
  "thread/queue/list",
  "thread/read",
  "thread/realtime/listVoices",
  "thread/search",
  "thread/searchOccurrences",
  "thread/timeline/list",
  "thread/turns/list",
  "thread/unsubscribe",
  "threadSection/list",
  "turn/interrupt",
  "userVerification/status",
  "windowsSandbox/readiness"
])

/** Whether the request may be sent again after this refusal. */
export const mayRepeat = (method: ClientRequestMethod, refusal: ServerOverloaded): boolean =>
  refusal.code === SERVER_OVERLOADED || repeatable.has(method)

/** The ways to log in that only clients with the experimental API have. */
const experimentalLogins: ReadonlySet<unknown> = new Set([
  "amazonBedrock",
  "amazonBedrockAccessKeys",
  "chatgptAuthTokens"
])

/** What fields of the stable protocol hold that needs the experimental API all the same: the JSON Schema does not tell. */
export const experimentalValues = (method: ClientRequestMethod, params: unknown): ReadonlyArray<string> => {
  if (Predicate.hasProperty(params, "approvalPolicy") && Predicate.hasProperty(params.approvalPolicy, "granular")) {
    return ["approvalPolicy granular"]
  }
  return method === "account/login/start" && Predicate.hasProperty(params, "type") &&
      experimentalLogins.has(params.type)
    ? [`type ${String(params.type)}`]
    : []
}

/** Notifications without which something here would wait for ever, go on for nobody or count wrongly. */
const indispensable: ReadonlySet<string> = new Set<ServerNotificationMethod>([
  "account/login/completed",
  "command/exec/outputDelta",
  "fs/changed",
  "fuzzyFileSearch/sessionCompleted",
  "fuzzyFileSearch/sessionUpdated",
  "item/completed",
  "item/started",
  "mcpServer/oauthLogin/completed",
  "process/exited",
  "process/outputDelta",
  "serverRequest/resolved",
  "thread/archived",
  "thread/closed",
  "thread/deleted",
  "thread/goal/cleared",
  "thread/goal/updated",
  "thread/tokenUsage/updated",
  "turn/completed",
  "turn/started"
])

export const isIndispensable = (method: string): boolean => indispensable.has(method)

/** How the turn that a request starts is known: by a path into the response, or by one of the turn's own events. */
export type TurnStart =
  | { readonly _tag: "Response"; readonly turnId: ReadonlyArray<string> }
  | { readonly _tag: "Event"; readonly matches: (event: TurnEvent) => boolean }

export const turnStarts = {
  "turn/start": { _tag: "Response", turnId: ["turn", "id"] },
  "review/start": { _tag: "Response", turnId: ["turn", "id"] },
  "thread/queue/start": { _tag: "Response", turnId: ["turn", "id"] },
  "thread/compact/start": {
    _tag: "Event",
    matches: (event) => event.method === "item/started" && event.params.item.type === "contextCompaction"
  }
} as const satisfies Record<string, TurnStart>

/** The methods that start a turn. */
export type TurnStartMethod = keyof typeof turnStarts

/**
 * Notifications about one thing that the client has named when it asked for it: a
 * command, a process, a watch or a search. They are told by that name, which stands
 * in this field.
 */
export const addresses = {
  "command/exec/outputDelta": "processId",
  "fs/changed": "watchId",
  "fuzzyFileSearch/sessionUpdated": "sessionId",
  "process/exited": "processHandle",
  "process/outputDelta": "processHandle"
} as const

export type AddressedMethod = keyof typeof addresses

export const isAddressed = (method: string): method is AddressedMethod => Object.hasOwn(addresses, method)
