import { AppServerClient, Codex, Input } from "@effect-codex/core"
import type { AskForApprovalParam, LoginAccountParams } from "@effect-codex/generated"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { echo, failure, live, spoken } from "./support.ts"

const nobody = "01900000-0000-7000-8000-000000000000"

layer(OfflineCodex.layer({ model: echo }), live)("bad input", (it) => {
  it.effect("that the types would not let pass names method, field and reason, and is never sent", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      // As from JavaScript, or from a file: nothing has checked it.
      const params = JSON.parse(
        JSON.stringify({ threadId: thread.id, input: [{ type: "text", text: { password: "hunter2" } }] })
      )
      const error = yield* failure(client.request("turn/start", params), "InvalidParams")
      assert.strictEqual(error.method, "turn/start")
      assert.isFalse(error.sent)
      assert.include(error.issues.map((issue) => issue.path), "input[0].text")
      assert.include(error.message, "turn/start")
      assert.include(error.message, "input[0].text")
      assert.notInclude(JSON.stringify(error), "hunter2")
      assert.notInclude(error.message, "hunter2")
      assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
    }))

  it.effect("with half a character in it is sent without that half", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const half = "\u{1f600}".slice(0, 1)
      yield* thread.setName(`Cut ${half}`)
      assert.strictEqual((yield* thread.read()).name, "Cut \ufffd")
      assert.strictEqual((yield* thread.run(`Cut ${half}`)).finalResponse, "Answer to: Cut \ufffd")
    }))

  it.effect("is a method that there is not, a goal that is none, or no limits or URL where there should be one", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      yield* thread.goal.set({ objective: "Precious", status: "paused" })
      for (const name of [`"thread/nope"`, `"toString"`, `""`]) {
        const error = yield* failure(client.request(JSON.parse(name), JSON.parse("{}")), "MethodNotFound")
        assert.deepStrictEqual([error.method, error.code], [JSON.parse(name), -32601])
      }
      const goal = yield* failure(thread.runGoal(JSON.parse("null")), "InvalidParams")
      assert.deepStrictEqual([goal.method, goal.sent], ["thread/goal/set", false])
      const run = yield* failure(thread.run("Hello", JSON.parse(`{"budget":null}`)), "InvalidParams")
      assert.deepStrictEqual(run.issues.map((issue) => issue.path), ["budget"])
      const image = yield* failure(thread.run(Input.image(JSON.parse("null"))), "InvalidParams")
      assert.include(image.issues.map((issue) => issue.path), "input[0].url")
      // The goal that is there was not taken up instead.
      assert.strictEqual((yield* thread.goal.get)?.status, "paused")
    }))

  it.effect("that lacks a field names it", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const error = yield* failure(client.request("thread/read", JSON.parse("{}")), "InvalidParams")
      assert.isFalse(error.sent)
      assert.deepStrictEqual(error.issues.map((issue) => issue.path), ["threadId"])
    }))

  it.effect("that names no sandbox or approval mode is refused, and not left out", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const options = JSON.parse(JSON.stringify({ sandbox: "read-only", approvalMode: "never" }))
      const calls = {
        "thread/start": codex.startThread(options),
        "thread/resume": codex.resumeThread(thread.id, options),
        "thread/fork": codex.forkThread(thread.id, options),
        "turn/start": Effect.asVoid(thread.run("Hello", options))
      }
      for (const [method, call] of Object.entries(calls)) {
        const error = yield* failure(Effect.asVoid(call), "InvalidParams")
        assert.strictEqual(error.method, method)
        assert.isFalse(error.sent)
        assert.deepStrictEqual(error.issues, [
          { path: "approvalMode", expected: "Expected \"autoReview\" | \"denyAll\" | \"ask\"" },
          { path: "sandbox", expected: "Expected \"readOnly\" | \"workspaceWrite\" | \"fullAccess\"" }
        ])
      }
      yield* failure(Stream.runDrain(thread.stream("Hello", options)), "InvalidParams")
      yield* failure(Effect.scoped(codex.thread(options)), "InvalidParams")
      assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
    }))

  it.effect("to a command is refused before the command begins", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const refused: ReadonlyArray<readonly [string, object]> = [
        ["sandbox", { sandbox: "none" }],
        ["timeout", { timeout: "soon" }],
        ["timeout", { timeout: "-1 seconds" }],
        ["timeout", { timeout: Number.NaN }],
        ["outputLimit", { outputLimit: Number.NaN }],
        ["buffer.bytes", { buffer: { events: 1, bytes: Number.NaN } }],
        ["buffer.events", { buffer: { events: 0, bytes: 1 } }]
      ]
      for (const [path, options] of refused) {
        const error = yield* failure(Effect.scoped(codex.exec(["true"], options)), "InvalidParams")
        assert.strictEqual(error.method, "command/exec")
        assert.isFalse(error.sent)
        assert.deepStrictEqual(error.issues.map((issue) => issue.path), [path])
      }
      const error = yield* failure(
        Effect.scoped(codex.spawn(["true"], { cwd: "/", ...JSON.parse("{\"timeout\":\"soon\"}") })),
        "InvalidParams"
      )
      assert.strictEqual(error.method, "process/spawn")
      assert.deepStrictEqual(error.issues.map((issue) => issue.path), ["timeout"])
    }))

  it.effect("to openTurn leaves nothing behind", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const params = JSON.parse(JSON.stringify({ threadId: thread.id, input: "hunter2" }))
      const error = yield* failure(Effect.scoped(client.openTurn("turn/start", params)), "InvalidParams")
      assert.strictEqual(error.method, "turn/start")
      assert.include(error.issues.map((issue) => issue.path), "input")
      assert.notInclude(error.message, "hunter2")
      assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
    }))

  it.effect("that only the server can judge fails with its words", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const calls = {
        "thread/read": codex.readThread(nobody),
        "thread/resume": codex.resumeThread(nobody),
        "thread/fork": codex.forkThread(nobody),
        "thread/archive": codex.archiveThread(nobody),
        "thread/unarchive": codex.unarchiveThread(nobody),
        "thread/delete": codex.deleteThread(nobody)
      }
      for (const [method, call] of Object.entries(calls)) {
        const error = yield* failure(Effect.asVoid(call), "InvalidRequest")
        assert.strictEqual(error.method, method)
        assert.include(error.message, nobody)
      }
      const client = yield* AppServerClient
      const late = yield* failure(
        client.request("turn/start", { threadId: nobody, input: [Input.text("my secret is hunter2")] }),
        "InvalidRequest"
      )
      assert.include(late.message, "thread not found")
      assert.notInclude(late.message, "hunter2")
    }))

  it.effect("with an id that is none is refused", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const error = yield* failure(codex.readThread("not an id"), "InvalidRequest")
      assert.strictEqual(error.method, "thread/read")
      assert.include(error.message, "invalid thread id")
    }))

  it.effect("of an unknown model provider is refused", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const error = yield* failure(Effect.asVoid(codex.startThread({ modelProvider: "nobody" })), "InvalidRequest")
      assert.strictEqual(error.method, "thread/start")
      assert.match(error.message, /Model provider .* not found/)
    }))

  it.effect("disturbs nothing else on the connection", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const codex = yield* Codex
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["Before ", OfflineModel.hold(gate), "and after"]))
      const thread = yield* codex.startThread()
      const turn = yield* thread.turn("Keep calm")
      yield* gate.reached
      const broken = yield* Effect.all([
        failure(client.request("turn/start", JSON.parse("{\"input\":7}")), "InvalidParams"),
        failure(client.request("thread/name/set", JSON.parse("[]")), "InvalidParams"),
        failure(codex.readThread(nobody), "InvalidRequest"),
        failure(thread.setName(""), "InvalidRequest"),
        failure(thread.run(Input.image("https://example.com/remote.png")), "InvalidRequest"),
        failure(turn.steer([]), "InvalidRequest")
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual(broken.map((error) => error.method), [
        "turn/start",
        "thread/name/set",
        "thread/read",
        "thread/name/set",
        "turn/start",
        "turn/steer"
      ])
      yield* gate.open
      const result = yield* turn.result
      assert.strictEqual(result.finalResponse, "Before and after")
      assert.strictEqual(spoken(yield* Stream.runCollect(turn.events)), "Before and after")
    }))

  it.effect("of experimental methods is refused where they were not asked for", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const error = yield* failure(
        client.experimental.request("thread/memoryMode/set", { threadId: nobody, mode: "enabled" }),
        "ExperimentalApiRequired"
      )
      assert.strictEqual(error.method, "thread/memoryMode/set")
    }))

  it.effect("of values that only the experimental API has is refused before anything is sent", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const granular: AskForApprovalParam = {
        granular: { sandbox_approval: true, rules: true, mcp_elicitations: true }
      }
      const params = { approvalPolicy: granular }
      const calls = {
        "thread/start": codex.startThread({ params }),
        "thread/resume": codex.resumeThread(thread.id, { params }),
        "thread/fork": thread.fork({ params }),
        "turn/start": Effect.asVoid(thread.run("Hello", { params }))
      }
      for (const [method, call] of Object.entries(calls)) {
        const error = yield* failure(Effect.asVoid(call), "ExperimentalApiRequired")
        assert.deepStrictEqual([error.method, error.fields], [method, ["approvalPolicy granular"]])
      }
      const logins: ReadonlyArray<LoginAccountParams> = [
        { type: "chatgptAuthTokens", accessToken: "hunter2", chatgptAccountId: "me" },
        { type: "amazonBedrock", apiKey: "hunter2", region: "here" },
        { type: "amazonBedrockAccessKeys", accessKeyId: "me", secretAccessKey: "hunter2", region: "here" }
      ]
      for (const login of logins) {
        const error = yield* failure(client.request("account/login/start", login), "ExperimentalApiRequired")
        assert.include(error.message, `account/login/start with type ${login.type} needs the experimental API`)
      }
    }))
})
