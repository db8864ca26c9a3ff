/** What the server's reviewer is asked, and how its answer is told, in the words of the real one. */
import type { ReviewTarget } from "@effect-codex/generated"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** What is reviewed, in a few words. */
export const subjectOf = (target: ReviewTarget): string => {
  switch (target.type) {
    case "uncommittedChanges":
      return "current changes"
    case "baseBranch":
      return `changes against '${target.branch}'`
    case "commit":
      return `commit ${target.sha.slice(0, 7)}${target.title == null ? "" : `: ${target.title}`}`
    case "custom":
      return target.instructions.trim()
  }
}

/** What the reviewer is told to do. Of a branch the real one is told more, by what Git says. */
export const promptOf = (target: ReviewTarget): string => {
  switch (target.type) {
    case "uncommittedChanges":
      return "Review the current code changes (staged, unstaged, and untracked files) and provide prioritized findings."
    case "baseBranch":
      return `Review the code changes against the base branch '${target.branch}'. Provide prioritized, actionable findings.`
    case "commit":
      return `Review the code changes introduced by commit ${target.sha}${
        target.title == null ? "" : ` ("${target.title}")`
      }. Provide prioritized, actionable findings.`
    case "custom":
      return target.instructions.trim()
  }
}

const Verdict = Schema.fromJsonString(Schema.Struct({
  findings: Schema.Array(Schema.Struct({
    title: Schema.String,
    body: Schema.String,
    confidence_score: Schema.Finite,
    priority: Schema.Int,
    code_location: Schema.Struct({
      absolute_file_path: Schema.String,
      line_range: Schema.Struct({ start: Schema.Int, end: Schema.Int })
    })
  })),
  overall_correctness: Schema.String,
  overall_explanation: Schema.String,
  overall_confidence_score: Schema.Finite
}))

const decodeVerdict = Schema.decodeUnknownOption(Verdict)

/** What is told where the reviewer has not come to an end. */
export const unfinished = {
  review: "Reviewer failed to output a response.",
  message: "Review was interrupted. Please re-run /review and wait for it to complete."
}

/** The review that the reviewer's answer is: its findings as a text, or the text that it is. */
export const reviewOf = (answer: string | undefined): string =>
  Option.match(decodeVerdict(answer), {
    onNone: () => answer ?? "",
    onSome: ({ findings, overall_explanation }) => {
      const comments = findings.map(({ body, code_location: { absolute_file_path, line_range }, title }) =>
        `- ${title} — ${absolute_file_path}:${line_range.start}-${line_range.end}\n${body.replace(/^/gm, "  ")}`
      )
      const heading = comments.length === 1 ? "Review comment:" : "Full review comments:"
      return [overall_explanation, ...(comments.length === 0 ? [] : [heading, ...comments])]
        .filter((part) => part !== "")
        .join("\n\n")
    }
  }) || unfinished.review
