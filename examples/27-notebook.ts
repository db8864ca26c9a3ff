/**
 * A walk through the SDK in cells, as in a notebook: one runtime holds the agent, and
 * each cell is an effect that is run on it by itself, with what the cells before it
 * have come to.
 */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Effect, ManagedRuntime, Schema, Stream } from "effect"
import { exampleLayer } from "./support.ts"

const City = Schema.Struct({ name: Schema.String, inhabitants: Schema.Int })

const notebook = ManagedRuntime.make(exampleLayer({
  model: {
    replies: [
      OfflineModel.text("Oslo, Bergen and Trondheim."),
      OfflineModel.text(["Os", "lo", "."]),
      OfflineModel.json({ name: "Oslo", inhabitants: 720_000 }),
      OfflineModel.text("Bergen.")
    ]
  }
}))

let cells = 0

/** Runs a cell and shows what it comes to. */
const cell = async <A, E>(
  effect: Effect.Effect<A, E, ManagedRuntime.ManagedRuntime.Services<typeof notebook>>,
  show: (value: A) => unknown
): Promise<A> => {
  const value = await notebook.runPromise(effect)
  // oxlint-disable-next-line no-console -- a cell shows its value
  console.log(`[${++cells}]`, show(value))
  return value
}

try {
  // The first cell starts the app-server; all of them share it.
  const codex = await cell(Codex, ({ metadata }) => `Codex on ${metadata.platformOs}`)

  // A thread is a conversation, and a value like any other.
  const thread = await cell(codex.startThread({ sandbox: "readOnly" }), () => "A thread")

  // One turn, to its end.
  await cell(thread.run("Name three cities of Norway."), ({ finalResponse }) => finalResponse)

  // The thread remembers. This turn is read as it comes.
  await cell(
    thread.stream("Which of them is the largest?").pipe(
      Stream.filter((event) => event.method === "item/agentMessage/delta"),
      Stream.map(({ params }) => params.delta),
      Stream.runCollect
    ),
    (deltas) => deltas
  )

  // An answer with a type.
  const { output: city } = await cell(
    thread.run("Tell me about it.", { output: City }),
    ({ output }) => output
  )

  // A look at an alternative leaves the thread as it is.
  await cell(
    Effect.gen(function*() {
      const fork = yield* thread.fork({ ephemeral: true })
      return yield* fork.run(`And the largest but ${city.name}?`)
    }),
    ({ finalResponse }) => finalResponse
  )

  // What is stored.
  await cell(thread.read({ includeTurns: true }), ({ turns }) => `${turns.length} turns`)

  // What fails, fails with its type.
  await cell(Effect.flip(codex.resumeThread("00000000-0000-0000-0000-000000000000")), ({ _tag }) => _tag)
} finally {
  // Ends the app-server.
  await notebook.dispose()
}
