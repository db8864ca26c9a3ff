import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { DeltaLines } from "../src/internal/deltaLines.ts"
import { Framer, viewOf } from "../src/internal/framer.ts"
import { type Line, reading } from "./support/deltas.ts"

const encoder = new TextEncoder()

const bytesOf = (lines: ReadonlyArray<string>): Uint8Array => encoder.encode(lines.map((line) => `${line}\n`).join(""))

/** The lines as a connection reads them, in chunks of so many bytes. What is read of one is what parsing it says. */
const readAll = (deltas: DeltaLines, bytes: Uint8Array, chunkBytes = 200): ReadonlyArray<Line> => {
  const framer = new Framer(100_000)
  const { lines, note } = reading(deltas)
  for (let at = 0; at < bytes.length; at += chunkBytes) framer.push(bytes.subarray(at, at + chunkBytes), note)
  for (const { envelope, read } of lines) if (read !== undefined) assert.deepStrictEqual(read, envelope)
  return lines
}

/** How many of the lines were read by what is known of an earlier one. */
const readAsParsed = (lines: ReadonlyArray<string> | Uint8Array, deltas = new DeltaLines()): number =>
  readAll(deltas, lines instanceof Uint8Array ? lines : bytesOf(lines)).filter(({ isKnown }) => isKnown).length

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

const AnyLine = Schema.Struct({
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
      assert.strictEqual(read.filter(({ isKnown }) => isKnown).length, lines.length - 1)
    }
  })

  it.effect.prop("says what the whole line says, or nothing", [Schema.Array(AnyLine)], ([fields]) =>
    Effect.sync(() => {
      const lines = fields.map(lineOf)
      readAsParsed([...lines, ...lines])
    }))

  it.effect.prop(
    "says what the whole line says, or nothing, whatever bytes of it are others",
    [Schema.Array(AnyLine).check(Schema.isMinLength(1)), Schema.Array(Schema.Tuple([Place, Byte]))],
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
    const bytes = viewOf(encoder.encode(line))
    const text = deltas.read(line, bytes, 0, bytes.byteLength)
    assert.isDefined(text)
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
    const read = others.filter((other) => readAll(deltas, bytesOf([other])).some(({ read }) => read !== undefined))
    assert.deepStrictEqual(read, [])
    assert.strictEqual(deltas.read(line, bytes, 0, bytes.byteLength), text)
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
      const deltas = new DeltaLines()
      assert.isUndefined(readAll(deltas, bytesOf([other])).find(({ read }) => read !== undefined), other)
      assert.strictEqual(readAsParsed([other, line], deltas), 0, other)
    }
  })

  it("knows no more of a text than of any other once it is forgotten", () => {
    const deltas = new DeltaLines()
    const line = lineOf({ delta: "text" })
    const bytes = viewOf(encoder.encode(line))
    const read = () => deltas.read(line, bytes, 0, bytes.byteLength)
    const text = read()
    assert.isDefined(text)
    assert.strictEqual(read(), text)
    if (text !== undefined) deltas.forget(text)
    const again = read()
    assert.isDefined(again)
    assert.notStrictEqual(again, text)
    assert.strictEqual(read(), again)
    deltas.clear()
    assert.notStrictEqual(read(), again)
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
