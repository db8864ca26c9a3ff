/** What the agent does, for people. */
import type { ThreadItem } from "@effect-codex/core/types"
import * as Text from "./text.ts"

const WIDTH = 200

/** How much of what a command printed is shown. */
const OUTPUT_LINES = 10

/** What the agent does, in a line; undefined for what it says. */
export const titleOf = (item: ThreadItem): string | undefined => {
  switch (item.type) {
    case "commandExecution":
      return `$ ${Text.line(item.command, WIDTH)}`
    case "fileChange":
      return "changes files"
    case "mcpToolCall":
      return `${item.server}: ${Text.line(item.tool, WIDTH)}`
    case "dynamicToolCall":
      return `tool: ${Text.line(item.tool, WIDTH)}`
    case "collabAgentToolCall":
      return `agents: ${item.tool}${typeof item.prompt === "string" ? `: ${Text.line(item.prompt, WIDTH)}` : ""}`
    case "webSearch":
      return `searches the web${item.query === "" ? "" : `: ${Text.line(item.query, WIDTH)}`}`
    case "imageView":
      return `looks at ${Text.line(item.path, WIDTH)}`
    case "imageGeneration":
      return "makes an image"
    case "contextCompaction":
      return "sums up what was said so far"
    default:
      return undefined
  }
}

/** What it came to, line by line. */
export const detailsOf = (item: ThreadItem): ReadonlyArray<string> => {
  switch (item.type) {
    case "commandExecution":
      return [...lastLines(item.aggregatedOutput ?? ""), outcomeOf(item)]
    case "fileChange":
      return [
        ...item.changes.map(({ kind, path }) => `${kind.type} ${Text.line(path, WIDTH)}`),
        ...(item.status === "completed" ? [] : [item.status])
      ]
    case "mcpToolCall":
    case "dynamicToolCall":
      return item.status === "completed" ? [] : [item.status]
    default:
      return []
  }
}

const lastLines = (output: string): ReadonlyArray<string> => {
  const text = Text.visible(output).replace(/^\n+/, "").trimEnd()
  const lines = text === "" ? [] : text.split("\n")
  return lines.length <= OUTPUT_LINES
    ? lines
    : [`… ${Text.count(lines.length - OUTPUT_LINES)} lines more`, ...lines.slice(-OUTPUT_LINES)]
}

const outcomeOf = (
  { durationMs, exitCode, status }: Extract<ThreadItem, { readonly type: "commandExecution" }>
): string => {
  const took = typeof durationMs === "number" ? ` in ${Text.duration(durationMs)}` : ""
  return typeof exitCode === "number" ? `exit code ${exitCode}${took}` : `${status}${took}`
}
