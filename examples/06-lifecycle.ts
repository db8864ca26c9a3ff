/** The life of threads: name, list, fork, archive, bring back, delete. */
import { Codex } from "@effect-codex/core"
import { Console, Effect, Stream } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const names = (archived: boolean) =>
    codex.threads({ archived, pageSize: 10 }).pipe(
      Stream.take(10),
      Stream.map(({ name }) => name ?? "(no name)"),
      Stream.runCollect,
      Effect.map((names) => names.toSorted().join(", "))
    )

  const thread = yield* codex.startThread({ sandbox: "readOnly" })
  // A thread is stored with its first turn.
  yield* thread.run("Say hello.")
  yield* thread.setName("Greeting")
  const fork = yield* thread.fork()
  yield* fork.setName("Another greeting")
  yield* fork.run("And in French?")
  yield* Console.log(`Threads: ${yield* names(false)}`)

  yield* thread.archive
  yield* Console.log(`Archived: ${yield* names(true)}`)
  yield* codex.unarchiveThread(thread.id)
  const back = yield* codex.resumeThread(thread.id)
  yield* Console.log(`Back: ${(yield* back.read()).name}`)

  // The fork goes first: a thread with forks cannot be deleted.
  yield* codex.deleteThread(fork.id)
  yield* codex.deleteThread(thread.id)
  const gone = yield* Effect.flip(codex.resumeThread(thread.id))
  yield* Console.log(`Deleted: ${gone._tag}`)
})

runExample(program)
