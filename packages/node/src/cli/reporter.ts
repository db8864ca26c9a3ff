/** What a command tells of a turn while it runs. */
import type { Approvals, ChildEvent, TurnEvent, TurnFailed } from "@effect-codex/core"
import type * as Effect from "effect/Effect"
import type { Failure } from "./failure.ts"

/** A decision on what the agent asked, and who made it. */
export interface Decided {
  readonly request: Approvals.ApprovalRequest
  readonly decision: Approvals.Decision
  /** Whether somebody was asked; there is nobody where the terminal is none. */
  readonly asked: boolean
}

/** What a turn came to, whether it was completed or not. */
export type Conclusion = TurnFailed["result"]

/** How a turn is told of: to people, or as lines of JSON. */
export interface Reporter {
  readonly started: (turn: { readonly threadId: string; readonly turnId: string }) => Effect.Effect<void, Failure>
  readonly events: (events: ReadonlyArray<TurnEvent | ChildEvent>) => Effect.Effect<void, Failure>
  readonly decided: (decided: Decided) => Effect.Effect<void, Failure>
  /** Events were missed, because what is written is read too slowly. */
  readonly lagged: Effect.Effect<void, Failure>
  /** Something was said that is not understood. */
  readonly unknown: (what: string) => Effect.Effect<void, Failure>
  /** The turn has ended, however it did: with all there is of it. */
  readonly ended: (conclusion: Conclusion, error: string | undefined) => Effect.Effect<void, Failure>
}
