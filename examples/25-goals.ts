/** A goal: the agent works on it turn after turn, until it says that it is reached. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, Stream } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly", approvalMode: "denyAll" })

  // The end of the scope pauses the goal, unless it has been reached.
  const goal = yield* thread.startGoal({ objective: "Find all typos in the documentation.", tokenBudget: 100_000 })
  yield* goal.events.pipe(
    Stream.runForEach((event) => {
      switch (event.method) {
        case "turn/started":
          return Console.log("A turn begins")
        case "item/completed":
          return event.params.item.type === "agentMessage" ? Console.log(`- ${event.params.item.text}`) : Effect.void
        case "thread/goal/updated":
          return event.params.goal.status === "active"
            ? Effect.void
            : Console.log(`The goal is ${event.params.goal.status}`)
        default:
          return Effect.void
      }
    })
  )
  const { finalResponse, outcome, turns } = yield* goal.result
  yield* Console.log(`${outcome} after ${turns.length} turns: ${finalResponse}`)

  // What is stored of it.
  const stored = yield* thread.goal.get
  yield* Console.log(`${stored?.objective} (${stored?.status})`)
}).pipe(Effect.scoped)

runExample(program, {
  model: {
    replies: [
      OfflineModel.text("The guide has two."),
      OfflineModel.text("The FAQ has none."),
      OfflineModel.functionCall({ name: "update_goal", arguments: { status: "complete" } }),
      OfflineModel.text("Two typos in all.")
    ]
  }
})
