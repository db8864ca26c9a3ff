/**
 * Which runtimes this package speaks with.
 *
 * @since 0.1.0
 */
import { codexVersion } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as SemVer from "effect/SemVer"
import { UnsupportedRuntime } from "./CodexError.ts"
import * as Log from "./internal/log.ts"

/**
 * The runtime that the Schemas are generated from and every test runs against.
 *
 * @since 0.1.0
 * @category constants
 */
export const tested: string = codexVersion

/**
 * The oldest runtime that is accepted: the one whose protocol the Schemas are of.
 *
 * @since 0.1.0
 * @category constants
 */
export const minimum: string = codexVersion

/**
 * The version in an app-server's user agent, which begins with the client's name
 * and the runtime's version; null where it does not tell.
 *
 * @since 0.1.0
 * @category getters
 */
export const fromUserAgent = (userAgent: string): string | null =>
  /^[^/]*\/(\d+\.\d+\.\d+[^\s()]*)/.exec(userAgent)?.[1] ?? null

/**
 * Fails with `UnsupportedRuntime` when the runtime is older than `minimum`, and
 * warns when it is newer than what was tested, or does not tell its version: what
 * a newer server adds survives decoding, what it changed may not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const check = Effect.fnUntraced(function*(
  userAgent: string
): Effect.fn.Return<void, UnsupportedRuntime> {
  const version = fromUserAgent(userAgent)
  if (version === tested) return
  const parsed = version === null ? undefined : Result.getOrUndefined(SemVer.parse(version))
  // Builds from source call themselves 0.0.0.
  if (version === null || parsed === undefined || parsed.major + parsed.minor + parsed.patch === 0) {
    return yield* Log.warning(
      `The app-server does not tell its version; this package is made for ${tested} (user agent: ${userAgent})`
    )
  }
  if (SemVer.isLessThan(parsed, SemVer.parseUnsafe(minimum))) {
    return yield* new UnsupportedRuntime({ version, minimum, tested })
  }
  if (SemVer.isGreaterThan(parsed, SemVer.parseUnsafe(tested))) {
    yield* Log.warning(
      `The app-server is ${version}, newer than the ${tested} that this package is made for. ` +
        "Update effect-codex, or watch `client/decodeFailure` events and start the pinned runtime instead."
    )
  }
})
