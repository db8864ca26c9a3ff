import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Redact from "../src/internal/redact.ts"
import * as Stderr from "../src/internal/stderr.ts"

/** What is kept of chunks. */
const tailOf = (...chunks: ReadonlyArray<string>) => {
  const { drain, tail } = Stderr.make(
    Stream.encodeText(Stream.fromIterable(chunks)),
    Redact.make(["first-half-second-half"])
  )
  return Effect.map(Effect.andThen(drain, tail), (text) => text.split("\n"))
}

describe("what is kept of stderr", () => {
  it.effect("are its lines, wherever its chunks end", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tailOf("o", "ne\r", "\ntwo\nthr", "ee"), ["one", "two", "three"])
      assert.deepStrictEqual(yield* tailOf("a first-half", "-second-half b\n"), ["a <redacted> b"])
    }))

  it.effect("is the beginning of a line that is too long, and no part of a secret in it", () =>
    Effect.gen(function*() {
      const long = "x".repeat(70_000)
      assert.deepStrictEqual(
        yield* tailOf(`${long}first-half-`, "second-half", `${long}first-half-`, "second-half\r\nnext\n"),
        ["x".repeat(2_000), "next"]
      )
    }))
})
