/**
 * What the agent of a `TestAppServer` can do in a turn.
 *
 * @since 0.1.0
 */
import {
  CodexErrorInfo,
  type DynamicToolCallResponse,
  type FileUpdateChange,
  type ReviewTarget,
  type ServerNotificationMethod,
  type ServerNotificationParams,
  type ServerRequestMethod,
  type ServerRequestParams,
  type ServerRequestResults,
  type ThreadGoal,
  type TurnStartParams
} from "@effect-codex/generated"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Refusal } from "./fakeConnection.ts"

/**
 * How a script makes its turn fail, by `AgentTurn.fail`.
 *
 * @since 0.1.0
 * @category errors
 */
export class AgentFailure extends Schema.TaggedError<AgentFailure>()("AgentFailure", {
  /** The words of the server. */
  description: Schema.String,
  /** What kind of failure it is, as the protocol's `CodexErrorInfo`. */
  info: Schema.NullOr(CodexErrorInfo)
}) {
  override get message(): string {
    return this.description
  }
}

/**
 * Tokens of one request to the model; the rest of them are 0.
 *
 * @since 0.1.0
 * @category models
 */
export interface Usage {
  /** Tokens that the model read, the cached ones among them. */
  readonly input?: number | undefined
  /** Of those, the ones that came from its cache. */
  readonly cachedInput?: number | undefined
  /** Tokens that the model wrote, its reasoning among them. */
  readonly output?: number | undefined
  /** Of those, the ones that were reasoning. */
  readonly reasoningOutput?: number | undefined
}

/**
 * What became of what the agent wanted to do: an error for an answer counts as `"decline"`.
 *
 * @since 0.1.0
 * @category models
 */
export type Decision = "accept" | "acceptForSession" | "decline"

/**
 * One turn of the agent, as its script sees it. Everything it does is told to the
 * client as the real app-server tells it, before the effect is done.
 *
 * @since 0.1.0
 * @category models
 */
export interface AgentTurn {
  /** The thread it runs on. */
  readonly threadId: string
  /** Its id. */
  readonly turnId: string
  /** The texts of the user's input, joined by line breaks. */
  readonly text: string
  /** What the turn was started with: `model`, `outputSchema` and so on. */
  readonly params: TurnStartParams
  /**
   * What is reviewed, where the turn is a review; null where it is not. The last thing
   * that a reviewer says is the review: any text, or as `json` the findings that the
   * server's reviewer answers with, of which the server makes a text.
   */
  readonly reviewing: ReviewTarget | null
  /**
   * Whether the turn is a compaction. What the model says in it is the summary, of which
   * the client hears nothing; nor are other items told of, or tools called, in one.
   */
  readonly compacting: boolean
  /** The thread's goal as it is now; null without one. The turns that the server runs for an active one have no input. */
  readonly goal: ThreadGoal | null
  /** How many turns the thread had before. */
  readonly before: number
  /** A message: whole, or in the deltas that are given. Gives its item's id. */
  readonly say: (
    text: string | ReadonlyArray<string>,
    options?: { readonly phase?: "final_answer" | "commentary" | undefined }
  ) => Effect.Effect<string>
  /** A message on the way to the answer. */
  readonly commentary: (text: string | ReadonlyArray<string>) => Effect.Effect<string>
  /** A message that holds JSON, for a turn with an output schema. */
  readonly json: (value: Schema.Json) => Effect.Effect<string>
  /** A summary of reasoning, in parts. */
  readonly reason: (...summary: ReadonlyArray<string>) => Effect.Effect<string>
  /**
   * Runs a command, as it were. With `approval` it is asked about first where the
   * thread has the user asked, and only an accepted one is carried out; one that is
   * cancelled ends the turn as interrupted. Where nobody may be asked (`denyAll`, a
   * review) it is refused and leaves no item. Gives the decision, which is `"accept"`
   * where it needed none, or the server's reviewer decides.
   */
  readonly command: (options: {
    readonly command: string
    /** What it prints. Default: nothing. */
    readonly output?: string | ReadonlyArray<string> | undefined
    /** Default: 0. */
    readonly exitCode?: number | undefined
    /** Why it needs approval; without it, it does not. */
    readonly approval?: string | true | undefined
  }) => Effect.Effect<Decision>
  /** Changes files, as it were; as `command` does it. */
  readonly changeFiles: (options: {
    readonly changes: ReadonlyArray<FileUpdateChange>
    /** Why it needs approval; without it, it does not. */
    readonly approval?: string | true | undefined
  }) => Effect.Effect<Decision>
  /** Calls one of the tools that the client has given the thread, and waits for what it gives. Nobody is asked for another one. */
  readonly callTool: (options: {
    readonly tool: string
    readonly arguments: Schema.Json
    readonly namespace?: string | undefined
  }) => Effect.Effect<DynamicToolCallResponse>
  /**
   * Says where the thread's goal stands, as the model does with its tool; without a goal
   * nothing happens. For as long as it is active the server runs one turn after the other.
   */
  readonly updateGoal: (status: "complete" | "blocked" | "paused") => Effect.Effect<void>
  /** Asks the client anything. Fails with the client's own refusal. */
  readonly ask: <M extends ServerRequestMethod>(
    method: M,
    params: ServerRequestParams[M]
  ) => Effect.Effect<ServerRequestResults[M], Refusal>
  /** Tells the client anything. */
  readonly notify: <M extends ServerNotificationMethod>(
    method: M,
    params: ServerNotificationParams[M]
  ) => Effect.Effect<void>
  /** What each request to the model costs from now on, of which a turn has one and another one for each command, change, tool call and word on the goal. */
  readonly usage: (usage: Usage) => Effect.Effect<void>
  /** Tells so many events that are not put together, for a reader that lags behind. */
  readonly flood: (events: number) => Effect.Effect<void>
  /** Tells of an error after which the server tries again by itself. */
  readonly retrying: (description: string, info?: CodexErrorInfo) => Effect.Effect<void>
  /** Ends the turn as failed. */
  readonly fail: (description: string, info?: CodexErrorInfo) => Effect.Effect<never, AgentFailure>
}

/**
 * What the agent does in a turn: an answer, or an effect. What it waits for (a sleep, a
 * `Deferred`, `Effect.never`) holds the turn up, and an interruption of the turn
 * interrupts it. What is steered in interrupts it too, but for a command, a change, a
 * call or a question that is under way, and is answered by the next script. A defect
 * ends the connection, so that a mistake in a script is seen.
 *
 * @since 0.1.0
 * @category models
 */
export type Script = string | ((turn: AgentTurn) => Effect.Effect<unknown, AgentFailure>)
