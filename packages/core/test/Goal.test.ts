import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Goal from "../src/Goal.ts"
import { fork, until } from "./support/observe.ts"
import { connect } from "./support/ScriptedServer.ts"

const stored = (objective: string, status: string) => ({
  threadId: "A",
  objective,
  status,
  tokenBudget: 100,
  tokensUsed: 60,
  timeUsedSeconds: 0,
  createdAt: 1_795_243_254,
  updatedAt: 1_795_243_254
})

describe("a goal that gives way to another one", () => {
  /** The request that takes the goal away, on its way. */
  const clearing = (status: string) =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const run = yield* fork(Effect.exit(Goal.run(client, "A", "New")))
      yield* server.respond(yield* server.request("thread/goal/get"), { goal: stored("Old", status) })
      return { run, server, clear: yield* server.request("thread/goal/clear") }
    })

  for (const [before, after] of [["active", "paused"], ["paused", "paused"], ["complete", "complete"]] as const) {
    it.effect(`is there again where that one is refused, ${after} if it was ${before}`, () =>
      Effect.gen(function*() {
        const { clear, run, server } = yield* clearing(before)
        yield* server.respond(clear, { cleared: true })
        yield* server.refuse(yield* server.request("thread/goal/set"), -32_600, "not now")
        yield* server.respond(yield* server.request("thread/goal/get"), { goal: null })
        const again = yield* server.request("thread/goal/set")
        assert.deepStrictEqual(again.params, { threadId: "A", objective: "Old", tokenBudget: 100, status: after })
        assert.isUndefined(run.pollUnsafe())
        yield* server.respond(again, { goal: stored("Old", after) })
        const error = yield* Effect.flip(yield* Fiber.join(run))
        assert.strictEqual(error._tag, "InvalidRequest")
        assert.include(error.message, "not now")
      }))
  }

  it.effect("is there again where the program is interrupted in between", () =>
    Effect.gen(function*() {
      const { run, server } = yield* clearing("paused")
      const interrupting = yield* fork(Fiber.interrupt(run))
      yield* server.respond(yield* server.request("thread/goal/get"), { goal: null })
      const again = yield* server.request("thread/goal/set")
      assert.deepStrictEqual(again.params, { threadId: "A", objective: "Old", tokenBudget: 100, status: "paused" })
      yield* server.respond(again, { goal: stored("Old", "paused") })
      yield* Fiber.join(interrupting)
    }))

  it.effect("does not take the place of one that somebody else has set meanwhile", () =>
    Effect.gen(function*() {
      const { clear, run, server } = yield* clearing("paused")
      yield* server.refuse(clear, -32_600, "not now")
      yield* server.respond(yield* server.request("thread/goal/get"), { goal: stored("Theirs", "active") })
      yield* until(() => run.pollUnsafe() !== undefined)
      assert.deepStrictEqual(server.methods(), ["thread/goal/get", "thread/goal/clear", "thread/goal/get"])
    }))

  it.effect("is not asked about again where there was none", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const run = yield* fork(Effect.exit(Goal.run(client, "A", "New")))
      yield* server.respond(yield* server.request("thread/goal/get"), { goal: null })
      yield* server.refuse(yield* server.request("thread/goal/set"), -32_600, "not now")
      yield* until(() => run.pollUnsafe() !== undefined)
      assert.deepStrictEqual(server.methods(), ["thread/goal/get", "thread/goal/set"])
    }))
})
