/**
 * Watches a turn, or the work on a goal, of which nothing is heard. The word that it has ended may have been
 * lost, or never have been sent: the server is asked before anything is concluded.
 */
import type { Thread, ThreadGoal, Turn } from "@effect-codex/generated"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { RequestError, TurnStalled } from "../CodexError.ts"
import type { TurnState } from "./turn.ts"

/** What became of a turn, as far as the server tells. */
export type Verdict =
  | { readonly _tag: "Running" }
  | { readonly _tag: "Ended"; readonly turn: Turn }
  | { readonly _tag: "Stalled"; readonly reason: TurnStalled["reason"] }

/** The same of a goal while no turn of it runs. */
export type GoalVerdict =
  | Exclude<Verdict, { readonly _tag: "Ended" }>
  | { readonly _tag: "Told"; readonly goal: ThreadGoal | null; readonly isStopped: boolean }

/** What may fall silent. */
export interface Watched {
  readonly isDone: boolean
  /** Grows whenever something is heard of it. */
  heard: number
}

const running: Extract<Verdict, { readonly _tag: "Running" }> = { _tag: "Running" }

const stalled = (reason: TurnStalled["reason"]): Extract<Verdict, { readonly _tag: "Stalled" }> => ({
  _tag: "Stalled",
  reason
})

/** Reads the turn's thread. Some threads cannot be read with their turns: then the thread's status has to do. */
export const lookUp = (
  turn: TurnState,
  read: (includeTurns: boolean) => Effect.Effect<{ readonly thread: Thread }, RequestError>
): Effect.Effect<Verdict> => {
  const byStatus = Effect.map(
    read(false),
    ({ thread }) => thread.status.type === "active" ? running : stalled("unknownTurn")
  )
  return read(true).pipe(
    Effect.map(({ thread }) => inHistory(turn, thread)),
    // A thread of which nothing is stored, or a history that is too much for one message.
    Effect.catchTag(
      ["InvalidRequest", "MethodNotFound", "InternalError", "RpcError", "DecodeError"],
      () => byStatus
    ),
    Effect.catchTag(["InvalidRequest", "MethodNotFound"], () => Effect.succeed(stalled("unknownTurn"))),
    // The end of the connection settles the turn by itself.
    Effect.catchTag(["AppServerExited", "TransportError"], () => Effect.succeed(running)),
    Effect.orElseSucceed(() => stalled("noAnswer"))
  )
}

const inHistory = (turn: TurnState, { turns }: Thread): Verdict => {
  const found = turns.find(({ id }) => id === turn.turnId) ?? turns.find(({ id }) => id === turn.activeId)
  if (found === undefined) return stalled("unknownTurn")
  return found.status === "inProgress" ? running : { _tag: "Ended", turn: found }
}

/** Reads the goal that a thread has, and where nobody works on it any more says so. */
export const lookUpGoal = (
  goal: Effect.Effect<ThreadGoal | null, RequestError>,
  read: Effect.Effect<{ readonly thread: Thread }, RequestError>
): Effect.Effect<GoalVerdict> =>
  Effect.gen(function*(): Effect.fn.Return<GoalVerdict, RequestError> {
    const told = yield* goal
    const { thread } = yield* read
    const isStopped = told?.status === "active" && thread.status.type !== "active"
    return { _tag: "Told", goal: told, isStopped }
  }).pipe(
    Effect.catchTag(["AppServerExited", "TransportError"], () => Effect.succeed(running)),
    Effect.catchTag(["InvalidRequest", "MethodNotFound"], () => Effect.succeed(stalled("unknownTurn"))),
    Effect.orElseSucceed(() => stalled("noAnswer"))
  )

/**
 * Asks what became of the turn whenever nothing was heard of it for this long, and
 * for less than twice as long. While somebody is asked to decide something, silence
 * says nothing.
 */
export const watch = Effect.fnUntraced(function*<V extends { readonly _tag: string }>(watched: Watched, options: {
  readonly idle: Duration.Duration
  readonly isAsking: () => boolean
  readonly lookUp: Effect.Effect<V>
  readonly conclude: (verdict: Exclude<V, { readonly _tag: "Running" }>) => void
}): Effect.fn.Return<void> {
  const isOver = (verdict: V): verdict is Exclude<V, { readonly _tag: "Running" }> => verdict._tag !== "Running"
  while (!watched.isDone) {
    const heard = watched.heard
    yield* Effect.sleep(options.idle)
    if (watched.isDone || watched.heard !== heard || options.isAsking()) continue
    // Whoever else watches the turn has its answer here too.
    watched.heard++
    const asked = watched.heard
    const verdict = yield* options.lookUp
    // Something may have been heard while the server was asked.
    if (isOver(verdict) && watched.heard === asked && !watched.isDone) options.conclude(verdict)
  }
})
