/** A service of a user's own: what is tested in 22-testing.ts and in assistant.test.ts. */
import { Codex, type OutputError, type RunError } from "@effect-codex/core"
import { Context, Effect, Layer, Schedule, Schema } from "effect"

const Triage = Schema.Struct({ severity: Schema.Literals(["low", "high"]), summary: Schema.String })

/** Sorts reports of errors by what the agent makes of them. */
export class Assistant extends Context.Service<Assistant, {
  /** Says how bad it is. Tries again, after a while, when the turn fails; gives up after two hours. */
  readonly triage: (report: string) => Effect.Effect<typeof Triage.Type | "gave up", OutputError | RunError>
}>()("examples/Assistant") {
  static readonly layer = Layer.effect(
    Assistant,
    Effect.gen(function*() {
      const codex = yield* Codex
      const ask = Effect.fn("Assistant.ask")(function*(report: string) {
        const thread = yield* codex.startThread({ sandbox: "readOnly", ephemeral: true })
        const { output } = yield* thread.run(`How bad is this?\n${report}`, { output: Triage })
        return output
      })
      return {
        triage: Effect.fn("Assistant.triage")((report: string) =>
          ask(report).pipe(
            Effect.retry({
              while: ({ _tag }) => _tag === "TurnFailed",
              schedule: Schedule.spaced("10 minutes"),
              times: 3
            }),
            Effect.timeoutOrElse({ duration: "2 hours", orElse: () => Effect.succeed("gave up" as const) })
          )
        )
      }
    })
  )
}
