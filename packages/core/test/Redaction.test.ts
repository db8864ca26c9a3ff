import { redactSecrets } from "@effect-codex/core/redaction"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

/** What is meant, said as plainly as can be: it takes for ever on long texts. */
const plainly = (text: string): string =>
  [
    /\bsk-[A-Za-z0-9_*-]{8,}/g,
    /\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?/g,
    /(?<=\bBearer\s+)[^\s"',;]+/gi
  ].reduce((redacted, shape) => redacted.replace(shape, "<redacted>"), text)

/** Of such pieces are texts that nearly hold a secret, or hold several at once. */
const Piece = Schema.Literals(
  ["sk-", "eyJ", "abcdefgh", "Bearer", "bearer ", "-", "_", ".", " ", "\t\n", "\"", ",", "*", "é", "0", "x-"]
)

describe("what has the shape of a secret", () => {
  it.each([
    ["the key sk-proj-abcdefgh is wrong", "the key <redacted> is wrong"],
    ["Incorrect API key: sk-abcd****wxyz.", "Incorrect API key: <redacted>."],
    ["a eyJhbGciOiJI.eyJzdWIiOiIx.sig-na_ture b", "a <redacted> b"],
    ["Authorization: Bearer abc.def, twice: bearer ghi", "Authorization: Bearer <redacted>, twice: bearer <redacted>"]
  ])("is taken out of %s", (text, expected) => {
    assert.strictEqual(redactSecrets(text), expected)
  })

  it.each(["task-12345678", "sk-short", "a bearer"])("is not what %s has", (text) => {
    assert.strictEqual(redactSecrets(text), text)
  })

  it("is replaced by what is asked for", () => {
    assert.strictEqual(redactSecrets("sk-abcdefgh and sk-ijklmnop", "…"), "… and …")
    assert.strictEqual(redactSecrets("eyJhbGciOiJI.eyJzdWIi, Bearer abc, sk-abcdefgh", "$&"), "$&, Bearer $&, $&")
  })

  it.prop("is found in any text", [Schema.Array(Piece)], ([pieces]) => {
    const text = pieces.join("")
    assert.strictEqual(redactSecrets(text), plainly(text))
  }, { arbitrary: { runs: 1_000 } })

  // For hours, where one of them is looked through again from each of its places.
  it.each([" ", "eyJ", "eyJabcdefgh-", "eyJabcdefgh.", "sk-", "Bearer ", "Bearer\t", "Bearer", "-", ". "])(
    "is looked for in a megabyte of %j at once",
    (piece) => {
      const text = piece.repeat(2 ** 20 / piece.length)
      assert.strictEqual(redactSecrets(` sk-abcdefgh ${text}`).slice(0, 12), " <redacted> ")
    }
  )

  it.each(["sk-", "eyJ", "Bearer ", "eyJabcdefgh."])("may be of many megabytes behind %j", (start) => {
    assert.match(redactSecrets(`${start}${"a".repeat(2 ** 24)}.b c`), /^(?:Bearer )?<redacted>(?:\.b)? c$/)
  })
})
