/**
 * A run: a turn from its start to its end, or several when an answer has to be
 * repaired.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { OpenTurn } from "./AppServerClient.ts"
import type { Budget } from "./Budget.ts"
import type {
  BudgetExceeded,
  OutputDecodeError,
  RequestError,
  TurnFailed,
  TurnInterrupted,
  TurnLagged,
  TurnStalled,
  UnsupportedOutputSchema
} from "./CodexError.ts"
import type * as Input from "./Input.ts"
import * as BudgetMeter from "./internal/budget.ts"
import { readParams } from "./internal/options.ts"
import type { RunResult } from "./RunResult.ts"
import * as StructuredOutput from "./StructuredOutput.ts"
import type { TurnOptions } from "./Thread.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * Options of `thread.run`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions extends TurnOptions {
  /** Limits of the run; without them it may take what it takes. */
  readonly budget?: Budget | undefined
}

/**
 * Options of `thread.run` for an answer in the shape of a Schema.
 *
 * ```ts
 * import type { Thread } from "@effect-codex/core"
 * import { Effect, Schema } from "effect"
 *
 * const Review = Schema.Struct({ title: Schema.String, risks: Schema.Array(Schema.String) })
 *
 * const risks = (thread: Thread) =>
 *   thread.run("Review the last change.", { output: Review, repairs: 1 }).pipe(
 *     Effect.map(({ output }) => output.risks)
 *   )
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface OutputOptions<A, I> extends RunOptions {
  /**
   * The shape of the answer. The model is held to a strict JSON schema of it, and
   * the answer is decoded to `result.output`.
   */
  readonly output: Schema.Codec<A, I>
  /**
   * How often an answer that does not fit is sent back to the model, which is told
   * where it does not. Each time is a turn of the thread, within the run's budget.
   * Default: 0.
   */
  readonly repairs?: number | undefined
}

/**
 * What a run with an `output` Schema came to.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutputResult<A> extends RunResult {
  /** The answer, decoded. */
  readonly output: A
}

/**
 * What every run can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type RunError = RequestError | TurnFailed | TurnInterrupted | TurnStalled

/**
 * What a run with an `output` Schema can fail with besides.
 *
 * @since 0.1.0
 * @category errors
 */
export type OutputError = OutputDecodeError | UnsupportedOutputSchema

/**
 * What a run with a budget can fail with besides. `TurnLagged` means that its
 * events came faster than they could be counted.
 *
 * @since 0.1.0
 * @category errors
 */
export type BudgetError = BudgetExceeded | TurnLagged

/**
 * Runs a turn to its end.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run {
  <A, I>(
    input: Input.TurnInput,
    options: OutputOptions<A, I> & WithoutBudget
  ): Effect.Effect<OutputResult<A>, RunError | OutputError>
  <A, I>(
    input: Input.TurnInput,
    options: OutputOptions<A, I>
  ): Effect.Effect<OutputResult<A>, RunError | OutputError | BudgetError>
  (input: Input.TurnInput, options?: RunOptions & WithoutBudget): Effect.Effect<RunResult, RunError>
  (input: Input.TurnInput, options?: RunOptions): Effect.Effect<RunResult, RunError | BudgetError>
}

/**
 * Options that are known to set no budget.
 *
 * @since 0.1.0
 * @category models
 */
export interface WithoutBudget {
  /** None. */
  readonly budget?: undefined
}

// =============================================================================
// Constructors
// =============================================================================

/** Starts a turn. */
type Open = (
  input: Input.TurnInput,
  options: TurnOptions | undefined,
  read: "once" | "never",
  outputSchema: Schema.Json | undefined
) => Effect.Effect<OpenTurn<"turn/start">, RequestError, Scope.Scope>

const runTurn = Effect.fnUntraced(
  function*(
    open: Open,
    input: Input.TurnInput,
    options: RunOptions | undefined,
    meter: BudgetMeter.Meter | undefined,
    outputSchema: Schema.Json | undefined
  ) {
    const opened = yield* open(input, options, meter === undefined ? "never" : "once", outputSchema)
    return yield* meter === undefined ? opened.result : meter.enforce(opened)
  },
  Effect.scoped
)

const runOutput = Effect.fnUntraced(function*<A, I>(
  open: Open,
  input: Input.TurnInput,
  options: OutputOptions<A, I>,
  meter: BudgetMeter.Meter | undefined
) {
  let repairs = yield* readParams("turn/start", (read) => read.limit("repairs", options.repairs, 0))
  const format = yield* StructuredOutput.make(options.output)
  let next = input
  for (;;) {
    const result = yield* runTurn(open, next, options, meter, format.jsonSchema)
    const decoded = yield* Effect.result(format.decode(result))
    if (decoded._tag === "Success") return { ...result, output: decoded.success }
    if (repairs-- <= 0) return yield* decoded.failure
    if (meter !== undefined) yield* meter.another(result)
    next = format.complaint(decoded.failure)
  }
})

/**
 * Runs the turns that `open` starts.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (open: Open): Run => {
  function run<A, I>(
    input: Input.TurnInput,
    options: OutputOptions<A, I> & WithoutBudget
  ): Effect.Effect<OutputResult<A>, RunError | OutputError>
  function run<A, I>(
    input: Input.TurnInput,
    options: OutputOptions<A, I>
  ): Effect.Effect<OutputResult<A>, RunError | OutputError | BudgetError>
  function run(input: Input.TurnInput, options?: RunOptions & WithoutBudget): Effect.Effect<RunResult, RunError>
  function run(input: Input.TurnInput, options?: RunOptions): Effect.Effect<RunResult, RunError | BudgetError>
  function run<A, I>(
    input: Input.TurnInput,
    options?: RunOptions | OutputOptions<A, I>
  ): Effect.Effect<RunResult | OutputResult<A>, RunError | OutputError | BudgetError> {
    return Effect.gen(function*() {
      const meter = options?.budget === undefined ? undefined : yield* BudgetMeter.make(options.budget)
      return yield* options !== undefined && "output" in options && options.output !== undefined
        ? runOutput(open, input, options, meter)
        : runTurn(open, input, options, meter, undefined)
    }).pipe(Effect.withSpan("Thread.run"))
  }
  return run
}
