/**
 * One request and its answer. It waits for its place, is written, and is settled once: by its answer, its deadline, a write
 * that fails or the end of the connection.
 *
 * Ten thousand of them may wait at once, and what each of them holds is copied by the collector: so this is a room of plain
 * objects. The fiber that asks is suspended once for all of it, and whoever settles an exchange runs here.
 */
import type { ClientRequestMethod } from "@effect-codex/generated"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { type RequestError, RequestTimeout, ServerOverloaded } from "../CodexError.ts"
import type { Admission, Place } from "./admission.ts"
import type { Deadline, Deadlines } from "./deadlines.ts"
import type * as Router from "./router.ts"

/** What is asked. */
export interface Question<M extends ClientRequestMethod = ClientRequestMethod> extends Router.Question {
  readonly method: M
  readonly span: Tracer.Span | undefined
}

/** What the exchanges of one connection share. */
export interface Line {
  readonly router: Router.Router
  readonly deadlines: Deadlines
  readonly admission: Admission
  /** Whether it waits for a place. */
  readonly needsPlace: (question: Question) => boolean
  /** From the moment it is written. */
  readonly timeoutOf: (question: Question) => Duration.Duration
  readonly write: (id: number, question: Question) => Effect.Effect<void, Router.SendError>
  /** Is told how many more are on their way. */
  readonly inFlight: (by: number) => void
  /** Ids are numbers that grow from one request to the next. */
  nextId: number
}

/** What the fiber that asks goes on with. */
export type Conclude<Q, A> = (question: Q, exit: Exit.Exit<unknown, Router.SendError>) => Effect.Effect<A, RequestError>

/** Asks with the context of the caller. Interrupting it forgets the request. */
export const run = <Q extends Question, A>(
  line: Line,
  question: Q,
  context: Context.Context<never>,
  conclude: Conclude<Q, A>
): Effect.Effect<A, RequestError> => {
  const exchange = new Exchange(line, question, context, conclude)
  return Effect.callback((resume) => exchange.begin(resume))
}

class Exchange<Q extends Question, A> implements Router.Waiter {
  private readonly line: Line
  readonly question: Q
  private readonly context: Context.Context<never>
  private readonly conclude: Conclude<Q, A>
  private resume: ((answer: Effect.Effect<A, RequestError>) => void) | undefined
  private place: Place | undefined
  /** None yet: 0. */
  private id = 0
  private deadline: Deadline | undefined
  private writing: Fiber.Fiber<void, Router.SendError> | undefined
  private isWritten = false
  private isOver = false

  constructor(
    line: Line,
    question: Q,
    context: Context.Context<never>,
    conclude: Conclude<Q, A>
  ) {
    this.line = line
    this.question = question
    this.context = context
    this.conclude = conclude
  }

  /** The result is for when nobody waits for the answer any more. */
  begin(resume: (answer: Effect.Effect<A, RequestError>) => void): Effect.Effect<void> {
    this.resume = resume
    if (this.line.needsPlace(this.question)) this.line.admission.enter(this)
    else this.send()
    return Effect.suspend(() => this.abandon())
  }

  admit(place: Place): void {
    this.place = place
    this.send()
  }

  settle(exit: Exit.Exit<unknown, Router.SendError>): void {
    if (this.isOver) return
    this.finish(isRefusal(exit))
    // In the fiber that asks: whatever goes wrong there is its own.
    const answer = Effect.suspend(() => this.conclude(this.question, exit))
    this.resume?.(this.writing === undefined ? answer : Effect.andThen(Fiber.interrupt(this.writing), answer))
  }

  private abandon(): Effect.Effect<void> {
    if (this.isOver) return Effect.void
    if (this.id === 0) this.line.admission.withdraw(this)
    else this.finish(false)
    return this.writing === undefined ? Effect.void : Fiber.interrupt(this.writing)
  }

  private send(): void {
    const { line, question } = this
    this.id = line.nextId++
    line.inFlight(1)
    question.onOut?.(true)
    line.router.await(this.id, this)
    if (this.isOver) return
    const timeout = line.timeoutOf(question)
    this.deadline = line.deadlines.begin(timeout, () => {
      this.settle(Exit.fail(new RequestTimeout({ method: question.method, timeout })))
    })
    const writing = Effect.runForkWith(this.context)(line.write(this.id, question))
    // Most are written at once.
    const exit = writing.pollUnsafe()
    if (exit !== undefined) return this.wrote(exit)
    this.writing = writing
    writing.addObserver((exit) => this.wrote(exit))
  }

  private wrote(exit: Exit.Exit<void, Router.SendError>): void {
    this.writing = undefined
    this.isWritten = Exit.isSuccess(exit)
    if (Exit.isFailure(exit)) this.settle(exit)
  }

  private finish(isRefused: boolean): void {
    const { deadline, line, place, question } = this
    this.isOver = true
    if (deadline !== undefined) line.deadlines.cancel(deadline)
    line.inFlight(-1)
    if (isRefused) question.onOut?.(false)
    // A late answer still names the turn that nobody waits for any more.
    if (!this.isWritten || question.onResult === undefined) line.router.forget(this.id)
    if (place !== undefined) line.admission.leave(place, isRefused)
  }
}

const isRefusal = (exit: Exit.Exit<unknown, Router.SendError>): boolean =>
  Option.exists(Exit.findErrorOption(exit), (error) => error instanceof ServerOverloaded)
