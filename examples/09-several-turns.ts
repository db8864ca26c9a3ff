/** Runs several turns at once on one app-server. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect } from "effect"
import { runExample } from "./support.ts"

const cities = ["Rome", "Oslo", "Lima"]

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const answers = yield* Effect.forEach(
    cities,
    Effect.fnUntraced(function*(city) {
      // A thread runs one turn at a time; threads do not wait for each other.
      const thread = yield* codex.startThread({ sandbox: "readOnly" })
      const { finalResponse } = yield* thread.run(`In which country is ${city}?`)
      return `${city}: ${finalResponse}`
    }),
    { concurrency: 2 }
  )
  for (const answer of answers) yield* Console.log(answer)
})

const countries: Record<string, string> = { Rome: "Italy", Oslo: "Norway", Lima: "Peru" }

runExample(program, {
  model: {
    respond: ({ text }) => OfflineModel.text(countries[cities.find((city) => text.includes(city)) ?? ""] ?? "Nowhere")
  }
})
