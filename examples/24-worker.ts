/**
 * Works through a queue of jobs, two at a time. The app-server is supervised: when it
 * dies it is started again, and the jobs that it had in hand are done once more.
 */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { type Cause, Console, Deferred, Effect, Fiber, Queue, Schedule, Stream } from "effect"
import { runExample } from "./support.ts"

interface Job {
  readonly name: string
  readonly prompt: string
}

/** A job, on a thread of its own. After an accident `startThread` waits for the next app-server. */
const work = Effect.fn("work")(
  function*(job: Job) {
    const codex = yield* Codex
    const thread = yield* codex.startThread({ sandbox: "readOnly", approvalMode: "denyAll", ephemeral: true })
    const { finalResponse } = yield* thread.run(job.prompt, { budget: { wallTime: "5 minutes" } })
    return finalResponse
  },
  (effect, job) =>
    effect.pipe(
      Effect.tapErrorTag("AppServerExited", () => Console.log(`${job.name}: once more`)),
      Effect.retry({ while: (error) => error._tag === "AppServerExited", times: 3 })
    )
)

/** Does jobs until there will be no more; one that fails does not keep the others from being done. */
const worker = (jobs: Queue.Dequeue<Job, Cause.Done>) =>
  Stream.fromQueue(jobs).pipe(
    Stream.mapEffect(
      (job) =>
        work(job).pipe(
          Effect.flatMap((answer) => Console.log(`${job.name}: ${answer}`)),
          Effect.catch((error) => Console.log(`${job.name}: failed, ${error.message}`))
        ),
      { concurrency: 2, unordered: true }
    ),
    Stream.runDrain
  )

/** Somebody kills the app-server; only to show what comes of it. */
const accident = Effect.gen(function*() {
  const codex = yield* Codex
  const killer = yield* codex.spawn(["sh", "-c", "kill -KILL $PPID"], { cwd: "/" })
  yield* killer.exitCode
}).pipe(Effect.scoped, Effect.ignore)

const begun = Deferred.makeUnsafe<void>()

const program = Effect.gen(function*() {
  const codex = yield* Codex
  yield* codex.events.pipe(
    Stream.filter((event) => event.method === "client/restarted"),
    Stream.runForEach(({ params }) => Console.log(`The app-server is back (${params.cause._tag})`)),
    Effect.forkScoped({ startImmediately: true })
  )

  // Who offers more than this waits.
  const jobs = yield* Queue.bounded<Job, Cause.Done>(100)
  const working = yield* Effect.forkChild(worker(jobs))
  yield* Queue.offer(jobs, { name: "Job 1", prompt: "Say hello." })
  yield* Queue.offer(jobs, { name: "Job 2", prompt: "Say good morning." })

  yield* Deferred.await(begun)
  yield* accident
  yield* Queue.offer(jobs, { name: "Job 3", prompt: "Say goodbye." })
  yield* Queue.end(jobs)
  yield* Fiber.join(working)
}).pipe(Effect.scoped)

let asked = 0

runExample(program, {
  codex: { experimental: true },
  supervised: { restart: Schedule.spaced("100 millis").pipe(Schedule.upTo({ times: 5 })) },
  model: {
    respond: ({ text }) => {
      // The first two answers never end.
      if (++asked === 2) Deferred.doneUnsafe(begun, Effect.void)
      return asked <= 2
        ? OfflineModel.text(["I ", OfflineModel.hold(Effect.never)])
        : OfflineModel.text(`${text.slice("Say ".length, -1)}!`)
    }
  }
})
