import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Pace } from "../src/internal/pace.ts"
import * as Subscription from "../src/internal/subscription.ts"

const limits = { events: 3, bytes: 100 }

const make = (custom: Subscription.Limits = limits) => Subscription.make<string, "broken">(custom)

describe("Subscription", () => {
  it.effect("does not let a reader sleep on who would lose something", () =>
    Effect.sync(() => {
      for (const put of ["offer", "slide"] as const) {
        let hurried = 0
        class Hurried extends Pace {
          override hurry(): void {
            hurried++
          }
        }
        const pace = new Hurried({ scheduleTask: () => {}, flush: () => {} })
        const subscription = new Subscription.Subscription<string, never>({ events: 4, bytes: 100 }, pace, () =>
          undefined)
        for (const name of ["a", "b"]) {
          subscription[put](name, 1)
        }
        assert.strictEqual(hurried, 0)
        subscription[put]("c", 1)
        assert.strictEqual(hurried, 1)
      }
    }))

  it.effect("gives everything in order, then ends", () =>
    Effect.gen(function*() {
      const subscription = yield* make()
      for (const name of ["a", "b", "c"]) assert.isTrue(subscription.offer(name, 1))
      subscription.end()
      assert.deepStrictEqual(yield* Stream.runCollect(subscription.stream), ["a", "b", "c"])
    }))

  it.effect("gives everything in order, then fails", () =>
    Effect.gen(function*() {
      const subscription = yield* make()
      subscription.offer("a", 1)
      subscription.fail("broken")
      const seen: Array<string> = []
      const error = yield* subscription.stream.pipe(
        Stream.runForEach((name) => Effect.sync(() => seen.push(name))),
        Effect.flip
      )
      assert.strictEqual(error, "broken")
      assert.deepStrictEqual(seen, ["a"])
    }))

  it.effect("holds no more events than it may", () =>
    Effect.gen(function*() {
      const subscription = yield* make()
      const taken = ["a", "b", "c", "d"].map((name) => subscription.offer(name, 0))
      assert.deepStrictEqual(taken, [true, true, true, false])
    }))

  it.effect("holds no more bytes than it may", () =>
    Effect.gen(function*() {
      const subscription = yield* make()
      const taken = [60, 40, 1].map((bytes) => subscription.offer("x", bytes))
      assert.deepStrictEqual(taken, [true, true, false])
    }))

  it.effect("always takes a single event, however large", () =>
    Effect.gen(function*() {
      const subscription = yield* make()
      assert.isTrue(subscription.offer("huge", 1_000_000))
      assert.isFalse(subscription.offer("next", 0))
    }))

  it.effect("has its whole room again once it was read", () =>
    Effect.gen(function*() {
      const subscription = yield* make()
      const seen: Array<string> = []
      const reader = yield* subscription.stream.pipe(
        Stream.runForEach((name) => Effect.sync(() => seen.push(name))),
        Effect.forkChild({ startImmediately: true })
      )
      for (const round of [1, 2, 3]) {
        for (const part of ["a", "b"]) assert.isTrue(subscription.offer(`${part}${round}`, 50))
        while (seen.length < round * 2) yield* Effect.yieldNow
      }
      subscription.end()
      yield* Fiber.join(reader)
      assert.deepStrictEqual(seen, ["a1", "b1", "a2", "b2", "a3", "b3"])
    }))

  it.effect("slides: the oldest events give way, and their number is told once", () =>
    Effect.gen(function*() {
      const subscription = yield* make()
      for (const name of ["a", "b", "c", "d", "e"]) subscription.slide(name, 1)
      subscription.end()
      const seen = yield* Stream.runCollect(subscription.streamWithLag)
      assert.deepStrictEqual(
        seen.map((item) => typeof item === "string" ? item : [item.method, item.params.dropped]),
        [["client/lagged", 2], "c", "d", "e"]
      )
    }))

  it.effect("slides by bytes too", () =>
    Effect.gen(function*() {
      const subscription = yield* make()
      subscription.slide("a", 50)
      subscription.slide("b", 50)
      subscription.slide("huge", 500)
      subscription.end()
      const seen = yield* Stream.runCollect(subscription.streamWithLag)
      assert.deepStrictEqual(seen.map((item) => typeof item === "string" ? item : item.params.dropped), [2, "huge"])
    }))

  const Step = Schema.Union([
    Schema.Struct({ slide: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })) }),
    Schema.Literal("read")
  ])

  it.effect.prop(
    "loses nothing without saying so, whenever it is read",
    [Schema.Array(Step)],
    ([steps]) =>
      Effect.gen(function*() {
        const subscription = yield* make()
        const seen: Array<number | string> = []
        const reader = yield* subscription.streamWithLag.pipe(
          Stream.runForEach((item) =>
            Effect.sync(() => seen.push(typeof item === "string" ? item : item.params.dropped))
          ),
          Effect.forkChild({ startImmediately: true })
        )
        let written = 0
        for (const step of steps) {
          if (step === "read") yield* Effect.yieldNow
          else subscription.slide(String(written++), step.slide)
        }
        subscription.end()
        yield* Fiber.join(reader)
        let next = 0
        for (const item of seen) {
          if (typeof item === "number") next += item
          else assert.strictEqual(Number(item), next++)
        }
        assert.strictEqual(next, written)
      })
  )
})
