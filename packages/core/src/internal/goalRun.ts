/**
 * All the turns that the server runs for a goal, as one: what they have come to so
 * far, and how the goal ended. Everything here is synchronous, on the reader fiber.
 */
import type { ThreadGoal, Turn } from "@effect-codex/generated"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { GoalEnd, GoalOutcome } from "../AppServerClient.ts"
import { type ConnectionError, TurnFailed, TurnInterrupted, type TurnStalled } from "../CodexError.ts"
import type { TurnEvent } from "../Notification.ts"
import type { RunResult } from "../RunResult.ts"
import { coalesce } from "./coalesce.ts"
import { EventLog, type ReadFailure } from "./eventLog.ts"
import type { Follower } from "./follower.ts"
import type { Spending } from "./spending.ts"
import type { Limits } from "./subscription.ts"
import { type TurnFailure, TurnState } from "./turn.ts"

type GoalEvent = Extract<TurnEvent, { readonly method: "thread/goal/updated" | "thread/goal/cleared" }>

const isOfGoal = (event: TurnEvent): event is GoalEvent =>
  event.method === "thread/goal/updated" || event.method === "thread/goal/cleared"

/** How much is remembered of what the server tells before it answers, besides its last word. */
const EARLY = 16

/** Whether it is the start of a turn that was not begun by another one. */
const isRoot = (event: TurnEvent): boolean =>
  event.method === "turn/started" && (event.params.turn.rootTurnId ?? event.params.turn.id) === event.params.turn.id

export interface Options {
  /** Is told of each turn that the server runs for the goal, as it starts. */
  readonly onTurn: (turn: TurnState) => void
  /** Whether a turn of this client is at work on the thread, or being started: the server goes on with the goal behind it. */
  readonly isTurnOn: () => boolean
  /** Whether a turn has begun on the thread that is the goal's or the one that this client is starting. */
  readonly isUndecided: () => boolean
}

export class GoalRun implements Follower {
  readonly threadId: string
  readonly done = Deferred.makeUnsafe<GoalEnd, TurnFailure>()
  private readonly limits: Limits
  private readonly spending: Spending
  private readonly log: EventLog<TurnEvent>
  /** Grows whenever something is heard of the goal or a turn of it. */
  heard = 0
  private readonly turns: Array<RunResult> = []
  private current: TurnState | undefined
  private lastTurnId = ""
  /** The goal as the server has answered; what it tells of another one is late word of what was there before. */
  private set: ThreadGoal | undefined
  /** Not known before the server tells of the goal that was set; null once it is cleared. */
  private goal: ThreadGoal | null | undefined
  /** The last word on it that came, though it may be looked at later than others: with the turn that it came in. */
  private newest: GoalEvent | undefined
  /** What the server told before it answered: the answer may come behind. */
  private early: ReadonlyArray<{ readonly event: GoalEvent; readonly bytes: number }> = []
  /** Whether the turn that ended last was interrupted. */
  private isInterrupted = false
  /** Whether nothing more is heard of it. */
  private isGone = false
  private readonly options: Options
  /** How many want it to go on although it is not active any more, so that they see what else comes of it. */
  private holds = 0
  private turnAwaited = Deferred.makeUnsafe<TurnState>()
  /** Opens when a turn has ended behind which the server should go on. */
  readonly gap = Latch.makeUnsafe()

  constructor(threadId: string, limits: Limits, spending: Spending, options: Options) {
    this.threadId = threadId
    this.limits = limits
    this.spending = spending
    this.options = options
    this.log = new EventLog<TurnEvent>(this, limits, coalesce)
  }

  /** Whether it has ended for those who wait for it. */
  get isDone(): boolean {
    return Deferred.isDoneUnsafe(this.done)
  }

  /** Whether the server is done with it too: it goes on with one that is active behind the next turn, whosever that is. */
  get isOver(): boolean {
    return this.isDone && this.holds === 0 && this.current === undefined && (this.isGone || !this.isActive)
  }

  /** Whether the server should begin a turn for it. */
  get isWaiting(): boolean {
    return this.current === undefined && this.isActive
  }

  private get isActive(): boolean {
    return this.goal === undefined || this.goal?.status === "active"
  }

  /** Whether the server does nothing for an active goal before another turn has ended, as after one that was interrupted. */
  get isStopped(): boolean {
    return this.isInterrupted && !this.options.isTurnOn()
  }

  /** It was taken away, though a turn of it may still run. */
  get isCleared(): boolean {
    return this.goal === null
  }

  /** The turn that runs, or the last one. */
  get turnId(): string {
    return this.current?.turnId ?? this.lastTurnId
  }

  /** The turn that the server runs for the goal now, if any. */
  get running(): TurnState | undefined {
    return this.current
  }

  /** Waits for the next turn that the server runs for it. */
  get nextTurn(): Effect.Effect<TurnState> {
    return Deferred.await(this.turnAwaited)
  }

  /** Does not end on its own until it is released. */
  hold(): void {
    this.holds++
  }

  release(): void {
    this.holds--
    this.settle()
  }

  /** The server has the goal. */
  begin(goal: ThreadGoal): void {
    const { early } = this
    this.set = goal
    this.early = []
    for (const { bytes, event } of early) this.learn(event, bytes)
  }

  /** The turn has ended as the server's record has it, though that was not heard. */
  reconcile(record: Turn): void {
    const { current } = this
    current?.reconcile(record)
    if (current?.outcome !== undefined) this.turnEnded(current, current.outcome)
  }

  /** The goal is as the server has it, though that was not heard; nobody works on one that is stopped. */
  refresh(goal: ThreadGoal | null, isStopped: boolean): void {
    if (this.isDone || this.isCleared) return
    this.goal = goal
    this.isInterrupted ||= isStopped
    this.settle()
  }

  /** Nobody knows what became of it. */
  stall(reason: TurnStalled["reason"], idle: Duration.Duration): void {
    const turn = this.current ?? this.turnOf(this.turnId)
    this.isGone = true
    turn.stall(reason, idle)
    if (turn.outcome !== undefined) this.turnEnded(turn, turn.outcome)
  }

  accept(event: TurnEvent, bytes: number, turn: TurnState | undefined): boolean {
    if (event.threadId !== this.threadId || this.isOver) return false
    if (isOfGoal(event)) this.newest = event
    // It may turn out to be the one that this client is starting.
    if (turn !== undefined && !turn.isClaimed && turn.isWhole) return false
    const wasDone = this.isDone
    return this.take(event, bytes, turn) && !wasDone
  }

  decide(turn: TurnState): boolean {
    if (turn.threadId !== this.threadId || this.isOver) return false
    const { isClaimed, outcome, unread } = turn
    if (!isClaimed && unread.some(({ event }) => this.isNext(event))) {
      this.adopt(turn)
      if (outcome !== undefined) this.turnEnded(turn, outcome)
      return true
    }
    for (const { bytes, event } of unread) this.take(event, bytes, isClaimed ? turn : undefined)
    return false
  }

  startsAnswered(): void {
    // The turn that its own has given way to may be none, and one that was undecided is not its own.
    this.settle()
  }

  keeps(turn: TurnState): boolean {
    return !this.isDone && turn.turnId === this.current?.turnId
  }

  disconnect(error: ConnectionError): void {
    this.current?.disconnect(error)
    this.current = undefined
    this.isGone = true
    this.end(Exit.fail(error), Exit.fail(error))
  }

  attach(which: "all" | "rest"): Effect.Effect<Stream.Stream<TurnEvent, ReadFailure>, never, Scope.Scope> {
    return this.log.attach(which)
  }

  /** No reader will attach from now on. */
  forgetHistory(): void {
    this.log.forget()
  }

  private offer(event: TurnEvent, bytes: number): void {
    if (!this.isDone) this.log.offer(event, bytes)
  }

  private turnOf(turnId: string): TurnState {
    return new TurnState(this.threadId, turnId, this.limits, this.spending)
  }

  private adopt(turn: TurnState): void {
    this.current = turn
    this.options.onTurn(turn)
    turn.accompany({
      offer: (event, bytes) => {
        if (isOfGoal(event)) this.learn(event, bytes)
        else this.offer(event, bytes)
      },
      end: () => {}
    })
    turn.forgetHistory()
    Deferred.doneUnsafe(this.turnAwaited, Exit.succeed(turn))
    this.turnAwaited = Deferred.makeUnsafe()
  }

  private take(event: TurnEvent, bytes: number, turn: TurnState | undefined): boolean {
    return isOfGoal(event) ? this.learn(event, bytes) : this.hear(event, bytes, turn)
  }

  /** Takes an event in that is not of the goal itself. Answers whether it is one of a turn for it. */
  private hear(event: TurnEvent, bytes: number, turn: TurnState | undefined): boolean {
    switch (event.method) {
      case "thread/archived":
      case "thread/deleted":
      case "thread/closed":
        this.isGone = true
        this.settle()
        return false
      case "turn/started":
        if (turn === undefined && this.isNext(event)) this.adopt(this.turnOf(event.params.turn.id))
        break
      case "turn/completed":
        this.isInterrupted = event.params.turn.status === "interrupted"
        this.settle()
        break
      default:
    }
    const { current } = this
    const isOwn = current !== undefined && event.turnId === current.turnId
    if (isOwn) {
      this.heard++
      current.accept(event, bytes)
      if (current.outcome !== undefined) this.turnEnded(current, current.outcome)
    }
    if (event.method === "turn/completed" && !this.isDone && this.isWaiting) this.gap.openUnsafe()
    return isOwn
  }

  /** Whether a turn starts that is for it, unless it is one of this client: others may have begun one after an interruption. */
  private isNext(event: TurnEvent): boolean {
    return this.current === undefined && !this.isStopped && isRoot(event)
  }

  private learn(event: GoalEvent, bytes: number): boolean {
    const goal = event.method === "thread/goal/updated" ? event.params.goal : null
    if (this.set === undefined) {
      // What was taken away was another one, with the same words perhaps.
      this.early = goal === null ? [] : [...this.early.slice(-EARLY), { event, bytes }]
      return false
    }
    // What the thread has once this one was taken away is another one, whatever it says.
    if (this.isCleared || (this.goal === undefined && !isSame(this.set, goal))) return false
    if (this.goal === undefined || event === this.newest) this.goal = goal
    this.heard++
    this.offer(event, bytes)
    this.settle()
    return true
  }

  private turnEnded(turn: TurnState, outcome: Exit.Exit<RunResult, TurnFailure>): void {
    this.current = undefined
    this.lastTurnId = turn.turnId
    if (this.isDone) return
    const result = Exit.match(outcome, {
      onSuccess: (result) => result,
      onFailure: (cause) => this.hasGivenWay(cause)
    })
    if (result !== undefined) {
      this.turns.push(result)
      this.settle()
    } else if (Exit.isFailure(outcome)) {
      this.end(Exit.failCause(Cause.map(outcome.cause, (failure) => this.withEverything(failure))), Exit.void)
    }
  }

  /** What the turn came to that was interrupted for another one of this client, behind which the server goes on. */
  private hasGivenWay(cause: Cause.Cause<TurnFailure>): RunResult | undefined {
    const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
    const goesOn = this.holds === 0 && !this.isGone && this.isActive && this.options.isTurnOn()
    return goesOn && failure instanceof TurnInterrupted ? failure.result : undefined
  }

  /** The goal is over once it is not active any more and no turn of it runs. */
  private settle(): void {
    if (this.isDone || this.holds > 0 || this.current !== undefined || this.goal === undefined) return
    if (this.options.isUndecided()) return
    const outcome = this.outcome(this.goal)
    if (outcome === undefined) return
    this.end(Exit.succeed({ outcome, goal: this.goal, turns: this.turns }), Exit.void)
  }

  private outcome(goal: ThreadGoal | null): GoalOutcome | undefined {
    if (goal === null) return "cleared"
    if (goal.status !== "active") return goal.status
    return this.isStopped || this.isGone ? "stopped" : undefined
  }

  /** A turn's failure with what all turns before it had produced. */
  private withEverything(failure: TurnFailure): TurnFailure {
    if (!(failure instanceof TurnFailed || failure instanceof TurnInterrupted)) return failure
    const { error, result, threadId, turnId } = failure
    const whole = {
      threadId,
      turnId,
      error,
      result: {
        ...result,
        items: [...this.turns.flatMap((turn) => turn.items), ...result.items],
        startedAt: this.turns[0]?.startedAt ?? result.startedAt,
        durationMs: this.turns.reduce((sum, turn) => sum + (turn.durationMs ?? 0), result.durationMs ?? 0)
      }
    }
    return failure instanceof TurnFailed ? new TurnFailed(whole) : new TurnInterrupted(whole)
  }

  private end(exit: Exit.Exit<GoalEnd, TurnFailure>, reads: Exit.Exit<void, ConnectionError>): void {
    this.log.end(reads)
    Deferred.doneUnsafe(this.done, exit)
  }
}

const isSame = (set: ThreadGoal, told: ThreadGoal | null): boolean =>
  told !== null && told.objective === set.objective && told.status === set.status
