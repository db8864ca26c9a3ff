/**
 * One turn as the router sees it: what it has come to so far, who reads its
 * events, and how it ended. Everything here is synchronous, on the reader fiber.
 */
import type { ThreadItem, ThreadTokenUsage, TokenUsageBreakdown, Turn, TurnError } from "@effect-codex/generated"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { type ConnectionError, type DecodeError, TurnFailed, TurnInterrupted, TurnStalled } from "../CodexError.ts"
import type { TurnEvent } from "../Notification.ts"
import * as RunResult from "../RunResult.ts"
import { coalesce } from "./coalesce.ts"
import type { Text } from "./deltaLines.ts"
import { EventLog, type ReadFailure } from "./eventLog.ts"
import { scrubber } from "./scrub.ts"
import { growth, nothing, type Spending } from "./spending.ts"
import type * as Subscription from "./subscription.ts"
import { fromSeconds } from "./units.ts"

/** Why a turn has no result. */
export type TurnFailure = TurnFailed | TurnInterrupted | TurnStalled | DecodeError | ConnectionError

/** Somebody who has every event of a turn before anybody who waits for the turn goes on. */
export interface Companion {
  offer(event: TurnEvent, bytes: number): void
  end(exit: Exit.Exit<void, ConnectionError>): void
}

/** Somebody who is told of the turn's items, its use of tokens and its end, and not of what the agent says. */
export interface Observer {
  itemStarted(item: ThreadItem): void
  itemCompleted(item: ThreadItem): void
  /** What the turn has taken of the model so far. */
  spent(spent: TokenUsageBreakdown): void
  /** A reader of the events was too far behind. */
  lagged(): void
  /** Comes before anybody who waits for the turn goes on. */
  ended(outcome: Exit.Exit<RunResult.RunResult, TurnFailure>): void
}

export class TurnState {
  readonly threadId: string
  readonly turnId: string
  /** Completed when the server runs the turn; before that it cannot be interrupted. */
  readonly started = Deferred.makeUnsafe<void>()
  readonly done = Deferred.makeUnsafe<RunResult.RunResult, TurnFailure>()
  /** The id that the server's `turn/interrupt` knows it by: a review runs under another one than its events carry. */
  activeId: string
  /** How it ended, once it has. */
  outcome: Exit.Exit<RunResult.RunResult, TurnFailure> | undefined
  /** Whether it is one that this client has started, or steered. */
  isClaimed = false
  /** Handles that hold the turn; unless it is a goal's it is interrupted when the last one lets go. */
  owners = 0
  /** Grows whenever something is heard of the turn. */
  heard = 0
  /** The texts that are known to be of this turn. */
  readonly texts: Array<Text> = []

  /** Whether all of it was heard, from its start. */
  isWhole = false

  private isStarted = false
  private readonly log: EventLog<TurnEvent>
  private readonly companions: Array<Companion> = []
  private readonly items: Array<ThreadItem> = []
  /** Those of them that may be the answer: at its end a long turn need not be gone through. */
  private readonly messages: Array<ThreadItem> = []
  private usage: ThreadTokenUsage | null = null
  private readonly spending: Spending
  /** What the thread had taken before the turn, once something is heard of it. */
  private spentBefore: TokenUsageBreakdown | undefined
  /** What the turn has taken of the model so far. */
  spent: TokenUsageBreakdown = nothing
  private observer: Observer | undefined

  constructor(threadId: string, turnId: string, limits: Subscription.Limits, spending: Spending) {
    this.threadId = threadId
    this.turnId = turnId
    this.spending = spending
    this.activeId = turnId
    this.log = new EventLog<TurnEvent>(this, limits, coalesce)
  }

  get isDone(): boolean {
    return this.outcome !== undefined
  }

  get isObserved(): boolean {
    return this.observer !== undefined
  }

  /** Tells the observer what came so far, and what comes from now on. */
  observe(observer: Observer): void {
    this.observer = observer
    for (const { event } of this.log.unread) this.report(event)
    if (this.outcome !== undefined) observer.ended(this.outcome)
  }

  /** One of its readers was too far behind. */
  lagged(): void {
    this.observer?.lagged()
  }

  /** What else there is of the text need not be looked up. */
  tells(text: Text): void {
    text.turn = this
    this.texts.push(text)
  }

  /** Takes an event in. */
  accept(event: TurnEvent, bytes: number): void {
    this.log.offer(event, bytes)
    for (const companion of this.companions) companion.offer(event, bytes)
    this.follow(event)
  }

  private follow(event: TurnEvent): void {
    // First the id: whoever waits for the start goes on at once, within `doneUnsafe`.
    if (event.method === "turn/started") {
      this.activeId = event.params.turn.id
      this.isWhole = this.heard === 0
    }
    this.heard++
    // The last one ends the turn before it starts it.
    if (!this.isStarted && !entersReview(event) && event.method !== "turn/completed") this.start()
    switch (event.method) {
      case "item/started":
        this.report(event)
        return
      case "item/completed":
        this.add(event.params.item)
        this.report(event)
        return
      case "thread/tokenUsage/updated":
        this.usage = event.params.tokenUsage
        this.spentBefore ??= this.spending.before(this.threadId, this.usage)
        this.spent = growth(this.spentBefore, this.usage.total)
        this.report(event)
        return
      case "turn/completed":
        this.complete(event.params.turn)
        return
      case "client/decodeFailure":
        // Without its last word the turn would never end.
        if (event.params.error.method === "turn/completed") this.settle(Exit.fail(event.params.error), Exit.void)
        return
      default:
    }
  }

  private add(item: ThreadItem): void {
    this.items.push(item)
    if (mayBeAnswer(item)) this.messages.push(item)
  }

  private start(): void {
    this.isStarted = true
    Deferred.doneUnsafe(this.started, Exit.void)
  }

  private report(event: TurnEvent): void {
    switch (event.method) {
      case "item/started":
        return this.observer?.itemStarted(event.params.item)
      case "item/completed":
        return this.observer?.itemCompleted(event.params.item)
      case "thread/tokenUsage/updated":
        return this.observer?.spent(this.spent)
      default:
    }
  }

  /** Ends the turn because the connection did. A turn that is done stays as it was. */
  disconnect(error: ConnectionError): void {
    this.settle(Exit.fail(error), Exit.fail(error))
  }

  /** Ends the turn as the server's record has it, because its last word was not heard. */
  reconcile(turn: Turn): void {
    // A record that is complete also has the items that were not heard of.
    if (turn.itemsView === "full") {
      this.items.length = 0
      this.messages.length = 0
    }
    const { threadId, turnId } = this
    this.accept(
      { method: "turn/completed", params: { threadId, turn }, threadId, turnId, emittedAtMs: undefined },
      0
    )
  }

  /** Ends the turn because nobody knows what became of it. */
  stall(reason: TurnStalled["reason"], idle: Duration.Duration): void {
    const { threadId, turnId } = this
    const result = this.resultOf({ id: turnId, status: "inProgress", items: [] })
    this.settle(Exit.fail(new TurnStalled({ threadId, turnId, reason, idle, result })), Exit.void)
  }

  /** Everything that came so far, unless it was more than the buffer holds. */
  get unread(): ReadonlyArray<Subscription.Delivery<TurnEvent>> {
    return this.log.unread
  }

  /** How many events came and are not among the unread ones. */
  get lost(): number {
    return this.log.lost
  }

  /** Takes an event in that came before every other one. No reader is there yet. */
  precede(delivery: Subscription.Delivery<TurnEvent>): void {
    this.log.precede(delivery)
    this.follow(delivery.event)
  }

  /** Gives the companion what came so far, and what comes from now on. */
  accompany(companion: Companion): void {
    for (const { bytes, event } of this.log.unread) companion.offer(event, bytes)
    const { ended } = this.log
    if (ended === undefined) this.companions.push(companion)
    else companion.end(ended)
  }

  /** No reader will attach from now on: what came so far need not be kept. */
  forgetHistory(): void {
    this.log.forget()
  }

  /**
   * A reader for as long as the scope is open: of every event of the turn from its
   * first one, or of those that are still to be had.
   */
  attach(which: "all" | "rest"): Effect.Effect<Stream.Stream<TurnEvent, ReadFailure>, never, Scope.Scope> {
    return this.log.attach(which)
  }

  private resultOf(turn: Turn): RunResult.RunResult {
    // The server sums the turn up with its last message, which has been completed before, and just before as a rule.
    const missing = new Map<unknown, ThreadItem>(turn.items.map((item) => [item.id, item]))
    const known = turn.items.every(mayBeAnswer) ? this.messages : this.items
    for (let index = known.length - 1; index >= 0 && missing.size > 0; index--) {
      missing.delete(known[index]?.id)
    }
    const others = [...missing.values()]
    return {
      threadId: this.threadId,
      turnId: this.turnId,
      status: turn.status,
      finalResponse: RunResult.finalResponse([...this.messages, ...others]),
      items: [...this.items, ...others],
      usage: this.usage,
      startedAt: fromSeconds(turn.startedAt),
      completedAt: fromSeconds(turn.completedAt),
      durationMs: turn.durationMs ?? null
    }
  }

  /** The server's error, which may quote what it was asked. */
  private errorOf({ error }: Turn): TurnError | null {
    if (error === null || error === undefined) return null
    const scrub = scrubber(this.items.filter(({ type }) => type === "userMessage" || type === "functionCallOutput"))
    const { additionalDetails, message } = error
    return {
      ...error,
      message: scrub(message),
      ...(typeof additionalDetails === "string" ? { additionalDetails: scrub(additionalDetails) } : {})
    }
  }

  private complete(turn: Turn): void {
    const result = this.resultOf(turn)
    const failure = { threadId: this.threadId, turnId: this.turnId, error: this.errorOf(turn), result }
    switch (turn.status) {
      case "failed":
        return this.settle(Exit.fail(new TurnFailed(failure)), Exit.void)
      case "interrupted":
        return this.settle(Exit.fail(new TurnInterrupted(failure)), Exit.void)
      default:
        return this.settle(Exit.succeed(result), Exit.void)
    }
  }

  private settle(exit: Exit.Exit<RunResult.RunResult, TurnFailure>, reads: Exit.Exit<void, ConnectionError>): void {
    if (this.outcome !== undefined) return
    this.outcome = exit
    this.log.end(reads)
    for (const companion of this.companions) companion.end(reads)
    this.observer?.ended(exit)
    // First the end: whoever waits for the start goes on at once, within `doneUnsafe`.
    Deferred.doneUnsafe(this.done, exit)
    this.start()
  }
}

const mayBeAnswer = (item: ThreadItem): boolean => item.type === "agentMessage"

/** The items that announce a review come before the server runs it. */
const entersReview = (event: TurnEvent): boolean =>
  (event.method === "item/started" || event.method === "item/completed") &&
  event.params.item.type === "enteredReviewMode"
