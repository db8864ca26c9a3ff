/** Shows the model an image that is held in memory. */
import { Codex, Input } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect } from "effect"
import { pixel } from "./pixel.ts"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  // The app-server takes images by `data:` URLs, and refuses to fetch others.
  const result = yield* thread.run([
    "What is in this image?",
    Input.image(`data:image/png;base64,${pixel}`)
  ])
  yield* Console.log(result.finalResponse)
})

runExample(program, {
  model: {
    respond: ({ input }) =>
      OfflineModel.text(JSON.stringify(input).includes("input_image") ? "One pixel." : "I see no image.")
  }
})
