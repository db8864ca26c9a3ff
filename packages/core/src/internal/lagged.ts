/** The marker where events are missing. */
import type { Lagged } from "../Notification.ts"

/** So many are missing; where they are of one turn, it is named. */
export const lagged = (dropped: number, turn?: Pick<Lagged, "threadId" | "turnId">): Lagged => ({
  method: "client/lagged",
  params: { dropped },
  threadId: turn?.threadId,
  turnId: turn?.turnId,
  emittedAtMs: undefined
})
