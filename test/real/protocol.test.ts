import { ClientRequests } from "@effect-codex/generated"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import { type Case, cases } from "../protocol/cases.ts"
import { claimedBy, notifications } from "../protocol/told.ts"
import { layer as world, layerWithoutPlugins, mismatches, told, World } from "../protocol/world.ts"
import { live } from "./support.ts"

type Method = keyof typeof cases

/** Calls a method as its case says, and holds what comes of it against the case. */
const run = Effect.fnUntraced(function*<M extends Method>(method: M) {
  const test: Case<M> = cases[method]
  const world = yield* World
  const { expect } = test
  const args = yield* test.args(world)
  const request = world.client.experimental.request(method, ...args)
  if (expect._tag === "Result") return expect.check(yield* request, world)
  const error = yield* Effect.flip(request)
  assert.strictEqual(error._tag, expect.error, error.message)
  assert.match(error.message, expect.message)
  if ("method" in error) assert.strictEqual(error.method, method)
}, Effect.scoped)

const methods = Object.keys(cases).filter((method): method is Method => Predicate.hasProperty(ClientRequests, method))

describe("every method of the client", () => {
  it("has a case", () => {
    assert.sameMembers(methods, Object.keys(ClientRequests))
  })

  for (const method of methods.filter((method) => cases[method].alone)) {
    it.live(`answers as its case says, alone: ${method}`, () => run(method).pipe(Effect.provide(layerWithoutPlugins)))
  }

  layer(world, live)("answers as its case says:", (it) => {
    for (const method of methods.filter((method) => !cases[method].alone)) {
      it.effect(method, () => run(method))
    }

    it.effect("and tells what the table of notifications says, all of it as its schema says", () =>
      Effect.gen(function*() {
        const missing = () =>
          claimedBy("test/real/protocol.test.ts", notifications).filter((method) => !told.has(method))
        yield* Effect.sync(missing).pipe(
          Effect.repeat({
            until: (methods) => methods.length === 0,
            schedule: Schedule.spaced("50 millis"),
            times: 100
          })
        )
        assert.deepStrictEqual(missing(), [])
        assert.deepStrictEqual(mismatches, [])
      }))
  })
})
