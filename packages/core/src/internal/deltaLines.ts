/**
 * Lines that are like an earlier one, but for what their delta says and when.
 *
 * The agent tells a text in so many deltas that most lines of a busy connection are such, and to parse one takes longer than
 * all else that is done with it. So the bytes that all deltas of a text have in common are remembered. Of a line that has
 * them where they belong only the rest is parsed, and it says what `JSON.parse` would say of the whole. What it says is
 * decoded by its Schema like everything else.
 */
import * as Predicate from "effect/Predicate"
import * as Envelope from "./envelope.ts"
import { viewOf } from "./framer.ts"
import * as Notifications from "./notifications.ts"
import { forgetOldest } from "./recent.ts"
import type { TurnState } from "./turn.ts"

/** How many texts are remembered: more than are told at once. */
const TEXTS = 4_096

/** How many lengths of heads: as a rule ids have one length, and so have the heads of a method. */
const LENGTHS = 16

/** How many kinds of tails: hardly any of them names more than the time. */
const TAILS = 64

/** How far from its ends a line is looked at for what others may have in common with it, in characters. */
const REACH = 1_024

/** The digits of a time in milliseconds, from 2001 to 2286. */
const TIME = 13

const METHOD = "{\"method\":\""

/** A member of flat params, without escapes. */
const member = /"(?!delta")[^"\\]+":(?:"[^"\\]*"|-?\d+|null|true|false)/.source

/** What is before the text of a delta, and what is between it and the time, in a line as the server writes it. */
const head = new RegExp(`^${METHOD}[^"\\\\]+","params":{(?:${member},)*"delta":"`)
const tail = new RegExp(`"(?:,${member})*},"emittedAtMs":(?=[1-9]\\d{${TIME - 1}}}$)`)

// =============================================================================
// Bytes
// =============================================================================

/** How many bytes are compared at once. */
const WORD = 4

const encoder = new TextEncoder()

/** Bytes to compare with those of a line. */
class Bytes {
  readonly length: number
  /** The last one begins within the one before. */
  private readonly words: Int32Array

  constructor(bytes: Uint8Array) {
    const view = viewOf(bytes)
    this.length = view.byteLength
    const last = this.length >> 2
    this.words = new Int32Array(last + 1)
    for (let index = 0; index < last; index++) this.words[index] = view.getInt32(index * WORD, true)
    this.words[last] = view.getInt32(this.length - WORD, true)
  }

  areAt(view: DataView, start: number): boolean {
    const { length, words } = this
    const last = words.length - 1
    for (let index = 0; index < last; index++) {
      if (view.getInt32(start + index * WORD, true) !== words[index]) return false
    }
    return view.getInt32(start + length - WORD, true) === words[last]
  }
}

/** The end of every head. */
const headEnd = viewOf(encoder.encode("a\":\"")).getInt32(0, true)

/** Of a head, but for its first bytes, which name the method. */
const hash = (view: DataView, start: number, length: number): number => {
  let sum = length
  for (let at = start + length - WORD; at > start + 32; at -= WORD) {
    sum = Math.imul(sum ^ view.getInt32(at, true), 0x01000193)
  }
  return sum
}

// =============================================================================
// Texts
// =============================================================================

/** A text that is being told, and the notification of its latest delta: it says something else once the next line is read. */
export class Text implements Notifications.NotificationEnvelope {
  readonly _tag = "Notification"
  readonly method: string
  readonly params: { delta?: unknown }
  emittedAtMs: number | undefined
  /** The turn that it is of, once that is known and for as long as it runs. */
  turn: TurnState | undefined = undefined
  /** The hash of its head. */
  readonly key: number
  readonly head: Bytes
  readonly tail: Bytes

  constructor(
    { emittedAtMs, method }: Notifications.NotificationEnvelope,
    params: { delta?: unknown },
    key: number,
    head: Bytes,
    tail: Bytes
  ) {
    this.method = method
    this.params = params
    this.emittedAtMs = emittedAtMs
    this.key = key
    this.head = head
    this.tail = tail
  }
}

export class DeltaLines {
  /** By the hashes of their heads; of two with the same one the later one is known. */
  private readonly texts = new Map<number, Text>()
  /** Of heads. */
  private readonly lengths: Array<number> = []
  private readonly tails = new Map<string, Bytes>()

  /** The text that the line, which stands at `start` of the source, begins or goes on with; none where it is no such line. */
  read(line: string, source: DataView, start: number, bytes: number): Text | undefined {
    for (const length of this.lengths) {
      if (length > bytes || source.getInt32(start + length - WORD, true) !== headEnd) continue
      const text = this.texts.get(hash(source, start, length))
      if (text === undefined || text.head.length !== length || !text.head.areAt(source, start)) continue
      const rest = bytes - TIME - 1 - text.tail.length
      if (rest >= length && text.tail.areAt(source, start + rest)) {
        return this.tell(text, line, source, start, bytes) ? text : undefined
      }
    }
    return isDelta(line) ? this.learn(line) : undefined
  }

  /** There will be no more deltas of it. */
  forget(text: Text): void {
    text.turn = undefined
    if (this.texts.get(text.key) === text) this.texts.delete(text.key)
  }

  clear(): void {
    this.texts.clear()
  }

  /** Has the text say what the line says, if there is a string and a time where those belong. */
  private tell(text: Text, line: string, source: DataView, start: number, bytes: number): boolean {
    const { head, tail } = text
    const emittedAtMs = timeAt(source, start + bytes - TIME - 1)
    const delta = stringOf(line, head.length, line.length - TIME - 1 - tail.length)
    if (emittedAtMs === undefined || delta === undefined) return false
    text.emittedAtMs = emittedAtMs
    text.params.delta = delta
    return true
  }

  private learn(line: string): Text | undefined {
    const [before] = head.exec(line.slice(0, REACH)) ?? []
    const [behind] = tail.exec(line.slice(-REACH)) ?? []
    if (before === undefined || behind === undefined) return undefined
    // There is a string of JSON in between, and nothing else.
    if (stringOf(line, before.length, line.length - TIME - 1 - behind.length) === undefined) return undefined
    const bytes = encoder.encode(before)
    const end = this.tails.get(behind) ?? new Bytes(encoder.encode(behind))
    // Places in the text are places among the bytes only where each character is one.
    if (bytes.length !== before.length || end.length !== behind.length) return undefined
    const envelope = Envelope.parse(line)
    // What is not known is handed on as it is, and must not change.
    if (envelope._tag !== "Notification" || !Notifications.isKnown(envelope.method)) return undefined
    if (!Predicate.isObject(envelope.params)) return undefined
    const key = hash(viewOf(bytes), 0, bytes.length)
    const text = new Text(envelope, envelope.params, key, new Bytes(bytes), end)
    this.texts.set(key, text)
    forgetOldest(this.texts, TEXTS)
    this.tails.set(behind, end)
    forgetOldest(this.tails, TAILS)
    if (!this.lengths.includes(before.length) && this.lengths.unshift(before.length) > LENGTHS) this.lengths.pop()
    return text
  }
}

/** Whether the line begins with the method of a delta: `.../delta` or `...Delta`. */
const isDelta = (line: string): boolean => line.startsWith("elta\"", line.indexOf("\"", METHOD.length) - "elta".length)

/** The time whose digits stand there. */
const timeAt = (view: DataView, start: number): number | undefined => {
  let time = 0
  for (let at = start; at < start + TIME; at++) {
    const digit = view.getUint8(at) - 0x30
    if (digit < 0 || digit > 9) return undefined
    time = time * 10 + digit
  }
  return view.getUint8(start) === 0x30 || view.getUint8(start + TIME) !== 0x7d ? undefined : time
}

/** The string of JSON that is written between those places, if it is one. */
const stringOf = (line: string, start: number, stop: number): string | undefined => {
  try {
    const text: unknown = JSON.parse(line.slice(start - 1, stop + 1))
    return typeof text === "string" ? text : undefined
  } catch {
    return undefined
  }
}
