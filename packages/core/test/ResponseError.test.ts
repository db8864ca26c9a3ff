import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { fromWireError } from "../src/internal/responseError.ts"

const SECRET = "s3cr3t-value"

describe("fromWireError", () => {
  it("has a class for each code", () => {
    const tags = [-32700, -32600, -32601, -32602, -32603, -32001, -32000, 0, 7].map((code) =>
      fromWireError("turn/start", { code, message: "no" })._tag
    )
    assert.deepStrictEqual(tags, [
      "ParseError",
      "InvalidRequest",
      "MethodNotFound",
      "InvalidParams",
      "InternalError",
      "ServerOverloaded",
      "RpcError",
      "RpcError",
      "RpcError"
    ])
  })

  it("keeps the method, the code, the server's words and the data", () => {
    const error = fromWireError("thread/read", { code: -32600, message: "thread not loaded: TH", data: { a: [1] } })
    assert.deepInclude({ ...error }, {
      method: "thread/read",
      code: -32600,
      description: "thread not loaded: TH",
      data: { a: [1] }
    })
    assert.strictEqual(error.message, "thread/read: thread not loaded: TH (-32600)")
    assert.notProperty(fromWireError("a", { code: 1, message: "m" }), "data")
    assert.strictEqual(fromWireError("a", { code: 1, message: "m", data: null }).data, null)
  })

  it("tells an unknown method from wrong params, which have the same code", () => {
    const unknown = fromWireError("no/such", {
      code: -32600,
      message: "Invalid request: unknown variant `no/such`, expected one of `initialize`, `thread/start`"
    })
    assert.strictEqual(unknown._tag, "MethodNotFound")
    assert.strictEqual(unknown.code, -32600)
    const params = fromWireError("turn/start", {
      code: -32600,
      message: "Invalid request: unknown variant `zzz`, expected one of `text`, `image`"
    })
    assert.strictEqual(params._tag, "InvalidParams")
    const missing = fromWireError("turn/start", { code: -32600, message: "Invalid request: missing field `input`" })
    assert.strictEqual(missing._tag, "InvalidParams")
    assert.include(missing.message, "missing field `input`")
    assert.deepInclude({ ...missing }, { sent: true, issues: [] })
  })

  it("does not take a method's own refusal for wrong params", () => {
    for (const message of ["thread not found: TH", "no active turn to interrupt", "input must not be empty"]) {
      const error = fromWireError("turn/steer", { code: -32600, message })
      assert.strictEqual(error._tag, "InvalidRequest")
      assert.strictEqual(error.description, message)
    }
  })

  it("takes the value out of what the deserializer says", () => {
    const messages = [
      `Invalid request: invalid type: string "${SECRET}", expected a sequence`,
      `Invalid request: invalid type: string "a \\"${SECRET}\\" b", expected a sequence`,
      `Invalid request: invalid value: string "${SECRET}", expected a path`,
      `Invalid request: unknown variant \`${SECRET}\`, expected one of \`text\`, \`image\``,
      `Invalid request: unknown variant \`a\` ${SECRET}\`, expected one of \`text\`, \`image\``,
      `Invalid request: unknown field \`${SECRET}\`, expected \`text\``,
      `Invalid request: invalid type: integer \`4711${SECRET}\`, expected a string`,
      `Invalid request: invalid type: floating point \`1.5${SECRET}\`, expected a string`,
      `Invalid request: invalid type: boolean \`true${SECRET}\`, expected a string`,
      `Invalid request: invalid value: character \`${SECRET}\`, expected a string`
    ]
    for (const message of messages) {
      const error = fromWireError("turn/start", { code: -32600, message })
      assert.strictEqual(error._tag, "InvalidParams", message)
      assert.notInclude(error.message, SECRET)
      assert.include(error.message, "expected")
    }
    const named = fromWireError("turn/start", { code: -32602, message: `invalid type: string "${SECRET}"` })
    assert.strictEqual(named.description, "invalid type: string \"…\"")
  })

  it("leaves what has no end as it is", () => {
    for (const message of ["string \"a \\\" b", "integer `1", "character `x` here", "a \"b\\\n\"c"]) {
      assert.strictEqual(fromWireError("m", { code: -32602, message }).description, message)
    }
  })

  // For hours, where the end is looked for again from each of its places.
  it.each(["\\\"", "integer `", "\"\\", "`"])("takes the value out of a megabyte of %j at once", (piece) => {
    const message = `invalid type: string "${SECRET}", expected ${piece.repeat(2 ** 20 / piece.length)}`
    assert.notInclude(fromWireError("m", { code: -32602, message }).description, SECRET)
  })

  it("takes a value of many megabytes out", () => {
    const message = `invalid type: string "${"a".repeat(2 ** 24)}", expected a map`
    const error = fromWireError("m", { code: -32602, message })
    assert.strictEqual(error.description, "invalid type: string \"…\", expected a map")
  })

  it.prop("gives an error for every whole code", [Schema.Int, Schema.String], ([code, message]) => {
    assert.strictEqual(fromWireError("m", { code, message }).code, code)
  })
})
