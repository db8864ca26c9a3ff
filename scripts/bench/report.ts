/** The table as people read it. */
import type { Driver } from "./compare.ts"
import type { Row } from "./rows.ts"

const drivers: ReadonlyArray<readonly [Driver, string]> = [
  ["sdk", "this SDK"],
  ["floor", "floor"],
  ["python", "Python SDK"],
  ["typescript", "TypeScript SDK"]
]

/** Markdown, with columns that are in line in a terminal too. */
export const table = (rows: ReadonlyArray<Row>): string => {
  const header = ["row", "goal", "measured", "", ...drivers.map(([, name]) => name)]
  const lines = rows.map(({ goal, measured, name, raw, reached }) => [
    name,
    goal,
    measured,
    reached === undefined ? "" : reached ? "yes" : "no",
    ...drivers.map(([driver]) => raw[driver] ?? "")
  ])
  const widths = header.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0))
  )
  const show = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`
  return [show(header), show(widths.map((width) => "-".repeat(width))), ...lines.map(show)].join("\n")
}
