/** One app-server with several clients: it listens on loopback, and each client has a connection of its own. */
import { Approvals, AppServerClient, Codex, Transport, TransportError } from "@effect-codex/core"
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Binary from "../../packages/node/src/internal/binary.ts"

/** Starts the server; gives its address. */
export const start = Effect.gen(function*() {
  const { baseUrl } = yield* OfflineModel
  const home = yield* OfflineHome.make({ baseUrl })
  const server = yield* ChildProcess.make(yield* Binary.pinned(), ["app-server", "--listen", "ws://127.0.0.1:0"], {
    env: { CODEX_HOME: home, RUST_LOG: "off" },
    extendEnv: true,
    stdin: "ignore"
  })
  const address = yield* Deferred.make<string>()
  yield* Stream.merge(server.stdout, server.stderr).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) => {
      const found = /listening on: (ws:\/\/\S+)/.exec(line)?.[1]
      return found === undefined ? Effect.void : Deferred.succeed(address, found)
    }),
    Effect.forkScoped
  )
  return yield* Deferred.await(address)
})

const transport = (address: string) =>
  Effect.gen(function*() {
    const incoming = yield* Queue.unbounded<Uint8Array, TransportError>()
    const encoder = new TextEncoder()
    const socket = yield* Effect.acquireRelease(
      Effect.callback<WebSocket>((resume) => {
        const socket = new WebSocket(address)
        socket.addEventListener("open", () => resume(Effect.succeed(socket)))
        socket.addEventListener("error", () => resume(Effect.die(new Error(`Nobody listens on ${address}`))))
      }),
      (socket) => Effect.sync(() => socket.close())
    )
    socket.addEventListener("message", ({ data }) => Queue.offerUnsafe(incoming, encoder.encode(`${data}\n`)))
    const closed = new TransportError({ operation: "read", description: "Closed" })
    socket.addEventListener("close", () => Queue.failCauseUnsafe(incoming, Cause.fail(closed)))
    return Transport.of({
      incoming: Stream.fromQueue(incoming),
      send: (line) => Effect.sync(() => socket.send(line))
    })
  })

/** A client of the server. */
export interface Client {
  readonly codex: Codex["Service"]
  readonly client: AppServerClient["Service"]
}

type Failure = Layer.Error<ReturnType<typeof AppServerClient.layer>>

/** A client of the server, until the scope closes. */
export const connect = <E = never, R = never>(
  address: string,
  approvals?: Approvals.Options<E, R>
): Effect.Effect<Client, Failure, R | Scope.Scope> =>
  Effect.gen(function*() {
    const client = Layer.provide(AppServerClient.layer(), Layer.effect(Transport, transport(address)))
    const context = yield* Layer.build(
      Codex.layer.pipe(
        Layer.provideMerge(approvals === undefined ? client : Layer.provide(client, Approvals.layer(approvals))),
        Layer.fresh
      )
    )
    return { codex: Context.get(context, Codex), client: Context.get(context, AppServerClient) }
  })
