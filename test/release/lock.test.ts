import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { complete, LockFile } from "../../scripts/lock/complete.ts"

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(LockFile))
const locked = decode(readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8"))

describe("the lock file", () => {
  it.effect("has an entry for every optional dependency", () =>
    Effect.gen(function*() {
      const { added } = yield* complete(yield* locked)
      assert.deepStrictEqual(added, [], "Run `npm run lock`")
    }))

  it.effect("gets the packages of platforms back that a registry lacks", () =>
    Effect.gen(function*() {
      const lock = yield* locked
      const lost = ["node_modules/@oxlint/binding-linux-arm-musleabihf", "node_modules/@dprint/win32-x64"]
      const packages = Object.fromEntries(Object.entries(lock.packages).filter(([place]) => !lost.includes(place)))
      const { added, lock: completed } = yield* complete({ ...lock, packages })
      assert.sameMembers(added, lost.map((place) => place.replace("node_modules/", "")))
      assert.deepStrictEqual(completed, lock)
    }))

  it.effect("never guesses what a package is for whose name tells no platform", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(complete({
        packages: { "node_modules/some": { version: "1.0.0", optionalDependencies: { "some-addition": "1.0.0" } } }
      }))
      assert.strictEqual(error.packageName, "some-addition")
    }))

  it("names no registry", () => {
    const text = readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8")
    assert.notMatch(text, /"resolved": "https?:/)
  })
})
