/** What is read of lines by what deltas have in common. */
import { DeltaLines, type Text } from "../../src/internal/deltaLines.ts"
import * as Envelope from "../../src/internal/envelope.ts"
import type { OnFrame } from "../../src/internal/framer.ts"

export interface Line {
  readonly line: string
  /** What parsing it says. */
  readonly envelope: Envelope.Envelope
  /** What was read of it, as it was then. */
  readonly read: unknown
  /** Whether it was read by what is known of an earlier line. */
  readonly isKnown: boolean
}

/** Notes what becomes of each line. */
export const reading = (deltas = new DeltaLines()) => {
  const lines: Array<Line> = []
  const texts = new Set<Text>()
  const note: OnFrame = (frame, bytes, source, start) => {
    const line = typeof frame === "string" ? frame : frame.head
    const text = deltas.read(line, source, start, bytes)
    const read = text === undefined
      ? undefined
      : { _tag: text._tag, method: text.method, params: { ...text.params }, emittedAtMs: text.emittedAtMs }
    lines.push({ line, envelope: Envelope.parse(line), read, isKnown: text !== undefined && texts.has(text) })
    if (text !== undefined) texts.add(text)
  }
  return { lines, note }
}
