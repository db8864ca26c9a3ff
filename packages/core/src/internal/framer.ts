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
  push(chunk: Uint8Array, onFrame: (frame: Frame, bytes: number) => void): void {
    let start = 0
    while (start < chunk.length) {
      const end = chunk.indexOf(LINE_FEED, start)
      if (end === -1) break
      this.finish(chunk.subarray(start, end), onFrame)
      start = end + 1
    }
    if (start < chunk.length) this.keep(start === 0 ? chunk : chunk.subarray(start))
  }

  private keep(piece: Uint8Array): void {
    this.pending += piece.length
    if (this.head !== undefined) return
    this.pieces.push(piece)
    if (this.pending > this.maxLineBytes) {
      this.head = decoder.decode(join(this.pieces, this.pending).subarray(0, HEAD_BYTES))
      this.pieces = []
    }
  }

  private finish(last: Uint8Array, onFrame: (frame: Frame, bytes: number) => void): void {
    if (this.pending === 0 && last.length <= this.maxLineBytes) {
      emitLine(last, onFrame)
      return
    }
    this.keep(last)
    const { head, pending, pieces } = this
    this.pieces = []
    this.pending = 0
    this.head = undefined
    if (head !== undefined) onFrame(new OversizedLine(pending, head), pending)
    else emitLine(join(pieces, pending), onFrame)
  }
}

const emitLine = (line: Uint8Array, onFrame: (frame: Frame, bytes: number) => void): void => {
  const length = line.length > 0 && line[line.length - 1] === CARRIAGE_RETURN ? line.length - 1 : line.length
  if (length === 0) return
  onFrame(decoder.decode(length === line.length ? line : line.subarray(0, length)), length)
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
