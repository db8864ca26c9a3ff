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
  ThreadForkParams,
  ThreadResumeParams,
  ThreadResumeResponse,
  ThreadStartParams,
  ThreadUnsubscribeStatus,
  TurnStartParams
} from "@effect-codex/generated"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Types from "effect/Types"
import * as ApprovalMode from "./ApprovalMode.ts"
import * as Approvals from "./Approvals.ts"
import type { AppServerClient, OpenTurnOptions } from "./AppServerClient.ts"
import type {
  ConnectionError,
  InvalidParams,
  RequestError,
  TurnFailed,
  TurnInterrupted,
  TurnLagged,
  TurnStalled
} from "./CodexError.ts"
import type * as CodexTools from "./CodexTools.ts"
import * as Goal from "./Goal.ts"
import * as Input from "./Input.ts"
import { type OptionReader, readParams } from "./internal/options.ts"
import type { ThreadHolders } from "./internal/threadHolders.ts"
import * as ThreadId from "./internal/threadId.ts"
import { untouched } from "./internal/untouched.ts"
import { unwrapScoped } from "./internal/unwrapScoped.ts"
import type { ChildEvent, CodexEvent, TurnEvent } from "./Notification.ts"
import * as Review from "./Review.ts"
import * as Run from "./Run.ts"
import * as Sandbox from "./Sandbox.ts"
import * as ThreadHistory from "./ThreadHistory.ts"
import * as ThreadQueue from "./ThreadQueue.ts"
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
export interface ThreadOptions<E = never, R = never, T = never> {
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
   * What answers the server on this thread and on those of its agents, before the
   * layer's `Approvals`. Held until the thread is closed, archived or deleted.
   */
  readonly approvals?: Approvals.Options<E, R> | undefined
  /**
   * Tools that the agent may call on this thread. A new thread is told of them,
   * which needs `experimental: true` on the layer; a resumed or forked thread knows
   * its tools, and is given what answers them.
   */
  readonly tools?: CodexTools.CodexTools<T> | undefined
}

/**
 * Options of `codex.startThread`.
 *
 * @since 0.1.0
 * @category models
 */
export interface StartThreadOptions<E = never, R = never, T = never> extends ThreadOptions<E, R, T> {
  /** Keeps the thread in memory only: it cannot be resumed or listed. */
  readonly ephemeral?: boolean | undefined
  /** The name of the service that runs the thread, for the server's records. */
  readonly serviceName?: string | undefined
  /** What the thread is for, as the server's records and `thread.read` have it: a word of yours, or `"user"`, `"subagent"` ... */
  readonly source?: string | undefined
  /**
   * What else `thread/start` takes, as the protocol has it; it goes before the other
   * options. Some of it needs `experimental: true` on the layer.
   */
  readonly params?: ThreadStartParams | undefined
}

/**
 * Options of `codex.resumeThread`. What is left out is as the server has stored it;
 * what it does not store (the sandbox, once its process has ended) is as its
 * configuration says. Model and effort are stored together: with `model`,
 * `modelProvider`, or `model` or `model_reasoning_effort` in `config`, the server takes
 * neither from what it has stored, and what is left out of them is as its configuration
 * says.
 *
 * The server keeps the settings of a thread that it has loaded already. What is given
 * here of `model`, `serviceTier`, `cwd`, `approvalMode` and `sandbox` holds all the same:
 * from the first turn on that is started here, and with `experimental: true` on the
 * layer at once, for what the server runs by itself too (goals, reviews). The other
 * options are for a thread that is not loaded.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResumeThreadOptions<E = never, R = never, T = never> extends ThreadOptions<E, R, T> {
  /** What else `thread/resume` takes; see `StartThreadOptions`. */
  readonly params?: Omit<ThreadResumeParams, "excludeTurns" | "threadId"> | undefined
}

/**
 * Options of `codex.thread`: those of a new thread, or of the one to resume.
 *
 * @since 0.1.0
 * @category models
 */
export type ScopedThreadOptions<E = never, R = never, T = never> =
  | (StartThreadOptions<E, R, T> & { readonly resume?: undefined })
  | (ResumeThreadOptions<E, R, T> & {
    /** The thread to resume, by its id. */
    readonly resume: string
  })

/**
 * Options of `codex.forkThread` and `thread.fork`. What is left out is as the
 * source has it (approvals, directory) or as the server's configuration says
 * (model, sandbox). Approvals and tools that were given for the source are not
 * taken over: give them again.
 *
 * @since 0.1.0
 * @category models
 */
export interface ForkThreadOptions<E = never, R = never, T = never> extends ThreadOptions<E, R, T> {
  /** The last turn to take over; all of them when left out. */
  readonly lastTurnId?: string | undefined
  /** Keeps the fork in memory only. */
  readonly ephemeral?: boolean | undefined
  /** What the new thread is for; see `StartThreadOptions`. */
  readonly source?: string | undefined
  /** What else `thread/fork` takes; see `StartThreadOptions`. */
  readonly params?: Omit<ThreadForkParams, "excludeTurns" | "threadId"> | undefined
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
  /** The service tier of this turn alone. */
  readonly turnServiceTier?: string | undefined
  /** What has set the turn off, for the server's records. It grants nothing. */
  readonly trigger?: string | undefined
  /** The working directory on the app-server's machine. */
  readonly cwd?: string | undefined
  /** Who decides when the agent asks for more. */
  readonly approvalMode?: ApprovalMode.ApprovalMode | undefined
  /** What the agent's commands may touch. */
  readonly sandbox?: Sandbox.Sandbox | undefined
  /** What else `turn/start` takes; see `StartThreadOptions`. */
  readonly params?: Omit<TurnStartParams, "input" | "threadId"> | undefined
}

/**
 * Options of `thread.turn` and `thread.stream` for the events of the agents that the
 * turn has at work.
 *
 * @since 0.1.0
 * @category models
 */
export interface FamilyOptions extends TurnOptions {
  /**
   * Whether the events of the agents that the turn has at work are among its own, each
   * as a `client/childEvent` that says whose it is, until the turn ends: an agent may
   * work on beyond that. Without it they never are.
   */
  readonly includeChildren: boolean
}

/**
 * Options that are known not to ask for the events of agents.
 *
 * @since 0.1.0
 * @category models
 */
export interface WithoutChildren extends TurnOptions {
  /** None. */
  readonly includeChildren?: undefined
}

/**
 * What is stored of a thread beside its history. What is left out stays; null takes
 * it away.
 *
 * @since 0.1.0
 * @category models
 */
export interface ThreadMetadataOptions {
  /** Where its work stands in Git. */
  readonly git?: {
    /** The branch. */
    readonly branch?: string | null | undefined
    /** The commit. */
    readonly sha?: string | null | undefined
    /** The URL of the repository. */
    readonly originUrl?: string | null | undefined
  } | undefined
  /** The project that it belongs to, by its id. Needs `experimental: true` on the layer. */
  readonly projectId?: string | null | undefined
}

// =============================================================================
// Model
// =============================================================================

/**
 * A thread of the connected app-server.
 *
 * ```ts
 * import type { Thread } from "@effect-codex/core"
 * import { Console, Effect, Stream } from "effect"
 *
 * // The messages of a turn, as they are completed.
 * const messages = (thread: Thread) =>
 *   thread.stream("What changed this week?").pipe(
 *     Stream.runForEach((event) =>
 *       event.method === "item/completed" && event.params.item.type === "agentMessage"
 *         ? Console.log(event.params.item.text)
 *         : Effect.void
 *     )
 *   )
 * ```
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
   * has ended interrupts it. With `includeChildren` its `events` have those of the
   * agents that it has at work. Mirrors `turn/start`.
   */
  readonly turn: {
    (input: Input.TurnInput, options?: WithoutChildren): Effect.Effect<TurnHandle.TurnHandle, RequestError, Scope.Scope>
    (
      input: Input.TurnInput,
      options: FamilyOptions | undefined
    ): Effect.Effect<TurnHandle.TurnHandle<TurnEvent | ChildEvent>, RequestError, Scope.Scope>
  }
  /**
   * Runs one turn and streams its events. The stream ends when the turn has
   * completed, and fails after the last event when it has failed or was
   * interrupted. Stopping early interrupts the turn. With `includeChildren` it has
   * the events of the agents that the turn has at work.
   */
  readonly stream: {
    (
      input: Input.TurnInput,
      options?: WithoutChildren
    ): Stream.Stream<TurnEvent, RequestError | TurnFailed | TurnInterrupted | TurnStalled | TurnLagged>
    (
      input: Input.TurnInput,
      options: FamilyOptions | undefined
    ): Stream.Stream<
      TurnEvent | ChildEvent,
      RequestError | TurnFailed | TurnInterrupted | TurnStalled | TurnLagged
    >
  }
  /**
   * Starts the server's code reviewer as a turn of this thread. Its result has what
   * the reviewer says. Mirrors `review/start`.
   */
  readonly review: (target: ReviewTarget) => Effect.Effect<Review.ReviewHandle, RequestError, Scope.Scope>
  /** The thread's goal, and what changes it. Not for an ephemeral thread. */
  readonly goal: Goal.Goals
  /**
   * Sets a goal and waits until the thread does not work on it any more: all the turns
   * that the server runs for it are one run with one result. A turn that is started
   * by `run` or `turn` meanwhile is not part of it. Interrupting the fiber pauses the
   * goal, interrupts its turn and waits for its end. Mirrors `thread/goal/set`.
   */
  readonly runGoal: (
    goal: string | Goal.GoalOptions
  ) => Effect.Effect<Goal.GoalResult, RequestError | Goal.GoalFailure>
  /** The same as a handle with the events of all those turns. Closing the scope before the work has ended pauses the goal. */
  readonly startGoal: (
    goal: string | Goal.GoalOptions
  ) => Effect.Effect<Goal.GoalHandle, RequestError, Scope.Scope>
  /** The input that waits on the server until the thread's turn has ended. */
  readonly queue: ThreadQueue.ThreadQueue
  /**
   * The thread's turns, page after page as they are pulled; newest first unless asked
   * otherwise. Not for an ephemeral thread. Mirrors `thread/turns/list`.
   */
  readonly turns: (
    options?: ThreadHistory.TurnsOptions
  ) => Stream.Stream<ThreadHistory.PastTurn, RequestError>
  /**
   * The items of the thread's turns, page after page as they are pulled; oldest first
   * unless asked otherwise. Not for an ephemeral thread. Mirrors `thread/items/list`.
   */
  readonly items: (
    options?: ThreadHistory.ItemsOptions
  ) => Stream.Stream<ThreadHistory.PastItem, RequestError>
  /** What the server knows of the thread; with `includeTurns` its whole history. Mirrors `thread/read`. */
  readonly read: (options?: { readonly includeTurns?: boolean | undefined }) => Effect.Effect<ThreadModel, RequestError>
  /** Names the thread. Mirrors `thread/name/set`. */
  readonly setName: (name: string) => Effect.Effect<void, RequestError>
  /** Changes what is stored of the thread beside its history. Mirrors `thread/metadata/update`. */
  readonly setMetadata: (options: ThreadMetadataOptions) => Effect.Effect<ThreadModel, RequestError>
  /**
   * Takes this turn and all turns after it out of the history, so that the thread goes
   * on from before them; a turn that runs is interrupted. Files stay as they are.
   * A thread without a turn has nothing to revert to: the server refuses it, and lets go of the
   * thread. Mirrors `thread/revert`.
   */
  readonly revert: (beforeTurnId: string) => Effect.Effect<ThreadModel, RequestError>
  /**
   * Sums up the history so that it takes less of the model's context, and waits
   * until that is done. Mirrors `thread/compact/start`.
   */
  readonly compact: Effect.Effect<void, RequestError | TurnFailed | TurnInterrupted | TurnStalled>
  /** Puts the thread away. A turn that runs is ended. Mirrors `thread/archive`. */
  readonly archive: Effect.Effect<void, RequestError>
  /**
   * Deletes the thread, and its agents' threads, for good. A turn that runs is interrupted. A thread with forks is
   * refused as `InvalidRequest`. Mirrors `thread/delete`.
   */
  readonly delete: Effect.Effect<void, RequestError>
  /**
   * Asks the server to tell this connection no more of the thread, so that it can
   * unload it. What runs on it goes on: handles on it here fail with a
   * `TransportError`. The next turn on the thread resumes it first, which fails with
   * `InvalidRequest` when it was never stored (an ephemeral thread, or one without a
   * turn). Mirrors `thread/unsubscribe`.
   */
  readonly unsubscribe: Effect.Effect<ThreadUnsubscribeStatus, RequestError>
  /** A new thread with the history of this one. Mirrors `thread/fork`. */
  readonly fork: <E = never, R = never, T = never>(
    options?: ForkThreadOptions<E, R, T>
  ) => Effect.Effect<Thread, RequestError, Types.NoInfer<R | T>>
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
export const make = (client: AppServerClient["Service"], id: string): Thread => withSettings(client, id, {})

/** Settings of a thread that a turn may change. */
type Settings = Pick<TurnOptions, "approvalMode" | "cwd" | "model" | "sandbox" | "serviceTier">

/** With settings that the server has not taken over yet: the next turn brings them. */
const withSettings = (client: AppServerClient["Service"], id: string, settings: Settings): Thread => {
  let unsettled = settings

  const openWith = (
    input: Input.TurnInput,
    options: TurnOptions | undefined,
    outputSchema: Schema.Json | undefined,
    how: OpenTurnOptions
  ) =>
    Effect.suspend(() => turnStartParams(id, input, options, unsettled)).pipe(
      Effect.flatMap((params) =>
        client.openTurn("turn/start", outputSchema === undefined ? params : { ...params, outputSchema }, how)
      ),
      Effect.tap(() =>
        Effect.sync(() => {
          unsettled = {}
        })
      )
    )

  const open = (
    input: Input.TurnInput,
    options: TurnOptions | undefined,
    read: "replay" | "once" | "never",
    outputSchema?: Schema.Json
  ) => openWith(input, options, outputSchema, { read })

  const openFamily = (input: Input.TurnInput, options: FamilyOptions, read: "replay" | "once") =>
    openWith(input, options, undefined, { read, includeChildren: true })

  function turn(
    input: Input.TurnInput,
    options?: WithoutChildren
  ): Effect.Effect<TurnHandle.TurnHandle, RequestError, Scope.Scope>
  function turn(
    input: Input.TurnInput,
    options: FamilyOptions | undefined
  ): Effect.Effect<TurnHandle.TurnHandle<TurnEvent | ChildEvent>, RequestError, Scope.Scope>
  function turn(
    input: Input.TurnInput,
    options?: WithoutChildren | FamilyOptions
  ): Effect.Effect<TurnHandle.TurnHandle<TurnEvent | ChildEvent>, RequestError, Scope.Scope> {
    return (isFamily(options)
      ? Effect.map(openFamily(input, options, "replay"), (opened) => TurnHandle.fromOpenFamily(client, opened))
      : Effect.map(open(input, options, "replay"), (opened) => TurnHandle.fromOpenTurn(client, opened))).pipe(
        Effect.withSpan("Thread.turn")
      )
  }

  function stream(
    input: Input.TurnInput,
    options?: WithoutChildren
  ): Stream.Stream<TurnEvent, RequestError | TurnFailed | TurnInterrupted | TurnStalled | TurnLagged>
  function stream(
    input: Input.TurnInput,
    options: FamilyOptions | undefined
  ): Stream.Stream<TurnEvent | ChildEvent, RequestError | TurnFailed | TurnInterrupted | TurnStalled | TurnLagged>
  function stream(
    input: Input.TurnInput,
    options?: WithoutChildren | FamilyOptions
  ): Stream.Stream<TurnEvent | ChildEvent, RequestError | TurnFailed | TurnInterrupted | TurnStalled | TurnLagged> {
    return unwrapScoped(
      Effect.map(
        isFamily(options) ? openFamily(input, options, "once") : open(input, options, "once"),
        ({ family, result }) => {
          let end: Effect.Effect<unknown, Effect.Error<typeof result>> = result
          const endsAsTurn = Effect.suspend(() => {
            const ended = end
            // V8 puts streams into its old generation, with all that they refer to: a turn that is done is let go of here.
            end = Effect.void
            return ended
          })
          return Stream.onEnd(family, endsAsTurn)
        }
      )
    )
  }

  // Traced functions and spans remember the place they were made at, a kilobyte each: those of a thread are made when
  // they are asked for, or once for all threads.
  return {
    id,
    run: Run.make(open),
    turn,
    stream,
    review: (target) => Review.start(client, id, target),
    get goal() {
      return Goal.make(client, id)
    },
    runGoal: (goal) => Goal.run(client, id, goal),
    startGoal: (goal) => Goal.start(client, id, goal),
    get queue() {
      return ThreadQueue.make(client, id)
    },
    turns: (options) => ThreadHistory.turns(client, id, options),
    items: (options) => ThreadHistory.items(client, id, options),
    read: (options) => read(client, id, options),
    setName: (name) => setName(client, id, name),
    setMetadata: (options) => setMetadata(client, id, options),
    revert: (beforeTurnId) => revert(client, id, beforeTurnId),
    get compact() {
      return client.openTurn("thread/compact/start", { threadId: id }, { read: "never" }).pipe(
        Effect.flatMap((turn) => turn.result),
        Effect.asVoid,
        Effect.scoped,
        Effect.withSpan("Thread.compact")
      )
    },
    get archive() {
      return Effect.asVoid(client.request("thread/archive", { threadId: id })).pipe(Effect.withSpan("Thread.archive"))
    },
    get delete() {
      return Effect.asVoid(client.request("thread/delete", { threadId: id })).pipe(Effect.withSpan("Thread.delete"))
    },
    get unsubscribe() {
      return Effect.map(client.request("thread/unsubscribe", { threadId: id }), ({ status }) => status).pipe(
        Effect.withSpan("Thread.unsubscribe")
      )
    },
    fork: (options) => fork(client, id, options),
    events: client.threadNotifications(id)
  }
}

const read = Effect.fn("Thread.read")(
  function*(
    client: AppServerClient["Service"],
    id: string,
    options?: { readonly includeTurns?: boolean | undefined }
  ) {
    const { thread } = yield* client.request("thread/read", {
      threadId: id,
      includeTurns: options?.includeTurns ?? false
    }).pipe(
      Effect.catchTag("MethodNotFound", (error) => Effect.map(untouched(client, id, error), (thread) => ({ thread })))
    )
    return thread
  }
)

const setName = Effect.fn("Thread.setName")(function*(client: AppServerClient["Service"], id: string, name: string) {
  yield* client.request("thread/name/set", { threadId: id, name })
})

const setMetadata = Effect.fn("Thread.setMetadata")(
  function*(client: AppServerClient["Service"], id: string, { git, projectId }: ThreadMetadataOptions) {
    const { thread } = yield* client.experimental.request("thread/metadata/update", {
      threadId: id,
      gitInfo: git === undefined ? undefined : { branch: git.branch, sha: git.sha, originUrl: git.originUrl },
      // On the wire null is no change and the empty string is none.
      projectId: projectId === null ? "" : projectId
    })
    return thread
  }
)

const revert = Effect.fn("Thread.revert")(
  function*(client: AppServerClient["Service"], id: string, beforeTurnId: string) {
    const { thread } = yield* client.request("thread/revert", { threadId: id, beforeTurnId })
    return thread
  }
)

const startAnswered = Effect.fn("Thread.start")(
  function*<E = never, R = never, T = never>(
    client: AppServerClient["Service"],
    options: StartThreadOptions<E, R, T>,
    answers: Approvals.Service | undefined
  ) {
    const asks = client.hasApprovals || options.approvals !== undefined
    const params = yield* readParams(
      "thread/start",
      (read) => threadParams(read, { ...options, approvalMode: options.approvalMode ?? (asks ? "ask" : "autoReview") })
    )
    const { thread } = yield* client.experimental.request("thread/start", {
      ...params,
      ephemeral: options.ephemeral,
      serviceName: options.serviceName,
      threadSource: options.source,
      dynamicTools: options.tools?.specs,
      ...options.params
    })
    if (answers !== undefined) yield* client.answerThread(thread.id, answers)
    return make(client, thread.id)
  }
)

/**
 * Starts a new thread. Mirrors `thread/start`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = <E = never, R = never, T = never>(
  client: AppServerClient["Service"],
  options: StartThreadOptions<E, R, T> = {}
): Effect.Effect<Thread, RequestError, Types.NoInfer<R | T>> =>
  Effect.flatMap(answersOf(options), (answers) => startAnswered(client, options, answers))

const resumeAnswered = Effect.fn("Thread.resume")(
  function*<E = never, R = never, T = never>(
    client: AppServerClient["Service"],
    threadId: string,
    options: ResumeThreadOptions<E, R, T>,
    answers: Approvals.Service | undefined
  ) {
    const params = yield* readParams("thread/resume", (read) => threadParams(read, options))
    const load = client.experimental.request("thread/resume", {
      ...params,
      ...options.params,
      threadId,
      excludeTurns: true
    })
    const answer = yield* answers === undefined ? load : client.answerThreadIf(threadId, answers, load)
    return yield* settle(client, answer.thread.id, unsettledOf(options, answer))
  }
)

/** The thread with these settings, which the server takes over at once where it can. */
const settle = Effect.fnUntraced(function*(client: AppServerClient["Service"], threadId: string, settings: Settings) {
  if (Object.keys(settings).length === 0) return make(client, threadId)
  const params = yield* readParams("thread/settings/update", (read) => settingParams(read, settings))
  return yield* client.experimental.request("thread/settings/update", { ...params, threadId }).pipe(
    Effect.as(make(client, threadId)),
    Effect.catchTag("ExperimentalApiRequired", () => Effect.succeed(withSettings(client, threadId, settings)))
  )
})

/** What of the options does not hold on the thread as it is loaded. */
const unsettledOf = <E, R, T>(options: ResumeThreadOptions<E, R, T>, loaded: ThreadResumeResponse): Settings => {
  const { approvalMode, cwd, model, sandbox, serviceTier } = options
  const { approvalPolicy, approvalsReviewer }: ApprovalMode.ApprovalFields = approvalMode === undefined
    ? {}
    : ApprovalMode.fields[approvalMode]
  const isAsked = (approvalPolicy === undefined || approvalPolicy === loaded.approvalPolicy) &&
    (approvalsReviewer === undefined || approvalsReviewer === loaded.approvalsReviewer)
  return {
    ...(isAsked ? {} : { approvalMode }),
    ...(cwd === undefined || cwd === loaded.cwd ? {} : { cwd }),
    ...(model === undefined || model === loaded.model ? {} : { model }),
    ...(sandbox === undefined || Sandbox.policies[sandbox].type === loaded.sandbox.type ? {} : { sandbox }),
    ...(serviceTier === undefined || serviceTier === loaded.serviceTier ? {} : { serviceTier })
  }
}

/**
 * Loads a stored thread so that it can go on. Its turns are not loaded with it:
 * `read` has them. Mirrors `thread/resume`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resume = <E = never, R = never, T = never>(
  client: AppServerClient["Service"],
  id: string,
  options: ResumeThreadOptions<E, R, T> = {}
): Effect.Effect<Thread, RequestError, Types.NoInfer<R | T>> =>
  Effect.flatMap(answersOf(options), (answers) => resumeAnswered(client, ThreadId.canonical(id), options, answers))

/**
 * Starts a new thread with the history of a stored one. Mirrors `thread/fork`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fork = Effect.fn("Thread.fork")(
  function*<E = never, R = never, T = never>(
    client: AppServerClient["Service"],
    id: string,
    options: ForkThreadOptions<E, R, T> = {}
  ) {
    const answers = yield* answersOf(options)
    const params = yield* readParams("thread/fork", (read) => threadParams(read, options))
    const { thread } = yield* client.experimental.request("thread/fork", {
      ...params,
      lastTurnId: options.lastTurnId,
      ephemeral: options.ephemeral,
      threadSource: options.source,
      ...options.params,
      threadId: id,
      excludeTurns: true
    })
    if (answers !== undefined) yield* client.answerThread(thread.id, answers)
    return make(client, thread.id)
  }
)

/**
 * A thread for as long as the scope is open: started, or resumed where `resume` says
 * which. The last one of the holders unsubscribes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const scoped = Effect.fn("Thread.scoped")(
  function*<E = never, R = never, T = never>(
    client: AppServerClient["Service"],
    holders: ThreadHolders,
    options: ScopedThreadOptions<E, R, T> = {}
  ) {
    const answers = yield* answersOf(options)
    if ("resume" in options && options.resume !== undefined) {
      const threadId = ThreadId.canonical(options.resume)
      return yield* holders.hold(threadId, { answers }, resumeAnswered(client, threadId, options, answers))
    }
    // A start that nobody waits for any more is the client's to undo, as that of `start` is: nobody here knows its id.
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.tap(
        restore(startAnswered(client, options, answers)),
        ({ id }) => holders.hold(id, { answers }, Effect.void)
      )
    )
  }
)

/** What answers the server on the thread: its approvals, and its tools for the calls of them. */
const answersOf = <E, R, T>(
  { approvals, tools }: ThreadOptions<E, R, T>
): Effect.Effect<Approvals.Service | undefined, never, R | T> =>
  approvals === undefined && tools === undefined
    ? Effect.undefined
    : Approvals.make<E, R | T>({
      policy: approvals?.policy,
      handlers: tools === undefined ? approvals?.handlers : { ...approvals?.handlers, "item/tool/call": tools.call }
    })

/** Without an approval mode or a sandbox what the thread has stored stays. */
const threadParams = <E, R, T>(read: OptionReader, options: ThreadOptions<E, R, T>) => {
  read.duration("tools.timeout", options.tools?.timeout, Duration.infinity)
  return {
    model: options.model,
    modelProvider: options.modelProvider,
    serviceTier: options.serviceTier,
    cwd: options.cwd,
    ...read.choice("approvalMode", options.approvalMode, ApprovalMode.fields),
    sandbox: read.choice("sandbox", options.sandbox, Sandbox.modes),
    baseInstructions: options.baseInstructions,
    developerInstructions: options.developerInstructions,
    config: options.config
  }
}

const isFamily = (options: WithoutChildren | FamilyOptions | undefined): options is FamilyOptions =>
  options?.includeChildren === true

const turnStartParams = (
  threadId: string,
  input: Input.TurnInput,
  options: TurnOptions = {},
  settings: Settings = {}
): Effect.Effect<TurnStartParams, InvalidParams> =>
  readParams("turn/start", (read) => ({
    effort: options.effort,
    summary: options.summary,
    serviceTierForTurn: options.turnServiceTier,
    turnTrigger: options.trigger,
    ...settingParams(read, {
      model: options.model ?? settings.model,
      serviceTier: options.serviceTier ?? settings.serviceTier,
      cwd: options.cwd ?? settings.cwd,
      approvalMode: options.approvalMode ?? settings.approvalMode,
      sandbox: options.sandbox ?? settings.sandbox
    }),
    ...options.params,
    threadId,
    ...Input.toTurnFields(input)
  }))

/** The settings as a turn takes them. */
const settingParams = (read: OptionReader, { approvalMode, cwd, model, sandbox, serviceTier }: Settings) => ({
  model,
  serviceTier,
  cwd,
  ...read.choice("approvalMode", approvalMode, ApprovalMode.fields),
  sandboxPolicy: read.choice("sandbox", sandbox, Sandbox.policies)
})
