import { Codex, type WireTap } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineCodex, OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Binary from "../../packages/node/src/internal/binary.ts"
import * as Fake from "../../packages/node/test/support/FakeExecutable.ts"
import { live } from "./support.ts"

const PROMPT = "s3nt1nel prompt"
const ANSWER = "s3nt1nel answer"
/** Looks like nothing, and is known by its type. */
const SECRET = "correct horse battery"

const keep = () => {
  const lines: Array<WireTap.Line> = []
  const sink = (line: WireTap.Line) => Effect.sync(() => void lines.push(line))
  return { lines, sink }
}

const run = (wireTap: WireTap.Options) =>
  Effect.gen(function*() {
    const codex = yield* Codex
    const thread = yield* codex.startThread({ sandbox: "readOnly", developerInstructions: `Never say ${SECRET}` })
    return yield* thread.run(PROMPT)
  }).pipe(
    Effect.provide(
      OfflineCodex.layer({
        codex: { wireTap, env: { SOMETHING: Redacted.make(SECRET) } },
        model: { respond: () => OfflineModel.text(["s3nt1nel", " answer"]) }
      }),
      { local: true }
    )
  )

layer(NodeServices.layer, live)("the wire tap of a layer", (it) => {
  it.effect("shows a whole turn of the real app-server, and nothing that was said in it", () =>
    Effect.gen(function*() {
      const { lines, sink } = keep()
      const result = yield* run({ sink })
      assert.strictEqual(result.finalResponse, ANSWER)
      const shown = lines.map(({ direction, kind, method }) => `${direction} ${kind} ${method}`)
      const inOrder = [
        "sent request initialize",
        "received response initialize",
        "sent notification initialized",
        "sent request thread/start",
        "received response thread/start",
        "sent request turn/start",
        "received response turn/start",
        "received notification turn/started",
        "received notification item/agentMessage/delta",
        "received notification turn/completed"
      ]
      const places = inOrder.map((line) => shown.indexOf(line))
      assert.notInclude(places, -1, shown.join("\n"))
      assert.deepStrictEqual(places, [...places].sort((a, b) => a - b))
      for (const line of lines) {
        assert.strictEqual(line.missed, 0)
        assert.notInclude(JSON.stringify(line), "s3nt1nel")
        assert.notInclude(JSON.stringify(line), SECRET)
      }
      const delta = lines.find(({ method }) => method === "item/agentMessage/delta")
      assert.include(delta?.text ?? "", `"threadId":"${result.threadId}"`)
      assert.include(delta?.text ?? "", `"delta":"<8 characters>"`)
    }))

  it.effect("shows what was said where it is asked for, but not what the process's environment keeps secret", () =>
    Effect.gen(function*() {
      const { lines, sink } = keep()
      yield* run({ sink, content: "full", maxLength: 1_000_000 })
      const all = lines.map(({ text }) => text).join("\n")
      for (const said of [PROMPT, ANSWER, "Never say <redacted>"]) assert.include(all, said)
      assert.notInclude(all, SECRET)
    }))

  it.effect("goes on over the connections of a supervised one", () =>
    Effect.gen(function*() {
      const { lines, sink } = keep()
      const fake = yield* Fake.recorded(yield* Binary.pinned())
      const codexHome = yield* OfflineHome.make({ baseUrl: "http://127.0.0.1:9" })
      yield* Effect.scoped(Effect.gen(function*() {
        const context = yield* Layer.build(
          NodeCodex.layerSupervised({ codexPath: fake.path, codexHome, wireTap: { sink } })
        )
        const codex = Context.get(context, Codex)
        const restarted = yield* Effect.forkChild(
          codex.events.pipe(Stream.filter(({ method }) => method === "client/restarted"), Stream.runHead),
          { startImmediately: true }
        )
        process.kill(Number(yield* fake.awaitValue("pid")), "SIGKILL")
        yield* Fiber.join(restarted)
        yield* codex.listThreads()
      }))
      const answers = lines.filter(({ kind }) => kind === "response").map(({ method }) => method)
      assert.deepStrictEqual(answers, ["initialize", "initialize", "thread/list"])
    }))
})
