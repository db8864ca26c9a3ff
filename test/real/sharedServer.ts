/** One app-server with several clients: it listens, and each client has a connection of its own. */
import { AppServerClient, Codex } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ChildProcess from "effect/process/ChildProcess"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Binary from "../../packages/node/src/internal/binary.ts"

/** How a server is started. */
export interface Options {
  /** Where it listens, as `--listen` has it; a port of its own unless given. */
  readonly listen?: string
  /** Further arguments. */
  readonly args?: ReadonlyArray<string>
  /** Its home; one for the offline model unless given. */
  readonly home?: string
}

/** Starts a server, until the scope closes. */
export const listen = Effect.fnUntraced(function*(options: Options = {}) {
  const { baseUrl } = yield* OfflineModel
  const home = options.home ?? (yield* OfflineHome.make({ baseUrl }))
  const server = yield* ChildProcess.make(
    yield* Binary.pinned(),
    ["app-server", "--listen", options.listen ?? "ws://127.0.0.1:0", ...options.args ?? []],
    {
      env: { CODEX_HOME: home, HOME: home, RUST_LOG: "off,codex_app_server_transport=info" },
      extendEnv: true,
      stdin: "ignore"
    }
  )
  const address = yield* Deferred.make<string>()
  yield* Stream.merge(server.stdout, server.stderr).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) => {
      const url = /listening on: (ws:\/\/\S+)/.exec(line)?.[1]
      const found = url ?? (line.includes("control socket listening") ? options.listen : undefined)
      return found === undefined ? Effect.void : Deferred.succeed(address, found)
    }),
    Effect.forkScoped
  )
  return { url: yield* Deferred.await(address), home, process: server }
})

/** Starts the server; gives its address. */
export const start = Effect.map(listen(), ({ url }) => url)

/** A client of the server. */
export interface Client {
  readonly codex: Codex["Service"]
  readonly client: AppServerClient["Service"]
}

/** A client over this connection, until the scope closes. */
export const client = <E, R>(
  layer: Layer.Layer<Codex | AppServerClient, E, R>
): Effect.Effect<Client, E, R | Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => ({
    codex: Context.get(context, Codex),
    client: Context.get(context, AppServerClient)
  }))

/** A client of the server, until the scope closes. */
export const connect = <E = never, R = never>(
  url: string,
  approvals?: NodeCodex.AgentOptions<E, R>["approvals"]
): Effect.Effect<Client, NodeCodex.ConnectError, R | Scope.Scope> =>
  client(NodeCodex.layerWebSocket({ url, approvals }))
