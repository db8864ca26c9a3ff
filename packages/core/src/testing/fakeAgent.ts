/** The agent of a turn in memory: what its script can do, and what the client hears and the history keeps of it. */
import type {
  CommandExecutionApprovalDecision,
  DynamicToolCallResponse,
  FileChangeApprovalDecision,
  ThreadItem,
  UserInput
} from "@effect-codex/generated"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { AgentFailure, type AgentTurn, type Usage } from "./agentTurn.ts"
import type { FakeConnection, Refusal } from "./fakeConnection.ts"
import type { FakeGoals } from "./fakeGoals.ts"
import type { Telling } from "./fakeTelling.ts"
import {
  asksUser,
  type FakeThread,
  hasTool,
  type Item,
  mayNotAsk,
  nothing,
  type Numbers,
  type Running,
  type Said,
  textOf
} from "./fakeThread.ts"

/** As a shell's word, the way the server shows it. */
const quoted = (word: string): string => {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word
  return word.includes("'") ? `"${word.replace(/["\\$`]/g, "\\$&")}"` : `'${word}'`
}

const wordsOf = (text: string): ReadonlyArray<string> => text.match(/\S+\s*|\s+/g) ?? []

const failed = (text: string): DynamicToolCallResponse => ({
  success: false,
  contentItems: [{ type: "inputText", text }]
})

/** The agent while it works on what it has heard. */
export interface FakeAgent {
  /** What its script can do. */
  readonly self: AgentTurn
  /** Tells of what is said to it. */
  readonly hear: (said: Said) => Effect.Effect<void>
  /** Tells of an item that is there at once. */
  readonly show: <I extends ThreadItem>(item: I) => Effect.Effect<I>
  /** Tells that an item has begun, and gives the time (milliseconds). */
  readonly begin: (item: ThreadItem) => Effect.Effect<number>
  /** Tells that an item is done, which the history has from now on. */
  readonly keep: (item: ThreadItem, startedAtMs: number) => Effect.Effect<void>
  /** Tells what the last request to the model took, if it was not told yet. */
  readonly spend: Effect.Effect<void>
}

/** Has what was steered in taken up, unless the model has something under way. */
export const takeUp = ({ steered, takeUp, underWay }: Running): Effect.Effect<void> =>
  steered.length > 0 && underWay === 0 ? Effect.asVoid(Deferred.succeed(takeUp, undefined)) : Effect.void

export const make = (
  connection: FakeConnection,
  { tell, tellStatus, tellUsage }: Telling,
  goals: FakeGoals,
  numbers: Numbers
) =>
(thread: FakeThread, running: Running, input: ReadonlyArray<UserInput>): FakeAgent => {
  const { turn } = running
  const at = { threadId: thread.id, turnId: turn.id }
  let cost: Usage = { input: 10, output: 5 }
  /** Whether the model has been asked since tokens were told of the last time. */
  let asked = true

  const begin = (item: ThreadItem): Effect.Effect<number> =>
    Effect.flatMap(Clock.currentTimeMillis, (startedAtMs) =>
      Effect.as(
        tell(thread, "item/started", { ...at, item: { ...item, startedAtMs, completedAtMs: null }, startedAtMs }),
        startedAtMs
      ))

  const complete = <I extends ThreadItem>(item: I, startedAtMs: number): Effect.Effect<I> =>
    Effect.flatMap(Clock.currentTimeMillis, (completedAtMs) => {
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

  /** One request to the model has ended. What a review takes is nobody's. */
  const pay = Effect.sync(() => {
    asked = false
    if (running.review !== null) return
    const { cachedInput = 0, input = 0, output = 0, reasoningOutput = 0 } = cost
    const { total } = thread.spent
    thread.spent = {
      total: {
        totalTokens: total.totalTokens + input + output,
        inputTokens: total.inputTokens + input,
        cachedInputTokens: total.cachedInputTokens + cachedInput,
        cacheWriteInputTokens: total.cacheWriteInputTokens ?? 0,
        outputTokens: total.outputTokens + output,
        reasoningOutputTokens: total.reasoningOutputTokens + reasoningOutput
      },
      last: {
        ...nothing.last,
        inputTokens: input,
        cachedInputTokens: cachedInput,
        outputTokens: output,
        reasoningOutputTokens: reasoningOutput,
        totalTokens: input + output
      }
    }
    // What the model's service had in its cache is not the goal's to pay for.
    running.unaccounted += input - cachedInput + output
  })

  /** The same, and tells of it, behind what it has changed. */
  const spend = (change: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.andThen(
      pay,
      Effect.suspend(() => running.review === null ? Effect.andThen(change, tellUsage(thread, turn.id)) : Effect.void)
    )

  const hear = ({ clientId, output, parts }: Said): Effect.Effect<void> =>
    Effect.gen(function*() {
      running.run.items.push(
        yield* output === null
          ? show({ type: "userMessage", id: numbers.id(), clientId, content: parts })
          : show({ type: "functionCallOutput", id: `fco_${numbers.id()}`, ...output })
      )
      asked = true
    })

  const say: AgentTurn["say"] = (text, options) =>
    Effect.gen(function*() {
      const id = `msg_${numbers.item()}`
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

  /** What the model has asked for has been paid for, also when the turn ends in the middle of it, which tells of it. */
  const paid = <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
    whole(Effect.onExit(effect, (exit) => Exit.isSuccess(exit) ? spend(goals.account(thread, running)) : pay))

  const command: AgentTurn["command"] = ({ approval, command, exitCode = 0, output = "" }) =>
    Effect.gen(function*() {
      if (approval !== undefined && mayNotAsk(thread)) return "decline"
      const number = numbers.item()
      const itemId = `call_${number}`
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
        processId: asks ? null : String(number),
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
          processId: started.processId ?? String(number),
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
      const itemId = `call_${numbers.item()}`
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
      if (running.isCompaction || !hasTool(thread, call.tool, call.namespace)) {
        return failed(`unsupported call: ${call.tool}`)
      }
      const id = `call_${numbers.item()}`
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
        Effect.orElseSucceed(() => failed("dynamic tool request failed"))
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
    compacting: running.isCompaction,
    get goal() {
      return thread.goal
    },
    before: thread.turns.indexOf(running.run),
    say,
    commentary: (text) => say(text, { phase: "commentary" }),
    json: (value) => say([JSON.stringify(value)]),
    reason: (...summary) =>
      Effect.gen(function*() {
        const id = `rs_${numbers.item()}`
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
    updateGoal: (status) =>
      Effect.suspend(() =>
        thread.goal === null || running.isCompaction
          ? Effect.void
          : whole(spend(Effect.andThen(goals.account(thread, running), goals.settle(thread, running, status))))
      ),
    ask: (method, params) => whole(connection.ask(method, params, thread.id)),
    notify: (method, params) => tell(thread, method, params),
    usage: (usage) =>
      Effect.sync(() => {
        cost = usage
      }),
    flood: (events) =>
      Effect.suspend(() => {
        const itemId = `rs_${numbers.item()}`
        return Effect.forEach(
          Array.from({ length: events }, (_, summaryIndex) => summaryIndex),
          (summaryIndex) => tell(thread, "item/reasoning/summaryPartAdded", { ...at, itemId, summaryIndex }),
          { discard: true }
        )
      }),
    retrying: (message, info) =>
      tell(thread, "error", {
        ...at,
        willRetry: true,
        error: { message, codexErrorInfo: info ?? null, additionalDetails: null }
      }),
    fail: (description, info) => Effect.fail(new AgentFailure({ description, info: info ?? null }))
  }
  return { self, hear, show, begin, keep, spend: Effect.suspend(() => asked ? spend(Effect.void) : Effect.void) }
}
