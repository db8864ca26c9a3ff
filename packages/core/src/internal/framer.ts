/**
 * Cuts a byte stream into lines. Linear in the input whatever the chunk sizes:
 * the pieces of an unfinished line are kept apart and joined once.
 */

/** What a line of the stream turned out to be. */
export type Frame = string | OversizedLine

/** A line over the limit: its content is dropped but for the start, which may name the message it was. */
export class OversizedLine {
  readonly bytes: number
  readonly head: string
  constructor(bytes: number, head: string) {
    this.bytes = bytes
    this.head = head
  }
}

/** Is told each frame and its size in bytes, and where a line stands: at `start` of the source. */
export type OnFrame = (frame: Frame, bytes: number, source: DataView, start: number) => void

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
/** Enough to hold an envelope's `id` or `method`, which the server writes first. */
const HEAD_BYTES = 1024

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

export class Framer {
  private pieces: Array<Uint8Array> = []
  private pending = 0
  private head: string | undefined
  private readonly maxLineBytes: number

  constructor(maxLineBytes: number) {
    this.maxLineBytes = maxLineBytes
  }

  /** The bytes of the unfinished last line. */
  get unfinishedBytes(): number {
    return this.pending
  }

  /** Adds `chunk` and hands each line it completes to `onFrame`, blank ones left out. */
  push(chunk: Uint8Array, onFrame: OnFrame): void {
    const first = chunk.indexOf(LINE_FEED)
    if (first === -1) {
      if (chunk.length > 0) this.keep(chunk)
      return
    }
    this.finish(chunk.subarray(0, first), onFrame)
    const last = chunk.lastIndexOf(LINE_FEED)
    if (last > first) this.emitLines(chunk.subarray(first + 1, last + 1), onFrame)
    if (last + 1 < chunk.length) this.keep(chunk.subarray(last + 1))
  }

  /**
   * Whole lines, decoded all at once: a call of the decoder costs more than a short line. No other character has the
   * byte of a line feed in it, so the lines of the text are those of the bytes; they are looked for twice only where
   * some character takes more than one byte.
   */
  private emitLines(lines: Uint8Array, onFrame: OnFrame): void {
    const text = decoder.decode(lines)
    const isAscii = text.length === lines.length
    const source = viewOf(lines)
    let start = 0
    let textStart = 0
    while (start < lines.length) {
      const textEnd = text.indexOf("\n", textStart)
      const end = isAscii ? textEnd : lines.indexOf(LINE_FEED, start)
      const bytes = end > start && lines[end - 1] === CARRIAGE_RETURN ? end - start - 1 : end - start
      if (end - start > this.maxLineBytes) {
        onFrame(new OversizedLine(end - start, headOf(lines.subarray(start, end))), end - start, source, start)
      } else if (bytes > 0) {
        onFrame(text.slice(textStart, bytes === end - start ? textEnd : textEnd - 1), bytes, source, start)
      }
      start = end + 1
      textStart = textEnd + 1
    }
  }

  private keep(piece: Uint8Array): void {
    this.pending += piece.length
    if (this.head !== undefined) return
    this.pieces.push(piece)
    if (this.pending > this.maxLineBytes) {
      this.head = headOf(join(this.pieces, this.pending))
      this.pieces = []
    }
  }

  private finish(last: Uint8Array, onFrame: OnFrame): void {
    if (this.pending === 0 && last.length <= this.maxLineBytes) {
      emitLine(last, onFrame)
      return
    }
    this.keep(last)
    const { head, pending, pieces } = this
    this.pieces = []
    this.pending = 0
    this.head = undefined
    if (head !== undefined) onFrame(new OversizedLine(pending, head), pending, viewOf(last), 0)
    else emitLine(join(pieces, pending), onFrame)
  }
}

/** The bytes as numbers of any size. */
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const headOf = (line: Uint8Array): string => decoder.decode(line.subarray(0, HEAD_BYTES))

const emitLine = (line: Uint8Array, onFrame: OnFrame): void => {
  const length = line.length > 0 && line[line.length - 1] === CARRIAGE_RETURN ? line.length - 1 : line.length
  if (length === 0) return
  onFrame(decoder.decode(length === line.length ? line : line.subarray(0, length)), length, viewOf(line), 0)
}

const join = (pieces: ReadonlyArray<Uint8Array>, length: number): Uint8Array => {
  const [only] = pieces
  if (pieces.length === 1 && only !== undefined) return only
  const joined = new Uint8Array(length)
  let offset = 0
  for (const piece of pieces) {
    joined.set(piece, offset)
    offset += piece.length
  }
  return joined
}
