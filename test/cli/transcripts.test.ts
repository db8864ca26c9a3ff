import { AppServerClient, Codex } from "@effect-codex/core"
import { Transcript } from "@effect-codex/core/testing"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { Cli, lines, secrets } from "./support.ts"

const environment = Cli.layer({
  respond: ({ toolOutput }) =>
    toolOutput("call") === undefined
      ? [
        OfflineModel.commentary("I will try it."),
        OfflineModel.functionCall({
          name: "exec_command",
          callId: "call",
          arguments: { cmd: "echo hello", sandbox_permissions: "require_escalated", justification: "It has to" }
        })
      ]
      : OfflineModel.finalAnswer("Well then.")
})

layer(environment, { excludeTestServices: true, timeout: "120 seconds" })("effect-codex record and replay", (it) => {
  it.effect("tell a turn once and again", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped({ prefix: "cli-transcripts-" })
      const file = path.join(folder, "hello.jsonl")
      const model = yield* OfflineModel

      const first = yield* cli.run(["record", file, "--", "Say hello to", secrets.SOME_TOKEN])
      assert.deepStrictEqual([first.exitCode, first.stdout], [0, "Well then.\n"], first.stderr)
      const text = yield* fs.readFileString(file)
      assert.match(text, /^\{"transcript":1,/)
      assert.notInclude(text, "sentinel")

      const requests = (yield* model.requests).length
      const again = yield* cli.run(["replay", file], { env: { CODEX_HOME: "/none", CODEX_PATH: "/none" } })
      assert.deepStrictEqual([again.exitCode, again.stdout], [0, "Well then.\n"], again.stderr)
      assert.match(
        again.stderr,
        new RegExp(
          "^recorded with codex 0\\.169\\.0\nthread .*\nI will try it\\.\n\\$ .*echo hello'\ndeclined: \\$ .*echo hello'\n" +
            "  declined\ncompleted\n30 tokens in this thread .*\n$"
        )
      )
      assert.strictEqual((yield* model.requests).length, requests)

      const json = yield* cli.run(["replay", "--json", file])
      assert.strictEqual(json.stderr, "")
      const methods = lines(json.stdout).map(({ method }) => method)
      assert.strictEqual(methods[0], "cli/turn")
      assert.include(methods, "cli/approval")
      assert.deepStrictEqual(methods.slice(-2), ["turn/completed", "cli/result"])

      // What the protocol does not have is warned of, and the rest is told.
      yield* fs.writeFileString(file, text.replace(/"delta":"[^"]*"/, "\"delta\":7"))
      const broken = yield* cli.run(["replay", file])
      assert.match(broken.stderr, /^warning: item\/agentMessage\/delta does not match its schema$/m)
      assert.strictEqual(broken.stdout, "Well then.\n")

      // So is what was cut off, and a turn that failed tells why.
      const written = text.split("\n")
      const end = written.findIndex((line) => line.includes("\"turn/completed\""))
      yield* fs.writeFileString(file, written.slice(0, end).join("\n"))
      const cut = yield* cli.run(["replay", "--quiet", file])
      assert.deepStrictEqual([cut.stdout, cut.stderr], ["", "the transcript ends here, and the turn went on\n"])
      const failing = (written[end] ?? "").replace(
        /"status":"completed"/,
        "\"status\":\"failed\",\"error\":{\"message\":\"It broke.\",\"codexErrorInfo\":null,\"additionalDetails\":null}"
      ).replace("\"error\":null,", "")
      yield* fs.writeFileString(file, written.with(end, failing).join("\n"))
      const failed = yield* cli.run(["replay", file])
      assert.match(failed.stderr, /^failed\n.*\nIt broke\.\n$/m)
    }).pipe(Effect.scoped), 120_000)

  it.effect.each([
    {
      args: ["record", "/none/hello.jsonl", "--", "Hello"],
      says: /^effect-codex: \/none\/hello\.jsonl cannot be written\n$/
    },
    { args: ["record"], says: /^effect-codex: Missing required argument: file\n/ },
    { args: ["replay", "/none"], says: /Path does not exist: \/none/ },
    { args: ["replay", new URL(import.meta.url).pathname], says: /is no transcript: Line 1 of the transcript: .*\n$/ }
  ])("say what is wrong with $args", ({ args, says }) =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const { exitCode, stderr, stdout } = yield* cli.run(args)
      assert.match(stderr, says)
      assert.deepStrictEqual([exitCode, stdout], [2, ""])
    }), 120_000)
})

const agentAsked = Latch.makeUnsafe()

const eventful = Cli.layer({
  respond: ({ text, toolOutput }) => {
    if (text === "Look left") return Effect.as(agentAsked.open, OfflineModel.text("Nothing on the left."))
    const isPatch = text === "Patch it"
    if (toolOutput(isPatch ? "patch" : "spawn") !== undefined) {
      return isPatch ? OfflineModel.text("Tried.") : [OfflineModel.hold(agentAsked), OfflineModel.text("Looked.")]
    }
    return isPatch
      ? OfflineModel.functionCall({
        name: "exec_command",
        callId: "patch",
        arguments: { cmd: "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: new.txt\n+hi\n*** End Patch\nEOF\n" }
      })
      : OfflineModel.functionCall({
        namespace: "multi_agent_v1",
        name: "spawn_agent",
        callId: "spawn",
        arguments: { message: "Look left" }
      })
  }
})

layer(eventful, { excludeTestServices: true, timeout: "120 seconds" })("effect-codex replay", (it) => {
  const folder = Effect.flatMap(
    FileSystem.FileSystem,
    (fs) => fs.makeTempDirectoryScoped({ prefix: "cli-transcripts-" })
  )

  it.effect("tells of agents as the run did: what they say is not the answer", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const cwd = yield* folder
      const first = yield* cli.run(["record", "agents.jsonl", "--", "Look around"], { cwd })
      assert.deepStrictEqual([first.exitCode, first.stdout], [0, "Looked.\n"], first.stderr)
      const again = yield* cli.run(["replay", "agents.jsonl"], { cwd })
      assert.strictEqual(again.stdout, "Looked.\n")
      assert.strictEqual(again.stderr.match(/^thread /gm)?.length, 1, again.stderr)
      const told = lines((yield* cli.run(["replay", "--json", "agents.jsonl"], { cwd })).stdout)
      assert.strictEqual(told.filter(({ method }) => method === "cli/turn").length, 1)
      const child = told.find(({ method }) => method === "client/childEvent")
      const { threadId } = told[0]?.params ?? {}
      assert.strictEqual(child?.params["parentThreadId"], threadId)
      assert.notStrictEqual(child?.params["childThreadId"], threadId)
    }).pipe(Effect.scoped), 120_000)

  it.effect("tells what was decided on changes of files", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const cwd = yield* folder
      const first = yield* cli.run(["record", "patch.jsonl", "--sandbox", "read-only", "--", "Patch it"], { cwd })
      assert.match(first.stderr, /^declined: change .*\/new\.txt /m)
      const again = yield* cli.run(["replay", "patch.jsonl"], { cwd })
      assert.match(again.stderr, /^changes files\ndeclined: change .*\/new\.txt\n/m)
    }).pipe(Effect.scoped), 120_000)

  it.effect("tells turns one by one, those of reviews and compactions too", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const cwd = yield* folder
      const path = yield* Path.Path
      const recorded = Codex.layer.pipe(
        Layer.provide(AppServerClient.layer()),
        Layer.provide(Transcript.record(path.join(cwd, "turns.jsonl"))),
        Layer.provide(
          OfflineCodex.layerTransport({ model: { respond: ({ text }) => OfflineModel.text(`To: ${text}`) } })
        )
      )
      yield* Effect.gen(function*() {
        const codex = yield* Codex
        const thread = yield* codex.startThread()
        yield* thread.run("One")
        const review = yield* thread.review({ type: "custom", instructions: "Two" })
        yield* review.result
        yield* thread.compact
        yield* thread.run("Four")
      }).pipe(Effect.scoped, Effect.provide(recorded))
      const { stderr, stdout } = yield* cli.run(["replay", "turns.jsonl"], { cwd })
      assert.strictEqual(stdout, "To: One\nTo: Two\nTo: Four\n")
      assert.deepStrictEqual(
        [stderr.match(/^thread /gm)?.length, stderr.match(/^completed$/gm)?.length],
        [4, 4],
        stderr
      )
      assert.notInclude(stderr, "To:")
      assert.notInclude(stderr, "the turn went on")
    }).pipe(Effect.scoped), 120_000)
})
