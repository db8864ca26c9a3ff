import type { ClientRequestMethod, ServerNotificationMethod } from "@effect-codex/generated"
import { ClientRequests, ServerNotifications } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Payload from "../src/internal/payload.ts"

const SECRET = "s3nt1nel"

const issuesOf = <A>(exit: Exit.Exit<A, Schema.SchemaError>) =>
  Exit.isFailure(exit) ? Payload.issuesOfCause(exit.cause) : assert.fail("expected the payload not to fit")

const pathsOf = <A>(exit: Exit.Exit<A, Schema.SchemaError>) => issuesOf(exit).map((issue) => issue.path)

const outgoing = <M extends ClientRequestMethod>(method: M) => Payload.outgoing(ClientRequests[method].params)

const result = <M extends ClientRequestMethod>(method: M) => Payload.incoming(ClientRequests[method].result)

const notification = <M extends ServerNotificationMethod>(method: M) =>
  Payload.incoming(ServerNotifications[method].params)

const isRequest = (method: string): method is ClientRequestMethod => Object.hasOwn(ClientRequests, method)

const isNotification = (method: string): method is ServerNotificationMethod =>
  Object.hasOwn(ServerNotifications, method)

describe("Payload", () => {
  it("names the field, through objects and arrays", () => {
    const Thread = Schema.Struct({
      thread: Schema.Struct({ turns: Schema.Array(Schema.Struct({ id: Schema.String })) })
    })
    const check = Payload.incoming(Thread)
    assert.deepStrictEqual(pathsOf(check({ thread: { turns: [{ id: "a" }, { id: 5 }] } })), ["thread.turns[1].id"])
    assert.deepStrictEqual(pathsOf(check({ thread: { turns: [{}] } })), ["thread.turns[0].id"])
    assert.deepStrictEqual(pathsOf(check({ thread: { turns: "x" } })), ["thread.turns"])
    assert.deepStrictEqual(pathsOf(check("x")), [""])
    assert.deepStrictEqual(pathsOf(check(undefined)), [""])
    assert.deepStrictEqual(pathsOf(Payload.incoming(Schema.Array(Schema.String))([1])), ["[0]"])
  })

  it("says what was expected", () => {
    const [issue] = issuesOf(Payload.incoming(Schema.Struct({ id: Schema.String }))({ id: 5 }))
    assert.strictEqual(issue?.path, "id")
    assert.include(issue?.expected, "string")
  })

  it("names every wrong field of what is about to be sent", () => {
    const paths = pathsOf(outgoing("turn/start")({ threadId: 1, input: [{ type: "text", text: 2 }], zzz: 1 }))
    assert.includeMembers([...paths], ["threadId", "zzz"])
    assert.isTrue(paths.some((path) => path.startsWith("input[0]")))
  })

  it("says no more than sixteen things, and none twice", () => {
    const check = Payload.outgoing(Schema.Array(Schema.String))
    const issues = issuesOf(check(Array.from({ length: 100 }, (_, index) => index)))
    assert.strictEqual(issues.length, 16)
    assert.strictEqual(new Set(issues.map((issue) => `${issue.path} ${issue.expected}`)).size, 16)
  })

  it("refuses unknown fields on the way out and leaves them out on the way in", () => {
    const Params = Schema.Struct({ a: Schema.optional(Schema.String) })
    assert.deepStrictEqual(pathsOf(Payload.outgoing(Params)({ b: 1 })), ["b"])
    assert.deepStrictEqual(Payload.incoming(Params)({ a: "x", b: 1 }), Exit.succeed({ a: "x" }))
  })

  it("tells nothing where nothing of the Schema failed", () => {
    assert.deepStrictEqual(Payload.issuesOfCause(Cause.die("defect")), [])
  })

  /** Puts the sentinel in the place of every value. */
  const poison = (value: Schema.Json): Schema.Json => {
    if (Array.isArray(value)) return value.map(poison)
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, poison(member)]))
    }
    return `${SECRET} ${JSON.stringify(value)}`
  }

  const Field = Schema.Literals([
    "threadId",
    "turnId",
    "turn",
    "item",
    "type",
    "id",
    "input",
    "text",
    "status",
    "error",
    "cwd",
    "sandbox",
    "approvalPolicy",
    "effort",
    "detail",
    "url",
    "tokenUsage",
    "delta"
  ])

  const Leaf = Schema.Union([Schema.Json, Schema.Literals(["text", "image", "agentMessage", "completed"])])
  const Shallow = Schema.Union([Leaf, Schema.Record(Field, Schema.optionalKey(Leaf))])
  const Payloads = Schema.Record(Field, Schema.optionalKey(Schema.Union([Shallow, Schema.Array(Shallow)])))

  type AnyCheck = (payload: unknown) => Exit.Exit<unknown, Schema.SchemaError>

  const requests = Object.keys(ClientRequests).filter(isRequest)
  const checks = new Map<string, AnyCheck>([
    ...requests.map((method) => [`${method} params`, outgoing(method)] as const),
    ...requests.map((method) => [`${method} result`, result(method)] as const),
    ...Object.keys(ServerNotifications).filter(isNotification).map((method) => [method, notification(method)] as const)
  ])

  it.prop("never says what a payload holds", [Payloads], ([payload]) => {
    const wire: unknown = JSON.parse(JSON.stringify(payload))
    const poisoned = Schema.decodeUnknownSync(Schema.Json)(wire)
    for (const value of [poison(poisoned), SECRET, [SECRET]]) {
      for (const [method, check] of checks) {
        const exit = check(value)
        if (Exit.isSuccess(exit)) continue
        for (const issue of Payload.issuesOfCause(exit.cause)) {
          assert.notInclude(issue.expected, SECRET, method)
          assert.notInclude(issue.path, SECRET, method)
        }
      }
    }
  }, { arbitrary: { runs: 20 } })

  it("says the same of the thousandth payload as of the first", () => {
    const { params } = ServerNotifications["item/completed"]
    const item = { type: "commandExecution", id: "i", command: "ls", cwd: "/", commandActions: [], status: "completed" }
    const event = { threadId: "t", turnId: "u", completedAtMs: 1, item }
    const payloads: ReadonlyArray<unknown> = [
      event,
      { ...event, later: true, item: { ...item, later: true } },
      { ...event, item: { type: "ofTomorrow", anything: [1, { a: null }] } },
      { ...event, item: { ...item, status: "ofTomorrow", commandActions: [{ type: "ofTomorrow", at: 1 }] } },
      { ...event, item: { ...item, type: "mcpToolCall", server: "s", tool: "t", arguments: { deep: [1, "a"] } } },
      { ...event, item: { ...item, command: 5 } },
      { ...event, item: { ...item, commandActions: [{ type: "read", command: "cat", name: 5, path: "/" }] } },
      { ...event, item: { ...item, type: 5 } },
      { ...event, item: "x" },
      { ...event, turnId: undefined },
      { item },
      [],
      undefined
    ]
    const check = Payload.incoming(params)
    const expected = payloads.map((payload) => {
      const exit = check(payload)
      return Exit.isSuccess(exit) ? exit.value : new Payload.Misfit(Payload.issuesOfCause(exit.cause))
    })
    const decode = Payload.incomingMany(params)
    for (let round = 0; round < 100; round++) {
      assert.deepStrictEqual(payloads.map(decode), expected)
    }
  })
})
