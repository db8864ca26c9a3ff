import { Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { failure, live } from "./support.ts"

const fake = { command: process.execPath, args: [`${import.meta.dirname}/../protocol/mcpServer.mjs`] }

const codex = {
  approvals: {
    handlers: {
      "mcpServer/elicitation/request": () => Effect.succeed({ action: "accept" as const, content: { name: "Ada" } })
    }
  },
  config: { "mcp_servers.fake": fake, "mcp_servers.broken": { command: "no-such-command-anywhere" } }
}

layer(OfflineCodex.layer({ codex }), live)("MCP servers", (it) => {
  it.effect("are listed with their tools and resources", () =>
    Effect.gen(function*() {
      const { mcp } = yield* Codex
      const [server, ...others] = yield* mcp.list({ server: "fake" })
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(Object.keys(server?.tools ?? {}).sort(), ["ask", "echo", "fail"])
      assert.deepStrictEqual(server?.resources.map(({ uri }) => uri), ["fake://greeting"])
      assert.strictEqual(server?.serverInfo?.version, "1.2.3")
      const [lean] = yield* mcp.list({ server: "fake", toolsOnly: true })
      assert.deepStrictEqual(lean?.resources, [])
      assert.sameMembers((yield* mcp.list()).map(({ name }) => name), ["broken", "fake"])
    }))

  it.effect("tell how their start goes, for each thread", () =>
    Effect.gen(function*() {
      const { mcp, startThread } = yield* Codex
      const told = yield* mcp.statuses.pipe(
        Stream.filter(({ status }) => status !== "starting"),
        Stream.take(2),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      const thread = yield* startThread()
      const ends = yield* Fiber.join(told)
      assert.sameDeepMembers(ends.map(({ server, status, threadId }) => ({ server, status, threadId })), [
        { server: "broken", status: "failed", threadId: thread.id },
        { server: "fake", status: "ready", threadId: thread.id }
      ])
      assert.include(ends.find(({ server }) => server === "broken")?.error ?? "", "No such file or directory")
    }))

  it.effect("answer calls of their tools, also when these fail or ask back", () =>
    Effect.gen(function*() {
      const { mcp, startThread } = yield* Codex
      const { id: threadId } = yield* startThread()
      const said = yield* mcp.callTool("fake", "echo", { threadId, arguments: { say: "hi" } })
      assert.deepStrictEqual(said.structuredContent, { said: "hi" })
      assert.isTrue((yield* mcp.callTool("fake", "fail", { threadId })).isError)
      const asked = yield* mcp.callTool("fake", "ask", { threadId })
      assert.include(JSON.stringify(asked.content), "Ada")
    }))

  it.effect("answer the agent", () =>
    Effect.gen(function*() {
      const { startThread } = yield* Codex
      const model = yield* OfflineModel
      yield* model.enqueue(
        OfflineModel.functionCall({ name: "ask", namespace: "mcp__fake", callId: "asked", arguments: {} }),
        OfflineModel.text("Thank you.")
      )
      const thread = yield* startThread({ approvalMode: "ask" })
      const { finalResponse } = yield* thread.run("Ask for a name")
      assert.strictEqual(finalResponse, "Thank you.")
      const [request] = (yield* model.requests).slice(-1)
      assert.include(JSON.stringify(request?.toolOutput("asked")), "Ada")
    }))

  it.effect("give their resources, and an error for one that is not there", () =>
    Effect.gen(function*() {
      const { mcp, startThread } = yield* Codex
      const thread = yield* startThread()
      for (const options of [undefined, { threadId: thread.id }]) {
        const [content] = yield* mcp.readResource("fake", "fake://greeting", options)
        assert.deepInclude(content, { text: "Hello from a resource", mimeType: "text/plain" })
      }
      // The server's own refusal, with its own code.
      const missing = yield* failure(mcp.readResource("fake", "fake://nothing"), "InvalidParams")
      assert.isTrue(missing.sent)
      assert.include(missing.message, "no resource")
      const unknown = yield* failure(mcp.callTool("none", "echo", { threadId: thread.id }), "InternalError")
      assert.match(unknown.message, /unknown MCP server/)
    }))

  it.effect("are read from the configuration again on request", () =>
    Effect.gen(function*() {
      const { config, mcp } = yield* Codex
      yield* config.write("mcp_servers.second", fake)
      yield* mcp.reload
      assert.sameMembers((yield* mcp.list()).map(({ name }) => name), ["broken", "fake", "second"])
    }))

  it.effect("want a login only where they are reached over HTTP", () =>
    Effect.gen(function*() {
      const { mcp } = yield* Codex
      const refused = yield* failure(Effect.scoped(mcp.login("fake", { timeout: "5 seconds" })), "InvalidRequest")
      assert.match(refused.message, /only supported for streamable HTTP/)
    }))
})
