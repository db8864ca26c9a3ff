/**
 * What the server asks of this client, and who answers.
 *
 * @since 0.1.0
 */
import type { ServerRequestMethod, ServerRequestParams, ServerRequestResults } from "@effect-codex/generated"
import type * as Effect from "effect/Effect"

/**
 * Answers one method. It runs in a fiber of its own, at once, which is interrupted when
 * the question is settled elsewhere, when its turn ends, or when the connection does.
 * Up to 1,024 requests of the server are open on a connection at a time; further ones
 * are refused as overload.
 * A failure or a defect is told to the server by its tag only.
 *
 * @since 0.1.0
 * @category models
 */
export type Handler<M extends ServerRequestMethod, E = never, R = never> = (
  params: ServerRequestParams[M]
) => Effect.Effect<ServerRequestResults[M], E, R>

/**
 * A handler for any of the methods that the server may call. Those without one
 * are declined, or refused where there is nothing to decline; the time is told.
 *
 * @since 0.1.0
 * @category models
 */
export type Handlers<E = never, R = never, Methods extends ServerRequestMethod = ServerRequestMethod> = {
  readonly [M in Methods]?: Handler<M, E, R> | undefined
}

/**
 * The handler of a method.
 *
 * @since 0.1.0
 * @category getters
 */
export const get = <M extends ServerRequestMethod, E, R>(
  handlers: Handlers<E, R, M>,
  method: M
): Handler<M, E, R> | undefined => handlers[method]
