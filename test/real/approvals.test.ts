import { AppServerClient, Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import { asked, echo, itemsOf, live, methods } from "./support.ts"

const exec = (cmd: string, options: { readonly escalated?: boolean; readonly callId?: string } = {}) =>
  OfflineModel.functionCall({
    name: "exec_command",
    callId: options.callId ?? "call",
    arguments: {
      cmd,
      // A machine under load may take its time to start a shell; the tool would go on without the command.
      yield_time_ms: 30_000,
      ...(options.escalated === true
        ? { sandbox_permissions: "require_escalated", justification: "It has to be" }
        : {})
    }
  })

layer(OfflineCodex.layer({ model: echo }).pipe(Layer.provideMerge(NodeServices.layer)), live)("approvals", (it) => {
  it.effect("are declined unless the program says otherwise, and the turn completes", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(exec("echo hi", { escalated: true }), OfflineModel.text("Then not."))
      const thread = yield* codex.startThread({ approvalMode: "ask" })
      const turn = yield* thread.turn("Say hi")
      const result = yield* turn.result
      const command = itemsOf(result.items, "commandExecution")[0] ?? assert.fail("No command was tried")
      assert.strictEqual(command.status, "declined")
      assert.include(command.command, "echo hi")
      assert.strictEqual(result.finalResponse, "Then not.")
      assert.include(JSON.stringify((yield* asked(thread.id, 2)).toolOutput("call")), "rejected")
      const events = yield* Stream.runCollect(turn.events)
      const started = events.flatMap((event) =>
        event.method === "item/started" && event.params.item.type === "commandExecution"
          ? [event.params.item.status]
          : []
      )
      assert.deepStrictEqual(started, ["inProgress"])
    }))

  it.effect("are asked for and declined as often as the agent asks", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(
        exec("echo one", { escalated: true, callId: "call_1" }),
        exec("echo two", { escalated: true, callId: "call_2" }),
        exec("echo three", { escalated: true, callId: "call_3" }),
        OfflineModel.text("I give up.")
      )
      const thread = yield* codex.startThread({ approvalMode: "ask" })
      const result = yield* thread.run("Say hi")
      assert.deepStrictEqual(
        itemsOf(result.items, "commandExecution").map((item) => item.status),
        ["declined", "declined", "declined"]
      )
      assert.strictEqual(result.finalResponse, "I give up.")
    }))

  it.effect("are not asked for in mode denyAll", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(exec("echo hi", { escalated: true }), OfflineModel.text("Then not."))
      const thread = yield* codex.startThread({ approvalMode: "denyAll" })
      const turn = yield* thread.turn("Say hi")
      const result = yield* turn.result
      assert.strictEqual(result.finalResponse, "Then not.")
      assert.deepStrictEqual(
        itemsOf(result.items, "commandExecution").filter((item) => item.status === "completed"),
        []
      )
      assert.include(JSON.stringify((yield* asked(thread.id, 2)).toolOutput("call")), "approval policy is Never")
      assert.notInclude(methods(yield* Stream.runCollect(turn.events)), "serverRequest/resolved")
    }))

  it.effect("may be overridden by a turn", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(exec("echo hi", { escalated: true }), OfflineModel.text("Then not."))
      const thread = yield* codex.startThread({ approvalMode: "ask" })
      const result = yield* thread.run("Say hi", { approvalMode: "denyAll" })
      assert.strictEqual(result.finalResponse, "Then not.")
      assert.include(JSON.stringify((yield* asked(thread.id, 2)).toolOutput("call")), "approval policy is Never")
    }))

  it.effect("are the reviewing agent's in mode autoReview", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      // Only the reviewer is asked for an assessment in JSON.
      yield* model.respond((request) =>
        request.format !== undefined
          ? OfflineModel.json({
            risk_level: "low",
            user_authorization: "high",
            outcome: "allow",
            rationale: "Harmless"
          })
          : request.toolOutput("call") === undefined
          ? exec("echo reviewed", { escalated: true })
          : OfflineModel.text("Done.")
      )
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Say it")
      const result = yield* turn.result
      const reviewer = (yield* model.requests).filter((request) => request.format !== undefined)
      yield* model.respond((request) => echo.respond?.(request))
      assert.strictEqual(result.finalResponse, "Done.")
      assert.strictEqual(reviewer.length, 1)
      assert.include(JSON.stringify(reviewer[0]?.input), "echo reviewed")
      const command = itemsOf(result.items, "commandExecution")[0] ?? assert.fail("No command was run")
      assert.strictEqual(command.status, "completed")
      assert.include(command.aggregatedOutput ?? "", "reviewed")
      const seen = methods(yield* Stream.runCollect(turn.events))
      assert.include(seen, "item/autoApprovalReview/completed")
      assert.notInclude(seen, "serverRequest/resolved")
    }))

  it.effect("are not needed without a sandbox: the command runs", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const cwd = yield* fs.makeTempDirectoryScoped({ prefix: "codex-sandbox-" })
      yield* model.enqueue(exec("printf written > file.txt && echo done"), OfflineModel.text("There you are."))
      const thread = yield* codex.startThread({ cwd, sandbox: "fullAccess", approvalMode: "denyAll" })
      const result = yield* thread.run("Write a file")
      const command = itemsOf(result.items, "commandExecution")[0] ?? assert.fail("No command was run")
      assert.strictEqual(command.status, "completed")
      assert.strictEqual(command.exitCode, 0)
      assert.include(command.aggregatedOutput ?? "", "done")
      assert.strictEqual(yield* fs.readFileString(path.join(cwd, "file.txt")), "written")
    }))

  it.effect("and a read-only sandbox keep a command from writing", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const cwd = yield* fs.makeTempDirectoryScoped({ prefix: "codex-sandbox-" })
      yield* model.enqueue(exec("printf written > file.txt"), OfflineModel.text("It did not work."))
      const thread = yield* codex.startThread({ cwd, sandbox: "fullAccess", approvalMode: "denyAll" })
      yield* thread.run("Write a file", { sandbox: "readOnly" })
      // A command that ends at once need not show as an item: what the model is told of it does.
      const told = (yield* model.requests).map(({ input }) => JSON.stringify(input))
      assert.isTrue(told.some((input) => input.includes("Read-only file system")))
      assert.isFalse(yield* fs.exists(path.join(cwd, "file.txt")))
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("what a thread is started with", (it) => {
  /** What the server has stored for a thread, as its answer to a bare resume says. */
  const stored = (threadId: string) =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const response = yield* client.request("thread/resume", { threadId, excludeTurns: true })
      return {
        approvalPolicy: response.approvalPolicy,
        approvalsReviewer: response.approvalsReviewer,
        sandbox: response.sandbox.type,
        model: response.model,
        cwd: response.cwd
      }
    })

  it.effect("leaves approvals to the reviewer, unless it says otherwise", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      yield* thread.run("Hello")
      const { approvalPolicy, approvalsReviewer } = yield* stored(thread.id)
      assert.strictEqual(approvalPolicy, "on-request")
      assert.strictEqual(approvalsReviewer, "auto_review")
    }))

  it.effect("has each approval mode as the server names it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const expected = {
        autoReview: ["on-request", "auto_review"],
        ask: ["on-request", "user"],
        denyAll: ["never", "user"]
      } as const
      yield* Effect.forEach(["autoReview", "ask", "denyAll"] as const, (approvalMode) =>
        Effect.gen(function*() {
          const thread = yield* codex.startThread({ approvalMode })
          yield* thread.run("Hello")
          const { approvalPolicy, approvalsReviewer } = yield* stored(thread.id)
          assert.deepStrictEqual([approvalPolicy, approvalsReviewer], [...expected[approvalMode]])
        }))
    }))

  it.effect("has each sandbox as the server names it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const expected = {
        readOnly: "readOnly",
        workspaceWrite: "workspaceWrite",
        fullAccess: "dangerFullAccess"
      } as const
      yield* Effect.forEach(["readOnly", "workspaceWrite", "fullAccess"] as const, (sandbox) =>
        Effect.gen(function*() {
          const thread = yield* codex.startThread({ sandbox })
          yield* thread.run("Hello")
          assert.strictEqual((yield* stored(thread.id)).sandbox, expected[sandbox])
        }))
    }))

  it.effect("stays as it is when the thread is resumed or forked", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({
        approvalMode: "denyAll",
        sandbox: "workspaceWrite",
        model: "gpt-5.2",
        cwd: "/tmp"
      })
      yield* thread.run("Hello")
      const before = yield* stored(thread.id)
      assert.deepStrictEqual(before, {
        approvalPolicy: "never",
        approvalsReviewer: "user",
        sandbox: "workspaceWrite",
        model: "gpt-5.2",
        cwd: "/tmp"
      })
      const resumed = yield* codex.resumeThread(thread.id)
      yield* resumed.run("Again")
      assert.deepStrictEqual(yield* stored(thread.id), before)
      assert.strictEqual((yield* asked(thread.id, 2)).model, "gpt-5.2")
      // A fork gets its model and its sandbox from the configuration, unless they are given.
      const bare = yield* thread.fork()
      yield* bare.run("From here")
      const { approvalPolicy, approvalsReviewer, cwd } = yield* stored(bare.id)
      assert.deepStrictEqual([approvalPolicy, approvalsReviewer, cwd], ["never", "user", "/tmp"])
      const fork = yield* thread.fork({ model: "gpt-5.2", sandbox: "workspaceWrite" })
      yield* fork.run("From here")
      assert.deepStrictEqual(yield* stored(fork.id), before)
      assert.strictEqual((yield* asked(fork.id)).model, "gpt-5.2")
    }))

  it.effect("holds for the turns after one that overrides it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ approvalMode: "denyAll", sandbox: "readOnly" })
      yield* thread.run("Hello", { approvalMode: "ask", sandbox: "workspaceWrite" })
      const { approvalPolicy, approvalsReviewer, sandbox } = yield* stored(thread.id)
      assert.deepStrictEqual([approvalPolicy, approvalsReviewer, sandbox], ["on-request", "user", "workspaceWrite"])
    }))
})
