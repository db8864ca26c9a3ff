/** Between the wire's five approval methods and `ApprovalRequest` and `Decision`. */
import {
  GrantedPermissionProfile,
  type ServerRequestMethod,
  type ServerRequestParams,
  type ServerRequestResults,
  type ThreadItem
} from "@effect-codex/generated"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { ApprovalRequest, Decision } from "../Approvals.ts"

/** How one method asks and is answered. */
export interface Translation<Params, Result> {
  readonly request: (params: Params) => ApprovalRequest
  readonly result: (decision: Decision, params: Params) => Result
  /** What an answer comes to. */
  readonly decision: (result: Result) => Decision
}

type TranslationOf<M extends ServerRequestMethod> = Translation<ServerRequestParams[M], ServerRequestResults[M]>

const decision = (decision: Decision): "accept" | "acceptForSession" | "decline" | "cancel" => {
  switch (decision._tag) {
    case "Accept":
      return decision.scope === "session" ? "acceptForSession" : "accept"
    case "Decline":
      return "decline"
    case "Cancel":
      return "cancel"
  }
}

const legacyDecision = (decision: Decision): ServerRequestResults["execCommandApproval"] => {
  switch (decision._tag) {
    case "Accept":
      return { decision: decision.scope === "session" ? "approved_for_session" : "approved" }
    case "Decline":
      return { decision: { denied: { rejection: "Declined" } } }
    case "Cancel":
      return { decision: "abort" }
  }
}

const once: Decision = { _tag: "Accept", scope: "once" }
const session: Decision = { _tag: "Accept", scope: "session" }
const no: Decision = { _tag: "Decline" }
const stop: Decision = { _tag: "Cancel" }

const decisionOf = ({ decision }: ServerRequestResults["item/commandExecution/requestApproval"]): Decision => {
  switch (decision) {
    case "accept":
      return once
    case "decline":
      return no
    case "cancel":
      return stop
    default:
      // For the session, or for good by a rule.
      return session
  }
}

const legacyDecisionOf = ({ decision }: ServerRequestResults["execCommandApproval"]): Decision => {
  switch (decision) {
    case "approved":
      return once
    case "abort":
      return stop
    case "timed_out":
      return no
    default:
      return typeof decision === "object" && "denied" in decision ? no : session
  }
}

/** What is asked can be granted only where every part of it is known here. */
const grantable = Schema.decodeUnknownOption(GrantedPermissionProfile, { onExcessProperty: "error" })

const isPath = (path: string | null | undefined): path is string => path !== null && path !== undefined

/** Every file that the changes of an item touch: where one is moved to is one too. */
export const pathsOf = (
  changes: Extract<ThreadItem, { readonly type: "fileChange" }>["changes"]
): ReadonlyArray<string> =>
  changes.flatMap(({ kind, path }) =>
    kind.type === "update" && isPath(kind.move_path) ? [path, kind.move_path] : [path]
  )

const quote = (word: string): string => /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

/**
 * A client without the experimental API is not told of further permissions. A plain command is then known by the
 * decision that the server offers beside a plain yes: to accept by a rule for such commands.
 */
export const command = (experimental: boolean): TranslationOf<"item/commandExecution/requestApproval"> => ({
  request: (params) => ({
    _tag: "Command",
    threadId: params.threadId,
    turnId: params.turnId,
    itemId: params.itemId,
    reason: params.reason ?? null,
    command: params.command ?? null,
    cwd: params.cwd ?? null,
    network: params.networkApprovalContext ?? null,
    additionalPermissions: params.additionalPermissions ?? null,
    mayHidePermissions: !experimental &&
      params.availableDecisions?.some(Predicate.hasProperty("acceptWithExecpolicyAmendment")) === false,
    params
  }),
  result: (answer) => ({ decision: decision(answer) }),
  decision: decisionOf
})

/** The request does not name the files; the turn's item does, by `pathsOf`. */
export const fileChange = (
  pathsOf: (threadId: string, itemId: string) => ReadonlyArray<string>
): TranslationOf<"item/fileChange/requestApproval"> => ({
  request: (params) => ({
    _tag: "FileChange",
    threadId: params.threadId,
    turnId: params.turnId,
    itemId: params.itemId,
    reason: params.reason ?? null,
    paths: pathsOf(params.threadId, params.itemId),
    grantRoot: params.grantRoot ?? null,
    params
  }),
  result: (answer) => ({ decision: decision(answer) }),
  decision: decisionOf
})

export const permissions: TranslationOf<"item/permissions/requestApproval"> = {
  request: (params) => ({
    _tag: "Permissions",
    threadId: params.threadId,
    turnId: params.turnId,
    itemId: params.itemId,
    reason: params.reason ?? null,
    permissions: params.permissions,
    cwd: params.cwd,
    params
  }),
  result: (answer, params) =>
    answer._tag === "Accept"
      ? {
        permissions: Option.getOrElse(grantable(params.permissions), () => ({})),
        scope: answer.scope === "session" ? "session" : "turn"
      }
      : { permissions: {} },
  decision: ({ permissions: { fileSystem, network }, scope }) =>
    (fileSystem === undefined || fileSystem === null) && (network === undefined || network === null)
      ? no
      : scope === "session"
      ? session
      : once
}

export const legacyPatch: TranslationOf<"applyPatchApproval"> = {
  request: (params) => ({
    _tag: "FileChange",
    threadId: params.conversationId,
    turnId: null,
    itemId: params.callId,
    reason: params.reason ?? null,
    paths: Object.entries(params.fileChanges).flatMap(([path, change]) =>
      change.type === "update" && isPath(change.move_path) ? [path, change.move_path] : [path]
    ),
    grantRoot: params.grantRoot ?? null
  }),
  result: legacyDecision,
  decision: legacyDecisionOf
}

export const legacyCommand: TranslationOf<"execCommandApproval"> = {
  request: (params) => ({
    _tag: "Command",
    threadId: params.conversationId,
    turnId: null,
    itemId: params.callId,
    reason: params.reason ?? null,
    command: params.command.map(quote).join(" "),
    cwd: params.cwd,
    network: null,
    additionalPermissions: null,
    mayHidePermissions: false
  }),
  result: legacyDecision,
  decision: legacyDecisionOf
}
