/** Asks whoever sits at the terminal what the agent may do. */
import { Approvals } from "@effect-codex/core"
import * as Prompt from "effect/cli/Prompt"
import * as Effect from "effect/Effect"
import * as Terminal from "effect/Terminal"
import { Output } from "./output.ts"
import { subjectOf } from "./progress.ts"
import type { Reporter } from "./reporter.ts"
import { visible } from "./text.ts"

/**
 * A policy that asks at the terminal, one question at a time, and declines where there is none. Who leaves a question
 * (Ctrl-C, Esc) stops the turn, and runs `onQuit`.
 */
export const policy = Effect.fnUntraced(function*(options: {
  readonly reporter: Reporter
  readonly onQuit: Effect.Effect<void>
}) {
  const { ask, interactive, paint } = yield* Output
  const environment = yield* Effect.context<Prompt.Environment>()

  const question = (request: Approvals.ApprovalRequest) =>
    ask(Effect.gen(function*() {
      const { display } = yield* Terminal.Terminal
      yield* Effect.ignore(display([
        `${paint("bold", "The agent asks to:")} ${visible(subjectOf(request))}`,
        ...(request.reason === null ? [] : [`  because: ${visible(request.reason)}`]),
        ...(request._tag === "FileChange" || request.cwd === null ? [] : [`  in: ${visible(request.cwd)}`]),
        ""
      ].join("\n")))
      return yield* Prompt.run(Prompt.Select({
        message: "Allow it?",
        choices: [
          { title: "Yes, once", value: Approvals.accept },
          { title: "Yes, and the same for the rest of the session", value: Approvals.acceptForSession },
          { title: "No; go on without it", value: Approvals.decline },
          { title: "No; stop the turn", value: Approvals.cancel }
        ]
      }))
    })).pipe(
      Effect.provideContext(environment),
      Effect.catchTag("QuitError", () => Effect.as(options.onQuit, Approvals.cancel))
    )

  return Approvals.ask((request) =>
    (interactive ? question(request) : Effect.succeed(Approvals.decline)).pipe(
      Effect.tap((decision) => options.reporter.decided({ request, decision, asked: interactive }))
    )
  )
})
