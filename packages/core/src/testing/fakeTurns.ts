/** The turns of the app-server in memory, from their start to their end, reviews and compactions among them. */
import type { ReviewTarget, Turn, TurnStartParams, UserInput } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { AgentFailure, AgentTurn, Script } from "./agentTurn.ts"
import * as FakeAgent from "./fakeAgent.ts"
import type { FakeConnection } from "./fakeConnection.ts"
import type { FakeGoals } from "./fakeGoals.ts"
import { reviewOf, subjectOf, unfinished } from "./fakeReview.ts"
import { mute, type Telling } from "./fakeTelling.ts"
import {
  type FakeThread,
  type Item,
  nothing,
  now,
  type Numbers,
  type Queued,
  type Running,
  type Said,
  saidIn,
  type StoredTurn,
  takeOut,
  turnOf
} from "./fakeThread.ts"

/** What a review is of, as an item of its turn. */
const askedFor = ({ id }: StoredTurn, target: ReviewTarget): Item<"userMessage"> => ({
  type: "userMessage",
  id,
  clientId: null,
  content: [{ type: "text", text: subjectOf(target) }]
})

/** By which the server takes the length of a text for tokens. */
const CHARACTERS_PER_TOKEN = 4

/** What a turn is for: an answer, unless it says otherwise. */
type Purpose = Partial<Pick<Running, "review" | "isCompaction">>

/** Starts, steers and stops the turns of threads. */
export interface Turns {
  /** Starts a turn, or a review in the place of what runs; `respond` tells of it before anything else does. */
  readonly begin: (
    thread: FakeThread,
    params: TurnStartParams,
    respond?: (result: { readonly turn: Turn }) => Effect.Effect<void>,
    purpose?: Purpose
  ) => Effect.Effect<void>
  /** Starts to sum the history up, in the place of what runs. */
  readonly compact: (thread: FakeThread) => Effect.Effect<void>
  /** Gives a turn more input. */
  readonly steer: (running: Running, said: Said) => Effect.Effect<void>
  /** Starts a turn with something that waits. */
  readonly beginQueued: (
    thread: FakeThread,
    queued: Queued,
    respond?: (result: { readonly turn: Turn }) => Effect.Effect<void>
  ) => Effect.Effect<void>
  /** What a thread without a turn goes on with by itself: what waits in its queue, or else its goal. */
  readonly goOn: (thread: FakeThread) => Effect.Effect<void>
  /** Interrupts what runs on a thread, and waits for its end. */
  readonly stop: (thread: FakeThread) => Effect.Effect<void>
}

export const make = (
  connection: FakeConnection,
  telling: Telling,
  goals: FakeGoals,
  numbers: Numbers,
  next: (turn: AgentTurn) => Effect.Effect<Script>
): Turns => {
  const { tell, tellStatus, tellUsage } = telling
  const agentTurn = FakeAgent.make(connection, telling, goals, numbers)
  const silentTurn = FakeAgent.make(connection, mute, goals, numbers)

  const perform = (script: Script, turn: AgentTurn): Effect.Effect<void, AgentFailure> =>
    typeof script === "string" ? Effect.asVoid(turn.say(script)) : Effect.asVoid(script(turn))

  const steer = (running: Running, said: Said): Effect.Effect<void> =>
    Effect.suspend(() => {
      running.steered.push(said)
      return FakeAgent.takeUp(running)
    })

  /** From the first script to the last: what is steered in cuts one off, and is answered by a further one. */
  const play = (thread: FakeThread, running: Running): Effect.Effect<void, AgentFailure> =>
    Effect.gen(function*() {
      let inputs: ReadonlyArray<Said> = [saidIn(running.params)]
      while (inputs.length > 0) {
        const heard: Array<UserInput> = []
        const { hear } = agentTurn(thread, running, heard)
        for (; inputs.length > 0; inputs = running.steered.splice(0)) {
          for (const said of inputs) {
            if (said.parts.length > 0 || said.output !== null) yield* hear(said)
            heard.push(...said.parts)
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

  /** Has the model sum the history up, and tells what that took and how much is left to read. */
  const sumUp = (thread: FakeThread, running: Running): Effect.Effect<void, AgentFailure> =>
    Effect.gen(function*() {
      const { turn } = running
      const { begin, keep } = agentTurn(thread, running, [])
      const { self, spend } = silentTurn(thread, running, [])
      const item: Item<"contextCompaction"> = { type: "contextCompaction", id: numbers.id() }
      const startedAtMs = yield* begin(item)
      // What is known is told once more as the model begins to answer.
      if (thread.spent.total.totalTokens > 0) yield* tellUsage(thread, turn.id)
      yield* Effect.flatMap(next(self), (script) => perform(script, self)).pipe(
        // The history has none of it, however it ends.
        Effect.ensuring(Effect.sync(() => turn.items.splice(0)))
      )
      yield* spend
      yield* tellUsage(thread, turn.id)
      const summary = running.last?.text ?? ""
      thread.spent = {
        ...thread.spent,
        last: { ...nothing.last, totalTokens: Math.ceil(summary.length / CHARACTERS_PER_TOKEN) }
      }
      yield* tellUsage(thread, turn.id)
      yield* keep(item, startedAtMs)
    })

  /** Where a review is told, and what there is to say instead of one. */
  const exitReview = (thread: FakeThread, running: Running) =>
    Effect.gen(function*() {
      const { last, turn } = running
      const { show } = agentTurn(thread, running, [])
      const isDone = turn.status === "completed"
      const review = isDone ? reviewOf(last?.text) : unfinished.review
      turn.items.push(yield* show({ type: "exitedReviewMode", id: numbers.id(), review }))
      const message = yield* show<Item<"agentMessage">>({
        type: "agentMessage",
        id: `msg_${numbers.item()}`,
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
      turn.spent = thread.spent
      thread.running = undefined
      thread.updatedAt = turn.completedAt
      thread.used = numbers.use()
      thread.failed = turn.status === "failed"
      const isAnswer = running.review === null && !running.isCompaction
      // What is known is told once more where a turn ends before its time.
      if (turn.status !== "completed" && isAnswer && thread.spent.total.totalTokens > 0) {
        yield* tellUsage(thread, turn.id)
      }
      yield* Option.match(failure, {
        onNone: () => goals.account(thread, running),
        onSome: ({ info }) => goals.fail(thread, running, info)
      })
      if (running.review !== null && !thread.failed) yield* exitReview(thread, running)
      if (thread.loaded) yield* tellStatus(thread)
      if (Option.isSome(failure)) {
        const { description, info } = failure.value
        turn.error = { message: description, codexErrorInfo: info, additionalDetails: null }
        yield* tell(thread, "error", { threadId: thread.id, turnId: turn.id, willRetry: false, error: turn.error })
        if (running.review !== null) yield* exitReview(thread, running)
      }
      const isSummed = turn.status === "completed" && !running.isCompaction
      yield* tell(thread, "turn/completed", {
        threadId: thread.id,
        turn: {
          ...turnOf(turn, "notLoaded"),
          items: isSummed && running.last !== undefined ? [running.last] : [],
          itemsView: isSummed ? "summary" : "notLoaded"
        }
      })
      yield* connection.resolveAll(thread.id)
      // Who has interrupted a turn has time for another word.
      if (turn.status !== "interrupted") yield* goOn(thread)
    })

  const goOn = (thread: FakeThread): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (!thread.loaded || thread.running !== undefined) return Effect.void
      const [queued] = thread.queue
      if (queued !== undefined) return beginQueued(thread, queued)
      if (thread.goal?.status !== "active") return Effect.void
      return begin(thread, { threadId: thread.id, input: [] })
    })

  const beginQueued: Turns["beginQueued"] = (
    thread,
    { clientUserMessageId, id, input },
    respond = () => Effect.void
  ) =>
    Effect.suspend(() => {
      takeOut(thread, id)
      const changed = tell(thread, "thread/queue/changed", { threadId: thread.id })
      return begin(
        thread,
        { threadId: thread.id, input, clientUserMessageId },
        (result) => Effect.andThen(respond(result), changed)
      )
    })

  const newTurn = (startedAt: number, rootId?: string): StoredTurn => {
    const id = numbers.id()
    return {
      id,
      rootId: rootId ?? id,
      items: [],
      spent: nothing,
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
    respond: (result: { readonly turn: Turn }) => Effect.Effect<void> = () => Effect.void,
    { isCompaction = false, review = null }: Purpose = {}
  ): Effect.Effect<void> =>
    Effect.gen(function*() {
      // A review and a compaction take the place of what runs.
      yield* stop(thread)
      const turn = newTurn(yield* now)
      // How it runs is stored on its own, as if it had not come to an end.
      const run: StoredTurn = review === null ? turn : { ...newTurn(turn.startedAt, turn.id), status: "interrupted" }
      const running: Running = {
        turn,
        run,
        review,
        isCompaction,
        params,
        steered: [],
        takeUp: Deferred.makeUnsafe(),
        underWay: 0,
        unaccounted: 0,
        accountedAt: yield* Clock.currentTimeMillis,
        active: false,
        fiber: undefined,
        last: undefined
      }
      thread.running = running
      thread.turns.push(...new Set([run, turn]))
      thread.stored = "whole"
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
            turn.items.push(yield* show({ type: "enteredReviewMode", id: numbers.id(), review: subjectOf(review) }))
          }
          yield* tellStatus(thread)
          yield* tell(thread, "turn/started", {
            threadId: thread.id,
            turn: { ...turnOf(run, "notLoaded"), status: "inProgress" }
          })
          running.active = true
          const exit = yield* Effect.exit(restore(isCompaction ? sumUp(thread, running) : play(thread, running)))
          if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) {
            return yield* Effect.failCause(Cause.die(Cause.squash(exit.cause)))
          }
          yield* conclude(thread, running, exit)
        })
      )
      running.fiber = yield* connection.fork(work)
    })

  const compact = (thread: FakeThread): Effect.Effect<void> =>
    begin(thread, { threadId: thread.id, input: [] }, () => Effect.void, { isCompaction: true })

  const stop = (thread: FakeThread): Effect.Effect<void> =>
    Effect.suspend(() => {
      const fiber = thread.running?.fiber
      return fiber === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(fiber))
    })

  return { begin, beginQueued, compact, goOn, steer, stop }
}
