/** Which items of a turn are a tool at work. */
import type { ThreadItem } from "@effect-codex/generated"

/** The name of the tool; undefined for what the agent says and thinks, and for what is said to it. */
export const toolOf = (item: ThreadItem): string | undefined => {
  switch (item.type) {
    case "commandExecution":
    case "fileChange":
    case "webSearch":
    case "imageGeneration":
    case "imageView":
      return item.type
    case "mcpToolCall":
    case "dynamicToolCall":
    case "collabAgentToolCall":
      return item.tool
    default:
      return undefined
  }
}
