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
import type {
  ConnectionError,
  DecodeError,
  RequestError,
  TurnFailed,
  TurnInterrupted,
  TurnLagged,
  TurnStalled
} from "./CodexError.ts"
import * as Input from "./Input.ts"
import type { TurnEvent } from "./Notification.ts"
import type { RunResult } from "./RunResult.ts"

/**
 * One turn of the agent, held until its scope closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface TurnHandle {
  /** The turn's id. */
  readonly id: string
  /** The thread it runs on. */
  readonly threadId: string
  /**
   * Every event of the turn from its first one, each time it is run; ends with
   * the turn. A reader that falls behind fails with `TurnLagged` and disturbs
   * nobody else.
   */
  readonly events: Stream.Stream<TurnEvent, ConnectionError | TurnLagged>
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
   * Adds input to the running turn; the agent takes it up at its next step. Fails
   * with `InvalidRequest` when the turn is no longer the thread's active one.
   * Mirrors `turn/steer`.
   */
  readonly steer: (input: Input.Input) => Effect.Effect<TurnSteerResponse, RequestError>
  /**
   * Stops the turn and waits until it has ended. Nothing happens when it has
   * ended already. Mirrors `turn/interrupt`.
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
    })
  ),
  interrupt: turn.interrupt
})

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
