import * as Generated from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"

const {
  AccountSessionsSwitchResponse,
  AskForApproval,
  CodexErrorInfo,
  CommandExecutionRequestApprovalResponse,
  Config,
  ForcedChatgptWorkspaceIds,
  HookMetadata,
  LogoutAccountResponse,
  McpElicitationPrimitiveSchema,
  McpServerElicitationRequestParams,
  MessagePhase,
  RequestId,
  ResourceContent,
  ServerNotification,
  SessionSource,
  Thread,
  ThreadItem,
  ThreadStartParams,
  Turn,
  TurnStartParams,
  UserInput
} = Generated

const schemas = Object.entries(Generated).flatMap((
  [name, value]
): ReadonlyArray<readonly [string, Schema.Codec<unknown>]> =>
  Schema.isSchema(value) ? [[name, Schema.make<Schema.Codec<unknown>>(value.ast)]] : []
)

const decodes = <T>(schema: Schema.Codec<T>, value: unknown, expected = value) =>
  assert.deepStrictEqual<unknown>(Schema.decodeUnknownSync(schema)(value), expected)

const fails = <T>(schema: Schema.Codec<T>, value: unknown, part?: string) => {
  const exit = Schema.decodeUnknownExit(schema)(value)
  assert.isTrue(Exit.isFailure(exit), `${JSON.stringify(value)} was taken`)
  if (part !== undefined) assert.include(String(exit), part)
}

describe("all schemas", () => {
  it("are there, one for every definition and more", () => {
    assert.isAbove(schemas.length, 939)
  })

  it.effect("decode and encode what they describe, without changing it", () =>
    Effect.gen(function*() {
      for (const [name, schema] of schemas) {
        const samples = yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 3, seed: 1 })
        for (const sample of samples) {
          const wire: unknown = sample === undefined ? undefined : JSON.parse(JSON.stringify(sample))
          const decoded = yield* Schema.decodeUnknownEffect(schema)(wire)
          const encoded = yield* Schema.encodeUnknownEffect(schema)(decoded)
          assert.deepStrictEqual(encoded, wire, name)
        }
      }
    }))

  it("are built on first use and keep what they built", () => {
    assert.strictEqual(Thread.ast, Thread.ast)
    const wrapped = Schema.Struct({ thread: Schema.optionalKey(MessagePhase) })
    assert.deepStrictEqual(Schema.decodeSync(wrapped)({ thread: "commentary" }), { thread: "commentary" })
    assert.strictEqual(MessagePhase.annotate({ title: "Phase" }).ast.annotations?.title, "Phase")
    assert.deepStrictEqual(Schema.toJsonSchemaDocument(MessagePhase).definitions.MessagePhase, {
      anyOf: [
        { type: "string", enum: ["commentary", "partial_answer", "final_answer"] },
        { $ref: "#/$defs/UnknownMember" }
      ]
    })
  })
})

describe("what the app-server sends", () => {
  it("may have an unknown enum member, which keeps its value", () => {
    decodes(MessagePhase, "final_answer")
    decodes(MessagePhase, "a phase of tomorrow")
    fails(MessagePhase, 1)
    fails(MessagePhase, null)
  })

  it("may have an unknown variant, which keeps all of its fields", () => {
    decodes(ThreadItem, { type: "hologram", id: "i", deep: { a: [1, null] }, text: 5 })
    decodes(UserInput, { type: "smell", intensity: 3 })
  })

  it("never has a known tag with a bad payload taken for an unknown variant", () => {
    fails(ThreadItem, { type: "agentMessage", id: "i", text: 5 }, "[\"text\"]")
    fails(ThreadItem, { type: "agentMessage", id: "i" }, "[\"text\"]")
    fails(UserInput, { type: "image" })
    fails(HookMetadata, { handlerType: "command" })
  })

  it("never has a missing or odd tag taken for an unknown variant", () => {
    for (const type of [undefined, null, 1, {}, ["agentMessage"]]) fails(ThreadItem, { type, id: "i", text: "x" })
    fails(ThreadItem, { id: "i", text: "x" })
    fails(ThreadItem, "agentMessage")
    fails(ThreadItem, null)
  })

  it("may have any variant of an externally tagged union, known or not", () => {
    decodes(AskForApproval, "never")
    decodes(AskForApproval, "always")
    decodes(AskForApproval, { granular: { mcp_elicitations: true, rules: true, sandbox_approval: false } })
    decodes(AskForApproval, { byMood: { mood: "good" } })
    fails(AskForApproval, { granular: true }, "[\"granular\"]")
    fails(AskForApproval, { granular: true, byMood: 1 })
    fails(AskForApproval, {})
    fails(AskForApproval, 1)
    decodes(SessionSource, { subAgent: { other: "x" } })
    decodes(SessionSource, { subAgent: { novel: 1 } })
    fails(SessionSource, { subAgent: { other: 1 } })
  })

  it("never has a known error's bad payload taken by the protocol's own catch-all", () => {
    decodes(CodexErrorInfo, "other")
    decodes(CodexErrorInfo, "outOfCoffee")
    decodes(CodexErrorInfo, { outOfCoffee: { cups: 0 } })
    decodes(CodexErrorInfo, { httpConnectionFailed: { httpStatusCode: null } })
    fails(CodexErrorInfo, { httpConnectionFailed: { httpStatusCode: "502" } }, "[\"httpStatusCode\"]")
  })

  it("is told apart by JSON type or shape where nothing names a variant", () => {
    decodes(RequestId, "a")
    decodes(RequestId, 1)
    fails(RequestId, null)
    decodes(ForcedChatgptWorkspaceIds, "a")
    decodes(ForcedChatgptWorkspaceIds, ["a", "b"])
    fails(ForcedChatgptWorkspaceIds, [1])
    decodes(ResourceContent, { uri: "u", text: "t" })
    decodes(ResourceContent, { uri: "u", blob: "b" })
    fails(ResourceContent, { uri: "u" })
    decodes(AccountSessionsSwitchResponse, { authUrl: "u", loginId: "l" })
    fails(AccountSessionsSwitchResponse, { sessions: "none" })
  })

  it("keeps every field of form schemas that differ only by their fields", () => {
    decodes(McpElicitationPrimitiveSchema, { type: "string", minLength: 1 })
    decodes(McpElicitationPrimitiveSchema, { type: "string", enum: ["a"] })
    decodes(McpElicitationPrimitiveSchema, { type: "string", enum: ["a"], enumNames: ["A"] })
    decodes(McpElicitationPrimitiveSchema, { type: "string", oneOf: [{ const: "a", title: "A" }] })
    decodes(McpElicitationPrimitiveSchema, { type: "array", items: { type: "string", enum: ["a"] } })
    decodes(McpElicitationPrimitiveSchema, { type: "array", items: { anyOf: [{ const: "a", title: "A" }] } })
    decodes(McpElicitationPrimitiveSchema, { type: "integer", minimum: 0 })
    decodes(McpElicitationPrimitiveSchema, { type: "boolean", default: true })
    decodes(McpElicitationPrimitiveSchema, { type: "date", earliest: "2000-01-01" })
    fails(McpElicitationPrimitiveSchema, { type: "string", enum: 5 })
    fails(McpElicitationPrimitiveSchema, { type: "array", items: { type: "string" } })
    fails(McpElicitationPrimitiveSchema, { type: "number", minimum: "0" })
  })

  it("has the fields that serde flattens in every variant", () => {
    decodes(ThreadItem, { type: "plan", id: "i", text: "t", startedAtMs: 1, completedAtMs: null })
    const flat = {
      serverName: "s",
      threadId: "t",
      turnId: null,
      mode: "url",
      message: "m",
      url: "u",
      elicitationId: "e"
    }
    decodes(McpServerElicitationRequestParams, flat)
    fails(McpServerElicitationRequestParams, { ...flat, threadId: 1 }, "[\"threadId\"]")
    decodes(UserInput, { type: "image", url: "u" })
    decodes(UserInput, { type: "image", fileId: "f", detail: "high" })
  })

  it("may have an unknown method, but no bad params under a known one", () => {
    decodes(ServerNotification, { method: "thread/levitated", params: { height: 1 }, emittedAtMs: 1 })
    fails(ServerNotification, { method: "thread/archived", params: { threadId: 1 } }, "[\"threadId\"]")
  })

  it("may have extra fields, which are dropped from structs and kept in records", () => {
    decodes(LogoutAccountResponse, { more: 1 })
    decodes(
      ThreadItem,
      { type: "plan", id: "i", text: "t", more: { a: 1 } },
      { type: "plan", id: "i", text: "t" }
    )
    decodes(Config, { model: "m", more: { a: 1 } })
  })

  it("keeps null and absent apart", () => {
    const turn = { id: "t", items: [], status: "completed" }
    decodes(Turn, turn)
    decodes(Turn, { ...turn, error: null, durationMs: null })
    fails(Turn, { ...turn, error: undefined })
    fails(Turn, { ...turn, id: null })
  })

  it("may have integers beyond 2^53", () => {
    const turn = { id: "t", items: [], status: "completed", durationMs: 2 ** 60 }
    decodes(Turn, turn)
    decodes(RequestId, 2 ** 63)
    fails(Turn, { ...turn, durationMs: "1" })
    fails(Turn, { ...turn, durationMs: Number.NaN })
  })
})

describe("what a caller sends", () => {
  const refuses = <T>(schema: Schema.Codec<T>, value: unknown, ...parts: ReadonlyArray<string>) => {
    const exit = Schema.encodeUnknownExit(schema)(value, { onExcessProperty: "error" })
    assert.isTrue(Exit.isFailure(exit), `${JSON.stringify(value)} was taken`)
    for (const part of parts) assert.include(String(exit), part)
  }

  it("may say undefined for what it leaves out", () => {
    const params = Schema.encodeUnknownSync(ThreadStartParams)({ model: undefined, cwd: null, ephemeral: true })
    assert.strictEqual(JSON.stringify(params), "{\"cwd\":null,\"ephemeral\":true}")
  })

  it("has no unknown enum member, and the message names the field and the members", () => {
    refuses(ThreadStartParams, { sandbox: "none" }, "[\"sandbox\"]", "\"read-only\"")
    refuses(ThreadStartParams, { approvalPolicy: "sometimes" }, "[\"approvalPolicy\"]")
    refuses(CommandExecutionRequestApprovalResponse, { decision: "perhaps" }, "[\"decision\"]")
  })

  it("has no unknown variant", () => {
    refuses(TurnStartParams, { threadId: "t", input: [{ type: "smell" }] }, "[\"input\"][0]")
    refuses(ThreadStartParams, { approvalPolicy: { byMood: 1 } }, "[\"approvalPolicy\"]")
  })

  it("has no unknown key", () => {
    refuses(ThreadStartParams, { modle: "m" }, "[\"modle\"]")
    refuses(
      TurnStartParams,
      { threadId: "t", input: [{ type: "text", text: "x", bold: true }] },
      "[\"input\"][0][\"bold\"]"
    )
  })

  it("has integers within the bounds of their format", () => {
    refuses(Generated.ThreadListParams, { limit: 1.5 }, "[\"limit\"]")
    refuses(Generated.ThreadListParams, { limit: -1 }, "[\"limit\"]")
    refuses(Generated.ThreadListParams, { limit: 2 ** 32 }, "[\"limit\"]")
    assert.deepStrictEqual(Schema.encodeUnknownSync(Generated.ThreadListParams)({ limit: 10 }), { limit: 10 })
  })
})
