/** The goals of threads of the app-server in memory: what is kept of them, and what a turn takes of them. */
import type { CodexErrorInfo, ThreadGoal, ThreadGoalSetParams, ThreadGoalStatus } from "@effect-codex/generated"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { type Handlers, invalidRequest, type Refusal } from "./fakeConnection.ts"
import type { FakeStore } from "./fakeStore.ts"
import type { Telling } from "./fakeTelling.ts"
import { type FakeThread, now, previewOf, type Running } from "./fakeThread.ts"
import type { Turns } from "./fakeTurns.ts"

/** What happens to the goals of threads. */
export interface FakeGoals {
  /** Tells of the goal as it is. */
  readonly show: (thread: FakeThread, turnId?: string) => Effect.Effect<void>
  /** Adds what the turn has taken since this was done last, and tells of it. */
  readonly account: (thread: FakeThread, running: Running) => Effect.Effect<void>
  /** Says where it stands, as the model does in a turn; without a goal nothing happens. */
  readonly settle: (thread: FakeThread, running: Running, status: ThreadGoalStatus) => Effect.Effect<void>
  /** The turn has failed: the goal is not worked on any more. */
  readonly fail: (thread: FakeThread, running: Running, info: CodexErrorInfo | null) => Effect.Effect<void>
}

/** A goal that is over its limit stays so. */
const limited = (goal: ThreadGoal): ThreadGoal =>
  goal.status === "active" && goal.tokenBudget != null && goal.tokensUsed >= goal.tokenBudget
    ? { ...goal, status: "budgetLimited" }
    : goal

export const make = ({ tell }: Telling): FakeGoals => {
  const show = (thread: FakeThread, turnId?: string): Effect.Effect<void> =>
    thread.goal === null
      ? tell(thread, "thread/goal/cleared", { threadId: thread.id })
      : tell(thread, "thread/goal/updated", { threadId: thread.id, turnId: turnId ?? null, goal: thread.goal })

  const change = (thread: FakeThread, running: Running, fields: Partial<ThreadGoal>): Effect.Effect<void> =>
    Effect.flatMap(now, (updatedAt) => {
      if (thread.goal === null) return Effect.void
      thread.goal = limited({ ...thread.goal, ...fields, updatedAt })
      return show(thread, running.run.id)
    })

  return {
    show,
    account: (thread, running) =>
      Effect.flatMap(Clock.currentTimeMillis, (millis) => {
        const { goal } = thread
        const tokens = running.unaccounted
        const seconds = Math.floor((millis - running.accountedAt) / 1_000)
        running.unaccounted = 0
        running.accountedAt += seconds * 1_000
        if (goal?.status !== "active" && goal?.status !== "budgetLimited") return Effect.void
        if (tokens === 0 && seconds === 0) return Effect.void
        return change(thread, running, {
          tokensUsed: goal.tokensUsed + tokens,
          timeUsedSeconds: goal.timeUsedSeconds + seconds
        })
      }),
    settle: (thread, running, status) => change(thread, running, { status }),
    fail: (thread, running, info) =>
      thread.goal?.status === "active"
        ? change(thread, running, { status: info === "usageLimitExceeded" ? "usageLimited" : "blocked" })
        : Effect.void
  }
}

// =============================================================================
// Requests
// =============================================================================

/** The goal as it is after a request to set it. */
const changed = (
  thread: FakeThread,
  { objective, status, tokenBudget }: ThreadGoalSetParams,
  updatedAt: number
): Effect.Effect<ThreadGoal, Refusal> => {
  if (objective?.trim() === "") return Effect.fail(invalidRequest("goal objective must not be empty"))
  if (tokenBudget != null && tokenBudget <= 0) {
    return Effect.fail(invalidRequest("goal budgets must be positive when provided"))
  }
  if (thread.goal === null && objective == null) {
    return Effect.fail(invalidRequest(`cannot update goal for thread ${thread.id}: no goal exists`))
  }
  const before = thread.goal ?? {
    objective: "",
    status: "active",
    tokenBudget: null,
    tokensUsed: 0,
    timeUsedSeconds: 0,
    createdAt: updatedAt
  }
  return Effect.succeed(limited({
    ...before,
    threadId: thread.id,
    objective: objective?.trim() ?? before.objective,
    status: status ?? before.status,
    tokenBudget: tokenBudget === undefined ? before.tokenBudget ?? null : tokenBudget,
    updatedAt
  }))
}

export const handlers = (store: FakeStore, { account, show }: FakeGoals, { goOn }: Turns): Handlers => ({
  "thread/goal/get": ({ threadId }, respond) =>
    Effect.flatMap(store.withGoal(threadId), ({ goal }) => respond({ goal })),
  "thread/goal/set": (params, respond) =>
    Effect.gen(function*() {
      const thread = yield* store.withGoal(params.threadId)
      if (thread.running !== undefined) yield* account(thread, thread.running)
      thread.goal = yield* changed(thread, params, yield* now)
      if (previewOf(thread) === "") thread.beginning = thread.goal.objective
      thread.stored = "whole"
      yield* respond({ goal: thread.goal })
      yield* show(thread)
      yield* goOn(thread)
    }),
  "thread/goal/clear": ({ threadId }, respond) =>
    Effect.gen(function*() {
      const thread = yield* store.withGoal(threadId)
      const cleared = thread.goal !== null
      thread.goal = null
      yield* respond({ cleared })
      if (cleared) yield* show(thread)
    })
})
