import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as Deadlines from "../src/internal/deadlines.ts"

const start = Effect.gen(function*() {
  const deadlines = yield* Effect.flatMap(Effect.context<never>(), Deadlines.make)
  const { currentTimeMillisUnsafe } = yield* Clock.clockWith(Effect.succeed)
  const expired: Array<readonly [name: string, seconds: number]> = []
  const begin = (name: string, timeout: Duration.Input) =>
    deadlines.begin(Duration.fromInputUnsafe(timeout), () => expired.push([name, currentTimeMillisUnsafe() / 1_000]))
  return { deadlines, begin, expired }
})

describe("deadlines", () => {
  it.effect("expire after their timeouts, whatever began before", () =>
    Effect.gen(function*() {
      const { begin, expired } = yield* start
      begin("a", "10 seconds")
      begin("b", "10 seconds")
      yield* TestClock.adjust("3 seconds")
      begin("c", "10 seconds")
      begin("d", "2 seconds")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(expired, [["d", 5], ["a", 10], ["b", 10], ["c", 13]])
      begin("e", "10 seconds")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(expired.at(-1), ["e", 73])
    }))

  it.effect("do not expire once they are cancelled, nor when they are infinite", () =>
    Effect.gen(function*() {
      const { begin, deadlines, expired } = yield* start
      const first = begin("a", "10 seconds")
      begin("b", "10 seconds")
      assert.isUndefined(begin("c", Duration.infinity))
      assert.isDefined(first)
      deadlines.cancel(first)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(expired, [["b", 10]])
    }))

  it.effect("end with their scope", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { begin, expired } = yield* Scope.provide(start, scope)
      begin("a", "10 seconds")
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(expired, [])
    }))
})
