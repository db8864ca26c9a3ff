import { AppServerClient, Codex } from "@effect-codex/core"
import type { ClientRequestParams, ServerRequestMethod } from "@effect-codex/generated"
import { OfflineCodex, OfflineModel, type Reply } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { claimedBy, notifications, serverRequests } from "../protocol/told.ts"
import { live } from "./support.ts"

/** What the server has told and asked in this file. */
const told = new Set<string>()
const asked = new Set<string>()
const mismatches: Array<string> = []

const noting = <A>(method: ServerRequestMethod, answer: A) => () =>
  Effect.sync(() => {
    asked.add(method)
    return answer
  })

const codex = {
  experimental: true,
  approvals: {
    handlers: {
      "item/commandExecution/requestApproval": noting("item/commandExecution/requestApproval", {
        decision: "accept" as const
      }),
      "item/fileChange/requestApproval": noting("item/fileChange/requestApproval", { decision: "accept" as const }),
      "item/permissions/requestApproval": noting("item/permissions/requestApproval", { permissions: {} }),
      "item/tool/call": noting("item/tool/call", {
        contentItems: [{ type: "inputText" as const, text: "Sunny" }],
        success: true
      }),
      "item/tool/requestUserInput": noting("item/tool/requestUserInput", { answers: { sure: { answers: ["Yes"] } } }),
      "mcpServer/elicitation/request": noting("mcpServer/elicitation/request", {
        action: "accept" as const,
        content: { name: "Ada" }
      })
    }
  },
  config: {
    // Brings a warning.
    "no_such_setting": true,
    "features.request_permissions_tool": true,
    "features.default_mode_request_user_input": true,
    "features.apply_patch_streaming_events": true,
    "mcp_servers.fake": { command: process.execPath, args: [`${import.meta.dirname}/../protocol/mcpServer.mjs`] }
  }
}

const hooks = `[[hooks.UserPromptSubmit]]
[[hooks.UserPromptSubmit.hooks]]
type = "command"
command = "true"
`

const call = (
  name: string,
  input: { readonly [key: string]: Schema.Json },
  options?: { readonly namespace?: string; readonly callId?: string }
) => OfflineModel.functionCall({ name, arguments: input, ...options })

const patch = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: new.txt\n+Hello\n*** End Patch\nEOF\n"

/** Runs a turn on a new thread to its end. */
const turn = Effect.fnUntraced(function*(
  start: ClientRequestParams["thread/start"],
  params?: Omit<ClientRequestParams["turn/start"], "threadId" | "input">
) {
  const client = yield* AppServerClient
  const { thread } = yield* client.experimental.request("thread/start", { approvalPolicy: "on-request", ...start })
  const opened = yield* client.openTurn("turn/start", {
    threadId: thread.id,
    input: [{ type: "text", text: "Go" }],
    ...params
  })
  return yield* opened.result
}, Effect.scoped)

/** Where the agent works. */
class Folder extends Context.Service<Folder, string>()("test/Folder") {}

const folder = Layer.effect(
  Folder,
  FileSystem.FileSystem.use((fs) => fs.makeTempDirectoryScoped({ prefix: "codex-turns-" }))
)

const tap = Layer.effectDiscard(Effect.gen(function*() {
  const client = yield* AppServerClient
  yield* client.notifications.pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event.method === "client/decodeFailure") mismatches.push(event.params.error.message)
        else told.add(event.method)
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
}))

const agent = OfflineCodex.layer({ codex, home: { config: hooks } })

const everything = tap.pipe(
  Layer.provideMerge(agent),
  Layer.provideMerge(folder),
  Layer.provideMerge(NodeServices.layer)
)

layer(everything, live)("what turns bring", (it) => {
  const scenario = (
    name: string,
    replies: ReadonlyArray<Reply>,
    start: ClientRequestParams["thread/start"] = {},
    params?: Omit<ClientRequestParams["turn/start"], "threadId" | "input">
  ) =>
    it.effect(name, () =>
      Effect.gen(function*() {
        const model = yield* OfflineModel
        const cwd = yield* Folder
        yield* model.enqueue(...replies)
        const result = yield* turn({ cwd, ...start }, params)
        assert.strictEqual(result.status, "completed")
        assert.strictEqual(yield* model.remaining, 0)
      }))

  const done = OfflineModel.text("Done.")

  scenario("a command that is asked for and speaks while it runs", [
    call("exec_command", {
      cmd: "echo one; sleep 0.3; echo two",
      yield_time_ms: 20_000,
      sandbox_permissions: "require_escalated",
      justification: "It has to be"
    }),
    done
  ])
  scenario("a change of files", [call("exec_command", { cmd: patch, yield_time_ms: 20_000 }), done])
  scenario("reasoning", [[OfflineModel.reasoning("Thinking"), done]])
  scenario("reasoning as it is", [[
    OfflineModel.event({
      type: "response.output_item.added",
      output_index: 0,
      item: { id: "rs_raw", type: "reasoning", summary: [], content: [] }
    }),
    OfflineModel.event({
      type: "response.reasoning_text.delta",
      item_id: "rs_raw",
      output_index: 0,
      content_index: 0,
      delta: "Hm"
    }),
    OfflineModel.event({
      type: "response.output_item.done",
      output_index: 0,
      item: { id: "rs_raw", type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "Hm" }] }
    }),
    done
  ]])
  scenario("a question to the user", [
    call("request_user_input", {
      questions: [{
        id: "sure",
        header: "Sure",
        question: "Are you sure?",
        options: [{ label: "Yes", description: "I am" }, { label: "No", description: "I am not" }]
      }]
    }),
    done
  ])
  scenario("a plan", [OfflineModel.text("<proposed_plan>\n- Do it\n</proposed_plan>\n")], {}, {
    collaborationMode: { mode: "plan", settings: { model: "gpt-5.4" } }
  })
  scenario("a request for permissions", [
    call("request_permissions", { reason: "To look around", permissions: { network: { enabled: true } } }),
    done
  ])
  scenario("a tool of the program", [call("weather", {}), done], {
    dynamicTools: [{
      type: "function",
      name: "weather",
      description: "The weather",
      inputSchema: { type: "object", properties: {} }
    }]
  })
  scenario("a tool of an MCP server that asks back", [call("ask", {}, { namespace: "mcp__fake" }), done])
  it.effect("a terminal that is typed into", () =>
    Effect.gen(function*() {
      const offline = yield* OfflineModel
      // The agent learns the number of its terminal from the output of the first call.
      yield* offline.respond((request) => {
        const output = JSON.stringify(request.toolOutput("open") ?? "")
        const [, session] = /session ID (\d+)/.exec(output) ?? []
        if (request.toolOutput("type") !== undefined) return done
        return session === undefined
          ? call("exec_command", { cmd: "cat", tty: true, yield_time_ms: 300 }, { callId: "open" })
          : call("write_stdin", { session_id: Number(session), chars: "hi\n", yield_time_ms: 300 }, { callId: "type" })
      })
      yield* turn({ cwd: yield* Folder, sandbox: "danger-full-access" })
    }))

  it.effect("a command that another agent reviews", () =>
    Effect.gen(function*() {
      const offline = yield* OfflineModel
      yield* offline.respond((request) =>
        request.format !== undefined
          ? OfflineModel.json({
            risk_level: "low",
            user_authorization: "high",
            outcome: "allow",
            rationale: "Harmless"
          })
          : request.toolOutput("risky") === undefined
          ? call("exec_command", {
            cmd: "echo reviewed",
            yield_time_ms: 20_000,
            sandbox_permissions: "require_escalated",
            justification: "It has to be"
          }, { callId: "risky" })
          : done
      )
      yield* turn({ cwd: yield* Folder, approvalsReviewer: "auto_review" })
    }))

  it.effect("a hook that is trusted", () =>
    Effect.gen(function*() {
      const { config, hooks } = yield* Codex
      const offline = yield* OfflineModel
      const [entry] = yield* hooks.list()
      const hook = entry?.hooks[0] ?? assert.fail("There is no hook")
      assert.strictEqual(hook.trustStatus, "untrusted")
      yield* config.write("hooks.state", { [String(hook.key)]: { trusted_hash: hook.currentHash } }, {
        merge: "upsert"
      })
      yield* offline.respond(() => done)
      yield* turn({ cwd: yield* Folder })
    }))

  it.effect("is all that the tables say", () =>
    Effect.gen(function*() {
      const here = "test/real/protocolTurns.test.ts"
      const missing = () => claimedBy(here, notifications).filter((method) => !told.has(method))
      yield* Effect.sync(missing).pipe(
        Effect.repeat({ until: (methods) => methods.length === 0, schedule: Schedule.spaced("50 millis"), times: 100 })
      )
      assert.deepStrictEqual(missing(), [])
      assert.sameMembers([...asked], [...claimedBy(here, serverRequests)])
      assert.deepStrictEqual(mismatches, [])
    }))
})
