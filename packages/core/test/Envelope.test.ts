import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Envelope from "../src/internal/envelope.ts"

const tagOf = (line: string) => {
  const envelope = Envelope.parse(line)
  return envelope._tag === "Junk" ? envelope.reason : envelope._tag
}

const Member = Schema.optionalKey(Schema.Union([Schema.Json, Schema.Int, Schema.String]))

const AnyMessage = Schema.Struct({
  id: Member,
  method: Member,
  error: Schema.optionalKey(
    Schema.Union([Schema.Json, Schema.Struct({ code: Schema.Finite, message: Schema.String })])
  )
})

describe("Envelope.parse", () => {
  it("knows the four kinds of message", () => {
    assert.deepStrictEqual(Envelope.parse(`{"id":1,"result":{"a":1}}`), { _tag: "Response", id: 1, result: { a: 1 } })
    assert.deepStrictEqual(Envelope.parse(`{"id":1,"error":{"code":-32600,"message":"no","data":[1]}}`), {
      _tag: "Failure",
      id: 1,
      error: { code: -32600, message: "no", data: [1] }
    })
    assert.deepStrictEqual(Envelope.parse(`{"id":1,"method":"a/b","params":{"x":null}}`), {
      _tag: "ServerRequest",
      id: 1,
      method: "a/b",
      params: { x: null }
    })
    assert.deepStrictEqual(Envelope.parse(`{"method":"a/b","params":[],"emittedAtMs":5}`), {
      _tag: "Notification",
      method: "a/b",
      params: [],
      emittedAtMs: 5
    })
  })

  it("takes absent members for absent", () => {
    assert.deepStrictEqual(Envelope.parse(`{"method":"a"}`), {
      _tag: "Notification",
      method: "a",
      params: undefined,
      emittedAtMs: undefined
    })
    assert.deepStrictEqual(Envelope.parse(`{"method":"a","emittedAtMs":"soon"}`), {
      _tag: "Notification",
      method: "a",
      params: undefined,
      emittedAtMs: undefined
    })
    assert.deepStrictEqual(Envelope.parse(`{"id":1}`), { _tag: "Response", id: 1, result: undefined })
    assert.deepStrictEqual(Envelope.parse(`{"id":1,"result":null}`), { _tag: "Response", id: 1, result: null })
  })

  it("takes id 0, the empty string and other strings for ids", () => {
    assert.deepStrictEqual(Envelope.parse(`{"id":0,"result":1}`), { _tag: "Response", id: 0, result: 1 })
    assert.deepStrictEqual(Envelope.parse(`{"id":"","result":1}`), { _tag: "Response", id: "", result: 1 })
    assert.strictEqual(tagOf(`{"method":"a","id":0}`), "ServerRequest")
    assert.strictEqual(tagOf(`{"method":"a","id":"x-1"}`), "ServerRequest")
  })

  it("does not mind the order of the members", () => {
    assert.deepStrictEqual(Envelope.parse(`{"error":{"message":"no","code":-1},"id":"a"}`), {
      _tag: "Failure",
      id: "a",
      error: { code: -1, message: "no" }
    })
    assert.deepStrictEqual(Envelope.parse(`{"params":{},"id":3,"method":"m"}`), {
      _tag: "ServerRequest",
      id: 3,
      method: "m",
      params: {}
    })
  })

  it("keeps an error that answers no request it could name", () => {
    const error = { code: -32700, message: "Parse error" }
    assert.deepStrictEqual(Envelope.parse(JSON.stringify({ id: null, error })), { _tag: "Failure", id: null, error })
    assert.deepStrictEqual(Envelope.parse(JSON.stringify({ error })), { _tag: "Failure", id: null, error })
  })

  it("fails the request whose error is malformed", () => {
    for (
      const error of ["no", {}, { code: "x", message: "m" }, { code: 1.5, message: "m" }, { code: 1e300, message: "m" }]
    ) {
      const envelope = Envelope.parse(JSON.stringify({ id: 4, error }))
      assert.deepStrictEqual(envelope, {
        _tag: "Failure",
        id: 4,
        error: { code: -32603, message: "The error member of the response is malformed" }
      })
    }
  })

  it("tells why a line is none of them", () => {
    assert.strictEqual(tagOf("not json"), "InvalidJson")
    assert.strictEqual(tagOf(`{"id":1,`), "InvalidJson")
    assert.strictEqual(tagOf("Listening on port 5"), "InvalidJson")
    for (const line of ["null", "1", "\"text\"", "true", "[]", `[{"id":1,"result":2}]`]) {
      assert.strictEqual(tagOf(line), "NotAnObject")
    }
    assert.strictEqual(tagOf("{}"), "NoMethodAndNoId")
    assert.strictEqual(tagOf(`{"method":5}`), "NoMethodAndNoId")
    assert.strictEqual(tagOf(`{"method":"a","id":null}`), "BadId")
    assert.strictEqual(tagOf(`{"method":"a","id":{}}`), "BadId")
    assert.strictEqual(tagOf(`{"id":[1],"result":2}`), "BadId")
    assert.strictEqual(tagOf(`{"id":true,"error":{"code":1,"message":"m"}}`), "BadId")
    assert.strictEqual(tagOf(`{"error":"no"}`), "BadError")
  })

  it("is not fooled by keys of the prototype", () => {
    assert.strictEqual(tagOf(`{"__proto__":{"id":1,"result":2}}`), "NoMethodAndNoId")
    assert.strictEqual(tagOf(`{"__proto__":{"method":"a"},"id":1}`), "Response")
    assert.strictEqual(tagOf(`{"constructor":1,"toString":2}`), "NoMethodAndNoId")
    assert.notProperty({}, "polluted")
    Envelope.parse(`{"id":1,"result":{"__proto__":{"polluted":true}}}`)
    assert.notProperty({}, "polluted")
  })

  it.prop("takes no text for a message", [Schema.String], ([line]) => {
    assert.strictEqual(Envelope.parse(line)._tag, "Junk")
  }, { arbitrary: { runs: 300 } })

  it.prop("gives only ids and codes that can be used as such", [AnyMessage], ([message]) => {
    const envelope = Envelope.parse(JSON.stringify(message))
    if ("id" in envelope && envelope.id !== null) assert.include(["string", "number"], typeof envelope.id)
    if (envelope._tag === "Failure") assert.isTrue(Number.isSafeInteger(envelope.error.code))
    if (envelope._tag === "Notification") assert.notProperty(message, "id")
  }, { arbitrary: { runs: 500 } })

  it.prop("reads back what it writes", [Schema.Json, Schema.Union([Schema.Int, Schema.String])], ([payload, id]) => {
    // Half characters are not written: see below.
    if (JSON.stringify([payload, id]).includes("\\ud")) return
    const wire: unknown = JSON.parse(JSON.stringify(payload))
    assert.deepStrictEqual(Envelope.parse(Envelope.encodeRequest(id, "m", payload)), {
      _tag: "ServerRequest",
      id: Object.is(id, -0) ? 0 : id,
      method: "m",
      params: wire
    })
    assert.deepStrictEqual(Envelope.parse(Envelope.encodeNotification("m", payload)), {
      _tag: "Notification",
      method: "m",
      params: wire,
      emittedAtMs: undefined
    })
    assert.deepStrictEqual(Envelope.parse(Envelope.encodeResult(id, payload)), {
      _tag: "Response",
      id: Object.is(id, -0) ? 0 : id,
      result: wire ?? {}
    })
  }, { arbitrary: { runs: 200 } })
})

describe("Envelope.encode", () => {
  /** Half characters, whole ones, and text that only looks like an escape. */
  const Piece = Schema.Literals(["\ud83d", "\ude00", "\u{1f600}", "\\", "\\ud83d", "\"", "\u0000", "d", "a"])
  const Text = Schema.Array(Piece)

  it.prop("writes well-formed text, and leaves what is well-formed as it is", [Text, Text], ([some, others]) => {
    const key = some.join("")
    const value = others.join("")
    const line = Envelope.encodeRequest(1, "m", { [key]: [value] })
    assert.deepStrictEqual(JSON.parse(line).params, { [key.toWellFormed()]: [value.toWellFormed()] })
    for (
      const other of [
        Envelope.encodeNotification(value, {}),
        Envelope.encodeResult(1, { value }),
        Envelope.encodeError(1, { code: 1, message: value })
      ]
    ) assert.include(other, JSON.stringify(value.toWellFormed()))
  }, { arbitrary: { runs: 500 } })
})

describe("Envelope.identify", () => {
  it("finds the id or the method at the start of a line", () => {
    assert.deepStrictEqual(Envelope.identify(`{"id":12,"result":{"x`), { id: 12 })
    assert.deepStrictEqual(Envelope.identify(`{"id":0,"result":{"x`), { id: 0 })
    assert.deepStrictEqual(Envelope.identify(`{"id":"a-1","result":`), { id: "a-1" })
    assert.deepStrictEqual(Envelope.identify(`{"method":"item/completed","params":{`), { method: "item/completed" })
    assert.deepStrictEqual(Envelope.identify(`{"id":3,"method":"item/tool/call","params`), {
      id: 3,
      method: "item/tool/call"
    })
  })

  it("finds nothing where there is nothing", () => {
    for (const head of ["", "xxxx", `{"result":{"id":5`, `{"id":5`, `{"id":1e5,`, `{"params":{"method":"a"`]) {
      assert.deepStrictEqual(Envelope.identify(head), {})
    }
  })
})
