/** Gives work to agents of the agent's own, and follows each of them. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, Schema, Stream } from "effect"
import { runExample } from "./support.ts"

const question = "Have one agent read the code and another one the tests. Then tell me what is not tested."

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  const agents = new Set<string>()

  const turn = yield* thread.turn(question, { includeChildren: true })
  yield* turn.events.pipe(
    Stream.runForEach((event) => {
      // What an agent of the agent's does is an event of its own thread, told with whose work it is.
      if (event.method === "client/childEvent") {
        const { childThreadId, event: its } = event.params
        agents.add(childThreadId)
        return its.method === "item/completed" && its.params.item.type === "agentMessage"
          ? Console.log(`An agent has found: ${its.params.item.text}`)
          : Effect.void
      }
      return event.method === "item/completed" && event.params.item.type === "collabAgentToolCall" &&
          event.params.item.tool === "spawnAgent"
        ? Console.log(`An agent is told: ${event.params.item.prompt}`)
        : Effect.void
    })
  )
  const { finalResponse } = yield* turn.result
  yield* Console.log(`The answer: ${finalResponse}`)

  // Each of them has a thread of its own, which can be read and gone on with.
  for (const id of agents) {
    const { parentThreadId, turns } = yield* codex.readThread(id, { includeTurns: true })
    yield* Console.log(`A thread of ${turns.length} turn, ${parentThreadId === thread.id ? "for this one" : "alone"}`)
  }
}).pipe(Effect.scoped)

/** Calls one of the agent's tools for agents. */
const call = (name: string, callId: string, args: Schema.JsonObject) =>
  OfflineModel.functionCall({ namespace: "multi_agent_v1", name, callId, arguments: args })

const Spawned = Schema.fromJsonString(Schema.Struct({ agent_id: Schema.String }))
const idOf = (output: Schema.Json): string => Schema.decodeUnknownSync(Spawned)(output).agent_id

runExample(program, {
  model: {
    respond: ({ text, toolOutput }) => {
      if (text === "Read the code") return OfflineModel.text("divide and multiply")
      if (text === "Read the tests") return OfflineModel.text("a test of multiply")
      const code = toolOutput("code")
      const tests = toolOutput("tests")
      if (code === undefined || tests === undefined) {
        return [
          call("spawn_agent", "code", { message: "Read the code" }),
          call("spawn_agent", "tests", { message: "Read the tests" })
        ]
      }
      return toolOutput("wait-code") === undefined
        ? [
          call("wait_agent", "wait-code", { targets: [idOf(code)] }),
          call("wait_agent", "wait-tests", { targets: [idOf(tests)] })
        ]
        : OfflineModel.text("divide has no test.")
    }
  }
})
