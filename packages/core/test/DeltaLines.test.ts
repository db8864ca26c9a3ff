import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { DeltaLines } from "../src/internal/deltaLines.ts"
import * as Envelope from "../src/internal/envelope.ts"
import { Framer, viewOf } from "../src/internal/framer.ts"

const encoder = new TextEncoder()

interface Read {
  readonly line: string
  /** What was read without parsing the line, as it was then. */
  readonly read: unknown
}

const bytesOf = (lines: ReadonlyArray<string>): Uint8Array => encoder.encode(lines.map((line) => `${line}\n`).join(""))

/** The lines as a connection reads them, in chunks of so many bytes. */
const readAll = (deltas: DeltaLines, bytes: Uint8Array, chunkBytes = 200): ReadonlyArray<Read> => {
  const framer = new Framer(100_000)
  const all: Array<Read> = []
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    framer.push(bytes.subarray(at, at + chunkBytes), (frame, size, source, start) => {
      const line = typeof frame === "string" ? frame : frame.head
      const text = deltas.read(line, source, start, size)
      const read = text === undefined
        ? undefined
        : { _tag: text._tag, method: text.method, params: { ...text.params }, emittedAtMs: text.emittedAtMs }
      all.push({ line, read })
    })
  }
  return all
}

/** How many of the lines were read without parsing them, each of which says what parsing it says. */
const readAsParsed = (lines: ReadonlyArray<string> | Uint8Array, deltas = new DeltaLines()): number => {
  const bytes = lines instanceof Uint8Array ? lines : bytesOf(lines)
  const read = readAll(deltas, bytes).filter(({ read }) => read !== undefined)
  for (const { line, read: envelope } of read) assert.deepStrictEqual(envelope, Envelope.parse(line))
  return read.length
}

interface Fields {
  readonly method?: string
  readonly item?: string
  readonly delta: unknown
  readonly time?: unknown
  readonly more?: object
}

const lineOf = (
  { delta, item = "i", method = "item/agentMessage/delta", more = {}, time = 1_795_243_299_693 }: Fields
) =>
  JSON.stringify({
    method,
    params: { threadId: "0190-thread", turnId: "0190-turn", itemId: item, delta, ...more },
    emittedAtMs: time
  })

const Line = Schema.Struct({
  method: Schema.Literals([
    "item/agentMessage/delta",
    "item/reasoning/textDelta",
    "item/completed",
    "unheard/of/delta"
  ]),
  item: Schema.Literals(["a", "b", "ü", "with \" quotes"]),
  delta: Schema.Union([Schema.String, Schema.Literals(["", "\n\t\"\\", "漢字😀", "\",\"x\":\""]), Schema.Json]),
  time: Schema.Union([Schema.Literals([1_795_243_299_693, 1_795_243_299_694, 5]), Schema.Json]),
  more: Schema.Union([
    Schema.Struct({ contentIndex: Schema.Literals([0, 1]) }),
    Schema.Record(Schema.String, Schema.Json),
    Schema.Struct({})
  ])
})

const Place = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))

const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))

describe("DeltaLines", () => {
  it("knows all but the first delta of a text, whatever they say and when", () => {
    const deltas = [
      "one ",
      "",
      "two\n\"quoted\" \\ ",
      "漢字 ü 😀",
      "\ud800",
      "\",\"delta\":\"",
      "x".repeat(5_000),
      "\u2028"
    ]
    const lines = deltas.map((delta, index) => lineOf({ delta, time: 1_795_243_299_693 + index }))
    assert.strictEqual(readAsParsed(lines), deltas.length - 1)
  })

  it("tells many texts apart, of methods and places of their own", () => {
    const texts = (delta: string) => [
      ...Array.from({ length: 50 }, (_, item) => lineOf({ item: `item-${item}`, delta })),
      lineOf({ method: "item/reasoning/textDelta", delta, more: { contentIndex: 0 } }),
      lineOf({ method: "item/commandExecution/outputDelta", delta })
    ]
    assert.strictEqual(readAsParsed(["a", "b", "c"].flatMap(texts)), 104)
  })

  it("goes on with the next part of a text", () => {
    const part = (contentIndex: number) =>
      ["a", "b", "c"].map((delta) => lineOf({ method: "item/reasoning/textDelta", delta, more: { contentIndex } }))
    assert.strictEqual(readAsParsed([...part(0), ...part(1)]), 4)
  })

  it("minds no line that is shorter than what the text ended with before", () => {
    const deltas = new DeltaLines()
    const long = lineOf({ delta: "text", more: { note: "n".repeat(300) } })
    assert.strictEqual(readAsParsed([long, long], deltas), 1)
    assert.strictEqual(readAsParsed([lineOf({ delta: "text" })], deltas), 0)
  })

  it("has the same texts again when lines are cut anywhere", () => {
    const lines = Array.from({ length: 40 }, (_, index) => lineOf({ delta: `${index} é` }))
    for (const chunkBytes of [1, 7, 163, 64_000]) {
      const read = readAll(new DeltaLines(), bytesOf(lines), chunkBytes)
      assert.deepStrictEqual(read.map(({ line }) => line), lines)
      assert.strictEqual(read.filter(({ read }) => read !== undefined).length, lines.length - 1)
    }
  })

  it.effect.prop("says what the whole line says, or nothing", [Schema.Array(Line)], ([fields]) =>
    Effect.sync(() => {
      const lines = fields.map(lineOf)
      readAsParsed([...lines, ...lines])
    }))

  it.effect.prop(
    "says what the whole line says, or nothing, whatever bytes of it are others",
    [Schema.Array(Line).check(Schema.isMinLength(1)), Schema.Array(Schema.Tuple([Place, Byte]))],
    ([fields, changes]) =>
      Effect.sync(() => {
        const lines = fields.map(lineOf)
        const changed = bytesOf(lines)
        for (const [place, byte] of changes) changed[place % changed.length] = byte
        readAsParsed(new Uint8Array([...bytesOf([...lines, ...lines]), ...changed]))
      })
  )

  it("says nothing of a line that is like a delta's and not one", () => {
    const line = lineOf({ delta: "text" })
    const deltas = new DeltaLines()
    assert.strictEqual(readAsParsed([line, line], deltas), 1)
    const others = [
      line.replace("\"text\"", "\"te\u0001xt\""),
      line.replace("\"text\"", "\"te\\xt\""),
      line.replace("\"text\"", "5"),
      line.replace("\"text\"", "\"a\",\"delta\":\"b\""),
      line.replace("\"text\"", "\"a\",\"more\":{\"b\":\"c\"},\"d\":\"e\""),
      line.replace("\"text\"", "\"a\"}, \"params\":{\"delta\":\"b\""),
      line.replace("1795243299693", "0795243299693"),
      line.replace("1795243299693", "179524329969"),
      line.replace("1795243299693", "17952432996930"),
      line.replace("1795243299693", "-795243299693"),
      line.replace("1795243299693", "1795243299.93"),
      line.replace("1795243299693}", "1795243299693,\"id\":1}"),
      line.replace("Ms\":", "Ms\";"),
      `${line.slice(0, -1)}]`,
      line.slice(0, -1),
      `${line}}`,
      ` ${line}`,
      line.slice(0, 130),
      ""
    ]
    assert.deepStrictEqual(others.filter((other) => readAsParsed([other], deltas) > 0), [])
    assert.strictEqual(readAsParsed([line], deltas), 1)
  })

  it("learns nothing from a line that is like a delta's and not one", () => {
    const line = lineOf({ delta: "text" })
    for (
      const other of [
        line.replace("\"text\"", "\"a\",\"more\":{\"b\":\"c\"},\"d\":\"e\""),
        line.replace("\"text\"", "\"a\",\"delta\":\"b\""),
        line.replace("\"delta\"", "\"delta\":\"b\",\"delta\""),
        line.replace("0190-turn", "0190\\u002dturn"),
        line.replace("0190-turn", "0190-ü"),
        line.replace("0190-turn", "0190-turn".repeat(200)),
        line.replace("\"text\"", `"text"${",\"a\":0".repeat(20_000)},"b":{}`),
        line.replace("item/agentMessage/delta", "unheard/of/delta")
      ]
    ) {
      assert.strictEqual(readAsParsed([other, other, line]), 0, other)
    }
  })

  it("knows no more of a text than of any other once it is forgotten", () => {
    const deltas = new DeltaLines()
    const line = lineOf({ delta: "text" })
    const bytes = viewOf(encoder.encode(line))
    const read = () => deltas.read(line, bytes, 0, bytes.byteLength)
    assert.isUndefined(read())
    const text = read()
    assert.isDefined(text)
    if (text !== undefined) deltas.forget(text)
    assert.isUndefined(read())
    assert.isDefined(read())
    deltas.clear()
    assert.isUndefined(read())
  })

  it("remembers so many texts and no more", () => {
    const deltas = new DeltaLines()
    for (let index = 0; index < 5_000; index++) {
      const item = `${index}`.repeat(1 + index % 20)
      readAll(deltas, bytesOf([lineOf({ item, delta: "", more: { contentIndex: index } })]), 10_000)
    }
    assert.strictEqual(deltas["texts"].size, 4_096)
    assert.strictEqual(deltas["lengths"].length, 16)
    assert.strictEqual(deltas["tails"].size, 64)
  })
})
