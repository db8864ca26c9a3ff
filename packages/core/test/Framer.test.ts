import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { type Frame, Framer, OversizedLine } from "../src/internal/framer.ts"

const encoder = new TextEncoder()

const frames = (framer: Framer, chunks: Iterable<Uint8Array>): Array<Frame> => {
  const found: Array<Frame> = []
  for (const chunk of chunks) framer.push(chunk, (frame) => found.push(frame))
  return found
}

const framesOf = (text: string, maxLineBytes = 1024): Array<Frame> =>
  frames(new Framer(maxLineBytes), [encoder.encode(text)])

/** The bytes cut into pieces of these sizes, again and again. */
const cut = (bytes: Uint8Array, sizes: ReadonlyArray<number>): Array<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  let start = 0
  for (let index = 0; start < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1
    chunks.push(bytes.subarray(start, start + size))
    start += size
  }
  return chunks
}

const Sizes = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })))

describe("Framer", () => {
  it("hands out each line once its end has come", () => {
    const framer = new Framer(100)
    assert.deepStrictEqual(frames(framer, [encoder.encode("one\ntwo\nthr")]), ["one", "two"])
    assert.strictEqual(framer.unfinishedBytes, 3)
    assert.deepStrictEqual(frames(framer, [encoder.encode("ee\n")]), ["three"])
    assert.strictEqual(framer.unfinishedBytes, 0)
  })

  it("takes CRLF for a line end, also where it is cut", () => {
    assert.deepStrictEqual(framesOf("one\r\ntwo\r\n"), ["one", "two"])
    const framer = new Framer(100)
    assert.deepStrictEqual(frames(framer, ["one\r", "\n", "t\rwo\r\n"].map((text) => encoder.encode(text))), [
      "one",
      "t\rwo"
    ])
  })

  it("leaves out blank lines", () => {
    assert.deepStrictEqual(framesOf("\n\r\none\n\n\r\n\ntwo\n"), ["one", "two"])
  })

  it("tells the size of each line on the wire", () => {
    const sizes: Array<number> = []
    new Framer(100).push(encoder.encode("é\n12345\r\n"), (_, bytes) => sizes.push(bytes))
    assert.deepStrictEqual(sizes, [2, 5])
  })

  it("gives the same lines wherever the bytes are cut in two", () => {
    const text = "{\"a\":\"é€😀\"}\r\n\nsecond 漢字\n😀\n"
    const bytes = encoder.encode(text)
    const whole = framesOf(text)
    assert.deepStrictEqual(whole, ["{\"a\":\"é€😀\"}", "second 漢字", "😀"])
    for (let at = 0; at <= bytes.length; at++) {
      assert.deepStrictEqual(
        frames(new Framer(1024), [bytes.subarray(0, at), bytes.subarray(at)]),
        whole,
        `cut at ${at}`
      )
    }
    assert.deepStrictEqual(frames(new Framer(1024), cut(bytes, [1])), whole)
  })

  it.prop("gives the same lines whatever the chunks", [Schema.Array(Schema.String), Sizes], ([lines, sizes]) => {
    // Lone surrogates have no bytes of their own.
    const clean = lines.map((line) => line.replaceAll(/[\r\n]/g, " ").toWellFormed())
    const bytes = encoder.encode(clean.map((line) => `${line}\n`).join(""))
    assert.deepStrictEqual(
      frames(new Framer(100_000), cut(bytes, sizes)),
      clean.filter((line) => line !== "")
    )
  }, { arbitrary: { runs: 200 } })

  it("reports a line over the limit once, with its size and its start, and goes on", () => {
    const long = `{"id":7,"result":"${"x".repeat(5000)}"}`
    for (const sizes of [[1], [7], [1000], [100_000]]) {
      const found = frames(new Framer(2000), cut(encoder.encode(`first\n${long}\nnext\n`), sizes))
      assert.strictEqual(found.length, 3)
      const [first, oversized, next] = found
      assert.strictEqual(first, "first")
      assert.strictEqual(next, "next")
      assert.instanceOf(oversized, OversizedLine)
      assert.strictEqual(oversized.bytes, long.length)
      assert.strictEqual(oversized.head, long.slice(0, 1024))
    }
  })

  it("accepts a line of exactly the limit, and not one byte more", () => {
    for (const sizes of [[1], [3], [100]]) {
      const [fits, over] = frames(new Framer(5), cut(encoder.encode("12345\n123456\n"), sizes))
      assert.strictEqual(fits, "12345")
      assert.instanceOf(over, OversizedLine)
      assert.strictEqual(over.bytes, 6)
    }
  })

  it("keeps nothing of a line over the limit but its start", () => {
    const framer = new Framer(10)
    const piece = encoder.encode("x".repeat(100))
    for (let index = 0; index < 1000; index++) framer.push(piece, () => assert.fail("no line has ended"))
    assert.strictEqual(framer.unfinishedBytes, 100_000)
    assert.isBelow(JSON.stringify(framer).length, 2000)
  })

  it("reads each byte of a long line a bounded number of times", () => {
    // Joining at each chunk would copy 4 GB here; the bytes that are copied are counted, not timed.
    let copied = 0
    class Counted extends Uint8Array {
      override subarray(start?: number, end?: number): Uint8Array<ArrayBuffer> {
        return super.subarray(start, end)
      }
      override indexOf(searchElement: number, fromIndex?: number): number {
        copied += this.length - (fromIndex ?? 0)
        return super.indexOf(searchElement, fromIndex)
      }
    }
    const chunk = new Counted(64).fill(0x61)
    const framer = new Framer(10_000_000)
    const found: Array<number> = []
    for (let index = 0; index < 16_000; index++) framer.push(chunk, (_, bytes) => found.push(bytes))
    framer.push(encoder.encode("\n"), (_, bytes) => found.push(bytes))
    assert.deepStrictEqual(found, [64 * 16_000])
    assert.strictEqual(copied, 64 * 16_000)
  })
})
