import { Approvals, AppServerClient, Codex, type ServerRequests } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { agent } from "./agent.ts"
import { asked, failure, itemsOf, live } from "./support.ts"

const mcpServer = new URL("./fixtures/askingMcpServer.mjs", import.meta.url).pathname

const config = [
  "features.request_permissions_tool = true",
  "features.default_mode_request_user_input = true",
  "features.exec_permission_approvals = true",
  "[mcp_servers.asking]",
  `command = ${JSON.stringify(process.execPath)}`,
  `args = [${JSON.stringify(mcpServer)}]`
].join("\n")

const threadWith = <E = never, R = never>(approvals: Approvals.Options<E, R>) =>
  Effect.flatMap(Codex, (codex) => codex.startThread({ approvals, approvalMode: "ask" }))

/** What the model is told about the call that a prompt brought about. */
const told = (threadId: string) =>
  Effect.map(asked(threadId, 2), (request) => JSON.stringify(request.toolOutput("a")).replaceAll("\\", ""))

layer(OfflineCodex.layer({ model: agent, home: { config } }), live)("what the agent asks for", (it) => {
  const permissions = `a call request_permissions: {"reason":"To fetch","permissions":{"network":{"enabled":true}}}`

  it.effect("permissions: granted as they were asked for, and for how long", () =>
    Effect.gen(function*() {
      const seen: Array<Approvals.ApprovalRequest> = []
      const thread = yield* threadWith({
        policy: Approvals.ask((request) => Effect.as(Effect.sync(() => seen.push(request)), Approvals.acceptForSession))
      })
      yield* thread.run(permissions)
      const [request] = seen
      assert.strictEqual(request?._tag, "Permissions")
      assert.deepInclude(request, { threadId: thread.id, itemId: "a", reason: "To fetch" })
      assert.deepStrictEqual(request?._tag === "Permissions" ? request.permissions.network : undefined, {
        enabled: true
      })
      const output = yield* told(thread.id)
      assert.include(output, `"network":{"enabled":true}`)
      assert.include(output, `"scope":"session"`)
    }))

  it.effect("permissions: none where nobody says yes", () =>
    Effect.gen(function*() {
      const thread = yield* threadWith({})
      const result = yield* thread.run(permissions)
      assert.notInclude(yield* told(thread.id), "enabled")
      assert.strictEqual(result.finalResponse, "Done: a")
    }))

  const question = `a call request_user_input: ${
    JSON.stringify({
      questions: [{
        id: "colour",
        header: "Colour",
        question: "Which colour?",
        options: [{ label: "Red", description: "Warm" }, { label: "Blue", description: "Cold" }]
      }]
    })
  }`

  it.effect("the user's input: given by a handler", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const thread = yield* threadWith({
        handlers: {
          "item/tool/requestUserInput": ({ questions }) =>
            Effect.sync(() => {
              asked.push(...questions.map(({ question }) => question))
              return { answers: Object.fromEntries(questions.map(({ id }) => [id, { answers: ["Blue"] }])) }
            })
        }
      })
      yield* thread.run(question)
      assert.deepStrictEqual(asked, ["Which colour?"])
      assert.strictEqual(yield* told(thread.id), `"{"answers":{"colour":{"answers":["Blue"]}}}"`)
    }))

  it.effect("the user's input: refused without a handler, and the turn goes on", () =>
    Effect.gen(function*() {
      const thread = yield* threadWith({})
      assert.strictEqual((yield* thread.run(question)).finalResponse, "Done: a")
    }))

  it.effect("the user's input: withdrawn when the turn is interrupted", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const withdrawn = yield* Deferred.make<void>()
      const thread = yield* threadWith({
        handlers: {
          "item/tool/requestUserInput": () =>
            Deferred.succeed(begun, undefined).pipe(
              Effect.andThen(Effect.never),
              Effect.onInterrupt(() => Deferred.succeed(withdrawn, undefined))
            )
        }
      })
      const turn = yield* thread.turn(question)
      yield* Deferred.await(begun)
      yield* turn.interrupt
      yield* Deferred.await(withdrawn)
      yield* failure(turn.result, "TurnInterrupted")
    }))

  // The namespace of a tool is part of the call, not of its name.
  const greet = Effect.flatMap(
    OfflineModel,
    (model) =>
      model.enqueue(OfflineModel.functionCall({ name: "greet", namespace: "mcp__asking", callId: "a", arguments: {} }))
  )

  it.effect("an MCP server's question: answered by a handler", () =>
    Effect.gen(function*() {
      const thread = yield* threadWith({
        handlers: {
          "mcpServer/elicitation/request": ({ serverName }) =>
            Effect.succeed({ action: "accept", content: { name: `you of ${serverName}` } })
        }
      })
      yield* greet
      yield* thread.run("Greet me")
      assert.include(yield* told(thread.id), "accept: you of asking")
    }))

  it.effect("an MCP server's question: declined without a handler", () =>
    Effect.gen(function*() {
      const thread = yield* threadWith({})
      yield* greet
      yield* thread.run("Greet me")
      assert.include(yield* told(thread.id), "decline: undefined")
    }))

  const broken: ReadonlyArray<readonly [string, ServerRequests.Handlers["item/tool/requestUserInput"]]> = [
    ["dies", () => Effect.die(new Error("s3nt1nel"))],
    ["throws", () => {
      throw new Error("s3nt1nel")
    }],
    ["interrupts itself", () => Effect.interrupt]
  ]
  it.effect.each(broken)(
    "something that a handler cannot give as it %s: the turn goes on without",
    ([, handler]) =>
      Effect.gen(function*() {
        const thread = yield* threadWith({ handlers: { "item/tool/requestUserInput": handler } })
        assert.strictEqual((yield* thread.run(question)).finalResponse, "Done: a")
        assert.notInclude(yield* told(thread.id), "s3nt1nel")
      })
  )
})

const further = {
  sandbox_permissions: "with_additional_permissions",
  additional_permissions: { network: { enabled: true }, file_system: { write: ["/tmp"] } }
}

// Without the experimental API the server does not say that a command is to have them.
layer(OfflineCodex.layer({ model: agent, home: { config } }), live)(
  "the agent of a client without the experimental API",
  (it) => {
    it.effect("does not get further permissions for a command by its prefix, though they are hidden", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const fs = yield* FileSystem.FileSystem
        const rules = `${codex.metadata.codexHome}/rules`
        yield* fs.makeDirectory(rules, { recursive: true })
        yield* fs.writeFileString(`${rules}/default.rules`, `prefix_rule(pattern=["ls"], decision="prompt")\n`)
        const left: Array<readonly [string, boolean]> = []
        const thread = yield* threadWith({
          policy: Approvals.firstMatch(
            Approvals.acceptCommands(["echo", "ls"]),
            Approvals.ask((request) =>
              Effect.as(
                Effect.sync(() =>
                  left.push([request.itemId, request._tag === "Command" && request.mayHidePermissions])
                ),
                Approvals.decline
              )
            )
          )
        })
        const statusOf = Effect.fnUntraced(function*(callId: string, cmd: string, fields: object) {
          const args = { cmd, justification: "To fetch", ...fields }
          const { items } = yield* thread.run(`${callId} call exec_command: ${JSON.stringify(args)}`)
          return itemsOf(items, "commandExecution")[0]?.status
        })
        assert.strictEqual(
          yield* statusOf("plain", "echo hi", { sandbox_permissions: "require_escalated" }),
          "completed"
        )
        assert.strictEqual(yield* statusOf("further", "echo hi", further), "declined")
        // Of a command that one of the server's own rules asks about nobody can tell.
        assert.strictEqual(yield* statusOf("rule", "ls", { sandbox_permissions: "require_escalated" }), "declined")
        assert.deepStrictEqual(left, [["further", true], ["rule", true]])
      }).pipe(Effect.provide(NodeServices.layer)))
  }
)

layer(OfflineCodex.layer({ model: agent, home: { config }, codex: { experimental: true } }), live)(
  "the agent",
  (it) => {
    it.effect("asks for a command with further permissions, which its prefix alone does not grant", () =>
      Effect.gen(function*() {
        const seen: Array<Approvals.ApprovalRequest> = []
        const thread = yield* threadWith({
          policy: Approvals.firstMatch(
            Approvals.acceptCommands(["touch"]),
            Approvals.ask((request) => Effect.as(Effect.sync(() => seen.push(request)), Approvals.decline))
          )
        })
        const args = { cmd: "touch file", justification: "To fetch", ...further }
        const result = yield* thread.run(`a call exec_command: ${JSON.stringify(args)}`)
        const [request] = seen
        assert.deepStrictEqual(
          request?._tag === "Command" ? request.additionalPermissions?.fileSystem?.write : undefined,
          ["/tmp"]
        )
        assert.strictEqual(itemsOf(result.items, "commandExecution")[0]?.status, "declined")
      }))
  }
)

const clock = `features.current_time_reminder = { enabled = true, clock_source = "external" }`

layer(OfflineCodex.layer({ model: agent, home: { config: clock }, codex: { experimental: true } }), live)(
  "the time",
  (it) => {
    it.effect("is the one of the thread's handler, or else the clock's", () =>
      Effect.gen(function*() {
        const thread = yield* threadWith({
          handlers: { "currentTime/read": () => Effect.succeed({ currentTimeAt: 951_782_400 }) }
        })
        yield* thread.run("Hello")
        assert.include(JSON.stringify((yield* asked(thread.id)).input), "2000-02-29")
        const other = yield* threadWith({})
        yield* other.run("Hello")
        assert.notInclude(JSON.stringify((yield* asked(other.id)).input), "2000-02-29")
        assert.include(JSON.stringify((yield* asked(other.id)).input), new Date().toISOString().slice(0, 4))
      }))
  }
)

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** A token as the server reads it; nobody checks who signed it. */
const token = (serial: number): string =>
  [
    encode({ alg: "none" }),
    encode({
      exp: 4_102_444_800,
      email: "user@example.com",
      serial,
      "https://api.openai.com/auth": {
        chatgpt_account_id: "account",
        chatgpt_plan_type: "plus",
        chatgpt_user_id: "user"
      }
    }),
    "signature"
  ].join(".")

const refreshed: Array<unknown> = []
const login = { chatgptAccountId: "account", chatgptPlanType: "plus" }

const account = Layer.unwrap(Effect.map(OfflineModel, ({ baseUrl }) =>
  OfflineCodex.layerCodex({
    home: { config: `chatgpt_base_url = ${JSON.stringify(baseUrl)}` },
    codex: {
      experimental: true,
      approvals: {
        handlers: {
          "attestation/generate": () => Effect.succeed({ token: "attested" }),
          "account/chatgptAuthTokens/refresh": (params) =>
            Effect.sync(() => {
              refreshed.push(params)
              return { ...login, accessToken: token(2) }
            })
        }
      }
    }
  }))).pipe(Layer.provideMerge(OfflineModel.layer(agent)))

layer(account, live)("the account's", (it) => {
  it.effect("tokens are refreshed and requests are attested by the handlers of the layer", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const model = yield* OfflineModel
      yield* client.experimental.request("account/login/start", {
        type: "chatgptAuthTokens",
        ...login,
        accessToken: token(1)
      })
      const thread = yield* codex.startThread({ approvalMode: "denyAll" })
      yield* model.enqueue(OfflineModel.httpError(401))
      assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
      assert.deepStrictEqual(refreshed, [{ reason: "unauthorized", previousAccountId: "account" }])
      assert.include((yield* asked(thread.id)).headers["x-oai-attestation"] ?? "", "attested")
    }))
})
