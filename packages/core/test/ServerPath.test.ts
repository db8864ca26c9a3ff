import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isSamePath } from "../src/internal/serverPath.ts"

const cases: ReadonlyArray<readonly [platform: string, one: string, other: string, same: boolean]> = [
  ["unix", "/a/b", "/a/b", true],
  ["unix", "/a/b", "//a/./c/..//b/", true],
  ["unix", "/a/b", "/../a/b", true],
  ["unix", "/a/b", "/a/B", false],
  ["unix", "/a/b", "/a\\b", false],
  ["unix", "/a/b", "/a/b/c", false],
  ["windows", "C:\\a\\b", "c:/A/./c\\..\\B\\", true],
  ["windows", "C:\\a\\b", "\\\\?\\C:\\a\\b", true],
  ["windows", "\\\\host\\share\\a", "//host/share/a", true],
  ["windows", "C:\\a\\b", "D:\\a\\b", false]
]

describe("paths of the server's machine", () => {
  it.effect.each(cases)("on %s %s and %s", ([platform, one, other, same]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* isSamePath(platform, one, other), same)
      assert.strictEqual(yield* isSamePath(platform, other, one), same)
    }))
})
