/** What can go wrong, by its type: a turn that fails, a request that is refused, a server that is full. */
import { Codex, retryOnOverload, RetryPolicy } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({ sandbox: "readOnly" })

  // A failed turn carries what it had done until then.
  yield* thread.run("What is in this folder?").pipe(
    Effect.flatMap((result) => Console.log(`Answer: ${result.finalResponse}`)),
    Effect.catchTag(
      "TurnFailed",
      (error) => Console.log(`Failed: ${error.error?.message}; there were ${error.result.items.length} items`)
    )
  )

  // A refused request names its method, its code and the server's words.
  yield* codex.resumeThread("00000000-0000-0000-0000-000000000000").pipe(
    Effect.catchTag("InvalidRequest", (error) => Console.log(`Refused: ${error.method} (${error.code})`))
  )

  // Requests that the app-server refuses because it is full are repeated by themselves. A turn is repeated only
  // where that is written: it says the same to the thread once more.
  const result = yield* thread.run("Say hello.").pipe(
    retryOnOverload(RetryPolicy.overload),
    Effect.tapErrorTag("RetryLimitExceeded", (error) => Console.log(`Still full after ${error.attempts} attempts`))
  )
  yield* Console.log(`Answer: ${result.finalResponse}`)
})

runExample(program, {
  model: {
    replies: [
      [OfflineModel.text("I will look."), OfflineModel.failed({ code: "server_error", message: "It broke." })],
      OfflineModel.failed({ code: "server_is_overloaded", message: "Full." }),
      OfflineModel.text("Hello.")
    ]
  }
})
