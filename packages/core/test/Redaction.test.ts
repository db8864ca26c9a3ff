import { redactSecrets } from "@effect-codex/core/redaction"
import { assert, describe, it } from "@effect/vitest"

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
  })
})
