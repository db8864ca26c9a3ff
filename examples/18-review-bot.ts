/**
 * Reviews changes and reports what it finds, one line each; fails when there is
 * something to fix. Without arguments it reviews what is not committed, with
 * `--base=<branch>` everything since that branch.
 */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Data, Effect, Schema, Stdio } from "effect"
import { runExample } from "./support.ts"

const Findings = Schema.Struct({
  findings: Schema.Array(Schema.Struct({
    file: Schema.String,
    line: Schema.Int,
    severity: Schema.Literals(["error", "warning"]),
    message: Schema.String
  }))
})

class ChangesNeeded extends Data.TaggedError("ChangesNeeded")<{ readonly count: number }> {
  override get message(): string {
    return `Errors to fix: ${this.count}`
  }
}

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const { args } = yield* Stdio.Stdio
  const base = (yield* args).find((arg) => arg.startsWith("--base="))?.slice("--base=".length)
  const thread = yield* codex.startThread({ sandbox: "readOnly", approvalMode: "denyAll" })

  const review = yield* thread.review(
    base === undefined ? { type: "uncommittedChanges" } : { type: "baseBranch", branch: base }
  )
  const { finalResponse } = yield* review.result
  yield* Console.log(finalResponse)

  const { output } = yield* thread.run("List the findings of your review.", {
    output: Findings,
    repairs: 1,
    budget: { wallTime: "5 minutes" }
  })
  for (const { file, line, message, severity } of output.findings) {
    yield* Console.log(`${file}:${line}: ${severity}: ${message}`)
  }
  const errors = output.findings.filter(({ severity }) => severity === "error")
  if (errors.length > 0) return yield* new ChangesNeeded({ count: errors.length })
}).pipe(Effect.scoped)

runExample(program, {
  model: {
    replies: [
      OfflineModel.json({
        findings: [],
        overall_correctness: "patch is incorrect",
        overall_explanation: "A check for zero is missing.",
        overall_confidence_score: 0.9
      }),
      OfflineModel.json({
        findings: [
          { file: "src/divide.ts", line: 3, severity: "error", message: "The divisor may be zero." },
          { file: "src/divide.ts", line: 1, severity: "warning", message: "The name says little." }
        ]
      })
    ]
  }
})
