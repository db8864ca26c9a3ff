/**
 * An app-server in memory, for the tests of programs that use Codex: no process, no
 * account, and time is the TestClock's.
 *
 * Threads and turns behave as those of the real app-server; what the agent does in a
 * turn is up to a script. What it sends is checked against the generated Schemas, so
 * that it says nothing that the real one could not.
 *
 * @since 0.1.0
 */
import {
  type ClientRequestMethod,
  type ClientRequestParams,
  type ClientRequestResults,
  codexVersion,
  type Model,
  type ServerNotificationMethod,
  type ServerNotificationParams,
  type ServerRequestMethod,
  type ServerRequestParams,
  type ServerRequestResults
} from "@effect-codex/generated"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Types from "effect/Types"
import * as Approvals from "../Approvals.ts"
import { AppServerClient, type HandshakeError, type Options as ClientOptions } from "../AppServerClient.ts"
import { Codex } from "../Codex.ts"
import { AppServerExited } from "../CodexError.ts"
import { Transport } from "../Transport.ts"
import type { AgentTurn, Script } from "./agentTurn.ts"
import * as FakeConnection from "./fakeConnection.ts"
import * as FakeThreads from "./fakeThreads.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * Options of `TestAppServer.layerTransport`; every one has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerOptions {
  /** What the agent does in turns that nothing is enqueued for. Default: it answers `OK`, and a goal is complete. */
  readonly respond?: Script | undefined
  /** The server's home, in what it tells. Default: `/codex-home`. */
  readonly codexHome?: string | undefined
  /** The working directory of threads that name none. Default: `/workspace`. */
  readonly cwd?: string | undefined
  /** The models that there are. Default: one. */
  readonly models?: ReadonlyArray<Model> | undefined
}

/**
 * Options of `TestAppServer.layer`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E = never, R = never> extends ServerOptions {
  /** How the client is made, as for the real one. */
  readonly client?: ClientOptions | undefined
  /** What answers the server, as for the real one. */
  readonly approvals?: Approvals.Options<E, R> | undefined
}

/**
 * Which requests a fault happens to.
 *
 * @since 0.1.0
 * @category models
 */
export interface FaultOptions {
  /** How many. Default: 1. */
  readonly times?: number | undefined
  /** Of which method; of any one where it is left out. */
  readonly method?: ClientRequestMethod | undefined
}

// =============================================================================
// Service
// =============================================================================

/**
 * The members of `TestAppServer`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Adds what the agent does in the next turns, reviews and compactions among them, of whatever thread, in the order in which they start. */
  readonly enqueue: (...scripts: ReadonlyArray<Script>) => Effect.Effect<void>
  /** Sets what the agent does in turns that nothing is enqueued for. */
  readonly respond: (script: Script) => Effect.Effect<void>
  /** How many enqueued scripts no turn has taken yet. */
  readonly unplayed: Effect.Effect<number>
  /**
   * Says what a method does, in place of what it did. A result that does not fit the
   * protocol fails the request with `InternalError`, which says where.
   */
  readonly on: <M extends ClientRequestMethod>(
    method: M,
    handler: (params: ClientRequestParams[M]) => Effect.Effect<ClientRequestResults[M], FakeConnection.Refusal>
  ) => Effect.Effect<void>
  /** Tells the client something. Dies with a message when that does not fit the protocol. */
  readonly notify: <M extends ServerNotificationMethod>(
    method: M,
    params: ServerNotificationParams[M]
  ) => Effect.Effect<void>
  /** Asks the client something. Fails with the client's own refusal. */
  readonly ask: <M extends ServerRequestMethod>(
    method: M,
    params: ServerRequestParams[M]
  ) => Effect.Effect<ServerRequestResults[M], FakeConnection.Refusal>
  /** The requests of the client in the order they came in, the handshake among them; at most the last 10,000. */
  readonly received: Effect.Effect<ReadonlyArray<FakeConnection.Received>>
  /** The params of the requests of one method; at most the last 10,000. */
  readonly requests: <M extends ClientRequestMethod>(method: M) => Effect.Effect<ReadonlyArray<ClientRequestParams[M]>>
  /** Waits until a method was asked for so many times (once), and gives the params of that request. */
  readonly receive: <M extends ClientRequestMethod>(
    method: M,
    count?: number
  ) => Effect.Effect<ClientRequestParams[M] | undefined>
  /** Refuses the next requests as an overloaded server does (-32001). */
  readonly overload: (options?: FaultOptions) => Effect.Effect<void>
  /** Carries the next requests out and never answers them. */
  readonly dropResponses: (options?: FaultOptions) => Effect.Effect<void>
  /** Carries the next requests out at once and answers them after a time. */
  readonly delayResponses: (duration: Duration.Input, options?: FaultOptions) => Effect.Effect<void>
  /** Says nothing more, whatever happens, until `resume`; what it would have said comes then. */
  readonly stall: Effect.Effect<void>
  /** Ends a stall. */
  readonly resume: Effect.Effect<void>
  /** Writes a text as it is and ends the line: junk, or a message by hand. */
  readonly writeLine: (line: string) => Effect.Effect<void>
  /** Ends as a process does. With `halfLine`, in the middle of one. */
  readonly exit: (options?: {
    /** Default: 0, unless there is a signal. */
    readonly exitCode?: number | undefined
    readonly signal?: string | undefined
    /** The end of what it wrote to stderr. */
    readonly stderr?: string | undefined
    readonly halfLine?: string | undefined
  }) => Effect.Effect<void>
}

const model: Model = {
  id: "gpt-5.4",
  model: "gpt-5.4",
  displayName: "gpt-5.4",
  description: "The model of TestAppServer",
  hidden: false,
  isDefault: true,
  defaultReasoningEffort: "medium",
  supportedReasoningEfforts: [
    { reasoningEffort: "low", description: "Low" },
    { reasoningEffort: "medium", description: "Medium" },
    { reasoningEffort: "high", description: "High" }
  ]
}

/** Says so, also of a goal: it would be asked again and again. */
const ok: Script = (turn) =>
  Effect.andThen(
    turn.goal?.status === "active" && !turn.compacting ? turn.updateGoal("complete") : Effect.void,
    turn.say("OK")
  )

const layerTransport = (options: ServerOptions = {}): Layer.Layer<Transport | TestAppServer> =>
  Layer.effectContext(
    Effect.gen(function*() {
      const connection = yield* FakeConnection.make
      const { handlers } = connection
      const codexHome = options.codexHome ?? "/codex-home"
      const scripts: Array<Script> = []
      let fallback: Script = options.respond ?? ok

      Object.assign(
        handlers,
        FakeThreads.make(
          connection,
          { codexHome, cwd: options.cwd ?? "/workspace", models: options.models ?? [model] },
          () => Effect.sync(() => scripts.shift() ?? fallback)
        ),
        account(connection),
        {
          initialize: ({ capabilities, clientInfo }, respond) =>
            Effect.suspend(() => {
              connection.leaveOut(capabilities?.optOutNotificationMethods ?? [])
              return respond({
                userAgent: `${clientInfo.name}/${codexVersion} (TestAppServer)`,
                codexHome,
                platformFamily: "unix",
                platformOs: "linux"
              })
            })
        } satisfies FakeConnection.Handlers
      )

      const fault = (kind: Parameters<typeof connection.fault>[0]["kind"], options: FaultOptions = {}) =>
        connection.fault({ kind, method: options.method }, options.times ?? 1)

      const set = <M extends ClientRequestMethod>(method: M, handler: FakeConnection.Handler<M>): void => {
        const slot: { [K in M]?: FakeConnection.Handler<K> | undefined } = handlers
        slot[method] = handler
      }

      const service = TestAppServer.of({
        enqueue: (...more) => Effect.sync(() => scripts.push(...more)),
        respond: (script) =>
          Effect.sync(() => {
            fallback = script
          }),
        unplayed: Effect.sync(() => scripts.length),
        on: (method, handler) =>
          Effect.sync(() => set(method, (params, respond) => Effect.flatMap(handler(params), respond))),
        notify: connection.notify,
        ask: (method, params) => connection.ask(method, params),
        received: Effect.sync(connection.received),
        requests: (method) => Effect.sync(() => connection.requests(method)),
        receive: (method, count = 1) => connection.waitFor(method, count),
        overload: (options) => fault({ _tag: "Refuse", error: FakeConnection.overloaded }, options),
        dropResponses: (options) => fault({ _tag: "Drop" }, options),
        delayResponses: (duration, options) => fault({ _tag: "Delay", duration }, options),
        stall: connection.stall,
        resume: connection.resume,
        writeLine: (line) => connection.raw(`${line}\n`),
        exit: ({ exitCode, halfLine, signal, stderr = "" } = {}) =>
          Effect.andThen(
            halfLine === undefined ? Effect.void : connection.raw(halfLine),
            connection.end(
              new AppServerExited({
                stderr,
                ...(signal === undefined ? { exitCode: exitCode ?? 0 } : { signal })
              })
            )
          )
      })
      return Context.make(Transport, connection.transport).pipe(Context.add(TestAppServer, service))
    })
  )

/** Nobody is logged in, until somebody logs in with a key. */
const account = (connection: FakeConnection.FakeConnection): FakeConnection.Handlers => {
  let hasKey = false
  const told = (): Effect.Effect<void> =>
    connection.notify("account/updated", { authMode: hasKey ? "apikey" : null, planType: null })
  return {
    "account/read": (_, respond) =>
      Effect.suspend(() => respond({ account: hasKey ? { type: "apiKey" } : null, requiresOpenaiAuth: false })),
    "account/login/start": (params, respond) =>
      Effect.gen(function*() {
        if (params.type !== "apiKey") {
          return yield* FakeConnection.invalidRequest(
            `TestAppServer has no login of type ${params.type}: say what it does with on("account/login/start", ...)`
          )
        }
        hasKey = true
        yield* respond({ type: "apiKey" })
        yield* connection.notify("account/login/completed", { loginId: null, success: true, error: null })
        yield* told()
      }),
    "account/logout": (_, respond) =>
      Effect.suspend(() => {
        hasKey = false
        return Effect.andThen(respond({}), told())
      })
  }
}

const layer = <E = never, R = never>(
  options: Options<E, R> = {}
): Layer.Layer<Codex | AppServerClient | TestAppServer, HandshakeError, Types.NoInfer<R>> => {
  const client = AppServerClient.layer(options.client)
  const answered: Layer.Layer<AppServerClient, HandshakeError, Transport | R> = options.approvals === undefined
    ? client
    : Layer.provide(client, Approvals.layer(options.approvals))
  return Codex.layer.pipe(
    Layer.provideMerge(answered),
    Layer.provideMerge(layerTransport(options))
  )
}

/**
 * An app-server in memory, as the test controls it.
 *
 * **Example** (Testing a program)
 *
 * ```ts
 * import { Codex } from "@effect-codex/core"
 * import { TestAppServer } from "@effect-codex/core/testing"
 * import { assert, it } from "@effect/vitest"
 * import { Effect } from "effect"
 *
 * const askForTheWeather = Effect.gen(function*() {
 *   const thread = yield* (yield* Codex).startThread()
 *   return (yield* thread.run("How is the weather?")).finalResponse
 * })
 *
 * it.effect("asks the agent", () =>
 *   Effect.gen(function*() {
 *     const server = yield* TestAppServer
 *     yield* server.enqueue("It is sunny.")
 *     assert.strictEqual(yield* askForTheWeather, "It is sunny.")
 *   }).pipe(Effect.provide(TestAppServer.layer())))
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class TestAppServer extends Context.Service<TestAppServer, Service>()(
  "@effect-codex/core/testing/TestAppServer"
) {
  /** The agent on an app-server in memory, and what controls it. */
  static readonly layer = layer
  /** The transport to it alone, for what comes between it and the client. */
  static readonly layerTransport = layerTransport
  /** What a handler of `on` refuses a request with: a JSON-RPC error. */
  static readonly refuse: (code: number, description: string, data?: Schema.Json) => FakeConnection.Refusal =
    FakeConnection.refuse
}

export type { AgentTurn, Script }
