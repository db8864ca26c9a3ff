/**
 * A thread of the app-server in memory: what is kept of it, how it is set, and how the
 * protocol shows it.
 */
import {
  type ApprovalsReviewer,
  AskForApproval,
  codexVersion,
  type DynamicToolSpec,
  FunctionCallOutputBody,
  type Model,
  type QueuedSubmission,
  type ReasoningEffort,
  type ReviewTarget,
  SandboxPolicy,
  type Thread,
  type ThreadGoal,
  type ThreadItem,
  type ThreadStartParams,
  type ThreadStartResponse,
  type ThreadStatus,
  type TokenUsageBreakdown,
  type Turn,
  type TurnError,
  type TurnStartParams,
  type TurnStatus,
  UserInput
} from "@effect-codex/generated"
import * as Clock from "effect/Clock"
import type * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { nothing as noTokens } from "../internal/spending.ts"

/** Whose models its threads have. */
export const MODEL_PROVIDER = "openai"

/** What began its threads, as the real one calls a client that is no other product of its own. */
export const SOURCE = "vscode"

/** What an app-server in memory says of itself. */
export interface Place {
  readonly codexHome: string
  readonly cwd: string
  readonly models: ReadonlyArray<Model>
}

/** Items of one type. */
export type Item<Type extends ThreadItem["type"]> = Extract<ThreadItem, { readonly type: Type }>

/** Tokens that a thread has taken: all of them, and those of the last request to the model. */
export interface Spent {
  readonly total: TokenUsageBreakdown
  readonly last: TokenUsageBreakdown
}

/** A turn as it is stored. */
export interface StoredTurn {
  readonly id: string
  /** The turn that it was started as. */
  readonly rootId: string
  /** What the history keeps. */
  readonly items: Array<ThreadItem>
  /** What the thread had taken when it ended. */
  spent: Spent
  readonly startedAt: number
  status: TurnStatus
  error: TurnError | null
  completedAt: number | null
  durationMs: number | null
}

/** What a user says, and the name of it; or what somebody else says, as the output of a tool. */
export interface Said {
  readonly parts: ReadonlyArray<UserInput>
  readonly output: Pick<Item<"functionCallOutput">, "name" | "namespace" | "output"> | null
  readonly clientId: string | null
}

/** A turn that is under way. */
export interface Running {
  readonly turn: StoredTurn
  /** The turn that it runs as, and is interrupted by: another one where it is a review. */
  readonly run: StoredTurn
  readonly review: ReviewTarget | null
  readonly isCompaction: boolean
  readonly params: TurnStartParams
  readonly steered: Array<Said>
  /** Completed when what was steered in is to be taken up. */
  takeUp: Deferred.Deferred<void>
  /** What the model has under way, and is not cut off from: commands, changes, calls, questions. */
  underWay: number
  /** Tokens that the goal has not been told of. */
  unaccounted: number
  /** Until when the time was put on the goal's account (milliseconds). */
  accountedAt: number
  /** Whether `turn/started` was told: before that the server does not interrupt it. */
  active: boolean
  fiber: Fiber.Fiber<void> | undefined
  last: Item<"agentMessage"> | undefined
}

/** What waits for its turn. */
export interface Queued {
  readonly id: string
  readonly clientUserMessageId: string
  input: TurnStartParams["input"]
}

/** A thread, loaded or not. */
export interface FakeThread {
  readonly id: string
  readonly ephemeral: boolean
  /** Where the server keeps it. */
  readonly codexHome: string
  readonly forkedFromId: string | null
  readonly createdAt: number
  turns: Array<StoredTurn>
  /**
   * How much of it is stored, if it is not ephemeral: nothing before its first turn, name
   * or goal. Reading its turns before that begins with it, and has it answer otherwise.
   */
  stored: "nothing" | "begun" | "whole"
  readonly acceptedCommands: Set<string>
  /** What waits for the end of the turn that runs. */
  readonly queue: Array<Queued>
  goal: ThreadGoal | null
  /** What it began with, where that is not in its turns: a goal from before anything was said, or what was taken out since. */
  beginning: string | null
  cwd: string
  model: string
  effort: ReasoningEffort | null
  approvalPolicy: AskForApproval
  approvalsReviewer: ApprovalsReviewer
  sandbox: SandboxPolicy
  acceptsChanges: boolean
  name: string | null
  /** Grows each time: what was used last comes first in lists. */
  used: number
  updatedAt: number
  archived: boolean
  loaded: boolean
  subscribed: boolean
  failed: boolean
  /** The program's own tools. */
  readonly tools: ReadonlyArray<DynamicToolSpec>
  spent: Spent
  running: Running | undefined
}

/** What is numbered: threads, turns and items by their ids, and each use of a thread. */
export interface Numbers {
  /** The id of a thread, a turn or a user's message. */
  readonly id: () => string
  /** What the id of an agent's item ends with. */
  readonly item: () => number
  readonly use: () => number
}

export const makeNumbers = (): Numbers => {
  let ids = 0
  let items = 0
  let uses = 0
  return {
    id: () => `00000000-0000-7000-9000-${String(++ids).padStart(12, "0")}`,
    item: () => ++items,
    use: () => ++uses
  }
}

/** Seconds since 1970, as threads and turns have them. */
export const now = Effect.map(Clock.currentTimeMillis, (millis) => Math.floor(millis / 1_000))

const decodePolicy = Schema.decodeUnknownSync(AskForApproval)
const decodeSandbox = Schema.decodeUnknownSync(SandboxPolicy)
const decodeInput = Schema.decodeUnknownSync(Schema.Array(UserInput))
const decodeOutput = Schema.decodeUnknownSync(FunctionCallOutputBody)

export const nothing: Spent = { total: noTokens, last: noTokens }

export const sandboxOf = (mode: ThreadStartParams["sandbox"]): SandboxPolicy => {
  switch (mode) {
    case "danger-full-access":
      return { type: "dangerFullAccess" }
    case "workspace-write":
      return {
        type: "workspaceWrite",
        writableRoots: [],
        networkAccess: false,
        excludeTmpdirEnvVar: false,
        excludeSlashTmp: false
      }
    default:
      return { type: "readOnly", networkAccess: false }
  }
}

export const textOf = (input: ReadonlyArray<UserInput>): string =>
  input.flatMap((part) => part.type === "text" && "text" in part && typeof part.text === "string" ? [part.text] : [])
    .join("\n")

/** What the params of a request say. */
export const saidIn = (
  { clientUserMessageId, input, toolOutput }: Pick<TurnStartParams, "clientUserMessageId" | "input" | "toolOutput">
): Said => ({
  parts: decodeInput(input),
  output: toolOutput == null
    ? null
    : { name: toolOutput.name, namespace: toolOutput.namespace ?? null, output: decodeOutput(toolOutput.output) },
  clientId: clientUserMessageId ?? null
})

// =============================================================================
// Settings
// =============================================================================

/** What a thread is started, resumed and forked with. */
export type Settings = Pick<
  ThreadStartParams,
  "model" | "cwd" | "approvalPolicy" | "approvalsReviewer" | "sandbox"
>

export const configure = (thread: FakeThread, settings: Settings): void => {
  thread.model = settings.model ?? thread.model
  thread.cwd = settings.cwd ?? thread.cwd
  if (settings.approvalPolicy != null) thread.approvalPolicy = decodePolicy(settings.approvalPolicy)
  thread.approvalsReviewer = settings.approvalsReviewer ?? thread.approvalsReviewer
  if (settings.sandbox != null) thread.sandbox = sandboxOf(settings.sandbox)
}

/** What a turn may change of a thread. */
export const adjust = (
  thread: FakeThread,
  { approvalPolicy, approvalsReviewer, cwd, effort, model, sandboxPolicy }: Pick<
    TurnStartParams,
    "approvalPolicy" | "approvalsReviewer" | "cwd" | "effort" | "model" | "sandboxPolicy"
  >
): void => {
  configure(thread, { approvalPolicy, approvalsReviewer, cwd, model })
  if (sandboxPolicy != null) thread.sandbox = decodeSandbox(sandboxPolicy)
  thread.effort = effort ?? thread.effort
}

/** Whether the model knows the tool. */
export const hasTool = ({ tools }: FakeThread, name: string, namespace: string | undefined): boolean =>
  tools.some((tool) =>
    tool.type === "namespace"
      ? tool.name === namespace && tool.tools.some((one) => one.name === name)
      : namespace === undefined && tool.name === name
  )

/** Where nobody may be asked: what needs approval is refused without a word. */
export const mayNotAsk = (thread: FakeThread): boolean =>
  thread.approvalPolicy === "never" || thread.running?.review !== null || thread.running.isCompaction

/** Where the agent has the user asked. */
export const asksUser = (thread: FakeThread): boolean => !mayNotAsk(thread) && thread.approvalsReviewer === "user"

// =============================================================================
// Queue
// =============================================================================

/** Takes one out of what waits; false when it does not wait any more. */
export const takeOut = ({ queue }: FakeThread, id: string): boolean => {
  const place = queue.findIndex((queued) => queued.id === id)
  if (place >= 0) queue.splice(place, 1)
  return place >= 0
}

// =============================================================================
// Views
// =============================================================================

export const statusOf = (thread: FakeThread): ThreadStatus =>
  !thread.loaded
    ? { type: "notLoaded" }
    : thread.running !== undefined
    ? { type: "active", activeFlags: [] }
    : { type: thread.failed ? "systemError" : "idle" }

export const turnOf = (turn: StoredTurn, view: "notLoaded" | "summary" | "full"): Turn => ({
  id: turn.id,
  rootTurnId: turn.rootId,
  items: view === "notLoaded" ? [] : [...turn.items],
  itemsView: view,
  status: turn.status,
  error: turn.error,
  startedAt: turn.startedAt,
  completedAt: turn.completedAt,
  durationMs: turn.durationMs
})

export const submissionOf = ({ clientUserMessageId, id, input }: Queued): QueuedSubmission => ({
  id,
  input: decodeInput(input),
  clientUserMessageId,
  responsesapiClientMetadata: null
})

/** What it begins with. */
export const previewOf = (thread: FakeThread): string => {
  if (thread.beginning !== null) return thread.beginning
  const first = thread.turns.flatMap(({ items }) => items.slice(0, 1)).find(({ type }) => type !== "contextCompaction")
  return first?.type === "userMessage" && "content" in first && Array.isArray(first.content)
    ? textOf(decodeInput(first.content))
    : ""
}

/** The model of one that is not loaded is known once there was something for it to work on. */
const knowsModel = ({ beginning, forkedFromId, loaded, turns }: FakeThread): boolean =>
  loaded || turns.length > 0 || beginning !== null || forkedFromId !== null

export const threadOf = (thread: FakeThread, withTurns = false): Thread => ({
  id: thread.id,
  sessionId: thread.id,
  forkedFromId: thread.forkedFromId,
  parentThreadId: null,
  preview: previewOf(thread),
  ephemeral: thread.ephemeral,
  projectId: null,
  modelProvider: MODEL_PROVIDER,
  model: knowsModel(thread) ? thread.model : null,
  reasoningEffort: thread.effort,
  createdAt: thread.createdAt,
  updatedAt: thread.updatedAt,
  recencyAt: thread.updatedAt,
  status: statusOf(thread),
  path: thread.ephemeral
    ? null
    : `${thread.codexHome}/${thread.archived ? "archived_sessions" : "sessions"}/rollout-${thread.id}.jsonl`,
  cwd: thread.cwd,
  cliVersion: codexVersion,
  source: SOURCE,
  name: thread.name,
  turns: withTurns ? thread.turns.map((turn) => turnOf(turn, "full")) : []
})

export const loadedOf = (thread: FakeThread, withTurns: boolean): ThreadStartResponse => ({
  thread: threadOf(thread, withTurns),
  model: thread.model,
  modelProvider: MODEL_PROVIDER,
  serviceTier: null,
  cwd: thread.cwd,
  approvalPolicy: thread.approvalPolicy,
  approvalsReviewer: thread.approvalsReviewer,
  sandbox: thread.sandbox,
  reasoningEffort: thread.effort
})
