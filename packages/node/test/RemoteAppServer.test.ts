import { InvalidOptions, TransportError } from "@effect-codex/core"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as NodeWS from "@effect/platform-node/NodeWS"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { createServer, type RequestListener } from "node:http"
import { createServer as createTcpServer, type Server } from "node:net"
import * as RemoteAppServer from "../src/RemoteAppServer.ts"

const portOf = (server: Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : assert.fail("It does not listen")
}

const listening = <S extends Server>(server: S) =>
  Effect.acquireRelease(
    Effect.callback<S>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    () => Effect.sync(() => server.close())
  )

/** The environment of this process has these variables until the scope closes. */
const withEnv = (env: Readonly<Record<string, string>>) =>
  Effect.forEach(Object.entries(env), ([name, value]) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const before = process.env[name]
        process.env[name] = value
        return before
      }),
      (before) =>
        Effect.sync(() => {
          if (before === undefined) delete process.env[name]
          else process.env[name] = before
        })
    ))

/** An HTTP server that may answer, and what its WebSockets do. */
const serve = (onSocket: ((socket: NodeWS.WebSocket) => void) | undefined, onRequest?: RequestListener) =>
  Effect.gen(function*() {
    const server = yield* listening(createServer(onRequest))
    if (onSocket !== undefined) {
      const sockets = new NodeWS.WebSocketServer({ server })
      sockets.on("connection", onSocket)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const socket of sockets.clients) socket.terminate()
        })
      )
    }
    return `ws://127.0.0.1:${portOf(server)}`
  })

const fails = (options: RemoteAppServer.WebSocketOptions) =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(Effect.scoped(RemoteAppServer.webSocket(options)))
    return error instanceof TransportError ? error : assert.fail(`It failed with ${error._tag}`)
  })

const text = (chunks: ReadonlyArray<Uint8Array>) => Buffer.concat(chunks).toString()

describe("what keeps a connection from being made", () => {
  it.live("an option that cannot be", () =>
    Effect.gen(function*() {
      const url = "ws://127.0.0.1:1"
      const bad: ReadonlyArray<readonly [path: string, options: RemoteAppServer.WebSocketOptions]> = [
        ["url", { url: "127.0.0.1:4500" }],
        ["url", { url: "http://127.0.0.1:4500" }],
        ["url", { url: "ws://127.0.0.1:4500/#part" }],
        ["connectTimeout", { url, connectTimeout: 0 }],
        ["pingInterval", { url, pingInterval: "-1 seconds" }],
        ["token", { url, token: Redacted.make("two\nlines") }]
      ]
      for (const [path, options] of bad) {
        const error = yield* Effect.flip(Effect.scoped(RemoteAppServer.webSocket(options)))
        assert.instanceOf(error, InvalidOptions)
        assert.deepStrictEqual(error.issues.map((issue) => issue.path), [path])
      }
    }))

  it.live("nobody who listens", () =>
    Effect.gen(function*() {
      const url = yield* Effect.scoped(serve(undefined))
      const error = yield* fails({ url })
      assert.deepStrictEqual([error.operation, error.reason], ["open", "Unreachable"])
      assert.include(error.message, "ECONNREFUSED")
      assert.include(error.message, new URL(url).host)
    }))

  it.live("nobody who listens in the home, which is the user's own where CODEX_HOME is empty", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const home = yield* fs.makeTempDirectoryScoped()
      yield* withEnv({ CODEX_HOME: "", HOME: home, USERPROFILE: home })
      const expected = path.join(home, ".codex", "app-server-control", "app-server-control.sock")
      for (const options of [{}, { codexHome: "" }]) {
        const error = yield* Effect.flip(Effect.scoped(RemoteAppServer.unixSocket(options)))
        assert.strictEqual(error.message, `Could not connect to ${expected}: ENOENT (open)`)
      }
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("a web server", () =>
    Effect.gen(function*() {
      const statuses: ReadonlyArray<readonly [status: number, reason: TransportError["reason"]]> = [
        [200, "NotAnAppServer"],
        [302, "NotAnAppServer"],
        [404, "NotAnAppServer"],
        [426, "NotAnAppServer"],
        [401, "Unauthorized"],
        [403, "Unauthorized"],
        [502, "Unreachable"],
        [503, "Unreachable"]
      ]
      for (const [status, reason] of statuses) {
        const url = yield* serve(undefined, (_request, response) => response.writeHead(status).end("a page"))
        const error = yield* fails({ url: `${url}?token=query-secret`, token: Redacted.make("header-secret") })
        assert.strictEqual(error.reason, reason)
        assert.include(error.message, `HTTP ${status}`)
        assert.notMatch(JSON.stringify(error) + error.stack + String(error.cause), /secret|a page/)
      }
    }))

  it.live("something that does not speak HTTP", () =>
    Effect.gen(function*() {
      const server = yield* listening(createTcpServer((socket) => socket.on("error", () => {}).end("SSH-2.0-x\r\n")))
      const error = yield* fails({ url: `ws://127.0.0.1:${portOf(server)}` })
      assert.strictEqual(error.reason, "NotAnAppServer")
    }))

  it.live("somebody who never answers", () =>
    Effect.gen(function*() {
      const server = yield* listening(createTcpServer((socket) => socket.on("error", () => {}).resume()))
      const error = yield* fails({ url: `ws://127.0.0.1:${portOf(server)}`, connectTimeout: "50 millis" })
      assert.deepStrictEqual([error.operation, error.reason], ["open", "Timeout"])
    }))
})

describe("a connection", () => {
  it.live("sends the token, and makes a line of each message", () =>
    Effect.gen(function*() {
      const authorization = yield* Deferred.make<string | undefined>()
      const server = yield* listening(createServer())
      const sockets = new NodeWS.WebSocketServer({ server })
      sockets.on("connection", (socket, request) => {
        Deferred.doneUnsafe(authorization, Effect.succeed(request.headers.authorization))
        socket.send("{\n\"a\":\r\n1}")
        socket.send(Buffer.from("{\"b\":\"ü\"}"))
        socket.send("")
        socket.close()
      })
      const { incoming, serverGoesOn } = yield* RemoteAppServer.webSocket({
        url: new URL(`ws://127.0.0.1:${portOf(server)}/path`),
        token: Redacted.make(" secret\n")
      })
      assert.isTrue(serverGoesOn)
      assert.strictEqual(yield* Deferred.await(authorization), "Bearer secret")
      const chunks: Array<Uint8Array> = []
      const error = yield* Effect.flip(
        Stream.runForEach(incoming, (chunk) => Effect.sync(() => chunks.push(chunk)))
      )
      assert.strictEqual(text(chunks), "{ \"a\":\r 1}\n{\"b\":\"ü\"}\n\n")
      assert.deepStrictEqual([error._tag, error._tag === "TransportError" && error.reason], [
        "TransportError",
        "Closed"
      ])
    }))

  it.live("waits while the other side does not read, and can be interrupted", () =>
    Effect.gen(function*() {
      const accepted = yield* Deferred.make<NodeWS.WebSocket>()
      const url = yield* serve((socket) => {
        socket.pause()
        Deferred.doneUnsafe(accepted, Effect.succeed(socket))
      })
      const { send } = yield* RemoteAppServer.webSocket({ url })
      const socket = yield* Deferred.await(accepted)
      const line = "x".repeat(1024 * 1024)
      let sent = 0
      const writer = yield* Effect.forkChild(
        Effect.forever(Effect.tap(send(line), Effect.sync(() => sent++))),
        { startImmediately: true }
      )
      // Until the buffers of the operating system are full.
      let before = -1
      yield* Effect.sleep("50 millis").pipe(
        Effect.andThen(Effect.sync(() => {
          const stands = sent === before
          before = sent
          return stands
        })),
        Effect.repeat({ until: (stands) => stands })
      )
      assert.isBelow(sent, 64)
      yield* Fiber.interrupt(writer)
      const received = yield* Deferred.make<void>()
      socket.on("message", (data) => {
        if (String(data) === "last") Deferred.doneUnsafe(received, Effect.void)
      })
      socket.resume()
      yield* send("last")
      yield* Deferred.await(received)
    }))

  it.live("ends every write that waits when it ends", () =>
    Effect.gen(function*() {
      const accepted = yield* Deferred.make<NodeWS.WebSocket>()
      const url = yield* serve((socket) => {
        socket.pause()
        Deferred.doneUnsafe(accepted, Effect.succeed(socket))
      })
      const { incoming, send } = yield* RemoteAppServer.webSocket({ url })
      const socket = yield* Deferred.await(accepted)
      const writer = yield* Effect.forkChild(
        Effect.flip(Effect.forever(send("x".repeat(1024 * 1024)))),
        { startImmediately: true }
      )
      const reader = yield* Effect.forkChild(Effect.flip(Stream.runDrain(incoming)), { startImmediately: true })
      socket.terminate()
      assert.strictEqual((yield* Fiber.join(reader))._tag, "TransportError")
      const error = yield* Fiber.join(writer)
      assert.deepStrictEqual([error._tag, error._tag === "TransportError" && error.operation], [
        "TransportError",
        "write"
      ])
      assert.strictEqual((yield* Effect.flip(send("late")))._tag, "TransportError")
    }))

  it.live("ends when nothing shows that the other side is there", () =>
    Effect.gen(function*() {
      const url = yield* serve((socket) => socket.pause())
      const { incoming } = yield* RemoteAppServer.webSocket({ url, pingInterval: "20 millis" })
      const error = yield* Effect.flip(Stream.runDrain(incoming))
      assert.deepStrictEqual([error._tag, error._tag === "TransportError" && error.reason], [
        "TransportError",
        "Timeout"
      ])
    }))

  it.live("lives on silence that answers", () =>
    Effect.gen(function*() {
      const pings = yield* Deferred.make<void>()
      let count = 0
      const url = yield* serve((socket) =>
        socket.on("ping", () => ++count === 4 ? Deferred.doneUnsafe(pings, Effect.void) : undefined)
      )
      const { incoming } = yield* RemoteAppServer.webSocket({ url, pingInterval: "100 millis" })
      const reader = yield* Effect.forkChild(Stream.runDrain(incoming), { startImmediately: true })
      yield* Deferred.await(pings)
      assert.isUndefined(reader.pollUnsafe())
    }))

  it.live("closes with its scope, also where the other side does not take part", () =>
    Effect.gen(function*() {
      const accepted = yield* Deferred.make<NodeWS.WebSocket>()
      const closed = yield* Deferred.make<void>()
      const url = yield* serve((socket) => {
        socket.pause()
        socket.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
        Deferred.doneUnsafe(accepted, Effect.succeed(socket))
      })
      yield* Effect.scoped(RemoteAppServer.webSocket({ url }))
      const socket = yield* Deferred.await(accepted)
      socket.resume()
      yield* Deferred.await(closed)
    }))
})
