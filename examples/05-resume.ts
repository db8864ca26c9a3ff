/** Goes on with a stored thread, by its id alone. */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect } from "effect"
import { runExample } from "./support.ts"

/** Keep the id; everything else is stored by the app-server. */
const begin = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  yield* thread.run("Remember the number 7.")
  return thread.id
})

const goOn = Effect.fnUntraced(function*(id: string) {
  const codex = yield* Codex
  const thread = yield* codex.resumeThread(id)
  const { finalResponse } = yield* thread.run("Which number was it?")
  yield* Console.log(finalResponse)
  const { turns } = yield* thread.read({ includeTurns: true })
  yield* Console.log(`The thread has ${turns.length} turns.`)
})

runExample(Effect.flatMap(begin, goOn), {
  model: {
    // The history of the thread comes with the request.
    respond: (request) =>
      OfflineModel.text(JSON.stringify(request.input).includes("the number 7") ? "It was 7." : "I do not know.")
  }
})
