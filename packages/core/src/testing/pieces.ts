/**
 * Texts that come in pieces, which are not written before their end: a secret or an id may be in none of the pieces, and
 * in all of them together. Every piece keeps its place, for what the program does may depend on it.
 */
import { idAt } from "../internal/notifications.ts"
import { isMessage, type Message, type Normaliser } from "./normaliser.ts"
import type { Entry } from "./Transcript.ts"

/** So much waits for the end of a text; then it is taken to have ended. */
const MAX_ENTRIES = 4_096
const MAX_CHARACTERS = 4 * 1024 * 1024

/** A step that waits. */
interface Held {
  entry: Entry
  readonly characters: number
  readonly text: Text | undefined
}

interface Piece {
  readonly method: string
  readonly itemId: string
  readonly turnId: unknown
  readonly delta: string
  /** What is the same for all pieces of the text. */
  readonly key: string
}

interface Text {
  readonly first: Piece
  readonly pieces: Array<readonly [held: Held, raw: string]>
}

export class Pieces {
  private readonly normaliser: Normaliser
  private readonly held: Array<Held> = []
  private readonly open = new Map<string, Text>()
  private characters = 0

  constructor(normaliser: Normaliser) {
    this.normaliser = normaliser
  }

  /** Takes a step, and the message that it was made of: gives what can be written now. */
  push(entry: Entry, raw: Message, characters: number): ReadonlyArray<Entry> {
    const piece = entry.from === "server" ? pieceOf(raw) : undefined
    const text = piece === undefined ? undefined : this.open.get(piece.key) ?? { first: piece, pieces: [] }
    const held: Held = { entry, characters, text }
    this.held.push(held)
    this.characters += characters
    if (piece !== undefined && text !== undefined) {
      this.open.set(piece.key, text)
      text.pieces.push([held, piece.delta])
    } else this.closeEnded(raw)
    const free = this.free()
    while (this.held.length > MAX_ENTRIES || this.characters > MAX_CHARACTERS) {
      const first = this.held[0]?.text
      if (first === undefined) break
      this.close(first)
      free.push(...this.free())
    }
    return free
  }

  /** Nothing more comes: gives what is left. */
  end(): ReadonlyArray<Entry> {
    for (const text of this.open.values()) this.close(text)
    return this.free()
  }

  private waits({ text }: Held): boolean {
    return text !== undefined && this.open.get(text.first.key) === text
  }

  /** What waits no longer, and is not behind something that does. */
  private free(): Array<Entry> {
    const first = this.held.findIndex((held) => this.waits(held))
    const free = this.held.splice(0, first === -1 ? this.held.length : first)
    for (const { characters } of free) this.characters -= characters
    return free.map(({ entry }) => entry)
  }

  private closeEnded({ method, params }: Message): void {
    if (this.open.size === 0) return
    const itemId = method === "item/completed" ? idAt(params, ["item", "id"]) : undefined
    const turnId = method === "turn/completed" ? idAt(params, ["turn", "id"]) : undefined
    for (const text of this.open.values()) {
      const { first } = text
      if (first.itemId === itemId || (turnId !== undefined && first.turnId === turnId)) this.close(text)
    }
  }

  private close({ first, pieces }: Text): void {
    this.open.delete(first.key)
    const whole = this.normaliser.whole(first.method, pieces.map(([, raw]) => raw).join(""))
    if (whole === pieces.map(([{ entry }]) => deltaOf(entry)).join("")) return
    // Where it is cut within the text does not matter to anybody.
    for (const [index, [held]] of pieces.entries()) held.entry = withDelta(held.entry, index === 0 ? whole : "")
  }
}

const pieceOf = ({ method, params }: Message): Piece | undefined => {
  if (typeof method !== "string" || params === undefined || !isMessage(params)) return undefined
  const { delta, ...others } = params
  const { itemId, turnId } = others
  if (typeof delta !== "string" || typeof itemId !== "string") return undefined
  return { method, itemId, turnId, delta, key: JSON.stringify([method, others]) }
}

const deltaOf = (entry: Entry): string => "message" in entry ? idAt(entry.message, ["params", "delta"]) ?? "" : ""

const withDelta = (entry: Entry, delta: string): Entry => {
  if (!("message" in entry)) return entry
  const params: unknown = entry.message["params"]
  return isMessage(params) ? { ...entry, message: { ...entry.message, params: { ...params, delta } } } : entry
}
