/** Streams that have something for the time they run. */
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * The stream that the effect gives, which lets go of what the effect acquired before the finalizers behind it run,
 * also when it fails or is interrupted. `Stream.unwrap` holds it for as long as the whole that the stream is part of.
 */
export const unwrapScoped = <A, E2, R2, E, R>(
  effect: Effect.Effect<Stream.Stream<A, E2, R2>, E, R>
): Stream.Stream<A, E | E2, R2 | Exclude<R, Scope.Scope>> => {
  const channel = Channel.unwrap(Effect.map(effect, Stream.toChannel))
  return Stream.fromChannel(
    Channel.fromTransformBracket((upstream, _, scope) => Channel.toTransform(channel)(upstream, scope))
  )
}
