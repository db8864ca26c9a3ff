/** Shows the model an image file of the machine that the app-server runs on. */
import { Codex, Input } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, FileSystem, Path } from "effect"
import { Base64 } from "effect/encoding"
import { pixel } from "./pixel.ts"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(yield* fs.makeTempDirectoryScoped(), "pixel.png")
  yield* fs.writeFile(file, yield* Effect.fromResult(Base64.decode(pixel)))

  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  const result = yield* thread.run(["What is in this file?", Input.localImage(file)])
  yield* Console.log(result.finalResponse)
}).pipe(Effect.scoped)

runExample(program, {
  model: {
    respond: ({ input }) =>
      OfflineModel.text(JSON.stringify(input).includes("input_image") ? "One pixel." : "I see no image.")
  }
})
