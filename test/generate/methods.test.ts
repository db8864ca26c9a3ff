import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Definitions } from "../../packages/node/src/protocol/jsonSchema.ts"
import {
  checkUnusedResults,
  experimentalFields,
  idPath,
  type Method,
  methodsOf,
  withResults
} from "../../scripts/generate/methods.ts"

const ref = (name: string) => ({ $ref: `#/$defs/${name}` })
const string = { type: "string" }
const call = (method: string, params: object) => ({
  properties: { method: { type: "string", enum: [method] }, params }
})

const definitions: Definitions = {
  Requests: {
    anyOf: [
      call("b/get", ref("GetParams")),
      call("a/list", { anyOf: [ref("ListParams"), { type: "null" }] }),
      call("reset", { type: "null" })
    ]
  },
  GetParams: { type: "object", properties: { id: string, extra: string } },
  GetResponse: { type: "object" },
  ListParams: { type: "object" },
  ListResponse: { type: "object" },
  ResetResponse: { type: "object" },
  Thread: { type: "object", properties: { id: string } },
  Turn: { type: "object", properties: { id: string } },
  Started: { type: "object", properties: { threadId: { type: ["string", "null"] }, turn: ref("Turn") } },
  Created: { type: "object", properties: { thread: ref("Thread"), sourceTurnId: string } },
  Mixed: { anyOf: [{ properties: { threadId: string } }, { properties: { name: string } }] },
  Flat: { anyOf: [{ properties: { threadId: string } }, { properties: { threadId: string } }] },
  Legacy: { type: "object", properties: { conversationId: string } }
}

const method = (name: string, params: string): Method => ({
  method: name,
  params,
  optional: false,
  description: undefined
})

describe("methodsOf", () => {
  it.effect("reads methods, sorted, with params that may be left out", () =>
    Effect.gen(function*() {
      const methods = yield* methodsOf(definitions, "Requests")
      assert.deepStrictEqual(methods.map(({ method: name, optional, params }) => [name, params, optional]), [
        ["a/list", "ListParams", true],
        ["b/get", "GetParams", false],
        ["reset", undefined, false]
      ])
      assert.strictEqual((yield* Effect.flip(methodsOf(definitions, "Gone")))._tag, "UnexpectedBundle")
    }))
})

describe("withResults", () => {
  const map = (exceptions: Readonly<Record<string, string>>) =>
    methodsOf(definitions, "Requests").pipe(Effect.flatMap((methods) => withResults(definitions, methods, exceptions)))

  it.effect("goes by the params' name, and by the exceptions", () =>
    Effect.gen(function*() {
      const requests = yield* map({ reset: "ResetResponse" })
      assert.deepStrictEqual(requests.map(({ result }) => result), ["ListResponse", "GetResponse", "ResetResponse"])
      yield* checkUnusedResults(definitions, requests)
    }))

  it.effect("fails on a method without a result, and names it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(map({}))
      assert.strictEqual(error._tag, "ResultMappingError")
      assert.include(error.message, "reset: no result")
    }))

  it.effect("fails on an exception that is not needed, wrong, or about no method", () =>
    Effect.gen(function*() {
      const reset = { reset: "ResetResponse" }
      assert.include((yield* Effect.flip(map({ ...reset, "b/get": "GetResponse" }))).message, "b/get: the exception")
      assert.include((yield* Effect.flip(map({ reset: "Gone" }))).message, "Gone is not there")
      assert.include((yield* Effect.flip(map({ ...reset, "c/gone": "GetResponse" }))).message, "c/gone")
    }))

  it.effect("fails on a result that belongs to no method", () =>
    Effect.gen(function*() {
      const requests = yield* map({ reset: "GetResponse" })
      assert.include((yield* Effect.flip(checkUnusedResults(definitions, requests))).message, "ResetResponse")
    }))
})

describe("idPath", () => {
  const path = (params: string, noun: "thread" | "turn", name = "x") => idPath(definitions, method(name, params), noun)

  it.effect("goes by the shape of the payload", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* path("Started", "thread"), ["threadId"])
      assert.deepStrictEqual(yield* path("Started", "turn"), ["turn", "id"])
      assert.deepStrictEqual(yield* path("Created", "thread"), ["thread", "id"])
      assert.deepStrictEqual(yield* path("Created", "turn"), undefined)
      assert.deepStrictEqual(yield* path("Flat", "thread"), ["threadId"])
      assert.include((yield* Effect.flip(path("Mixed", "thread"))).message, "disagree")
    }))

  it.effect("knows the conversation id of the legacy approvals, and fails when it is gone", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* path("Legacy", "thread", "execCommandApproval"), ["conversationId"])
      assert.include(
        (yield* Effect.flip(path("Started", "thread", "execCommandApproval"))).message,
        "no longer has a conversationId"
      )
    }))
})

describe("experimentalFields", () => {
  it("are those the stable bundle does not have", () => {
    const stable = { ...definitions, GetParams: { type: "object", properties: { id: string } } }
    assert.deepStrictEqual(experimentalFields(method("b/get", "GetParams"), definitions, stable), ["extra"])
    assert.deepStrictEqual(experimentalFields(method("b/get", "GetParams"), definitions, {}), [])
  })
})
