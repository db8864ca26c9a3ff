/** What outlives one connection, where connections follow one another. */
import * as Context from "effect/Context"
import type * as Approvals from "../Approvals.ts"
import type { EventHub } from "./eventHub.ts"
import type { Feed } from "./feed.ts"
import type { ThreadAnswers } from "./threadAnswers.ts"

export interface Outlet {
  /** Is told everything that the connection's own hub is told, except the connection's end. */
  readonly hub: EventHub
  /** What answers the server on single threads. */
  readonly answers: ThreadAnswers
  /** Is told every decision, as `hub` is told events. */
  readonly decisions: Feed<Approvals.DecisionRecord>
}

/** The outlet that a client is made with; none unless a supervisor makes it. */
export const Outlet = Context.Reference<Outlet | undefined>("@effect-codex/core/Outlet", {
  defaultValue: () => undefined
})
