/**
 * The threads and turns of an app-server in memory, which behave as those of the real
 * one were seen to; what they do in a turn is up to scripts.
 */
import {
  type ApprovalsReviewer,
  AskForApproval,
  codexVersion,
  type CommandExecutionApprovalDecision,
  type DynamicToolCallResponse,
  type FileChangeApprovalDecision,
  type Model,
  type ReasoningEffort,
  type ReviewTarget,
  SandboxPolicy,
  type ServerNotificationMethod,
  type ServerNotificationParams,
  type Thread,
  type ThreadItem,
  type ThreadListParams,
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
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { INTERNAL_ERROR, METHOD_NOT_FOUND } from "../internal/responseError.ts"
import { AgentFailure, type AgentTurn, type Script, type Usage } from "./agentTurn.ts"
import { type FakeConnection, type Handlers, invalidRequest, type Refusal, refuse } from "./fakeConnection.ts"
import { promptOf, reviewOf, subjectOf, unfinished } from "./fakeReview.ts"

/** What an app-server in memory says of itself. */
export interface Place {
  readonly codexHome: string
  readonly cwd: string
  readonly models: ReadonlyArray<Model>
}

type Item<Type extends ThreadItem["type"]> = Extract<ThreadItem, { readonly type: Type }>

interface StoredTurn {
  readonly id: string
  /** The turn that it was started as. */
  readonly rootId: string
  /** What the history keeps. */
  readonly items: Array<ThreadItem>
  readonly startedAt: number
  status: TurnStatus
  error: TurnError | null
  completedAt: number | null
  durationMs: number | null
}

interface Running {
  readonly turn: StoredTurn
  /** The turn that it runs as, and is interrupted by: another one where it is a review. */
  readonly run: StoredTurn
  readonly review: ReviewTarget | null
  readonly params: TurnStartParams
  readonly steered: Array<ReadonlyArray<UserInput>>
  /** Completed when what was steered in is to be taken up. */
  takeUp: Deferred.Deferred<void>
  /** What the model has under way, and is not cut off from: commands, changes, calls, questions. */
  underWay: number
  /** Whether `turn/started` was told: before that the server does not interrupt it. */
  active: boolean
  fiber: Fiber.Fiber<void> | undefined
  last: Item<"agentMessage"> | undefined
}

interface FakeThread {
  readonly id: string
  readonly ephemeral: boolean
  readonly forkedFromId: string | null
  readonly createdAt: number
  readonly turns: Array<StoredTurn>
  readonly acceptedCommands: Set<string>
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
  total: TokenUsageBreakdown
  last: TokenUsageBreakdown
  running: Running | undefined
}

const decodePolicy = Schema.decodeUnknownSync(AskForApproval)
const decodeSandbox = Schema.decodeUnknownSync(SandboxPolicy)
const decodeInput = Schema.decodeUnknownSync(Schema.Array(UserInput))

const none: TokenUsageBreakdown = {
  totalTokens: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteInputTokens: 0,
  outputTokens: 0,
  reasoningOutputTokens: 0
}

const NOT_STEERABLE = "cannot steer a review turn"
const CONTEXT_WINDOW = 258_400
const PAGE = 25

const sandboxOf = (mode: ThreadStartParams["sandbox"]): SandboxPolicy => {
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

const textOf = (input: ReadonlyArray<UserInput>): string =>
  input.flatMap((part) => part.type === "text" && "text" in part && typeof part.text === "string" ? [part.text] : [])
    .join("\n")

/** As a shell's word, the way the server shows it. */
const quoted = (word: string): string => {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word
  return word.includes("'") ? `"${word.replace(/["\\$`]/g, "\\$&")}"` : `'${word}'`
}

const wordsOf = (text: string): ReadonlyArray<string> => text.match(/\S+\s*|\s+/g) ?? []

/** What a review is of, as an item of its turn. */
const askedFor = ({ id }: StoredTurn, target: ReviewTarget): Item<"userMessage"> => ({
  type: "userMessage",
  id,
  clientId: null,
  content: [{ type: "text", text: subjectOf(target) }]
})

const noRollout = (id: string): Refusal => invalidRequest(`no rollout found for thread id ${id}`)
const notFound = (id: string): Refusal => invalidRequest(`thread not found: ${id}`)

/** Where nobody may be asked: what needs approval is refused without a word. */
const mayNotAsk = (thread: FakeThread): boolean => thread.approvalPolicy === "never" || thread.running?.review !== null

/** Where the agent has the user asked. */
const asksUser = (thread: FakeThread): boolean => !mayNotAsk(thread) && thread.approvalsReviewer === "user"

export const make = (
  connection: FakeConnection,
  place: Place,
  next: (turn: AgentTurn) => Effect.Effect<Script>
): { readonly handlers: Handlers } => {
  const threads = new Map<string, FakeThread>()
  let ids = 0
  let items = 0
  let uses = 0

  const newId = (): string => `00000000-0000-7000-9000-${String(++ids).padStart(12, "0")}`
  const nowMs = Clock.currentTimeMillis
  const now = Effect.map(nowMs, (millis) => Math.floor(millis / 1_000))

  // ---------------------------------------------------------------------------
  // Models
  // ---------------------------------------------------------------------------

  const statusOf = (thread: FakeThread): ThreadStatus =>
    !thread.loaded
      ? { type: "notLoaded" }
      : thread.running !== undefined
      ? { type: "active", activeFlags: [] }
      : { type: thread.failed ? "systemError" : "idle" }

  const turnOf = (turn: StoredTurn, view: "notLoaded" | "summary" | "full"): Turn => ({
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

  const previewOf = (thread: FakeThread): string => {
    const first = thread.turns[0]?.items[0]
    return first?.type === "userMessage" && "content" in first && Array.isArray(first.content)
      ? textOf(decodeInput(first.content))
      : ""
  }

  const threadOf = (thread: FakeThread, withTurns = false): Thread => ({
    id: thread.id,
    sessionId: thread.id,
    forkedFromId: thread.forkedFromId,
    parentThreadId: null,
    preview: previewOf(thread),
    ephemeral: thread.ephemeral,
    projectId: null,
    modelProvider: "openai",
    model: thread.model,
    reasoningEffort: thread.effort,
    createdAt: thread.createdAt,
    updatedAt: thread.updatedAt,
    recencyAt: thread.updatedAt,
    status: statusOf(thread),
    path: thread.ephemeral
      ? null
      : `${place.codexHome}/${thread.archived ? "archived_sessions" : "sessions"}/rollout-${thread.id}.jsonl`,
    cwd: thread.cwd,
    cliVersion: codexVersion,
    source: "vscode",
    name: thread.name,
    turns: withTurns ? thread.turns.map((turn) => turnOf(turn, "full")) : []
  })

  const loadedOf = (thread: FakeThread, withTurns: boolean): ThreadStartResponse => ({
    thread: threadOf(thread, withTurns),
    model: thread.model,
    modelProvider: "openai",
    serviceTier: null,
    cwd: thread.cwd,
    approvalPolicy: thread.approvalPolicy,
    approvalsReviewer: thread.approvalsReviewer,
    sandbox: thread.sandbox,
    reasoningEffort: thread.effort
  })

  // ---------------------------------------------------------------------------
  // Telling
  // ---------------------------------------------------------------------------

  const tell = <M extends ServerNotificationMethod>(
    thread: FakeThread,
    method: M,
    params: ServerNotificationParams[M]
  ): Effect.Effect<void> =>
    thread.subscribed || method === "thread/status/changed" ? connection.notify(method, params) : Effect.void

  const tellStatus = (thread: FakeThread, status = statusOf(thread)): Effect.Effect<void> =>
    tell(thread, "thread/status/changed", { threadId: thread.id, status })

  const tellUsage = (thread: FakeThread, turnId: string, last: TokenUsageBreakdown): Effect.Effect<void> =>
    tell(thread, "thread/tokenUsage/updated", {
      threadId: thread.id,
      turnId,
      tokenUsage: { total: thread.total, last, modelContextWindow: CONTEXT_WINDOW }
    })

  // ---------------------------------------------------------------------------
  // Turns
  // ---------------------------------------------------------------------------

  const agentTurn = (thread: FakeThread, running: Running, input: ReadonlyArray<UserInput>) => {
    const { turn } = running
    const at = { threadId: thread.id, turnId: turn.id }
    let cost: Usage = { input: 10, output: 5 }
    /** Whether the model has been asked since tokens were told of the last time. */
    let asked = true

    const begin = (item: ThreadItem): Effect.Effect<number> =>
      Effect.flatMap(nowMs, (startedAtMs) =>
        Effect.as(
          tell(thread, "item/started", { ...at, item: { ...item, startedAtMs, completedAtMs: null }, startedAtMs }),
          startedAtMs
        ))

    const complete = <I extends ThreadItem>(item: I, startedAtMs: number): Effect.Effect<I> =>
      Effect.flatMap(nowMs, (completedAtMs) => {
        const completed: I = { ...item, startedAtMs, completedAtMs }
        return Effect.as(
          tell(thread, "item/completed", { ...at, item: completed, completedAtMs, contentTokenCount: null }),
          completed
        )
      })

    /** An item that is done, and that the history has. */
    const keep = <I extends ThreadItem>(item: I, startedAtMs: number): Effect.Effect<void> =>
      Effect.map(complete(item, startedAtMs), (completed) => {
        running.run.items.push(completed)
      })

    /** An item that is there at once. */
    const show = <I extends ThreadItem>(item: I): Effect.Effect<I> =>
      Effect.flatMap(begin(item), (startedAtMs) => complete(item, startedAtMs))

    /** One request to the model has ended. What a review costs is not told. */
    const spend = Effect.suspend(() => {
      asked = false
      if (running.review !== null) return Effect.void
      const { cachedInput = 0, input = 0, output = 0, reasoningOutput = 0 } = cost
      const last: TokenUsageBreakdown = {
        ...none,
        inputTokens: input,
        cachedInputTokens: cachedInput,
        outputTokens: output,
        reasoningOutputTokens: reasoningOutput,
        totalTokens: input + output
      }
      const { total } = thread
      thread.total = {
        totalTokens: total.totalTokens + last.totalTokens,
        inputTokens: total.inputTokens + input,
        cachedInputTokens: total.cachedInputTokens + cachedInput,
        cacheWriteInputTokens: total.cacheWriteInputTokens ?? 0,
        outputTokens: total.outputTokens + output,
        reasoningOutputTokens: total.reasoningOutputTokens + reasoningOutput
      }
      thread.last = last
      return tellUsage(thread, turn.id, last)
    })

    const hear = (parts: ReadonlyArray<UserInput>): Effect.Effect<void> =>
      Effect.gen(function*() {
        running.run.items.push(yield* show({ type: "userMessage", id: newId(), clientId: null, content: parts }))
        asked = true
      })

    const say: AgentTurn["say"] = (text, options) =>
      Effect.gen(function*() {
        const id = `msg_${++items}`
        const parts = typeof text === "string" ? wordsOf(text) : text
        const item = (text: string): Item<"agentMessage"> => ({
          type: "agentMessage",
          id,
          text,
          phase: options?.phase ?? null,
          memoryCitation: null
        })
        asked = true
        const startedAtMs = yield* begin(item(""))
        // What a reviewer says is told once it is done, as the review.
        if (running.review !== null) {
          running.last = item(parts.join(""))
          return id
        }
        for (const delta of parts) yield* tell(thread, "item/agentMessage/delta", { ...at, itemId: id, delta })
        const completed = yield* complete(item(parts.join("")), startedAtMs)
        turn.items.push(completed)
        if (completed.phase !== "commentary") running.last = completed
        return id
      })

    /** Asks for leave, and says meanwhile that the thread waits for it. */
    const approve = <D>(question: Effect.Effect<{ readonly decision: D }, Refusal>): Effect.Effect<D | undefined> =>
      Effect.gen(function*() {
        yield* tellStatus(thread, { type: "active", activeFlags: ["waitingOnApproval"] })
        const answer = yield* Effect.result(question)
        yield* tellStatus(thread)
        // An error for an answer is no answer.
        return answer._tag === "Success" ? answer.success.decision : undefined
      })

    /** What is steered in meanwhile waits for the end of it. */
    const whole = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.acquireUseRelease(
        Effect.sync(() => running.underWay++),
        () => effect,
        () =>
          Effect.suspend(() => {
            running.underWay--
            return takeUp(running)
          })
      )

    /** What the model has asked for has been paid for, also when the turn ends in the middle of it. */
    const paid = <A>(effect: Effect.Effect<A>): Effect.Effect<A> => whole(Effect.ensuring(effect, spend))

    const command: AgentTurn["command"] = ({ approval, command, exitCode = 0, output = "" }) =>
      Effect.gen(function*() {
        if (approval !== undefined && mayNotAsk(thread)) return "decline"
        const itemId = `call_${++items}`
        const shown = `/bin/bash -lc ${quoted(command)}`
        const about = {
          command: shown,
          cwd: thread.cwd,
          commandActions: [{ type: "unknown" as const, command }]
        }
        const asks = approval !== undefined && asksUser(thread) && !thread.acceptedCommands.has(command)
        const started: Item<"commandExecution"> = {
          type: "commandExecution",
          id: itemId,
          ...about,
          processId: asks ? null : String(items),
          source: asks ? "agent" : "unifiedExecStartup",
          status: "inProgress",
          aggregatedOutput: null,
          exitCode: null,
          durationMs: null
        }
        const startedAtMs = yield* begin(started)
        let decision: CommandExecutionApprovalDecision | undefined = "accept"
        if (asks) {
          decision = yield* approve(connection.ask("item/commandExecution/requestApproval", {
            ...at,
            itemId,
            startedAtMs,
            kind: "command",
            environmentId: "local",
            reason: approval === true ? null : approval,
            ...about,
            proposedExecpolicyAmendment: command.split(/\s+/),
            availableDecisions: [
              "accept",
              { acceptWithExecpolicyAmendment: { execpolicy_amendment: command.split(/\s+/) } },
              "cancel"
            ]
          }, thread.id))
        }
        if (decision === "acceptForSession") thread.acceptedCommands.add(command)
        if (decision === undefined || decision === "decline" || decision === "cancel") {
          // The history has only those that ran.
          yield* complete({ ...started, status: decision === undefined ? "failed" : "declined" }, startedAtMs)
          if (decision === "cancel") return yield* Effect.interrupt
        } else {
          const parts = typeof output === "string" ? [] : output
          for (const delta of parts) {
            yield* tell(thread, "item/commandExecution/outputDelta", { ...at, itemId, delta })
          }
          yield* keep({
            ...started,
            processId: started.processId ?? String(items),
            source: "unifiedExecStartup",
            status: exitCode === 0 ? "completed" : "failed",
            aggregatedOutput: typeof output === "string" ? output : output.join(""),
            exitCode,
            durationMs: 0
          }, startedAtMs)
        }
        return decision === undefined || decision === "decline" || decision === "acceptForSession"
          ? decision ?? "decline"
          : "accept"
      }).pipe(paid)

    const changeFiles: AgentTurn["changeFiles"] = ({ approval, changes }) =>
      Effect.gen(function*() {
        if (approval !== undefined && mayNotAsk(thread)) return "decline"
        const itemId = `call_${++items}`
        const started: Item<"fileChange"> = { type: "fileChange", id: itemId, changes, status: "inProgress" }
        const startedAtMs = yield* begin(started)
        let decision: FileChangeApprovalDecision | undefined = "accept"
        if (approval !== undefined && asksUser(thread) && !thread.acceptsChanges) {
          decision = yield* approve(connection.ask("item/fileChange/requestApproval", {
            ...at,
            itemId,
            startedAtMs,
            reason: approval === true ? null : approval,
            grantRoot: null
          }, thread.id))
        }
        if (decision === "acceptForSession") thread.acceptsChanges = true
        const accepted = decision === "accept" || decision === "acceptForSession"
        yield* keep(
          { ...started, status: accepted ? "completed" : decision === undefined ? "failed" : "declined" },
          startedAtMs
        )
        if (decision === "cancel") return yield* Effect.interrupt
        return decision ?? "decline"
      }).pipe(paid)

    const callTool: AgentTurn["callTool"] = (call) =>
      Effect.gen(function*() {
        const id = `call_${++items}`
        const started: Item<"dynamicToolCall"> = {
          type: "dynamicToolCall",
          id,
          namespace: call.namespace ?? null,
          tool: call.tool,
          arguments: call.arguments,
          status: "inProgress",
          contentItems: null,
          success: null,
          durationMs: null
        }
        const startedAtMs = yield* begin(started)
        const answer: DynamicToolCallResponse = yield* connection.ask("item/tool/call", {
          ...at,
          callId: id,
          namespace: call.namespace ?? null,
          tool: call.tool,
          arguments: call.arguments
        }, thread.id).pipe(
          Effect.orElseSucceed((): DynamicToolCallResponse => ({
            success: false,
            contentItems: [{ type: "inputText", text: "dynamic tool request failed" }]
          }))
        )
        yield* keep({
          ...started,
          status: answer.success ? "completed" : "failed",
          contentItems: answer.contentItems.map((part) => ({ ...part })),
          success: answer.success,
          durationMs: 0
        }, startedAtMs)
        return answer
      }).pipe(paid)

    const self: AgentTurn = {
      ...at,
      text: textOf(input),
      params: running.params,
      reviewing: running.review,
      before: thread.turns.indexOf(running.run),
      say,
      commentary: (text) => say(text, { phase: "commentary" }),
      json: (value) => say([JSON.stringify(value)]),
      reason: (...summary) =>
        Effect.gen(function*() {
          const id = `rs_${++items}`
          const item = (summary: ReadonlyArray<string>): Item<"reasoning"> => ({
            type: "reasoning",
            id,
            summary,
            content: []
          })
          asked = true
          const startedAtMs = yield* begin(item([]))
          for (const [summaryIndex, delta] of summary.entries()) {
            yield* tell(thread, "item/reasoning/summaryPartAdded", { ...at, itemId: id, summaryIndex })
            yield* tell(thread, "item/reasoning/summaryTextDelta", { ...at, itemId: id, summaryIndex, delta })
          }
          yield* keep(item(summary), startedAtMs)
          return id
        }),
      command,
      changeFiles,
      callTool,
      ask: (method, params) => whole(connection.ask(method, params, thread.id)),
      notify: (method, params) => tell(thread, method, params),
      usage: (usage) =>
        Effect.sync(() => {
          cost = usage
        }),
      flood: (events) =>
        Effect.forEach(
          Array.from({ length: events }, (_, summaryIndex) => summaryIndex),
          (summaryIndex) =>
            tell(thread, "item/reasoning/summaryPartAdded", { ...at, itemId: `rs_${items}`, summaryIndex }),
          { discard: true }
        ),
      retrying: (message, info) =>
        tell(thread, "error", {
          ...at,
          willRetry: true,
          error: { message, codexErrorInfo: info ?? null, additionalDetails: null }
        }),
      fail: (description, info) => Effect.fail(new AgentFailure({ description, info: info ?? null }))
    }
    return { self, hear, show, spend: Effect.suspend(() => asked ? spend : Effect.void) }
  }

  const perform = (script: Script, turn: AgentTurn): Effect.Effect<void, AgentFailure> =>
    typeof script === "string" ? Effect.asVoid(turn.say(script)) : Effect.asVoid(script(turn))

  const steer = (running: Running, input: ReadonlyArray<UserInput>): Effect.Effect<void> =>
    Effect.suspend(() => {
      running.steered.push(input)
      return takeUp(running)
    })

  const takeUp = ({ steered, takeUp, underWay }: Running): Effect.Effect<void> =>
    steered.length > 0 && underWay === 0 ? Effect.asVoid(Deferred.succeed(takeUp, undefined)) : Effect.void

  /** From the first script to the last: what is steered in cuts one off, and is answered by a further one. */
  const play = (thread: FakeThread, running: Running): Effect.Effect<void, AgentFailure> =>
    Effect.gen(function*() {
      let inputs: ReadonlyArray<ReadonlyArray<UserInput>> = [decodeInput(running.params.input)]
      while (inputs.length > 0) {
        const heard: Array<UserInput> = []
        const { hear } = agentTurn(thread, running, heard)
        for (; inputs.length > 0; inputs = running.steered.splice(0)) {
          for (const input of inputs) {
            if (input.length > 0) yield* hear(input)
            heard.push(...input)
          }
        }
        const { self, spend } = agentTurn(thread, running, heard)
        running.takeUp = Deferred.makeUnsafe()
        const isCut = yield* Effect.raceFirst(
          Effect.as(Effect.flatMap(next(self), (script) => perform(script, self)), false),
          Effect.as(Deferred.await(running.takeUp), true)
        )
        if (!isCut) yield* spend
        inputs = running.steered.splice(0)
      }
    })

  /** Where a review is told, and what there is to say instead of one. */
  const exitReview = (thread: FakeThread, running: Running) =>
    Effect.gen(function*() {
      const { last, turn } = running
      const { show } = agentTurn(thread, running, [])
      const isDone = turn.status === "completed"
      const review = isDone ? reviewOf(last?.text) : unfinished.review
      turn.items.push(yield* show({ type: "exitedReviewMode", id: newId(), review }))
      const message = yield* show<Item<"agentMessage">>({
        type: "agentMessage",
        id: `msg_${++items}`,
        text: isDone ? review : unfinished.message,
        phase: null,
        memoryCitation: null
      })
      turn.items.push(message)
      running.last = message
    })

  const conclude = (thread: FakeThread, running: Running, exit: Exit.Exit<void, AgentFailure>) =>
    Effect.gen(function*() {
      const { turn } = running
      const failure = Exit.isFailure(exit) ? Cause.findErrorOption(exit.cause) : Option.none()
      turn.status = Exit.isSuccess(exit) ? "completed" : Option.isSome(failure) ? "failed" : "interrupted"
      turn.completedAt = yield* now
      turn.durationMs = (turn.completedAt - turn.startedAt) * 1_000
      thread.running = undefined
      thread.updatedAt = turn.completedAt
      thread.used = ++uses
      thread.failed = turn.status === "failed"
      if (running.review !== null && !thread.failed) yield* exitReview(thread, running)
      if (thread.loaded) yield* tellStatus(thread)
      if (Option.isSome(failure)) {
        const { description, info } = failure.value
        turn.error = { message: description, codexErrorInfo: info, additionalDetails: null }
        yield* tell(thread, "error", { threadId: thread.id, turnId: turn.id, willRetry: false, error: turn.error })
        if (running.review !== null) yield* exitReview(thread, running)
      }
      const said = turn.status === "completed" && running.last !== undefined ? [running.last] : []
      yield* tell(thread, "turn/completed", {
        threadId: thread.id,
        turn: {
          ...turnOf(turn, "notLoaded"),
          items: said,
          itemsView: turn.status === "completed" ? "summary" : "notLoaded"
        }
      })
      yield* connection.resolveAll(thread.id)
    })

  const newTurn = (startedAt: number, rootId?: string): StoredTurn => {
    const id = newId()
    return {
      id,
      rootId: rootId ?? id,
      items: [],
      startedAt,
      status: "inProgress",
      error: null,
      completedAt: null,
      durationMs: null
    }
  }

  const begin = (
    thread: FakeThread,
    params: TurnStartParams,
    respond: (result: { readonly turn: Turn }) => Effect.Effect<void>,
    review: ReviewTarget | null = null
  ) =>
    Effect.gen(function*() {
      // A review takes the place of what runs.
      yield* stop(thread)
      const turn = newTurn(yield* now)
      // How it runs is stored on its own, as if it had not come to an end.
      const run: StoredTurn = review === null ? turn : { ...newTurn(turn.startedAt, turn.id), status: "interrupted" }
      const running: Running = {
        turn,
        run,
        review,
        params,
        steered: [],
        takeUp: Deferred.makeUnsafe(),
        underWay: 0,
        active: false,
        fiber: undefined,
        last: undefined
      }
      thread.running = running
      thread.turns.push(...new Set([run, turn]))
      yield* respond({
        turn: {
          ...turnOf(turn, "notLoaded"),
          startedAt: null,
          ...(review === null ? {} : { rootTurnId: null, items: [askedFor(turn, review)] })
        }
      })
      const work = Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          if (review !== null) {
            const { show } = agentTurn(thread, running, [])
            turn.items.push(yield* show({ type: "enteredReviewMode", id: newId(), review: subjectOf(review) }))
          }
          yield* tellStatus(thread)
          yield* tell(thread, "turn/started", {
            threadId: thread.id,
            turn: { ...turnOf(run, "notLoaded"), status: "inProgress" }
          })
          running.active = true
          const exit = yield* Effect.exit(restore(play(thread, running)))
          if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) {
            return yield* Effect.failCause(Cause.die(Cause.squash(exit.cause)))
          }
          yield* conclude(thread, running, exit)
        })
      )
      running.fiber = yield* connection.fork(work)
    })

  const stop = (thread: FakeThread): Effect.Effect<void> =>
    Effect.suspend(() => {
      const fiber = thread.running?.fiber
      return fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(fiber))
    })

  // ---------------------------------------------------------------------------
  // Threads
  // ---------------------------------------------------------------------------

  type Settings = Pick<
    ThreadStartParams,
    "model" | "cwd" | "approvalPolicy" | "approvalsReviewer" | "sandbox"
  >

  const configure = (thread: FakeThread, settings: Settings): void => {
    thread.model = settings.model ?? thread.model
    thread.cwd = settings.cwd ?? thread.cwd
    if (settings.approvalPolicy != null) thread.approvalPolicy = decodePolicy(settings.approvalPolicy)
    thread.approvalsReviewer = settings.approvalsReviewer ?? thread.approvalsReviewer
    if (settings.sandbox != null) thread.sandbox = sandboxOf(settings.sandbox)
  }

  /** What a turn may change of a thread. */
  const adjust = (
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

  const create = (settings: Settings, fields: Partial<FakeThread>): Effect.Effect<FakeThread> =>
    Effect.map(now, (createdAt) => {
      const thread: FakeThread = {
        id: newId(),
        ephemeral: false,
        forkedFromId: null,
        createdAt,
        turns: [],
        acceptedCommands: new Set(),
        cwd: place.cwd,
        model: place.models.find(({ isDefault }) => isDefault)?.id ?? "gpt-5.4",
        effort: null,
        approvalPolicy: "on-request",
        approvalsReviewer: "user",
        sandbox: sandboxOf("read-only"),
        acceptsChanges: false,
        name: null,
        used: ++uses,
        updatedAt: createdAt,
        archived: false,
        loaded: true,
        subscribed: true,
        failed: false,
        total: none,
        last: none,
        running: undefined,
        ...fields
      }
      configure(thread, settings)
      threads.set(thread.id, thread)
      return thread
    })

  /** A thread that is stored: one that has had a turn. */
  const stored = (id: string): Effect.Effect<FakeThread, Refusal> => {
    const thread = threads.get(id)
    return thread === undefined || thread.ephemeral || thread.turns.length === 0
      ? Effect.fail(noRollout(id))
      : Effect.succeed(thread)
  }

  const loaded = (id: string): Effect.Effect<FakeThread, Refusal> => {
    const thread = threads.get(id)
    return thread === undefined || !thread.loaded ? Effect.fail(notFound(id)) : Effect.succeed(thread)
  }

  const known = (id: string): Effect.Effect<FakeThread, Refusal> => {
    const thread = threads.get(id)
    return thread === undefined ? Effect.fail(invalidRequest(`thread not loaded: ${id}`)) : Effect.succeed(thread)
  }

  const unload = (thread: FakeThread): Effect.Effect<void> =>
    Effect.andThen(
      stop(thread),
      Effect.sync(() => {
        thread.loaded = false
        thread.failed = false
      })
    )

  const handlers: Handlers = {
    "thread/start": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* create(params, { ephemeral: params.ephemeral === true })
        yield* respond(loadedOf(thread, false))
        yield* tell(thread, "thread/started", { thread: threadOf(thread) })
      }),
    "thread/resume": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* stored(params.threadId)
        if (thread.archived) return yield* noRollout(params.threadId)
        const wasLoaded = thread.loaded
        thread.loaded = true
        thread.subscribed = true
        // One that is loaded keeps its settings.
        if (!wasLoaded) {
          configure(thread, params)
          yield* tellStatus(thread)
        }
        yield* respond(loadedOf(thread, params.excludeTurns !== true))
        const last = thread.turns.at(-1)
        if (!wasLoaded && last !== undefined) yield* tellUsage(thread, last.id, thread.last)
        yield* tell(thread, "thread/goal/cleared", { threadId: thread.id })
        yield* connection.askAgain(thread.id)
      }),
    "thread/fork": (params, respond) =>
      Effect.gen(function*() {
        const source = yield* stored(params.threadId)
        if (source.archived) {
          return yield* invalidRequest(
            `session ${source.id} is archived. Run \`codex unarchive ${source.id}\` to unarchive it first.`
          )
        }
        const end = params.lastTurnId == null
          ? source.turns.length
          : source.turns.findIndex(({ id }) => id === params.lastTurnId) + 1
        if (end === 0) return yield* invalidRequest(`turn not found: ${params.lastTurnId}`)
        const thread = yield* create(params, {
          ephemeral: params.ephemeral === true,
          forkedFromId: source.id,
          turns: source.turns.slice(0, end).filter(({ status }) => status !== "inProgress"),
          name: source.name,
          last: source.last,
          cwd: source.cwd,
          approvalPolicy: source.approvalPolicy,
          approvalsReviewer: source.approvalsReviewer,
          total: source.total
        })
        configure(thread, params)
        yield* respond(loadedOf(thread, params.excludeTurns !== true))
        yield* tell(thread, "thread/started", { thread: threadOf(thread) })
      }),
    "thread/list": (params, respond) =>
      Effect.flatMap(Effect.suspend(() => listed([...threads.values()], params, threadOf)), respond),
    "thread/loaded/list": (_, respond) =>
      respond({ data: [...threads.values()].filter(({ loaded }) => loaded).map(({ id }) => id), nextCursor: null }),
    "thread/read": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* known(params.threadId)
        if (params.includeTurns === true) {
          if (thread.ephemeral) return yield* invalidRequest("ephemeral threads do not support includeTurns")
          if (thread.turns.length === 0) return yield* refuse(METHOD_NOT_FOUND, "list_turns is not supported yet")
        }
        yield* respond({ thread: threadOf(thread, params.includeTurns === true) })
      }),
    "thread/turns/list": (params, respond) =>
      Effect.gen(function*() {
        const thread = threads.get(params.threadId)
        if (thread === undefined || thread.ephemeral || thread.turns.length === 0) {
          return yield* refuse(METHOD_NOT_FOUND, "list_turns is not supported yet")
        }
        const turns = thread.turns.map((turn) => turnOf(turn, params.itemsView ?? "summary"))
        yield* respond(yield* page(params.sortDirection === "asc" ? turns : turns.toReversed(), params))
      }),
    "thread/items/list": (params, respond) =>
      Effect.gen(function*() {
        const thread = threads.get(params.threadId)
        if (thread === undefined || thread.ephemeral || thread.turns.length === 0) {
          return yield* refuse(METHOD_NOT_FOUND, "thread/items/list is not supported yet")
        }
        const all = thread.turns.flatMap((turn) =>
          params.turnId == null || params.turnId === turn.id
            ? turn.items.map((item) => ({
              turnId: turn.id,
              item,
              startedAtMs: typeof item.startedAtMs === "number" ? item.startedAtMs : null,
              completedAtMs: typeof item.completedAtMs === "number" ? item.completedAtMs : null
            }))
            : []
        )
        const { cursor, limit } = params
        yield* respond(
          yield* page(params.sortDirection === "desc" ? all.toReversed() : all, {
            limit,
            cursor: typeof cursor === "string" ? cursor : null
          })
        )
      }),
    "thread/name/set": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* known(params.threadId)
        const name = params.name.trim()
        if (name === "") return yield* invalidRequest("thread name must not be empty")
        if (thread.archived) return yield* noRollout(thread.id)
        thread.name = name
        yield* respond({})
        yield* tell(thread, "thread/name/updated", { threadId: thread.id, threadName: name })
      }),
    "thread/archive": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* stored(params.threadId)
        if (thread.archived) return yield* noRollout(thread.id)
        yield* unload(thread)
        thread.archived = true
        yield* respond({})
        yield* tell(thread, "thread/archived", { threadId: thread.id })
      }),
    "thread/unarchive": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* stored(params.threadId)
        if (!thread.archived) return yield* noRollout(params.threadId)
        thread.archived = false
        yield* respond({ thread: threadOf(thread) })
        yield* tell(thread, "thread/unarchived", { threadId: thread.id })
      }),
    "thread/delete": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* stored(params.threadId)
        if (thread.loaded) {
          yield* unload(thread)
          yield* tellStatus(thread)
        }
        if ([...threads.values()].some(({ forkedFromId }) => forkedFromId === thread.id)) {
          return yield* invalidRequest(`cannot delete thread ${thread.id}: forked history still references it`)
        }
        threads.delete(thread.id)
        yield* respond({})
        yield* tell(thread, "thread/deleted", { threadId: thread.id })
      }),
    "thread/settings/update": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* loaded(params.threadId)
        adjust(thread, params)
        yield* respond({})
        yield* tell(thread, "thread/settings/updated", {
          threadId: thread.id,
          threadSettings: {
            activePermissionProfile: null,
            approvalPolicy: thread.approvalPolicy,
            approvalsReviewer: thread.approvalsReviewer,
            collaborationMode: {
              mode: "default",
              settings: { model: thread.model, reasoning_effort: thread.effort, developer_instructions: null }
            },
            cwd: thread.cwd,
            effort: thread.effort,
            model: thread.model,
            modelProvider: "openai",
            sandboxPolicy: thread.sandbox,
            serviceTier: null
          }
        })
      }),
    "thread/unsubscribe": (params, respond) =>
      Effect.suspend(() => {
        const thread = threads.get(params.threadId)
        if (thread === undefined || !thread.loaded) return respond({ status: "notLoaded" })
        const status = thread.subscribed ? "unsubscribed" : "notSubscribed"
        thread.subscribed = false
        return respond({ status })
      }),
    "review/start": ({ target, threadId }, respond) =>
      Effect.gen(function*() {
        const thread = yield* loaded(threadId)
        const prompt = promptOf(target)
        if (prompt === "") return yield* invalidRequest("instructions must not be empty")
        yield* begin(
          thread,
          { threadId, input: [{ type: "text", text: prompt }] },
          (result) => respond({ ...result, reviewThreadId: threadId }),
          target
        )
      }),
    "turn/start": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* loaded(params.threadId)
        if (thread.running?.review != null) {
          return yield* refuse(
            INTERNAL_ERROR,
            "failed to submit turn input: ActiveTurnNotSteerable { turn_kind: Review }"
          )
        }
        if (thread.running !== undefined) {
          yield* steer(thread.running, decodeInput(params.input))
          return yield* respond({ turn: { ...turnOf(thread.running.turn, "notLoaded"), startedAt: null } })
        }
        adjust(thread, params)
        yield* begin(thread, params, respond)
      }),
    "turn/steer": (params, respond) =>
      Effect.gen(function*() {
        const { running } = yield* loaded(params.threadId)
        if (running === undefined) return yield* invalidRequest("no active turn to steer")
        if (running.review !== null) {
          return yield* invalidRequest(NOT_STEERABLE, {
            message: NOT_STEERABLE,
            codexErrorInfo: { activeTurnNotSteerable: { turnKind: "review" } },
            additionalDetails: null,
            misalignment: null
          })
        }
        if (running.turn.id !== params.expectedTurnId) {
          return yield* invalidRequest(
            `expected active turn id \`${params.expectedTurnId}\` but found \`${running.turn.id}\``
          )
        }
        if (params.input.length === 0) return yield* invalidRequest("input must not be empty")
        yield* steer(running, decodeInput(params.input))
        yield* respond({ turnId: running.turn.id })
      }),
    "turn/interrupt": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* loaded(params.threadId)
        const { running } = thread
        if (running === undefined || !running.active) return yield* invalidRequest("no active turn to interrupt")
        if (params.turnId !== "" && running.run.id !== params.turnId) {
          return yield* invalidRequest(`expected active turn id ${params.turnId} but found ${running.run.id}`)
        }
        yield* respond({})
        yield* stop(thread)
      }),
    "model/list": (_, respond) => respond({ data: [...place.models], nextCursor: null })
  }

  return { handlers }
}

// =============================================================================
// Pages
// =============================================================================

/** A part of a list, with the place that it ends at for a cursor. */
const page = <A>(
  all: ReadonlyArray<A>,
  params: { readonly cursor?: string | null | undefined; readonly limit?: number | null | undefined }
) => {
  const start = Number(params.cursor ?? 0)
  if (!Number.isSafeInteger(start) || start < 0) return Effect.fail(invalidRequest(`invalid cursor: ${params.cursor}`))
  // A limit of 0 is 1.
  const end = start + Math.max(1, params.limit ?? PAGE)
  return Effect.succeed({
    data: all.slice(start, end),
    nextCursor: end < all.length ? String(end) : null,
    backwardsCursor: null
  })
}

const listed = (
  threads: ReadonlyArray<FakeThread>,
  params: ThreadListParams,
  model: (thread: FakeThread) => Thread
) => {
  const folders = params.cwd == null ? undefined : typeof params.cwd === "string" ? [params.cwd] : params.cwd
  const term = params.searchTerm
  const found = threads.filter((thread) =>
    !thread.ephemeral && thread.turns.length > 0 && thread.archived === (params.archived ?? false) &&
    (folders === undefined || folders.includes(thread.cwd)) &&
    (term == null || `${thread.name ?? ""}\n${model(thread).preview}`.includes(term))
  )
  const ascending = params.sortDirection === "asc"
  found.sort((a, b) => ascending ? a.used - b.used : b.used - a.used)
  return page(found.map((thread) => model(thread)), params)
}
