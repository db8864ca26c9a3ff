import {
  ClientNotifications,
  type ClientRequestDefinition,
  type ClientRequestMethod,
  ClientRequests,
  codexVersion,
  ServerNotifications,
  ServerRequests
} from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

const thread = { threadId: ["threadId"] }

describe("registries", () => {
  it("have the whole protocol of the pinned version", () => {
    assert.strictEqual(codexVersion, "0.169.0")
    assert.strictEqual(Object.keys(ClientRequests).length, 184)
    assert.strictEqual(Object.keys(ServerRequests).length, 11)
    assert.strictEqual(Object.keys(ServerNotifications).length, 86)
    assert.deepStrictEqual(Object.keys(ClientNotifications), ["initialized"])
    const stable = Object.values(ClientRequests).filter(({ stability }) => stability === "stable")
    assert.strictEqual(stable.length, 109)
  })

  it("name each method by its key", () => {
    for (const registry of [ClientRequests, ServerRequests, ServerNotifications]) {
      for (const [method, definition] of Object.entries(registry)) assert.strictEqual(definition.method, method)
    }
  })

  it("are read by a generic method without a cast", () => {
    const definition = <M extends ClientRequestMethod>(method: M): ClientRequestDefinition<M> => ClientRequests[method]
    const params = Schema.encodeUnknownSync(definition("thread/read").params)({ threadId: "t" })
    assert.deepStrictEqual(params, { threadId: "t" })
  })

  it("know which params only exist with the experimental API", () => {
    assert.include(ClientRequests["thread/start"].experimentalFields, "dynamicTools")
    assert.notInclude(ClientRequests["thread/start"].experimentalFields, "model")
    assert.strictEqual(ClientRequests["thread/start"].stability, "stable")
  })

  it("say where notifications hold their ids", () => {
    const ids = (method: keyof typeof ServerNotifications) => {
      const { threadId, turnId } = ServerNotifications[method]
      return { threadId, turnId }
    }
    assert.deepStrictEqual(ids("turn/started"), { ...thread, turnId: ["turn", "id"] })
    assert.deepStrictEqual(ids("turn/completed"), { ...thread, turnId: ["turn", "id"] })
    assert.deepStrictEqual(ids("item/agentMessage/delta"), { ...thread, turnId: ["turnId"] })
    assert.deepStrictEqual(ids("error"), { ...thread, turnId: ["turnId"] })
    assert.deepStrictEqual(ids("thread/started"), { threadId: ["thread", "id"], turnId: undefined })
    assert.deepStrictEqual(ids("serverRequest/resolved"), { ...thread, turnId: undefined })
    assert.deepStrictEqual(ids("mcpServer/startupStatus/updated"), { ...thread, turnId: undefined })
    // Its `sourceTurnId` is the turn a prediction was made from, not one it belongs to.
    assert.deepStrictEqual(ids("thread/prediction/updated"), { ...thread, turnId: undefined })
    assert.deepStrictEqual(ids("account/updated"), { threadId: undefined, turnId: undefined })
  })

  it("say where server requests hold their ids", () => {
    const ids = Object.fromEntries(
      Object.values(ServerRequests).map(({ method, threadId, turnId }) => [
        method,
        [threadId?.join(".") ?? null, turnId?.join(".") ?? null]
      ])
    )
    assert.deepStrictEqual(ids, {
      "account/chatgptAuthTokens/refresh": [null, null],
      "applyPatchApproval": ["conversationId", null],
      "attestation/generate": [null, null],
      "currentTime/read": ["threadId", null],
      "execCommandApproval": ["conversationId", null],
      "item/commandExecution/requestApproval": ["threadId", "turnId"],
      "item/fileChange/requestApproval": ["threadId", "turnId"],
      "item/permissions/requestApproval": ["threadId", "turnId"],
      "item/tool/call": ["threadId", "turnId"],
      "item/tool/requestUserInput": ["threadId", "turnId"],
      "mcpServer/elicitation/request": ["threadId", "turnId"]
    })
  })

  it("take no params where the protocol has none, and may where it allows null", () => {
    assert.strictEqual(Schema.encodeUnknownSync(ClientRequests["account/logout"].params)(undefined), undefined)
    assert.throws(() => Schema.encodeUnknownSync(ClientRequests["account/logout"].params)({}))
    for (const params of [undefined, null, {}]) {
      assert.deepStrictEqual(Schema.encodeUnknownSync(ClientRequests["account/rateLimits/read"].params)(params), params)
    }
  })
})
