import { AppServerClient, type AppServerClientOptions, Codex, Transport } from "@effect-codex/core"
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as AppServerProcess from "../../packages/node/src/AppServerProcess.ts"
import { asked, echo, messages, prompts } from "../real/support.ts"

const live = { excludeTestServices: true } as const

/** The transport to the real app-server, without what it tells by this method. */
const withoutHearing = (method: string) =>
  Layer.effect(
    Transport,
    Effect.gen(function*() {
      const { baseUrl } = yield* OfflineModel
      const transport = yield* AppServerProcess.make({ codexHome: yield* OfflineHome.make({ baseUrl }) })
      return Transport.of({
        ...transport,
        incoming: transport.incoming.pipe(
          Stream.decodeText(),
          Stream.splitLines,
          Stream.filter((line) => !line.includes(`"method":"${method}"`)),
          Stream.map((line) => `${line}\n`),
          Stream.encodeText
        )
      })
    })
  )

const agent = (options: AppServerClientOptions) =>
  Codex.layer.pipe(
    Layer.provideMerge(AppServerClient.layer(options)),
    Layer.provide(withoutHearing("turn/completed")),
    Layer.provide(NodeServices.layer),
    Layer.provideMerge(OfflineModel.layer(echo))
  )

layer(agent({ turnIdleTimeout: "300 millis" }), live)("the watchdog on the real app-server", (it) => {
  it.effect("settles a turn whose end was lost with what the server has stored of it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      for (const word of ["one", "two"]) {
        const result = yield* thread.run(word)
        assert.deepStrictEqual([result.status, result.finalResponse], ["completed", `Answer to: ${word}`])
        assert.deepStrictEqual([prompts(result.items), messages(result.items)], [[word], [`Answer to: ${word}`]])
      }
    }))

  it.effect("lets a silent turn go on for as long as it runs", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread()
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text([OfflineModel.hold(gate), "late"]))
      const fiber = yield* Effect.forkChild(thread.run("wait"), { startImmediately: true })
      yield* asked(thread.id)
      // Several times the time after which the server is asked.
      yield* Effect.sleep("1500 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* gate.open
      assert.strictEqual((yield* Fiber.join(fiber)).finalResponse, "late")
    }))

  it.effect("knows of a thread that is not stored only that its turn does not run, and says so", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ ephemeral: true })
      const error = yield* Effect.flip(thread.run("hello"))
      assert.strictEqual(error._tag, "TurnStalled")
      if (error._tag !== "TurnStalled") return
      assert.strictEqual(error.reason, "unknownTurn")
      assert.deepStrictEqual(messages(error.result.items.filter((item) => item.type !== "userMessage")), [
        "Answer to: hello"
      ])
    }))
})
