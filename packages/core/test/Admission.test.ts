import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Admission from "../src/internal/admission.ts"

const isRefusal = (exit: Exit.Exit<unknown, string>) => Exit.isFailure(exit)

/** A request that stays unanswered until the test answers it. */
const request = (admission: Admission.Admission, log: Array<number>, id: number) =>
  Effect.gen(function*() {
    const answer = yield* Deferred.make<void, string>()
    const fiber = yield* admission.admit(
      Effect.suspend(() => {
        log.push(id)
        return Deferred.await(answer)
      }),
      isRefusal
    ).pipe(Effect.exit, Effect.forkChild({ startImmediately: true }))
    return {
      answer: Effect.andThen(Deferred.succeed(answer, undefined), Fiber.join(fiber)),
      refuse: Effect.andThen(Deferred.fail(answer, "full"), Fiber.join(fiber)),
      interrupt: Fiber.interrupt(fiber)
    }
  })

const requests = (admission: Admission.Admission, log: Array<number>, count: number) =>
  Effect.forEach(Array.from({ length: count }, (_, id) => id), (id) => request(admission, log, id))

describe("admission", () => {
  it.effect("lets no more requests out than there are places, the longest waiting first", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const admission = yield* Admission.make(2)
      const all = yield* requests(admission, log, 5)
      assert.deepStrictEqual(log, [0, 1])
      yield* all[1]?.answer ?? Effect.void
      yield* Effect.yieldNow
      assert.deepStrictEqual(log, [0, 1, 2])
      yield* all[3]?.interrupt ?? Effect.void
      yield* all[0]?.answer ?? Effect.void
      yield* Effect.yieldNow
      assert.deepStrictEqual(log, [0, 1, 2, 4])
    }))

  it.effect("halves the window once for all the requests that were out when one was refused", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const admission = yield* Admission.make(8)
      const all = yield* requests(admission, log, 8)
      for (const { refuse } of all) yield* refuse
      assert.strictEqual(admission.window(), 4)
      const next = yield* requests(admission, log, 8)
      assert.strictEqual(log.length, 12)
      yield* next[0]?.refuse ?? Effect.void
      assert.strictEqual(admission.window(), 2)
    }))

  it.effect("never closes, and opens again with each window of answers", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const admission = yield* Admission.make(3)
      for (let round = 0; round < 5; round++) {
        const { refuse } = yield* request(admission, log, round)
        yield* refuse
      }
      assert.strictEqual(admission.window(), 1)
      for (let answers = 0; answers < 3; answers++) {
        const { answer } = yield* request(admission, log, answers)
        yield* answer
      }
      assert.strictEqual(admission.window(), 3)
      log.length = 0
      yield* requests(admission, log, 9)
      assert.strictEqual(log.length, 3)
    }))

  it.effect("gives a place back however its request ended", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const admission = yield* Admission.make(1)
      const first = yield* request(admission, log, 1)
      yield* first.interrupt
      yield* Effect.exit(admission.admit(Effect.die("defect"), () => false))
      const { answer } = yield* request(admission, log, 2)
      yield* answer
      assert.deepStrictEqual(log, [1, 2])
    }))
})
