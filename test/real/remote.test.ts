import {
  Approvals,
  AppServerExited,
  Codex,
  InvalidRequest,
  SupervisorGaveUp,
  TransportError,
  TurnInterrupted
} from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash, createHmac } from "node:crypto"
import { left } from "../support/leftovers.ts"
import { relay } from "../support/relay.ts"
import { client, connect, listen } from "./sharedServer.ts"
import { asked, closable, echo, failure, heard, live } from "./support.ts"

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** An answer that stands still after its first word. */
const slow = Effect.map(OfflineModel.gate, (gate) => ({
  gate,
  reply: OfflineModel.text(["Half ", OfflineModel.hold(gate), "and whole."])
}))

const environment = Layer.provideMerge(OfflineModel.layer(echo), NodeServices.layer)

layer(environment, live)("an app-server that somebody else runs, over a WebSocket", (it) => {
  it.effect("shakes hands, runs turns and streams them", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const { codex } = yield* connect(url)
      assert.strictEqual(codex.metadata.codexHome, home)
      const thread = yield* codex.startThread({ cwd: home })
      assert.strictEqual((yield* thread.run("First")).finalResponse, "Answer to: First")
      const model = yield* OfflineModel
      yield* model.enqueue(OfflineModel.text(["Grüße ", "aus ", "𝄞."]))
      const events = yield* Stream.runCollect(thread.stream("Second"))
      assert.deepStrictEqual(
        events.flatMap((event) => event.method === "item/agentMessage/delta" ? [event.params.delta] : []),
        ["Grüße ", "aus ", "𝄞."]
      )
      assert.strictEqual(events.at(-1)?.method, "turn/completed")
    }))

  it.effect("asks this program for approvals", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const model = yield* OfflineModel
      const asked = yield* Deferred.make<string>()
      const { codex } = yield* connect(url, {
        policy: (request) =>
          Effect.as(
            Deferred.succeed(asked, request._tag === "Command" ? request.command ?? "" : request._tag),
            Option.some(Approvals.accept)
          )
      })
      const call = OfflineModel.functionCall({
        name: "exec_command",
        arguments: { cmd: "echo from afar", sandbox_permissions: "require_escalated", justification: "To see" }
      })
      yield* model.enqueue([call], OfflineModel.text("Done."))
      const thread = yield* codex.startThread({ cwd: home, sandbox: "readOnly" })
      const result = yield* thread.run("Go")
      assert.include(yield* Deferred.await(asked), "echo from afar")
      const command = result.items.find((item) => item.type === "commandExecution")
      assert.deepStrictEqual([command?.status, command?.aggregatedOutput], ["completed", "from afar\n"])
    }))

  it.effect("goes on when the scope closes, with its other clients", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const mine = yield* closable
      const first = yield* mine.use(connect(url))
      const second = yield* connect(url)
      const thread = yield* first.codex.startThread({ cwd: home })
      yield* thread.run("First")
      yield* mine.close
      assert.instanceOf(yield* Effect.flip(thread.run("Too late")), TransportError)
      const again = yield* second.codex.resumeThread(thread.id)
      assert.strictEqual((yield* again.run("Second")).finalResponse, "Answer to: Second")
      assert.strictEqual((yield* again.read({ includeTurns: true })).turns.length, 2)
    }))

  it.effect("does not work on when the scope closes: what is in progress is interrupted", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const model = yield* OfflineModel
      const other = yield* connect(url)
      const mine = yield* closable
      const { codex } = yield* mine.use(connect(url))
      const thread = yield* codex.startThread({ cwd: home })
      const { reply } = yield* slow
      yield* model.enqueue(reply)
      // The turn's own scope is still open.
      const turn = yield* thread.turn("Go")
      yield* heard(turn, "Half ")
      yield* mine.close
      assert.instanceOf(yield* Effect.flip(turn.result), TurnInterrupted)
      const { turns } = yield* other.codex.readThread(thread.id, { includeTurns: true })
      assert.deepStrictEqual(turns.map(({ status }) => status), ["interrupted"])
    }))

  it.effect("pauses a goal when the scope closes", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const model = yield* OfflineModel
      const other = yield* connect(url)
      const mine = yield* closable
      const { codex } = yield* mine.use(connect(url))
      const thread = yield* codex.startThread({ cwd: home })
      const { reply } = yield* slow
      yield* model.enqueue(reply)
      const goal = yield* thread.startGoal("See it through")
      yield* asked(thread.id)
      yield* mine.close
      assert.isTrue(Exit.isFailure(yield* Effect.exit(goal.result)))
      const { goal: stored } = yield* other.client.request("thread/goal/get", { threadId: thread.id })
      assert.strictEqual(stored?.status, "paused")
    }))

  it.effect("that is killed ends every waiter with one error", () =>
    Effect.gen(function*() {
      const { home, process, url } = yield* listen()
      const model = yield* OfflineModel
      const { client, codex } = yield* connect(url)
      const thread = yield* codex.startThread({ cwd: home })
      const { reply } = yield* slow
      yield* model.enqueue(reply)
      const turn = yield* thread.turn("Go")
      yield* heard(turn, "Half ")
      const reading = yield* fork(Effect.flip(Stream.runDrain(codex.events)))
      yield* process.kill({ killSignal: "SIGKILL" })
      const error = yield* failure(turn.result, "TransportError")
      assert.deepStrictEqual([error.operation, error.reason], ["read", "Closed"])
      assert.include(error.message, new URL(url).host)
      assert.strictEqual((yield* Fiber.join(reading))._tag, "TransportError")
      assert.strictEqual(yield* client.closed, error)
      const late = yield* failure(codex.models(), "TransportError")
      assert.deepStrictEqual([late.reason, late.method], ["Closed", "model/list"])
    }))

  it.effect("that is told to end carries the turn through, and takes no other", () =>
    Effect.gen(function*() {
      const { home, process: server, url } = yield* listen()
      const model = yield* OfflineModel
      const { client, codex } = yield* connect(url)
      const thread = yield* codex.startThread({ cwd: home })
      const other = yield* codex.startThread({ cwd: home })
      const { gate, reply } = yield* slow
      yield* model.enqueue(reply)
      const turn = yield* thread.turn("Go")
      yield* heard(turn, "Half ")
      process.kill(server.pid, "SIGTERM")
      const refused = yield* other.run("Me too").pipe(
        Effect.repeat({ until: () => false }),
        Effect.flip
      )
      assert.instanceOf(refused, InvalidRequest)
      assert.include(refused.message, "draining")
      yield* gate.open
      assert.strictEqual((yield* client.closed)._tag, "TransportError")
      // The server is gone before it has told the turn's end, or just after; it has written it down.
      yield* Effect.exit(turn.result)
      const next = yield* connect((yield* listen({ home })).url)
      const { turns } = yield* next.codex.readThread(thread.id, { includeTurns: true })
      assert.deepStrictEqual(turns.map(({ status }) => status), ["completed"])
    }))

  it.effect("takes a message of more than one of its frames, and none that would end the connection", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const { client, codex } = yield* connect(url)
      const thread = yield* codex.startThread({ cwd: home })
      const setName = (length: number) => thread.setName("ä".repeat(length / 2))
      yield* setName(20 * 1024 * 1024)
      assert.strictEqual((yield* thread.read()).name?.length, 10 * 1024 * 1024)
      const error = yield* failure(setName(65 * 1024 * 1024), "TransportError")
      assert.deepStrictEqual([error.operation, error.reason], ["write", "TooLarge"])
      yield* client.request("thread/loaded/list", {})
    }))

  it.effect("may send what is longer than accepted: that message fails alone, or ends the connection", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const writer = yield* connect(url)
      const { client: reader } = yield* client(NodeCodex.layerWebSocket({ url, maxLineBytes: 64 * 1024 }))
      const thread = yield* writer.codex.startThread({ cwd: home })
      const { data } = yield* reader.request("thread/loaded/list", {})
      assert.deepStrictEqual(data, [thread.id])
      const path = `${home}/large`
      const fs = yield* FileSystem.FileSystem
      yield* fs.writeFileString(path, "x".repeat(100_000))
      assert.strictEqual((yield* failure(reader.request("fs/readFile", { path }), "DecodeError")).payload, "result")
      yield* reader.request("thread/loaded/list", {})
      yield* fs.writeFileString(path, "x".repeat(1_000_000))
      const error = yield* failure(reader.request("fs/readFile", { path }), "TransportError")
      assert.deepStrictEqual([error.operation, error.reason], ["read", "TooLarge"])
      yield* writer.client.request("thread/loaded/list", {})
    }))

  it.effect("leaves nothing of its connections here", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const round = Effect.gen(function*() {
        const { codex } = yield* connect(url)
        const thread = yield* codex.startThread({ cwd: home })
        yield* thread.run("Go")
      }).pipe(Effect.scoped)
      yield* round
      const counts = yield* left(Effect.repeat(round, { times: 9 }))
      assert.deepStrictEqual(counts, { fibers: 0, descriptors: 0, processes: 0, pipes: 0, listeners: 0, timers: 0 })
    }))
})

layer(environment, live)("the token of a remote app-server", (it) => {
  const token = "a-capability-token-of-this-test"
  const sha256 = createHash("sha256").update(token).digest("hex")
  const capability = listen({ args: ["--ws-auth", "capability-token", "--ws-token-sha256", sha256] })
  const open = (options: NodeCodex.WebSocketOptions) => Effect.scoped(client(NodeCodex.layerWebSocket(options)))

  it.effect("lets in who has it", () =>
    Effect.gen(function*() {
      const { url } = yield* capability
      // As read from a file.
      const { codex } = yield* client(NodeCodex.layerWebSocket({ url, token: Redacted.make(`${token}\n`) }))
      assert.isAbove((yield* codex.models()).length, 0)
    }))

  it.effect("keeps out everybody else, and is shown to nobody", () =>
    Effect.gen(function*() {
      const { url } = yield* capability
      const none = yield* failure(open({ url }), "TransportError")
      assert.deepStrictEqual([none.operation, none.reason], ["open", "Unauthorized"])
      assert.include(none.message, "asks for a token")
      const wrong = yield* failure(open({ url, token: Redacted.make("the-wrong-secret") }), "TransportError")
      assert.strictEqual(wrong.reason, "Unauthorized")
      assert.include(wrong.message, "refuses the token")
      assert.notInclude(JSON.stringify(wrong) + String(wrong.stack) + String(wrong.cause), "the-wrong-secret")
      const bad = yield* failure(open({ url, token: Redacted.make("first line\nsecond line") }), "InvalidOptions")
      assert.deepStrictEqual(bad.issues.map(({ path }) => path), ["token"])
      assert.notInclude(JSON.stringify(bad) + String(bad.stack), "line")
    }))

  it.effect("may be one that expires: an effect is asked for each connection", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const secret = "0123456789abcdef0123456789abcdef"
      const file = path.join(yield* fs.makeTempDirectoryScoped(), "secret")
      yield* fs.writeFileString(file, secret)
      const { url } = yield* listen({ args: ["--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", file] })
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
      const signed = (seconds: number) => {
        const text = `${part({ alg: "HS256" })}.${part({ exp: Math.floor(Date.now() / 1000) + seconds })}`
        return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`
      }
      const made = yield* Ref.make(0)
      const token = Effect.as(Ref.update(made, (count) => count + 1), Redacted.make(signed(600)))
      yield* open({ url, token })
      yield* open({ url, token })
      assert.strictEqual(yield* Ref.get(made), 2)
      const expired = yield* failure(open({ url, token: Redacted.make(signed(-600)) }), "TransportError")
      assert.strictEqual(expired.reason, "Unauthorized")
      const refused = new TransportError({ operation: "open", description: "Nobody signs" })
      assert.strictEqual(yield* Effect.flip(open({ url, token: Effect.fail(refused) })), refused)
    }))

  it.effect("and the address may come from the environment", () =>
    Effect.gen(function*() {
      const { home, url } = yield* capability
      const env = ConfigProvider.layer(ConfigProvider.fromEnvRecord({
        CODEX_URL: url,
        CODEX_TOKEN: token,
        CODEX_CONNECT_TIMEOUT: "20 seconds"
      }))
      const metadata = yield* Codex.useSync(({ metadata }) => metadata).pipe(
        Effect.provide(Layer.provide(NodeCodex.layerConfig(), env))
      )
      assert.strictEqual(metadata.codexHome, home)
    }))
})

layer(environment, live)("an app-server on a Unix socket", (it) => {
  const socketPath = Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    return path.join(yield* fs.makeTempDirectoryScoped(), "sockets: all", "app server.sock")
  })

  it.effect("runs turns", () =>
    Effect.gen(function*() {
      const path = yield* socketPath
      const { home } = yield* listen({ listen: `unix://${path}` })
      const { codex } = yield* client(NodeCodex.layerUnixSocket({ path }))
      const thread = yield* codex.startThread({ cwd: home })
      assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
    }))

  it.effect("may have a path that is longer than a socket's", () =>
    Effect.gen(function*() {
      const path = `${yield* socketPath}.${"long".repeat(50)}`
      const { home } = yield* listen({ listen: `unix://${path}` })
      const { codex } = yield* client(NodeCodex.layerUnixSocket({ path }))
      assert.strictEqual(codex.metadata.codexHome, home)
    }))

  it.effect("is found by itself, and by its address", () =>
    Effect.gen(function*() {
      const { home, process: server } = yield* listen({ listen: "unix://" })
      const before = process.env["CODEX_HOME"]
      yield* Effect.acquireRelease(
        Effect.sync(() => process.env["CODEX_HOME"] = home),
        () =>
          Effect.sync(() =>
            before === undefined ? delete process.env["CODEX_HOME"] : process.env["CODEX_HOME"] = before
          )
      )
      const { codex } = yield* client(NodeCodex.layerUnixSocket())
      assert.strictEqual(codex.metadata.codexHome, home)
      yield* Effect.sync(() => delete process.env["CODEX_HOME"])
      const env = ConfigProvider.layer(ConfigProvider.fromEnvRecord({ CODEX_URL: "unix://", CODEX_HOME: home }))
      const configured = yield* client(Layer.provide(NodeCodex.layerConfig(), env))
      assert.strictEqual(configured.codex.metadata.codexHome, home)
      assert.isTrue(yield* server.isRunning)
    }))

  it.effect("is missed where nobody listens", () =>
    Effect.gen(function*() {
      const path = yield* socketPath
      const error = yield* failure(Effect.scoped(client(NodeCodex.layerUnixSocket({ path }))), "TransportError")
      assert.deepStrictEqual([error.operation, error.reason], ["open", "Unreachable"])
      assert.include(error.message, path)
    }))
})

layer(environment, live)("a supervised connection to a remote app-server", (it) => {
  const restarted = (codex: Codex["Service"]) =>
    codex.events.pipe(
      Stream.flatMap((event) => event.method === "client/restarted" ? Stream.succeed(event.params) : Stream.empty),
      Stream.runHead,
      Effect.flatMap(Effect.fromOption)
    )

  it.effect("is made again when the server comes back, with the threads that are named", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/codex.sock`
      const address = `unix://${path}`
      const first = yield* Scope.fork(yield* Effect.scope)
      const { baseUrl } = yield* OfflineModel
      const home = yield* OfflineHome.make({ baseUrl })
      yield* Scope.provide(listen({ listen: address, home }), first)
      const threads = yield* Ref.make<ReadonlyArray<string>>([])
      const { codex } = yield* client(NodeCodex.layerUnixSocketSupervised({
        path,
        restart: Schedule.spaced("50 millis"),
        resumeThreads: Ref.get(threads)
      }))
      const thread = yield* codex.startThread({ cwd: home })
      yield* thread.run("First")
      yield* Ref.set(threads, [thread.id])
      const waiting = yield* fork(restarted(codex))
      yield* Scope.close(first, Exit.void)
      yield* listen({ listen: address, home })
      const { cause, failed, resumed } = yield* Fiber.join(waiting)
      assert.strictEqual(cause._tag, "TransportError")
      assert.deepStrictEqual([resumed, failed], [[thread.id], []])
      assert.instanceOf(yield* Effect.flip(thread.run("Too late")), TransportError)
      const again = yield* codex.resumeThread(thread.id)
      assert.strictEqual((yield* again.run("Second")).finalResponse, "Answer to: Second")
    }))

  it.effect("finds the turn that went on while nobody listened", () =>
    Effect.gen(function*() {
      const { home, url } = yield* listen()
      const model = yield* OfflineModel
      const { codex } = yield* connect(url)
      const lost = yield* closable
      // A connection that ends without a word, as when a cable is pulled.
      const through = yield* relay(url)
      const first = yield* lost.use(connect(through.url))
      const thread = yield* first.codex.startThread({ cwd: home })
      const { gate, reply } = yield* slow
      yield* model.enqueue(reply)
      const turn = yield* thread.turn("Go")
      yield* heard(turn, "Half ")
      yield* through.cut
      assert.instanceOf(yield* Effect.flip(turn.result), TransportError)
      const again = yield* codex.resumeThread(thread.id)
      const done = yield* fork(
        again.events.pipe(Stream.filter(({ method }) => method === "turn/completed"), Stream.runHead)
      )
      yield* gate.open
      yield* Fiber.join(done)
      const { turns } = yield* again.read({ includeTurns: true })
      assert.deepStrictEqual(turns.map(({ status }) => status), ["completed"])
    }))

  it.effect("is given up at once where the token is refused", () =>
    Effect.gen(function*() {
      const hash = (text: string) => createHash("sha256").update(text).digest("hex")
      const auth = (token: string) => ["--ws-auth", "capability-token", "--ws-token-sha256", hash(token)]
      const first = yield* Scope.fork(yield* Effect.scope)
      const { url } = yield* Scope.provide(listen({ args: auth("the first token") }), first)
      const { client: remote } = yield* client(NodeCodex.layerWebSocketSupervised({
        url,
        token: Redacted.make("the first token"),
        restart: Schedule.spaced("50 millis")
      }))
      yield* Scope.close(first, Exit.void)
      yield* listen({ listen: url, args: auth("another token") })
      const error = yield* remote.closed
      assert.instanceOf(error, SupervisorGaveUp)
      assert.strictEqual(error.reason, "cannotBeMended")
      assert.strictEqual(error.lastCause._tag === "TransportError" && error.lastCause.reason, "Unauthorized")
    }))

  it.effect("has to be made the first time", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = `${yield* fs.makeTempDirectoryScoped()}/none`
      const error = yield* Effect.flip(Effect.scoped(client(NodeCodex.layerUnixSocketSupervised({ path }))))
      assert.notInstanceOf(error, AppServerExited)
      assert.strictEqual(error._tag === "TransportError" && error.reason, "Unreachable")
    }))
})
