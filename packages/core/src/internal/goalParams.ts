/** What sets a new goal, held to the server's own rules before the goal that is there gives way to it. */
import { ThreadGoalMutationOrigin } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { InvalidParams } from "../CodexError.ts"
import * as Payload from "./payload.ts"
import { unsent } from "./responseError.ts"

const MAX_CHARACTERS = 4_000

const isBlank = (character: string): boolean => /^\p{White_Space}$/u.test(character)

/** The server counts code points, without the blanks around them. */
const lengthOf = (objective: string): number => {
  const characters = Array.from(objective)
  const first = characters.findIndex((character) => !isBlank(character))
  return first === -1 ? 0 : characters.findLastIndex((character) => !isBlank(character)) - first + 1
}

const isObjective = (objective: string): boolean => {
  const length = lengthOf(objective)
  return length > 0 && length <= MAX_CHARACTERS
}

const isBudget = (tokens: number): boolean => Number.isSafeInteger(tokens) && tokens > 0

const GoalParams = Schema.Struct({
  objective: Schema.optional(
    Schema.String.check(Schema.makeFilter(isObjective, { expected: `1 to ${MAX_CHARACTERS} characters` }))
  ),
  tokenBudget: Schema.optional(
    Schema.NullOr(Schema.Finite.check(Schema.makeFilter(isBudget, { expected: "an integer above zero" })))
  ),
  origin: Schema.optional(ThreadGoalMutationOrigin)
})

/** Fails where the server would refuse them, and where there are none: then the goal would be the one that is there. */
export const check = (params: typeof GoalParams.Type): Effect.Effect<void, InvalidParams> =>
  Effect.suspend(() => {
    const checked = Payload.outgoing(GoalParams)(params)
    return Exit.isSuccess(checked)
      ? Effect.void
      : Effect.fail(unsent("thread/goal/set", Payload.issuesOfCause(checked.cause)))
  })
