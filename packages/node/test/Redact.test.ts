import { redactSecrets } from "@effect-codex/core/redaction"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Redact from "../src/internal/redact.ts"

/** What is meant, said as plainly as can be: it takes for ever on long texts. */
const plainly =
  /(?<=\b(?:api[_-]?key|access[_-]?token|refresh[_-]?token|id[_-]?token|password|secret)["']?\s*[:=]\s*["']?)[^\s"',;&]{4,}/gi

/** Of such pieces are texts that nearly hold a secret, or hold several at once. */
const Piece = Schema.Literals(
  ["api_key", "access-token", "password", "Secret", ":", "=", " ", "\t\n", "\"", "'", ",", "-", "ab", "abcd", "é"]
)

describe("what is shown", () => {
  const redact = Redact.make(["by-its-value"])

  it.each([
    ["it is by-its-value, twice: by-its-value.", "it is <redacted>, twice: <redacted>."],
    ["api_key=abcdef&x, \"password\": \"hunter2\"", "api_key=<redacted>&x, \"password\": \"<redacted>\""],
    ["Secret: password: hunter2", "Secret: <redacted> <redacted>"],
    ["password: abc, secrets = abcdef", "password: abc, secrets = abcdef"]
  ])("has no secrets of %s", (text, expected) => {
    assert.strictEqual(redact(text), expected)
  })

  it.prop("has none that follow their names", [Schema.Array(Piece)], ([pieces]) => {
    const text = pieces.join("")
    assert.strictEqual(redact(text), redactSecrets(text).replace(plainly, "<redacted>"))
  }, { arbitrary: { runs: 1_000 } })

  // For hours, where one looks back from each of its places.
  it.each([" ", "password", "password ", "password: ", " :", "= ", "'", "a"])(
    "may have a megabyte of %j",
    (piece) => {
      assert.strictEqual(
        redact(`password=hunter2 ${piece.repeat(2 ** 20 / piece.length)}`).slice(0, 20),
        "password=<redacted> "
      )
    }
  )

  it("may have many megabytes behind a name", () => {
    assert.strictEqual(redact(`password=${"a".repeat(2 ** 24)} b`), "password=<redacted> b")
  })
})
