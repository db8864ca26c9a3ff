/** Tells a transcript message by message: each turn in it as it was told when it ran. */
import type { Approvals, ChildEvent, ServerNotification } from "@effect-codex/core"
import type { ThreadItem, ThreadTokenUsage } from "@effect-codex/core/types"
import {
  CommandExecutionRequestApprovalParams,
  FileChangeRequestApprovalParams,
  PermissionsRequestApprovalParams,
  PermissionsRequestApprovalResponse,
  type ServerNotificationMethod,
  ServerNotifications
} from "@effect-codex/generated"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { Conclusion, Reporter } from "./reporter.ts"

/** A message as it stands in a transcript. */
type Message = Readonly<Record<string, Schema.Json>>

/** A turn that is being told. */
interface Told {
  readonly threadId: string
  readonly turnId: string
  readonly reporter: Reporter
  readonly items: Array<ThreadItem>
  /** What its changes, and those of its agents, are about: the request for approval does not say. */
  readonly paths: Map<string, ReadonlyArray<string>>
  usage: ThreadTokenUsage | null
}

/** Whose agent a thread is. */
interface Descent extends Pick<ChildEvent["params"], "parentItemId" | "parentThreadId"> {
  /** The turn that has it at work. */
  readonly turnId: string
}

/** Turns are known by what the server says of them, each with a reporter of its own. */
export const make = Effect.fnUntraced(function*<R>(options: {
  readonly reporter: Effect.Effect<Reporter, never, R>
  readonly failed: (reason: string) => Effect.Effect<void>
}) {
  const ofNoTurn = yield* options.reporter
  const turns = new Map<string, Told>()
  /** The threads of all turns so far. */
  const threads = new Map<string, string>()
  const agents = new Map<string, Descent>()
  const asked = new Map<Schema.Json, Approvals.ApprovalRequest>()

  const begin = Effect.fnUntraced(function*(threadId: string, turnId: string) {
    const turn: Told = {
      threadId,
      turnId,
      reporter: yield* options.reporter,
      items: [],
      paths: new Map(),
      usage: null
    }
    turns.set(turnId, turn)
    threads.set(turnId, threadId)
    yield* turn.reporter.started({ threadId, turnId })
    return turn
  })

  const isOver = (turnId: string): boolean => threads.has(turnId) && !turns.has(turnId)

  const adopt = (threadId: string, descent: Descent): Descent => {
    const known = agents.get(threadId)
    if (known !== undefined && known.parentItemId !== null) return known
    agents.set(threadId, descent)
    return descent
  }

  /** Whose agent the event is of, if it is of one. Its first word may come before the item that names it. */
  const descentOf = (event: ServerNotification): Descent | undefined => {
    const { threadId } = event
    if (threadId === undefined) return undefined
    const known = agents.get(threadId)
    const root = rootOf(event)
    const parentThreadId = root === undefined ? undefined : threads.get(root)
    return root === undefined || parentThreadId === undefined || parentThreadId === threadId
      ? known
      : adopt(threadId, { turnId: root, parentThreadId, parentItemId: known?.parentItemId ?? null })
  }

  const meet = (event: ServerNotification, turn: Told, threadId: string): void => {
    if (event.method !== "item/started" && event.method !== "item/completed") return
    const { item } = event.params
    if (item.type === "fileChange") turn.paths.set(item.id, pathsOf(item))
    const { parentItemId, threadIds } = childrenOf(item)
    for (const child of threadIds) {
      if (child !== turn.threadId) adopt(child, { turnId: turn.turnId, parentThreadId: threadId, parentItemId })
    }
  }

  const childEvent = (event: ServerNotification, childThreadId: string, { turnId, ...descent }: Descent) => {
    const turn = turns.get(turnId)
    // An agent may work on beyond the turn.
    if (turn === undefined) return Effect.void
    meet(event, turn, childThreadId)
    return turn.reporter.events([{
      method: "client/childEvent",
      params: { childThreadId, ...descent, event },
      threadId: turn.threadId,
      turnId,
      emittedAtMs: undefined
    }])
  }

  const event = Effect.fnUntraced(function*(event: ServerNotification) {
    const { threadId } = event
    const descent = descentOf(event)
    if (threadId !== undefined && descent !== undefined) return yield* childEvent(event, threadId, descent)
    const root = rootOf(event)
    // A review runs as another turn, whose start names it.
    const turnId = root === undefined || isOver(root) ? event.turnId : root
    if (threadId === undefined || turnId === undefined) return
    const turn = turns.get(turnId) ?? (begins(event) && !isOver(turnId) ? yield* begin(threadId, turnId) : undefined)
    if (turn === undefined) return
    meet(event, turn, threadId)
    if (event.method === "item/completed") turn.items.push(event.params.item)
    if (event.method === "thread/tokenUsage/updated") turn.usage = event.params.tokenUsage
    yield* turn.reporter.events([event])
    if (event.method === "turn/completed") {
      const { completedAt, durationMs, error, startedAt, status } = event.params.turn
      turns.delete(turnId)
      const conclusion: Conclusion = {
        threadId,
        turnId,
        status,
        finalResponse: answerOf(turn.items),
        items: turn.items,
        usage: turn.usage,
        startedAt: timeOf(startedAt),
        completedAt: timeOf(completedAt),
        // A transcript has none, unless it was asked for times.
        durationMs: durationMs === undefined || durationMs === 0 ? null : durationMs
      }
      yield* turn.reporter.ended(conclusion, error?.message)
      if (typeof error?.message === "string") yield* options.failed(error.message)
    }
  })

  /** The turn that a question belongs to: an agent asks for the turn that has it at work. */
  const turnOf = ({ threadId, turnId }: Pick<Approvals.ApprovalRequest, "threadId" | "turnId">): Told | undefined =>
    turns.get(agents.get(threadId)?.turnId ?? turnId ?? "")

  const tell = Effect.fnUntraced(function*(from: "client" | "server", message: Message) {
    const { id, method, params, result } = message
    if (from === "server" && id === undefined && isKnown(method)) {
      const decoded = decodeEvent(method, params)
      if (Option.isSome(decoded)) yield* event(decoded.value)
      else yield* ofNoTurn.unknown(`${method} does not match its schema`)
    } else if (from === "server" && id !== undefined && method !== undefined) {
      const request = requestOf(method, params, (request) => turnOf(request)?.paths.get(request.itemId) ?? [])
      if (request !== undefined) asked.set(id, request)
    } else if (from === "client" && id !== undefined && method === undefined) {
      const request = asked.get(id)
      asked.delete(id)
      const decision = request === undefined ? undefined : decisionOf(request, result)
      if (request === undefined || decision === undefined) return
      yield* turnOf(request)?.reporter.decided({ request, decision, asked: true }) ?? Effect.void
    }
  })
  return { tell, isWithinTurn: () => turns.size > 0 }
})

// =============================================================================
// Events
// =============================================================================

const isKnown = (method: Schema.Json | undefined): method is ServerNotificationMethod =>
  typeof method === "string" && Object.hasOwn(ServerNotifications, method)

const decodeEvent = <M extends ServerNotificationMethod>(
  method: M,
  payload: Schema.Json | undefined
): Option.Option<ServerNotification<M>> => {
  const { params, threadId, turnId } = ServerNotifications[method]
  return Option.map(Schema.decodeUnknownOption(params)(payload), (params) => ({
    method,
    params,
    threadId: idAt(payload, threadId),
    turnId: idAt(payload, turnId),
    emittedAtMs: undefined
  }))
}

/** The id at the place that the registry names. */
const idAt = (payload: unknown, path: ReadonlyArray<string> | undefined): string | undefined => {
  const value = path?.reduce(
    (value: unknown, key) => Predicate.hasProperty(value, key) ? value[key] : undefined,
    payload
  )
  return typeof value === "string" ? value : undefined
}

/** The turn for which another one is started. */
const rootOf = (event: ServerNotification): string | undefined =>
  event.method === "turn/started" ? event.params.turn.rootTurnId ?? undefined : undefined

/** What comes of long ago, as the use of tokens when a thread is resumed, begins nothing. */
const begins = ({ method }: ServerNotification): boolean => method === "turn/started" || method === "item/started"

/** The threads of the agents that an item is about. */
const childrenOf = (
  item: ThreadItem
): { readonly parentItemId: string | null; readonly threadIds: ReadonlyArray<string> } => {
  switch (item.type) {
    case "collabAgentToolCall":
      return { parentItemId: item.id, threadIds: item.receiverThreadIds }
    case "subAgentActivity":
      return { parentItemId: item.id, threadIds: [item.agentThreadId] }
    default:
      return { parentItemId: null, threadIds: [] }
  }
}

/** As `RunResult.finalResponse` has it. */
const answerOf = (items: ReadonlyArray<ThreadItem>): string | null => {
  const messages = items.filter((item) => item.type === "agentMessage")
  const last = messages.findLast(({ phase }) => phase === "final_answer") ??
    messages.findLast(({ phase }) => phase === null || phase === undefined)
  return last?.text ?? null
}

const timeOf = (seconds: number | null | undefined): DateTime.Utc | null =>
  typeof seconds === "number" ? DateTime.makeUnsafe(seconds * 1000) : null

// =============================================================================
// Approvals
// =============================================================================

/** Where a file is moved to is a file of the change too. */
const pathsOf = ({ changes }: Extract<ThreadItem, { readonly type: "fileChange" }>): ReadonlyArray<string> =>
  changes.flatMap(({ kind, path }) =>
    kind.type === "update" && typeof kind.move_path === "string" ? [path, kind.move_path] : [path]
  )

/** What was asked, where it was for permission. */
const requestOf = (
  method: Schema.Json,
  params: Schema.Json | undefined,
  pathsOf: (request: FileChangeRequestApprovalParams) => ReadonlyArray<string>
): Approvals.ApprovalRequest | undefined => {
  switch (method) {
    case "item/commandExecution/requestApproval": {
      const asked = Option.getOrUndefined(decodeCommand(params))
      return asked === undefined ? undefined : {
        _tag: "Command",
        ...originOf(asked),
        command: asked.command ?? null,
        cwd: asked.cwd ?? null,
        network: asked.networkApprovalContext ?? null,
        additionalPermissions: asked.additionalPermissions ?? null,
        mayHidePermissions: true
      }
    }
    case "item/fileChange/requestApproval": {
      const asked = Option.getOrUndefined(decodeFileChange(params))
      return asked === undefined
        ? undefined
        : { _tag: "FileChange", ...originOf(asked), paths: pathsOf(asked), grantRoot: asked.grantRoot ?? null }
    }
    case "item/permissions/requestApproval": {
      const asked = Option.getOrUndefined(decodePermissions(params))
      return asked === undefined ? undefined : {
        _tag: "Permissions",
        ...originOf(asked),
        permissions: asked.permissions,
        cwd: asked.cwd,
        params: asked
      }
    }
    default:
      return undefined
  }
}

const originOf = ({ itemId, reason, threadId, turnId }: {
  readonly threadId: string
  readonly turnId: string
  readonly itemId: string
  readonly reason?: string | null
}) => ({ threadId, turnId, itemId, reason: reason ?? null })

const decisionOf = (
  { _tag }: Approvals.ApprovalRequest,
  result: Schema.Json | undefined
): Approvals.Decision | undefined => {
  if (_tag !== "Permissions") {
    return Option.getOrUndefined(Option.map(decodeAnswer(result), ({ decision }) => decisions[decision]))
  }
  return Option.getOrUndefined(
    Option.map(
      decodeGrant(result),
      ({ permissions: { fileSystem, network }, scope }) =>
        (fileSystem ?? null) === null && (network ?? null) === null
          ? decisions.decline
          : scope === "session"
          ? decisions.acceptForSession
          : decisions.accept
    )
  )
}

const decisions = {
  accept: { _tag: "Accept", scope: "once" },
  acceptForSession: { _tag: "Accept", scope: "session" },
  decline: { _tag: "Decline" },
  cancel: { _tag: "Cancel" }
} as const

const decodeCommand = Schema.decodeUnknownOption(CommandExecutionRequestApprovalParams)
const decodeFileChange = Schema.decodeUnknownOption(FileChangeRequestApprovalParams)
const decodePermissions = Schema.decodeUnknownOption(PermissionsRequestApprovalParams)
const decodeGrant = Schema.decodeUnknownOption(PermissionsRequestApprovalResponse)
const decodeAnswer = Schema.decodeUnknownOption(
  Schema.Struct({ decision: Schema.Literals(["accept", "acceptForSession", "decline", "cancel"]) })
)
