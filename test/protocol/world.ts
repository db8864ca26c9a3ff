/** Where the cases of `cases.ts` happen: an app-server of its own, a folder, a thread with a turn behind it. */
import { AppServerClient, Codex, type RequestError } from "@effect-codex/core"
import { OfflineCodex, OfflineModel, type OfflineModelOptions } from "@effect-codex/node/testing"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"

export interface WorldService {
  readonly client: AppServerClient["Service"]
  readonly model: OfflineModel["Service"]
  /** The app-server's home. */
  readonly home: string
  /** A folder of its own, with a file `a.txt`, a folder `sub` and a marketplace of plugins in `shop`. */
  readonly folder: string
  /** A thread with one turn behind it, which answered `Answer to: Hello`. */
  readonly threadId: string
  readonly turnId: string
  /** The item of that turn's answer. */
  readonly itemId: string
  /** A new thread without a turn. */
  readonly newThread: Effect.Effect<string, RequestError>
  /** A new thread with one turn behind it. */
  readonly newHistory: Effect.Effect<{ readonly threadId: string; readonly turnId: string }, RequestError>
  /** A new thread with a turn that does not end by itself. */
  readonly busyThread: Effect.Effect<{ readonly threadId: string; readonly turnId: string }, RequestError>
  /** The same with a model of one's choice. */
  readonly busyThreadOn: (
    model: string
  ) => Effect.Effect<{ readonly threadId: string; readonly turnId: string }, RequestError>
}

/** The methods of the notifications so far, of every world. */
export const told = new Set<string>()

/** What did not match its schema, in words, in any world. */
export const mismatches: Array<string> = []

export class World extends Context.Service<World, WorldService>()("test/World") {}

/** Answers every prompt; `Wait` never ends. */
const model: OfflineModelOptions = {
  respond: (request) =>
    request.text.includes("Wait")
      ? OfflineModel.text(["Waiting ", OfflineModel.hold(Effect.never)])
      : OfflineModel.text(`Answer to: ${request.text}`)
}

/** The manifest of a marketplace in a folder. */
export const manifestOf = (shop: string): string => `${shop}/.agents/plugins/marketplace.json`

/** A marketplace named `shop` with a plugin `hello`, which has a skill `greet`. */
export const writeShop = Effect.fnUntraced(function*(shop: string) {
  const fs = yield* FileSystem.FileSystem
  const plugin = `${shop}/plugins/hello`
  const files = {
    [manifestOf(shop)]: JSON.stringify({
      name: "shop",
      plugins: [{
        name: "hello",
        source: { source: "local", path: "./plugins/hello" },
        policy: { installation: "AVAILABLE", authentication: "ON_INSTALL" },
        category: "Productivity"
      }]
    }),
    [`${plugin}/.codex-plugin/plugin.json`]: JSON.stringify({ name: "hello", version: "1.0.0", description: "Greets" }),
    [`${plugin}/skills/greet/SKILL.md`]: "---\nname: greet\ndescription: Greets.\n---\nSay hello.\n"
  }
  const path = yield* Path.Path
  for (const [file, content] of Object.entries(files)) {
    yield* fs.makeDirectory(path.dirname(file), { recursive: true })
    yield* fs.writeFileString(file, content)
  }
})

const make = Effect.gen(function*() {
  const client = yield* AppServerClient
  const offline = yield* OfflineModel
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { codexHome } = (yield* Codex).metadata
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "codex-protocol-" })
  yield* fs.writeFileString(path.join(folder, "a.txt"), "Hello from a file\n")
  yield* fs.makeDirectory(path.join(folder, "sub"))
  yield* writeShop(path.join(folder, "shop"))

  yield* client.notifications.pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event.method === "client/decodeFailure") mismatches.push(event.params.error.message)
        else told.add(event.method)
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )

  const newThread = Effect.map(client.request("thread/start", { cwd: folder }), ({ thread }) => thread.id)
  const start = (threadId: string, text: string) =>
    Effect.map(
      client.request("turn/start", { threadId, input: [{ type: "text", text }] }),
      ({ turn }) => ({ threadId, turnId: turn.id })
    )
  const newHistory = Effect.gen(function*() {
    const threadId = yield* newThread
    const ended = yield* client.threadNotifications(threadId).pipe(
      Stream.filter((event) => event.method === "turn/completed"),
      Stream.runHead,
      Effect.forkChild({ startImmediately: true })
    )
    const turn = yield* start(threadId, "Hello")
    yield* Fiber.join(ended)
    return turn
  })
  const busyThreadOn = Effect.fnUntraced(function*(model: string) {
    const { thread } = yield* client.request("thread/start", { cwd: folder, model })
    const threadId = thread.id
    const speaks = client.threadNotifications(threadId).pipe(
      Stream.filter((event) => event.method === "item/agentMessage/delta"),
      Stream.runHead
    )
    const speaking = yield* Effect.forkChild(speaks, { startImmediately: true })
    const turn = yield* start(threadId, "Wait")
    yield* Fiber.join(speaking)
    return turn
  })

  const history = yield* newHistory
  const { thread } = yield* client.request("thread/read", { threadId: history.threadId, includeTurns: true })
  const answer = thread.turns[0]?.items.find((item) => item.type === "agentMessage")
  if (answer === undefined) return yield* Effect.die("The first turn gave no answer")
  return World.of({
    client,
    model: offline,
    home: codexHome,
    folder,
    ...history,
    itemId: answer.id,
    newThread,
    newHistory,
    busyThread: busyThreadOn("gpt-5.4"),
    busyThreadOn
  })
})

/** Configuration that the cases need. No feedback is ever sent, whatever the network. */
const config = {
  "feedback.enabled": false,
  "features.step_model_switching": true,
  "features.plugins": true,
  "mcp_servers.fake": { command: process.execPath, args: [`${import.meta.dirname}/mcpServer.mjs`] }
}

const layerOf = (overrides: typeof config) =>
  Layer.effect(World, make).pipe(
    Layer.provide(
      OfflineCodex.layer({ model, codex: { experimental: true, requestTimeout: "10 seconds", config: overrides } })
    ),
    Layer.provide(NodeServices.layer)
  )

/** A world of its own. */
export const layer = layerOf(config)

/** The same without plugins, which is sooner gone. */
export const layerWithoutPlugins = layerOf({ ...config, "features.plugins": false })
