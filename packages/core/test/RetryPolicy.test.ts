import { InternalError, RetryLimitExceeded, RetryPolicy, ServerOverloaded, TurnFailed } from "@effect-codex/core"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"

const overloaded = (description: string) => new ServerOverloaded({ method: "turn/start", code: -32001, description })

/** An effect that is refused `refusals` times, and when it was tried. */
const refused = (refusals: number) => {
  const at: Array<number> = []
  const effect = Effect.gen(function*() {
    at.push(yield* Clock.currentTimeMillis)
    if (at.length <= refusals) return yield* overloaded(`refusal ${at.length}`)
    return "done"
  })
  return { at, effect }
}

const delays = (at: ReadonlyArray<number>) => at.slice(1).map((time, index) => time - (at[index] ?? 0))

const run = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.result(effect))
    yield* TestClock.adjust("5 minutes")
    return yield* Fiber.join(fiber)
  })

describe("RetryPolicy.retryOnOverload", () => {
  it.effect("waits longer each time, up to two seconds, with jitter", () =>
    Effect.gen(function*() {
      const { at, effect } = refused(8)
      const result = yield* run(RetryPolicy.retryOnOverload(effect, RetryPolicy.overload))
      assert.deepStrictEqual(result._tag === "Success" ? result.success : undefined, "done")
      const expected = [50, 100, 200, 400, 800, 1600, 2000, 2000]
      const actual = delays(at)
      assert.strictEqual(actual.length, expected.length)
      for (const [index, delay] of actual.entries()) {
        const base = expected[index] ?? 0
        assert.isAtLeast(delay, Math.floor(base * 0.8))
        assert.isAtMost(delay, Math.ceil(base * 1.2))
      }
    }))

  it.effect("gives up after ten retries with the last refusal and the number of attempts", () =>
    Effect.gen(function*() {
      const { at, effect } = refused(100)
      const result = yield* run(RetryPolicy.retryOnOverload(effect, RetryPolicy.overload))
      assert.strictEqual(at.length, 11)
      const error = result._tag === "Failure" ? result.failure : undefined
      assert.instanceOf(error, RetryLimitExceeded)
      assert.strictEqual(error.attempts, 11)
      assert.strictEqual(error.method, "turn/start")
      assert.strictEqual(error.lastError instanceof ServerOverloaded && error.lastError.description, "refusal 11")
      assert.include(error.message, "gave up after 11 attempts")
    }))

  it.effect("takes any schedule, and gives it the refusals", () =>
    Effect.gen(function*() {
      const { at, effect } = refused(2)
      const seen: Array<string> = []
      const policy: RetryPolicy.RetryPolicy = Schedule.spaced("3 seconds").pipe(
        Schedule.setInputType<RetryPolicy.Overload>(),
        Schedule.tap(({ input }) =>
          Effect.sync(() => seen.push(input instanceof ServerOverloaded ? input.description : input._tag))
        )
      )
      const result = yield* run(effect.pipe(RetryPolicy.retryOnOverload(policy)))
      assert.strictEqual(result._tag, "Success")
      assert.deepStrictEqual(delays(at), [3000, 3000])
      assert.deepStrictEqual(seen, ["refusal 1", "refusal 2"])
    }))

  it.effect("without retries fails with the refusal itself", () =>
    Effect.gen(function*() {
      const { at, effect } = refused(1)
      const error = yield* Effect.flip(RetryPolicy.retryOnOverload(effect, RetryPolicy.none))
      assert.instanceOf(error, ServerOverloaded)
      assert.strictEqual(error.description, "refusal 1")
      assert.strictEqual(at.length, 1)
    }))

  it.effect("lets every other error pass at once", () =>
    Effect.gen(function*() {
      let attempts = 0
      const failing = Effect.suspend(() => {
        attempts++
        return Effect.fail(new InternalError({ method: "m", code: -32603, description: "broken" }))
      })
      const error = yield* Effect.flip(RetryPolicy.retryOnOverload(failing, RetryPolicy.overload))
      assert.instanceOf(error, InternalError)
      assert.strictEqual(attempts, 1)
    }))

  it.effect("stops at the first other error after a refusal", () =>
    Effect.gen(function*() {
      let attempts = 0
      const failing = Effect.suspend((): Effect.Effect<never, ServerOverloaded | "other"> =>
        ++attempts === 1 ? Effect.fail(overloaded("full")) : Effect.fail("other")
      )
      const result = yield* run(RetryPolicy.retryOnOverload(failing, RetryPolicy.overload))
      assert.strictEqual(result._tag === "Failure" ? result.failure : undefined, "other")
      assert.strictEqual(attempts, 2)
    }))

  it.effect("starts counting anew each time it is run", () =>
    Effect.gen(function*() {
      const failing = RetryPolicy.retryOnOverload(Effect.fail(overloaded("full")), Schedule.recurs(2))
      for (const _ of [1, 2]) {
        const error = yield* Effect.flip(failing)
        assert.strictEqual(error._tag === "RetryLimitExceeded" ? error.attempts : 0, 3)
      }
    }))

  const failedTurn = (codexErrorInfo: "serverOverloaded" | "other", turnId: string) =>
    new TurnFailed({
      threadId: "A",
      turnId,
      error: { message: "The model is full", codexErrorInfo },
      result: {
        threadId: "A",
        turnId,
        status: "failed",
        finalResponse: null,
        items: [],
        usage: null,
        startedAt: null,
        completedAt: null,
        durationMs: null
      }
    })

  it.effect("repeats a turn that failed because the model's servers are full, where it is asked to", () =>
    Effect.gen(function*() {
      let turns = 0
      const turn = Effect.suspend(() =>
        ++turns < 3 ? Effect.fail(failedTurn("serverOverloaded", `T${turns}`)) : Effect.succeed(turns)
      )
      const result = yield* run(RetryPolicy.retryOnOverload(turn, RetryPolicy.overload))
      assert.strictEqual(result._tag === "Success" ? result.success : undefined, 3)
    }))

  it.effect("gives up on such a turn with the last failure, its partial result included", () =>
    Effect.gen(function*() {
      let turns = 0
      const turn = Effect.suspend(() => Effect.fail(failedTurn("serverOverloaded", `T${++turns}`)))
      const error = yield* Effect.flip(RetryPolicy.retryOnOverload(turn, Schedule.recurs(2)))
      assert.instanceOf(error, RetryLimitExceeded)
      assert.deepStrictEqual([error.method, error.attempts], ["turn/start", 3])
      assert.instanceOf(error.lastError, TurnFailed)
      assert.strictEqual(error.lastError.result.turnId, "T3")
    }))

  it.effect("does not repeat a turn that failed for another reason", () =>
    Effect.gen(function*() {
      let turns = 0
      const turn = Effect.suspend(() => Effect.fail(failedTurn("other", `T${++turns}`)))
      const error = yield* Effect.flip(RetryPolicy.retryOnOverload(turn, RetryPolicy.overload))
      assert.instanceOf(error, TurnFailed)
      assert.strictEqual(turns, 1)
    }))
})
