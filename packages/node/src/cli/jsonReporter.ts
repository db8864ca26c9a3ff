/**
 * A turn as lines of JSON. Events of the server are told as it told them; what begins with `cli/` is made here:
 * `cli/turn` first, `cli/approval` where something was decided, `cli/result` last.
 */
import type { ChildEvent, TurnEvent } from "@effect-codex/core"
import * as Effect from "effect/Effect"
import { Output } from "./output.ts"
import type { Reporter } from "./reporter.ts"

export const make = Effect.gen(function*() {
  const { answer } = yield* Output
  const emit = (method: string, params: unknown) => answer(`${JSON.stringify({ method, params })}\n`)
  const reporter: Reporter = {
    started: (turn) => emit("cli/turn", turn),
    events: (events) => answer(events.map((event) => `${JSON.stringify(wire(event))}\n`).join("")),
    decided: ({ asked, decision, request }) =>
      emit("cli/approval", { request: { ...request, params: undefined }, decision, asked }),
    lagged: emit("cli/lagged", {}),
    unknown: (what) => emit("client/decodeFailure", { error: what }),
    // The items were told one by one.
    ended: (conclusion, error) => emit("cli/result", { ...conclusion, items: undefined, error })
  }
  return reporter
})

const wire = (event: TurnEvent | ChildEvent): unknown => {
  const { emittedAtMs, method } = event
  switch (event.method) {
    case "client/childEvent":
      return { method, params: { ...event.params, event: wire(event.params.event) }, emittedAtMs }
    case "client/decodeFailure":
      return { method, params: { error: event.params.error.message }, emittedAtMs }
    default:
      return { method, params: event.params, emittedAtMs }
  }
}
