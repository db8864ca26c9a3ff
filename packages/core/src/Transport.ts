/**
 * The seam under the client: bytes in, lines out. The Node package provides it
 * from a child process, tests from memory; nothing above it knows a process, a
 * socket or a Node API.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { ConnectionError } from "./CodexError.ts"

/**
 * One connection to an app-server.
 *
 * @since 0.1.0
 * @category services
 */
export class Transport extends Context.Service<Transport, {
  /**
   * The bytes the server writes, in order, cut anywhere. Run once, by one
   * reader. It fails with the reason when the connection ends; an end without a
   * reason counts as a `TransportError`.
   */
  readonly incoming: Stream.Stream<Uint8Array, ConnectionError>
  /**
   * Writes one message. `line` has no line break; framing is the transport's.
   * Suspends while the other side does not read, and is interruptible.
   */
  readonly send: (line: string) => Effect.Effect<void, ConnectionError>
  /**
   * Whether the server goes on when the connection ends, as one that others use too.
   * The client then interrupts the turns and pauses the goals that it still holds
   * before it lets the connection go. Default: false.
   */
  readonly serverGoesOn?: boolean | undefined
}>()("@effect-codex/core/Transport") {}
