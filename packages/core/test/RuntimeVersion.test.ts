import { codexVersion } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as RuntimeVersion from "../src/RuntimeVersion.ts"

const warnings = (userAgent: string) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      lines.push(`${logLevel} ${String(message)}`)
    })
    yield* RuntimeVersion.check(userAgent).pipe(Effect.provide(Logger.layer([logger])))
    return lines
  })

describe("RuntimeVersion", () => {
  it.effect("accepts the runtime that it is made for in silence", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* warnings(`client/${codexVersion} (Linux)`), [])
    }))

  it.effect("refuses an older one", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(RuntimeVersion.check("client/0.101.2 (Linux)"))
      assert.strictEqual(error._tag, "UnsupportedRuntime")
      assert.strictEqual(error.version, "0.101.2")
      assert.include(error.message, codexVersion)
      const alpha = yield* Effect.flip(RuntimeVersion.check(`client/${codexVersion}-alpha.1 (Linux)`))
      assert.strictEqual(alpha.version, `${codexVersion}-alpha.1`)
    }))

  it.effect("warns of a newer one, and says what to do", () =>
    Effect.gen(function*() {
      const [line, ...rest] = yield* warnings("client/7.0.0 (Linux)")
      assert.deepStrictEqual(rest, [])
      assert.match(line ?? "", /^Warn .*7\.0\.0.*Update effect-codex/)
    }))

  it.effect("warns of one that does not tell its version", () =>
    Effect.gen(function*() {
      for (const userAgent of ["client", "client/unknown (x)", "client/0.0.0 (built from source)"]) {
        const lines = yield* warnings(userAgent)
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0] ?? "", "does not tell its version")
      }
    }))

  it("reads the version behind the client's name, whatever the name", () => {
    assert.strictEqual(RuntimeVersion.fromUserAgent("a b 1.2.3/0.169.0 (Debian 12.0.0; x86_64) x (a; 1)"), "0.169.0")
    assert.strictEqual(RuntimeVersion.fromUserAgent("no version"), null)
  })
})
