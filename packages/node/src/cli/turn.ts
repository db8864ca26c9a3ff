/** Runs one turn and tells of it while it runs. */
import { AppServerClient, type Input, TurnFailed, TurnInterrupted } from "@effect-codex/core"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ended, ExitCode, Failure, fromCodexError } from "./failure.ts"
import type { Conclusion, Reporter } from "./reporter.ts"

/** A turn to run. */
export interface Options {
  readonly threadId: string
  readonly input: ReadonlyArray<Input.InputItem>
  readonly effort: string | undefined
  readonly outputSchema: Schema.Json | undefined
  readonly timeout: Duration.Duration | undefined
  readonly reporter: Reporter
  /** Completes when the user has had enough. */
  readonly quit: Deferred.Deferred<void>
}

/**
 * Runs a turn to its end. A turn that is left, by a signal, by its user or by its deadline, is interrupted on the server,
 * and told of with all that it had done.
 */
export const run = Effect.fnUntraced(
  function*(options: Options) {
    const { effort, input, outputSchema, quit, reporter, threadId, timeout } = options
    const client = yield* AppServerClient
    const turn = yield* client.openTurn("turn/start", { threadId, input, effort, outputSchema }, {
      read: "once",
      includeChildren: true
    })
    yield* reporter.started({ threadId, turnId: turn.turnId })
    const reading = yield* turn.family.pipe(
      Stream.runForEachArray(reporter.events),
      Effect.catchTag("TurnLagged", () => reporter.lagged),
      Effect.forkScoped
    )

    /** All there is of the turn, once it has ended. */
    const conclusion = Effect.exit(turn.result).pipe(
      Effect.tap((exit) => {
        const [result, error] = told(exit)
        return result === undefined ? Effect.void : reporter.ended(result, error)
      })
    )
    const stop = turn.interrupt.pipe(
      Effect.exit,
      Effect.andThen(Fiber.await(reading)),
      Effect.andThen(conclusion)
    )

    const ending = yield* Effect.raceAllFirst([
      Effect.as(Fiber.join(reading), "end" as const),
      Effect.as(Deferred.await(quit), "quit" as const),
      ...(timeout === undefined ? [] : [Effect.as(Effect.sleep(timeout), "timeout" as const)])
    ]).pipe(Effect.onInterrupt(() => stop))

    if (ending === "end") {
      const exit = yield* conclusion
      return yield* Effect.asVoid(exit)
    }
    yield* stop
    return yield* ending === "quit"
      ? ended(ExitCode.interrupted)
      : new Failure({
        description: "The turn took too long and was interrupted",
        details: [],
        exitCode: ExitCode.timedOut
      })
  },
  Effect.scoped,
  Effect.mapError((error) => error._tag === "Failure" ? error : fromCodexError(error))
)

const told = <E>(exit: Exit.Exit<Conclusion, E>): readonly [Conclusion | undefined, string | undefined] => {
  if (Exit.isSuccess(exit)) return [exit.value, undefined]
  for (const reason of exit.cause.reasons) {
    if (reason._tag !== "Fail") continue
    const { error } = reason
    if (error instanceof TurnFailed || error instanceof TurnInterrupted) return [error.result, error.message]
  }
  return [undefined, undefined]
}
