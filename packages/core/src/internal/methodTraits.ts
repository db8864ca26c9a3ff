/** What the client has to know of single methods beyond their Schemas. */
import type { TurnEvent } from "../Notification.ts"

/**
 * Requests whose response is the end of something that takes as long as it
 * takes. They hold no place in the admission window and have no deadline.
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
  "thread/shellCommand"
])

export const isOpenEnded = (method: string): boolean => openEnded.has(method)

/** How the turn that a request starts is known: by a path into the response, or by one of the turn's own events. */
export type TurnStart =
  | { readonly _tag: "Response"; readonly turnId: ReadonlyArray<string> }
  | { readonly _tag: "Event"; readonly matches: (event: TurnEvent) => boolean }

export const turnStarts = {
  "turn/start": { _tag: "Response", turnId: ["turn", "id"] },
  "review/start": { _tag: "Response", turnId: ["turn", "id"] },
  "thread/compact/start": {
    _tag: "Event",
    matches: (event) => event.method === "item/started" && event.params.item.type === "contextCompaction"
  }
} as const satisfies Record<string, TurnStart>

/** The methods that start a turn. */
export type TurnStartMethod = keyof typeof turnStarts

/**
 * Notifications about one thing that the client has named when it asked for it: a
 * command, a process, a watch or a search. They are told by that name.
 */
export type AddressedMethod =
  | "command/exec/outputDelta"
  | "fs/changed"
  | "fuzzyFileSearch/sessionUpdated"
  | "process/exited"
  | "process/outputDelta"
