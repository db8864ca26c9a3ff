/** Gives the agent tools of the program's own: an `effect/ai` Toolkit. */
import { Codex, CodexTools } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { runExample } from "./support.ts"

class UnknownCity extends Schema.TaggedError<UnknownCity>()("UnknownCity", { city: Schema.String }) {
  override get message(): string {
    return `There is no weather of ${this.city}`
  }
}

const Weather = Tool.make("weather", {
  description: "The weather in a city, in degrees Celsius",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ degrees: Schema.Finite }),
  failure: UnknownCity
})

const Kit = Toolkit.make(Weather)

const handlers = Kit.toLayer({
  weather: ({ city }) =>
    Effect.andThen(
      Console.log(`The agent asks for the weather in ${city}`),
      city === "Rome" ? Effect.succeed({ degrees: 21 }) : new UnknownCity({ city })
    )
})

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly", tools: CodexTools.fromToolkit(Kit) })
  const result = yield* thread.run("What is the weather in Rome and in Atlantis?")
  for (const item of result.items) {
    if (item.type === "dynamicToolCall") yield* Console.log(`${item.tool}: ${item.success ? "success" : "failure"}`)
  }
  yield* Console.log(result.finalResponse)
}).pipe(Effect.provide(handlers))

runExample(program, {
  // The server has dynamic tools for clients with the experimental API.
  codex: { experimental: true },
  model: {
    replies: [
      OfflineModel.functionCall({ name: "weather", arguments: { city: "Rome" } }),
      OfflineModel.functionCall({ name: "weather", arguments: { city: "Atlantis" } }),
      OfflineModel.text("It is 21 degrees in Rome; Atlantis has no weather.")
    ]
  }
})
