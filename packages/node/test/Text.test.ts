import { assert, describe, it } from "@effect/vitest"
import * as Text from "../src/cli/text.ts"

describe("how long something took", () => {
  it("is told in a unit that it fills", () => {
    const told = [0.4, 999.4, 999.6, 1_000, 59_940, 59_990, 60_000, 119_400, 119_700, 3_600_000].map(Text.duration)
    assert.deepStrictEqual(told, [
      "0 ms",
      "999 ms",
      "1.0 s",
      "1.0 s",
      "59.9 s",
      "1 min 0 s",
      "1 min 0 s",
      "1 min 59 s",
      "2 min 0 s",
      "60 min 0 s"
    ])
  })
})
