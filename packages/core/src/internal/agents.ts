/**
 * The agents that turns of this client have at work. The server leaves them at it when the turn is interrupted, and when
 * nobody listens to its thread any more: they would go on for nobody.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type { RequestError } from "../CodexError.ts"
import type { Lineage, RunningTurn } from "./lineage.ts"
import type { Call } from "./requester.ts"
import { unlessGone } from "./stoppable.ts"

export interface Agents {
  /** Interrupts those of the turn, and whatever they begin for it later. */
  readonly stop: (turn: Pick<RunningTurn, "threadId" | "turnId">) => Effect.Effect<void, RequestError>
  /** The same for all turns that this client has had, on the thread if one is named. */
  readonly leave: (threadId?: string) => Effect.Effect<void, RequestError>
}

export const make = Effect.fnUntraced(function*(options: { readonly call: Call; readonly lineage: Lineage }) {
  const { call, lineage } = options
  const run = yield* FiberSet.makeRuntime<never>()

  const interrupt = ({ threadId, turnId }: RunningTurn): Effect.Effect<void, RequestError> =>
    call("turn/interrupt", { threadId, turnId }).pipe(
      // It has ended meanwhile.
      Effect.catchTag("InvalidRequest", () => Effect.void),
      Effect.asVoid
    )

  const interruptAll = (turns: ReadonlyArray<RunningTurn>): Effect.Effect<void, RequestError> =>
    Effect.forEach(turns, interrupt, { concurrency: "unbounded", discard: true })

  lineage.onStray = (turn) =>
    void run(Effect.catch(interrupt(turn), unlessGone(`interrupt an agent of turn ${turn.rootTurnId}`)))

  const agents: Agents = {
    stop: (turn) => Effect.suspend(() => interruptAll(lineage.stop(turn))),
    leave: (threadId) => Effect.suspend(() => interruptAll(lineage.leave(threadId)))
  }
  return agents
})
