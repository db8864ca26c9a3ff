/**
 * Where every message from the server goes. The reader fiber alone calls
 * `receive`; the tables are plain maps and everything here is synchronous, so a
 * message is routed completely before the next one is looked at.
 *
 * - a response goes to the request with its id;
 * - a server request goes to the desk where requests wait for their answers;
 * - a notification that names a turn goes to that turn. While a request that
 *   starts a turn is unanswered, the turns of its thread that nobody knows yet
 *   are kept, so that the answer finds all of its turn's events, whatever the
 *   order of answer, `turn/started` and `turn/completed`;
 * - everything else goes to the event hub.
 */
import * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RequestTimeout, ResponseError } from "../CodexError.ts"
import { AppServerExited, type ConnectionError, DecodeError, TransportError } from "../CodexError.ts"
import type { CodexEvent, TurnEvent, UnknownNotification } from "../Notification.ts"
import { scopeClosed } from "./closed.ts"
import { DeltaLines, type Text } from "./deltaLines.ts"
import * as Envelope from "./envelope.ts"
import type { EventHub } from "./eventHub.ts"
import type { Follower } from "./follower.ts"
import { type Frame, OversizedLine } from "./framer.ts"
import { lagged } from "./lagged.ts"
import type { DropReason, FailedPayload } from "./metrics.ts"
import * as Notifications from "./notifications.ts"
import { forgetOldest } from "./recent.ts"
import { fromWireError } from "./responseError.ts"
import type { Desk } from "./serverRequestDesk.ts"
import { Spending } from "./spending.ts"
import { type Expectation, type ExpectingStart, isEmpty, makeStart, type Start, Starting } from "./starting.ts"
import type { Limits } from "./subscription.ts"
import { TurnState } from "./turn.ts"

/** What a request asks, as far as it matters when its response comes. */
export interface Question {
  readonly method: string
  /** What was sent, so that it can be kept out of an error. */
  readonly params: unknown
  /** Runs on the reader before the next message is looked at. */
  readonly onResult: ((result: unknown) => void) | undefined
  /** Is told that the request goes out, and that the server has refused it because it is full: then nothing has come of it. */
  readonly onOut?: ((isOut: boolean) => void) | undefined
}

/** A request that waits for its response. */
export interface Waiter {
  readonly question: Question
  /** With the answer, or with what is there instead of one; only the first time counts. */
  readonly settle: (exit: Exit.Exit<unknown, SendError>) => void
}

/** Why a request that is on its way has no result. */
export type SendError = ConnectionError | ResponseError | DecodeError | RequestTimeout

/** What the router tells the desk. */
export type RequestDesk = Pick<Desk, "open" | "observe" | "close">

/** How many threads are remembered that this connection has unsubscribed from. */
const UNHEARD_LIMIT = 16_384

export class Router {
  readonly hub: EventHub
  /** What the threads have taken of the model. */
  readonly spending = new Spending()
  private readonly turnLimits: Limits
  private readonly desk: RequestDesk
  private readonly strict: boolean
  private readonly dropped: (reason: DropReason) => void
  private readonly undecoded: (payload: FailedPayload) => void
  private lastId = 0
  private readonly waiters = new Map<Envelope.RequestId, Waiter>()
  private readonly turns = new Map<string, TurnState>()
  private readonly deltas = new DeltaLines()
  private readonly starting = new Map<string, Starting>()
  private readonly followers = new Set<Follower>()
  /** Threads whose events this connection has asked not to get any more. */
  private readonly unheard = new Set<string>()
  /** What is to be done once nothing is at work on a thread. */
  private readonly departures = new Map<string, () => void>()
  private closedWith: ConnectionError | undefined
  private readonly end = Deferred.makeUnsafe<ConnectionError>()

  constructor(options: {
    readonly hub: EventHub
    readonly turnLimits: Limits
    readonly desk: RequestDesk
    /** Whether a message that is unknown or does not decode ends the connection. */
    readonly strict?: boolean | undefined
    /** Told of each response that nobody waits for. */
    readonly dropped?: (reason: DropReason) => void
    /** Told of each message that could not be read. */
    readonly undecoded?: (payload: FailedPayload) => void
  }) {
    this.hub = options.hub
    this.turnLimits = options.turnLimits
    this.desk = options.desk
    this.strict = options.strict ?? false
    this.dropped = options.dropped ?? (() => {})
    this.undecoded = options.undecoded ?? (() => {})
  }

  /** Waits for the end of the connection. */
  get ended(): Effect.Effect<ConnectionError> {
    return Deferred.await(this.end)
  }

  /** Why the connection is over, once it is. */
  get closed(): ConnectionError | undefined {
    return this.closedWith
  }

  // ---------------------------------------------------------------------------
  // Requests
  // ---------------------------------------------------------------------------

  /** Ids are numbers that grow from one request to the next. */
  await(id: number, waiter: Waiter): void {
    this.lastId = id
    if (this.closedWith === undefined) this.waiters.set(id, waiter)
    else waiter.settle(Exit.fail(duringMethod(this.closedWith, waiter.question.method)))
  }

  forget(id: Envelope.RequestId): void {
    this.waiters.delete(id)
  }

  // ---------------------------------------------------------------------------
  // Turns
  // ---------------------------------------------------------------------------

  /** Keeps the unknown turns of the thread until `startAnswered`. */
  startPending(threadId: string, matches?: Expectation["matches"]): Start {
    const start = makeStart(threadId, matches)
    if (this.closedWith === undefined) this.startingOn(threadId).pending.add(start)
    else failStart(start, this.closedWith)
    return start
  }

  private startingOn(threadId: string): Starting {
    let starting = this.starting.get(threadId)
    if (starting === undefined) {
      starting = new Starting()
      this.starting.set(threadId, starting)
    }
    return starting
  }

  /** The request has its turn, or will have none. */
  startAnswered(start: Start): void {
    const starting = this.starting.get(start.threadId)
    if (starting?.pending.delete(start) === true) this.answered(start.threadId, starting)
  }

  /** Turns that nobody has claimed once all requests are answered are nobody's. */
  private answered(threadId: string, starting: Starting): void {
    if (starting.pending.size > 0) return this.giveEmpty(starting)
    this.starting.delete(threadId)
    this.disown(starting)
    for (const follower of Array.from(this.followers)) {
      if (follower.threadId !== threadId) continue
      follower.startsAnswered?.()
      if (follower.isOver) this.unfollow(follower)
    }
    this.depart(threadId)
  }

  /** The turn that is expected should have been known by now. */
  startOverdue(start: Start): void {
    start.isOverdue = true
    const starting = this.starting.get(start.threadId)
    if (starting !== undefined) this.giveEmpty(starting)
  }

  /** What was kept of turns that nobody has claimed is nobody's, and what could not be kept is told. */
  private disown(starting: Starting): void {
    for (const turn of starting.held.values()) {
      const { lost, threadId, turnId } = turn
      if (this.decided(turn)) continue
      if (lost > 0 && !starting.isFollowed(turn)) this.hub.publishUnowned(lagged(lost, { threadId, turnId }), 0)
      for (const { bytes, event } of starting.unfollowed(turn)) this.hub.publishUnowned(event, bytes)
    }
  }

  /** Makes the turn one of this client's, with all of its events so far; with `start` it is the one that was to be started. */
  claim(threadId: string, turnId: string, start?: Start): TurnState {
    const starting = this.starting.get(threadId)
    // First of all: whoever is told of the turn may ask whether another one is being started.
    const isAnswer = start !== undefined && starting?.pending.delete(start) === true
    let turn = this.turns.get(turnId) ?? starting?.finished.get(turnId)
    const held = turn === undefined ? starting?.held.get(turnId) : undefined
    if (turn === undefined) {
      turn = held ?? new TurnState(threadId, turnId, this.turnLimits, this.spending)
      starting?.take(turn)
      if (this.closedWith !== undefined) turn.disconnect(this.closedWith)
      if (this.unheard.has(threadId)) turn.disconnect(unheard(threadId))
      if (turn.isDone) starting?.finished.set(turnId, turn)
      else this.turns.set(turnId, turn)
    }
    turn.isClaimed = true
    turn.owners++
    if (held !== undefined) this.decided(held)
    if (isAnswer && starting !== undefined) this.answered(threadId, starting)
    return turn
  }

  /** One handle less; answers whether the turn goes on for nobody. */
  release(turn: TurnState): boolean {
    turn.owners--
    if (turn.owners > 0 || turn.isDone) return false
    for (const follower of this.followers) if (follower.keeps?.(turn) === true) return false
    return true
  }

  /** Events of the turn are nobody's from now on, and who still waits for its end waits no more. */
  abandon(turn: TurnState): void {
    if (turn.owners > 0 || this.turns.get(turn.turnId) !== turn) return
    turn.disconnect(scopeClosed("turn", "turn/start"))
    this.drop(turn)
    this.depart(turn.threadId)
  }

  /** Ends a turn that its own events do not end. */
  conclude(turn: TurnState, how: (turn: TurnState) => void): void {
    how(turn)
    if (turn.isDone) this.retire(turn)
  }

  // ---------------------------------------------------------------------------
  // Followers
  // ---------------------------------------------------------------------------

  /** Shows every event to the follower, until it is done or asks for no more. */
  follow<F extends Follower>(follower: F): F {
    if (this.closedWith === undefined) this.followers.add(follower)
    else follower.disconnect(this.closedWith)
    return follower
  }

  unfollow(follower: Follower): void {
    if (this.followers.delete(follower)) this.depart(follower.threadId)
  }

  /** What is at work for somebody here. */
  atWork(): { readonly turns: ReadonlyArray<TurnState>; readonly followers: ReadonlyArray<Follower> } {
    return {
      turns: Array.from(this.turns.values()).filter((turn) => turn.owners > 0),
      followers: Array.from(this.followers)
    }
  }

  private tell(event: TurnEvent, bytes: number, turn: TurnState | undefined): boolean {
    let followed = false
    // Whoever waits for the end of one goes on at once, and may follow something else: not this event.
    for (const follower of Array.from(this.followers)) {
      if (follower.accept(event, bytes, turn)) followed = true
      if (follower.isOver) this.unfollow(follower)
    }
    return followed
  }

  /** It is known whose a turn is that began while one was being started. Answers whether a follower has it for its own. */
  private decided(turn: TurnState): boolean {
    if (!turn.isWhole) return false
    let followed = false
    for (const follower of Array.from(this.followers)) {
      if (follower.decide?.(turn) === true) followed = true
      if (follower.isOver) this.unfollow(follower)
    }
    return followed
  }

  // ---------------------------------------------------------------------------
  // Subscriptions
  // ---------------------------------------------------------------------------

  /** Whether something of this client is at work on the thread. */
  isAtWorkOn(threadId: string): boolean {
    if (this.isTurnOn(threadId)) return true
    for (const follower of this.followers) if (follower.threadId === threadId && !follower.isOver) return true
    return false
  }

  /** Whether a turn of this client runs on the thread, or is being started. */
  isTurnOn(threadId: string): boolean {
    const starting = this.starting.get(threadId)
    return (starting !== undefined && starting.pending.size > 0) || this.isRunningOn(threadId)
  }

  /** Whether a turn of this client runs on the thread. */
  isRunningOn(threadId: string): boolean {
    for (const turn of this.turns.values()) if (turn.threadId === threadId && !turn.isDone) return true
    return false
  }

  /** Whether a turn has begun on the thread of which it is not known yet whether it is the one that is being started. */
  isUndecidedOn(threadId: string): boolean {
    return this.starting.get(threadId)?.isUndecided ?? false
  }

  /** Does it as soon as nothing is at work on the thread, unless the thread is wanted again before. */
  onceIdle(threadId: string, depart: () => void): void {
    this.departures.set(threadId, depart)
    this.depart(threadId)
  }

  /** The thread is wanted again. */
  stay(threadId: string): void {
    this.departures.delete(threadId)
  }

  private depart(threadId: string): void {
    const depart = this.departures.get(threadId)
    if (depart === undefined || this.isAtWorkOn(threadId)) return
    this.departures.delete(threadId)
    depart()
  }

  /** The server tells no more of the thread: what waits for it here would wait for ever. */
  unsubscribed(threadId: string): void {
    this.departures.delete(threadId)
    this.mayBeUnheard(threadId)
    const error = unheard(threadId)
    for (const turn of Array.from(this.turns.values())) {
      if (turn.threadId !== threadId) continue
      turn.disconnect(error)
      this.retire(turn)
    }
    for (const follower of Array.from(this.followers)) {
      if (follower.threadId !== threadId) continue
      follower.disconnect(error)
      this.followers.delete(follower)
    }
  }

  /** The server may tell no more of the thread: who needs to hear of it resumes it. */
  mayBeUnheard(threadId: string): void {
    this.unheard.add(threadId)
    // Those of long ago are no longer loaded: a turn on one is refused, and not unheard.
    forgetOldest(this.unheard, UNHEARD_LIMIT)
  }

  /** The server tells of the thread again, or there is nothing to tell. */
  subscribed(threadId: string): void {
    this.unheard.delete(threadId)
  }

  isUnheard(threadId: string): boolean {
    return this.unheard.has(threadId)
  }

  // ---------------------------------------------------------------------------
  // Messages
  // ---------------------------------------------------------------------------

  /** Takes a line in. Whatever is wrong with it, the next one is looked at. */
  receive(frame: Frame, bytes: number, source: DataView, start: number): void {
    // A strict connection is over with a message that does not fit, whatever comes with it.
    if (this.closedWith !== undefined) return
    try {
      this.route(frame, bytes, source, start)
    } catch {
      // A payload nested deeper than the stack is the way to get here.
      this.unreadable(typeof frame === "string" ? frame : frame.head, "a message that can be read")
    }
  }

  private route(frame: Frame, bytes: number, source: DataView, start: number): void {
    if (frame instanceof OversizedLine) {
      return this.unreadable(frame.head, `a line within the limit (${frame.bytes} bytes came)`)
    }
    const text = this.deltas.read(frame, source, start, bytes)
    const envelope = text ?? Envelope.parse(frame)
    switch (envelope._tag) {
      case "Notification":
        return this.notified(envelope, bytes, text)
      case "Response": {
        const waiter = this.takeWaiter(envelope.id)
        if (waiter === undefined) return this.dropped(this.wasIssued(envelope.id) ? "late" : "unknown")
        try {
          waiter.question.onResult?.(envelope.result)
        } finally {
          waiter.settle(Exit.succeed(envelope.result))
        }
        return
      }
      case "Failure": {
        const waiter = envelope.id === null ? undefined : this.takeWaiter(envelope.id)
        if (waiter !== undefined) {
          const { method, params } = waiter.question
          waiter.settle(Exit.fail(fromWireError(method, envelope.error, params)))
          return
        }
        if (this.wasIssued(envelope.id)) return this.dropped("late")
        this.dropped("unknown")
        return this.surface("error", ["an error response to a pending request"])
      }
      case "ServerRequest":
        return this.desk.open(envelope)
      case "Junk":
        return this.surface("(line)", [`a JSON-RPC message (${envelope.reason})`])
    }
  }

  private notified(notification: Notifications.NotificationEnvelope, bytes: number, text: Text | undefined): void {
    const event = Notifications.decode(notification)
    if (event.method === "client/decodeFailure") this.undecoded("notification")
    this.hub.publish(event, bytes)
    if (event.method === "client/decodeFailure") {
      this.hub.unreadable(notification.method, notification.params, event.params.error)
    }
    if (this.strict) this.insist(event)
    this.desk.observe(event)
    const turn = text?.turn ?? this.turnOf(event, text)
    if (!Notifications.isTurnEvent(event)) return this.hub.publishUnowned(event, bytes)
    turn?.accept(event, bytes)
    const followed = this.followers.size > 0 && this.tell(event, bytes, turn)
    if (event.method === "thread/tokenUsage/updated") {
      this.spending.note(event.params.threadId, event.params.tokenUsage)
    }
    if (turn === undefined) return followed ? undefined : this.hub.publishUnowned(event, bytes)
    if (followed && !turn.isClaimed) this.starting.get(turn.threadId)?.follow(turn, event)
    this.meet(turn, event)
    if (turn.isDone) this.retire(turn)
  }

  /** Ends everything that waits, with one cause. The first cause stays. */
  close(error: ConnectionError): void {
    if (this.closedWith !== undefined) return
    this.closedWith = error
    this.desk.close(error)
    const waiters = Array.from(this.waiters.values())
    this.waiters.clear()
    for (const waiter of waiters) waiter.settle(Exit.fail(duringMethod(error, waiter.question.method)))
    const turns = Array.from(this.turns.values())
    this.turns.clear()
    this.deltas.clear()
    for (const turn of turns) turn.disconnect(error)
    for (const follower of this.followers) follower.disconnect(error)
    this.followers.clear()
    this.unheard.clear()
    this.departures.clear()
    for (const starting of this.starting.values()) {
      for (const start of starting.pending) failStart(start, error)
      this.disown(starting)
    }
    this.starting.clear()
    this.hub.close(error)
    Deferred.doneUnsafe(this.end, Exit.succeed(error))
  }

  private wasIssued(id: Envelope.RequestId | null): boolean {
    return typeof id === "number" && Number.isInteger(id) && id >= 1 && id <= this.lastId
  }

  private takeWaiter(id: Envelope.RequestId): Waiter | undefined {
    const waiter = this.waiters.get(id)
    if (waiter !== undefined) this.waiters.delete(id)
    return waiter
  }

  private turnOf(event: TurnEvent | UnknownNotification, text: Text | undefined): TurnState | undefined {
    const { threadId, turnId } = event
    if (turnId === undefined) return undefined
    const known = this.turns.get(turnId) ?? reviewOf(event, this.turns)
    // The history of a fork has the turns of its parent.
    if (known !== undefined && isOf(known, threadId)) {
      if (text !== undefined) known.tells(text)
      return known
    }
    if (threadId === undefined || this.starting.size === 0) return undefined
    const starting = this.starting.get(threadId)
    if (starting === undefined) return undefined
    let held = reviewOf(event, starting.held) ?? starting.held.get(turnId)
    if (held === undefined) {
      held = new TurnState(threadId, turnId, this.turnLimits, this.spending)
      starting.held.set(turnId, held)
    }
    return held
  }

  private retire(turn: TurnState): void {
    if (this.drop(turn)) this.starting.get(turn.threadId)?.finished.set(turn.turnId, turn)
    this.depart(turn.threadId)
  }

  /** Answers whether it was one of the turns that are told of what comes. */
  private drop(turn: TurnState): boolean {
    for (const text of turn.texts) this.deltas.forget(text)
    turn.texts.length = 0
    return this.turns.delete(turn.turnId)
  }

  private meet(turn: TurnState, event: TurnEvent): void {
    // A turn of somebody's may have such an event too, as when it sums up its own history.
    if (this.starting.size === 0 || turn.isClaimed) return
    const starting = this.starting.get(turn.threadId)
    if (starting === undefined) return
    const start = starting.expecting(event)
    if (start !== undefined) this.give(turn, start)
    else if (event.method === "turn/completed") this.giveEmpty(starting)
  }

  private giveEmpty(starting: Starting): void {
    for (const turn of Array.from(starting.held.values())) {
      const start = starting.expectingEmpty()
      if (start === undefined) return
      if (isEmpty(turn)) this.give(turn, start)
    }
  }

  private give({ threadId, turnId }: TurnState, start: ExpectingStart): void {
    Deferred.doneUnsafe(start.expectation.turn, Exit.succeed(this.claim(threadId, turnId, start)))
  }

  /** A message that is lost: what its start says it was fails, if that is a response or a request. */
  private unreadable(head: string, expected: string): void {
    const { id, method } = Envelope.identify(head)
    // A request without its params is refused, so that the server does not wait for an answer.
    if (id !== undefined && method !== undefined) {
      this.desk.open({ _tag: "ServerRequest", id, method, params: undefined })
    }
    const waiter = id === undefined || method !== undefined ? undefined : this.takeWaiter(id)
    if (waiter === undefined) return this.surface(method ?? "(line)", [expected])
    this.undecoded("result")
    const issues = [{ path: "", expected }]
    waiter.settle(Exit.fail(new DecodeError({ method: waiter.question.method, payload: "result", issues })))
  }

  /** In a strict connection, what is not known or does not decode is the end of it. */
  private insist(event: CodexEvent): void {
    const description = event.method === "client/decodeFailure"
      ? event.params.error.message
      : event.method.startsWith("client/") || Notifications.isKnown(event.method)
      ? undefined
      : `Unknown notification: ${event.method}`
    if (description !== undefined) this.close(new TransportError({ operation: "read", description }))
  }

  private surface(method: string, expected: ReadonlyArray<string>): void {
    const issues = expected.map((expected) => ({ path: "", expected }))
    const event = Notifications.decodeFailure(new DecodeError({ method, payload: "envelope", issues }))
    this.undecoded("envelope")
    this.hub.publish(event, 0)
    this.hub.publishUnowned(event, 0)
    if (this.strict) this.insist(event)
  }
}

const unheard = (threadId: string): TransportError =>
  new TransportError({
    operation: "read",
    description: `The thread ${threadId} was unsubscribed from: how it goes on is not told any more`
  })

const failStart = ({ expectation }: Start, error: ConnectionError): void => {
  if (expectation !== undefined) Deferred.doneUnsafe(expectation.turn, Exit.fail(error))
}

const isOf = (turn: TurnState, threadId: string | undefined): boolean =>
  threadId === undefined || turn.threadId === threadId

/** The connection's cause as the request that met it tells it. */
export const duringMethod = (error: ConnectionError, method: string): ConnectionError => {
  switch (error._tag) {
    case "AppServerExited": {
      const { exitCode, signal, stderr } = error
      return new AppServerExited({
        stderr,
        method,
        ...(exitCode === undefined ? {} : { exitCode }),
        ...(signal === undefined ? {} : { signal })
      })
    }
    case "TransportError": {
      const { cause, description, operation, reason } = error
      return new TransportError({
        operation,
        description,
        method,
        ...(reason === undefined ? {} : { reason }),
        ...(cause === undefined ? {} : { cause })
      })
    }
    case "SupervisorGaveUp":
      return error
  }
}

/** A review's `turn/started` names the turn it runs as; the review is that turn's root. */
const reviewOf = (
  event: TurnEvent | UnknownNotification,
  turns: ReadonlyMap<string, TurnState>
): TurnState | undefined => {
  if (event.method !== "turn/started") return undefined
  const { rootTurnId } = event.params.turn
  const review = rootTurnId === undefined || rootTurnId === null ? undefined : turns.get(rootTurnId)
  return review?.threadId === event.threadId ? review : undefined
}
