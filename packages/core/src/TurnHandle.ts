/**
 * One turn of the agent, while it runs.
 *
 * @since 0.1.0
 */
import type { TurnSteerResponse } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { AppServerClient, OpenTurn, TurnStartMethod } from "./AppServerClient.ts"
import {
  type ConnectionError,
  type DecodeError,
  type InvalidRequest,
  type RequestError,
  StaleTurn,
  type TurnFailed,
  type TurnInterrupted,
  type TurnLagged,
  type TurnStalled
} from "./CodexError.ts"
import * as Input from "./Input.ts"
import type { ChildEvent, TurnEvent } from "./Notification.ts"
import type { RunResult } from "./RunResult.ts"

/**
 * One turn of the agent, held until its scope closes. `Event` is what its `events`
 * are: with `includeChildren` those of the agents that it has at work too.
 *
 * ```ts
 * import type { Thread } from "@effect-codex/core"
 * import { Console, Effect, Stream } from "effect"
 *
 * const story = Effect.fn("story")(function*(thread: Thread) {
 *   const turn = yield* thread.turn("Tell me a story.")
 *   yield* turn.text.pipe(Stream.take(100), Stream.runForEach((delta) => Console.log(delta)))
 *   yield* turn.steer("Come to an end.")
 *   return yield* turn.result
 * }, Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface TurnHandle<Event = TurnEvent> {
  /** The turn's id. */
  readonly id: string
  /** The thread it runs on. */
  readonly threadId: string
  /**
   * Every event of the turn from its first one, each time it is run; ends with
   * the turn. A reader that falls behind fails with `TurnLagged` and disturbs
   * nobody else.
   */
  readonly events: Stream.Stream<Event, ConnectionError | TurnLagged>
  /**
   * What the agent says, as it says it: the deltas of its messages, commentary
   * included. When the server tries again after a broken connection to the model,
   * the message begins anew, with a new item id among the `events`.
   */
  readonly text: Stream.Stream<string, ConnectionError | TurnLagged>
  /**
   * Waits for the end of the turn. Fails with `TurnFailed` or `TurnInterrupted`,
   * which carry what the turn had produced. Interrupting the wait leaves the turn
   * running until its scope closes.
   */
  readonly result: Effect.Effect<RunResult, TurnFailed | TurnInterrupted | TurnStalled | ConnectionError | DecodeError>
  /**
   * Adds input to the running turn. What the model is saying is cut off at once: that
   * message stays in `text` and is none of the result's items. Fails with `StaleTurn`
   * when the turn is no longer the thread's active one. Mirrors `turn/steer`.
   */
  readonly steer: (input: Input.Input) => Effect.Effect<TurnSteerResponse, RequestError | StaleTurn>
  /**
   * Stops the turn, with the agents that it has at work, and waits until it has ended.
   * Nothing happens when it has ended already. Mirrors `turn/interrupt`.
   */
  readonly interrupt: Effect.Effect<void, RequestError>
}

/**
 * The handle of a turn that the client has opened.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromOpenTurn = <M extends TurnStartMethod>(
  client: AppServerClient["Service"],
  turn: OpenTurn<M>
): TurnHandle => ({
  id: turn.turnId,
  threadId: turn.threadId,
  events: turn.events,
  text: textOf(turn.events),
  result: turn.result,
  steer: Effect.fn("TurnHandle.steer")((input: Input.Input) =>
    client.request("turn/steer", {
      threadId: turn.threadId,
      expectedTurnId: turn.turnId,
      input: Input.toItems(input)
    }).pipe(Effect.catchTag("InvalidRequest", (refusal) => Effect.fail(staleTurn(turn, refusal) ?? refusal)))
  ),
  interrupt: turn.interrupt
})

/**
 * The same with the events of the agents that the turn has at work.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromOpenFamily = <M extends TurnStartMethod>(
  client: AppServerClient["Service"],
  turn: OpenTurn<M>
): TurnHandle<TurnEvent | ChildEvent> => ({ ...fromOpenTurn(client, turn), events: turn.family })

/** The server names both turns, or says that there is none. */
const staleTurn = (
  { threadId, turnId }: { readonly threadId: string; readonly turnId: string },
  { description, method }: InvalidRequest
): StaleTurn | undefined => {
  const actual = /expected active turn id `[^`]*` but found `([^`]*)`/.exec(description)?.[1]
  return actual === undefined && !description.includes("no active turn to steer")
    ? undefined
    : new StaleTurn({ method, threadId, expectedTurnId: turnId, actualTurnId: actual ?? null })
}

/**
 * The text of the agent's messages among the events of a turn.
 *
 * @since 0.1.0
 * @category combinators
 */
export const textOf = <E, R>(events: Stream.Stream<TurnEvent, E, R>): Stream.Stream<string, E, R> =>
  Stream.filterMap(
    events,
    (event) => event.method === "item/agentMessage/delta" ? Result.succeed(event.params.delta) : Result.failVoid
  )
