/** Joins the deltas of one text, so that a reader who is behind loses none of it. */
import type { Notification, TurnEvent } from "../Notification.ts"
import type { Delivery } from "./subscription.ts"

/** Of a string, at the most. */
const BYTES_PER_UNIT = 2

/** Both events as one, when they are deltas of the same text, with the size of the text that the second one adds. */
export const coalesce = (first: TurnEvent, second: TurnEvent): Delivery<TurnEvent> | undefined => {
  switch (first.method) {
    case "item/agentMessage/delta":
      return second.method === first.method ? joined(first, second) : undefined
    case "item/plan/delta":
      return second.method === first.method ? joined(first, second) : undefined
    case "item/commandExecution/outputDelta":
      return second.method === first.method ? joined(first, second) : undefined
    case "item/reasoning/textDelta":
      return second.method === first.method && first.params.contentIndex === second.params.contentIndex
        ? joined(first, second)
        : undefined
    case "item/reasoning/summaryTextDelta":
      return second.method === first.method && first.params.summaryIndex === second.params.summaryIndex
        ? joined(first, second)
        : undefined
    default:
      return undefined
  }
}

type DeltaMethod =
  | "item/agentMessage/delta"
  | "item/plan/delta"
  | "item/commandExecution/outputDelta"
  | "item/reasoning/textDelta"
  | "item/reasoning/summaryTextDelta"

const joined = <M extends DeltaMethod>(
  first: Notification<M>,
  second: Notification<M>
): Delivery<Notification<M>> | undefined =>
  first.params.itemId === second.params.itemId && first.params.threadId === second.params.threadId
    ? {
      event: { ...first, params: { ...first.params, delta: first.params.delta + second.params.delta } },
      bytes: second.params.delta.length * BYTES_PER_UNIT
    }
    : undefined
