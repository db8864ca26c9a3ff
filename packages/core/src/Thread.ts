/**
 * A thread: a conversation with the agent, made of turns.
 *
 * @since 0.1.0
 */
import type {
  ReasoningEffort,
  ReasoningSummaryParam,
  ReviewTarget,
  Thread as ThreadModel,
  TurnStartParams
} from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ApprovalMode from "./ApprovalMode.ts"
import * as Approvals from "./Approvals.ts"
import type { AppServerClient } from "./AppServerClient.ts"
import type {
  ConnectionError,
  RequestError,
  TurnFailed,
  TurnInterrupted,
  TurnLagged,
  TurnStalled
} from "./CodexError.ts"
import type * as CodexTools from "./CodexTools.ts"
import * as Input from "./Input.ts"
import type { CodexEvent, TurnEvent } from "./Notification.ts"
import * as Run from "./Run.ts"
import * as Sandbox from "./Sandbox.ts"
import * as TurnHandle from "./TurnHandle.ts"

// =============================================================================
// Options
// =============================================================================

/**
 * What a thread runs with, when it is started, resumed or forked. Whatever is
 * left out is the server's choice for a new thread; for an existing one see
 * `ResumeThreadOptions` and `ForkThreadOptions`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ThreadOptions<E = never, R = never> {
  /** The model, by its id. */
  readonly model?: string | undefined
  /** The model provider, by its name in the configuration. */
  readonly modelProvider?: string | undefined
  /** The service tier, by its id. */
  readonly serviceTier?: string | undefined
  /** The working directory on the app-server's machine. */
  readonly cwd?: string | undefined
  /** Who decides when the agent asks for more. A new thread has `"autoReview"`. */
  readonly approvalMode?: ApprovalMode.ApprovalMode | undefined
  /** What the agent's commands may touch. */
  readonly sandbox?: Sandbox.Sandbox | undefined
  /** Instructions instead of the model's own. */
  readonly baseInstructions?: string | undefined
  /** Instructions added to the model's own. */
  readonly developerInstructions?: string | undefined
  /** Configuration overrides, by dotted key as in `config.toml`. */
  readonly config?: { readonly [key: string]: Schema.Json } | undefined
  /**
   * What answers the server on this thread, before the layer's `Approvals`. Held
   * until the thread is closed, archived or deleted.
   */
  readonly approvals?: Approvals.Options<E, R> | undefined
  /**
   * Tools that the agent may call on this thread. A new thread is told of them,
   * which needs `experimental: true` on the layer; a resumed or forked thread knows
   * its tools, and is given what answers them.
   */
  readonly tools?: CodexTools.CodexTools<R> | undefined
}

/**
 * Options of `codex.startThread`.
 *
 * @since 0.1.0
 * @category models
 */
export interface StartThreadOptions<E = never, R = never> extends ThreadOptions<E, R> {
  /** Keeps the thread in memory only: it cannot be resumed or listed. */
  readonly ephemeral?: boolean | undefined
  /** The name of the service that runs the thread, for the server's records. */
  readonly serviceName?: string | undefined
}

/**
 * Options of `codex.resumeThread`. What is left out is as the server has stored it;
 * what it does not store (the sandbox, once its process has ended) is as its
 * configuration says.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResumeThreadOptions<E = never, R = never> extends ThreadOptions<E, R> {}

/**
 * Options of `codex.forkThread` and `thread.fork`. What is left out is as the
 * source has it (approvals, directory) or as the server's configuration says
 * (model, sandbox). Approvals and tools that were given for the source are not
 * taken over: give them again.
 *
 * @since 0.1.0
 * @category models
 */
export interface ForkThreadOptions<E = never, R = never> extends ThreadOptions<E, R> {
  /** The last turn to take over; all of them when left out. */
  readonly lastTurnId?: string | undefined
  /** Keeps the fork in memory only. */
  readonly ephemeral?: boolean | undefined
}

/**
 * Overrides for a turn. They hold for this turn and the ones after it; what is
 * left out stays as the thread has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface TurnOptions {
  /** The model, by its id. */
  readonly model?: string | undefined
  /** How hard the model thinks: one of the efforts that the model lists. */
  readonly effort?: ReasoningEffort | undefined
  /** How the model's reasoning is summed up. */
  readonly summary?: ReasoningSummaryParam | undefined
  /** The service tier, by its id. */
  readonly serviceTier?: string | undefined
  /** The working directory on the app-server's machine. */
  readonly cwd?: string | undefined
  /** Who decides when the agent asks for more. */
  readonly approvalMode?: ApprovalMode.ApprovalMode | undefined
  /** What the agent's commands may touch. */
  readonly sandbox?: Sandbox.Sandbox | undefined
}

// =============================================================================
// Model
// =============================================================================

/**
 * A thread of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Thread {
  /** The thread's id: it is the same after a restart and in other clients. */
  readonly id: string
  /**
   * Runs one turn to its end. Fails with `TurnFailed` or `TurnInterrupted`, which
   * carry what the turn had produced. Interrupting the fiber interrupts the turn
   * and waits for its end. With an `output` Schema the answer is decoded, with a
   * `budget` the run is limited.
   */
  readonly run: Run.Run
  /**
   * Starts a turn and gives the handle to it. Closing the scope before the turn
   * has ended interrupts it. Mirrors `turn/start`.
   */
  readonly turn: (
    input: Input.Input,
    options?: TurnOptions
  ) => Effect.Effect<TurnHandle.TurnHandle, RequestError, Scope.Scope>
  /**
   * Runs one turn and streams its events. The stream ends when the turn has
   * completed, and fails after the last event when it has failed or was
   * interrupted. Stopping early interrupts the turn.
   */
  readonly stream: (
    input: Input.Input,
    options?: TurnOptions
  ) => Stream.Stream<TurnEvent, RequestError | TurnFailed | TurnInterrupted | TurnStalled | TurnLagged>
  /**
   * Starts the server's code reviewer as a turn of this thread. Mirrors
   * `review/start`.
   */
  readonly review: (target: ReviewTarget) => Effect.Effect<TurnHandle.TurnHandle, RequestError, Scope.Scope>
  /** What the server knows of the thread; with `includeTurns` its whole history. Mirrors `thread/read`. */
  readonly read: (options?: { readonly includeTurns?: boolean | undefined }) => Effect.Effect<ThreadModel, RequestError>
  /** Names the thread. Mirrors `thread/name/set`. */
  readonly setName: (name: string) => Effect.Effect<void, RequestError>
  /**
   * Sums up the history so that it takes less of the model's context, and waits
   * until that is done. Mirrors `thread/compact/start`.
   */
  readonly compact: Effect.Effect<void, RequestError | TurnFailed | TurnInterrupted | TurnStalled>
  /** Puts the thread away. A turn that runs is ended. Mirrors `thread/archive`. */
  readonly archive: Effect.Effect<void, RequestError>
  /** A new thread with the history of this one. Mirrors `thread/fork`. */
  readonly fork: <E = never, R = never>(
    options?: ForkThreadOptions<E, R>
  ) => Effect.Effect<Thread, RequestError, R>
  /**
   * Everything the server tells about this thread while the stream runs, its
   * turns included, whoever started them. A slow reader misses the oldest events
   * and is told how many (`client/lagged`).
   */
  readonly events: Stream.Stream<CodexEvent, ConnectionError>
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * A thread of the client that is started, resumed or otherwise loaded already.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"], id: string): Thread => {
  const open = (
    input: Input.Input,
    options: TurnOptions | undefined,
    read: "replay" | "once" | "never",
    outputSchema?: Schema.Json
  ) => client.openTurn("turn/start", { ...turnStartParams(id, input, options), outputSchema }, { read })

  return {
    id,
    run: Run.make(open),
    turn: Effect.fn("Thread.turn")(function*(input: Input.Input, options?: TurnOptions) {
      return TurnHandle.fromOpenTurn(client, yield* open(input, options, "replay"))
    }),
    stream: (input, options) =>
      Stream.unwrap(
        Effect.map(open(input, options, "once"), (turn) =>
          Stream.concat(turn.events, Stream.fromEffectDrain(turn.result)))
      ),
    review: Effect.fn("Thread.review")(function*(target: ReviewTarget) {
      return TurnHandle.fromOpenTurn(client, yield* client.openTurn("review/start", { threadId: id, target }))
    }),
    read: Effect.fn("Thread.read")(function*(options?: { readonly includeTurns?: boolean | undefined }) {
      const { thread } = yield* client.request("thread/read", {
        threadId: id,
        includeTurns: options?.includeTurns ?? false
      })
      return thread
    }),
    setName: Effect.fn("Thread.setName")(function*(name: string) {
      yield* client.request("thread/name/set", { threadId: id, name })
    }),
    compact: client.openTurn("thread/compact/start", { threadId: id }, { read: "never" }).pipe(
      Effect.flatMap((turn) => turn.result),
      Effect.asVoid,
      Effect.scoped,
      Effect.withSpan("Thread.compact")
    ),
    archive: Effect.asVoid(client.request("thread/archive", { threadId: id })).pipe(Effect.withSpan("Thread.archive")),
    fork: (options) => fork(client, id, options),
    events: client.threadNotifications(id)
  }
}

/**
 * Starts a new thread. Mirrors `thread/start`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = Effect.fn("Thread.start")(
  function*<E, R>(client: AppServerClient["Service"], options: StartThreadOptions<E, R> = {}) {
    const answers = yield* answersOf(options)
    const asks = client.hasApprovals || options.approvals !== undefined
    const { thread } = yield* client.experimental.request("thread/start", {
      ...threadParams({ ...options, approvalMode: options.approvalMode ?? (asks ? "ask" : "autoReview") }),
      ephemeral: options.ephemeral,
      serviceName: options.serviceName,
      dynamicTools: options.tools?.specs
    })
    if (answers !== undefined) yield* client.answerThread(thread.id, answers)
    return make(client, thread.id)
  }
)

/**
 * Loads a stored thread so that it can go on. Its turns are not loaded with it:
 * `read` has them. Mirrors `thread/resume`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resume = Effect.fn("Thread.resume")(
  function*<E, R>(client: AppServerClient["Service"], id: string, options: ResumeThreadOptions<E, R> = {}) {
    const answers = yield* answersOf(options)
    // Before the request: what waits for an answer on the thread is asked again at once.
    if (answers !== undefined) yield* client.answerThread(id, answers)
    const { thread } = yield* client.request("thread/resume", {
      ...threadParams(options),
      threadId: id,
      excludeTurns: true
    }).pipe(
      Effect.onExit((exit) =>
        Exit.isFailure(exit) && answers !== undefined ? client.answerThread(id, undefined) : Effect.void
      )
    )
    return make(client, thread.id)
  }
)

/**
 * Starts a new thread with the history of a stored one. Mirrors `thread/fork`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fork = Effect.fn("Thread.fork")(
  function*<E, R>(client: AppServerClient["Service"], id: string, options: ForkThreadOptions<E, R> = {}) {
    const answers = yield* answersOf(options)
    const { thread } = yield* client.request("thread/fork", {
      ...threadParams(options),
      threadId: id,
      lastTurnId: options.lastTurnId,
      ephemeral: options.ephemeral,
      excludeTurns: true
    })
    if (answers !== undefined) yield* client.answerThread(thread.id, answers)
    return make(client, thread.id)
  }
)

/** What answers the server on the thread: its approvals, and its tools for the calls of them. */
const answersOf = <E, R>(
  { approvals, tools }: ThreadOptions<E, R>
): Effect.Effect<Approvals.Service | undefined, never, R> =>
  approvals === undefined && tools === undefined
    ? Effect.undefined
    : Approvals.make<E, R>({
      policy: approvals?.policy,
      handlers: tools === undefined ? approvals?.handlers : { ...approvals?.handlers, "item/tool/call": tools.call }
    })

const threadParams = <E, R>(options: ThreadOptions<E, R>) => ({
  model: options.model,
  modelProvider: options.modelProvider,
  serviceTier: options.serviceTier,
  cwd: options.cwd,
  ...ApprovalMode.toFields(options.approvalMode),
  sandbox: Sandbox.toMode(options.sandbox),
  baseInstructions: options.baseInstructions,
  developerInstructions: options.developerInstructions,
  config: options.config
})

const turnStartParams = (
  threadId: string,
  input: Input.Input,
  options: TurnOptions = {}
): TurnStartParams => ({
  threadId,
  input: Input.toItems(input),
  model: options.model,
  effort: options.effort,
  summary: options.summary,
  serviceTier: options.serviceTier,
  cwd: options.cwd,
  ...ApprovalMode.toFields(options.approvalMode),
  sandboxPolicy: Sandbox.toPolicy(options.sandbox)
})
