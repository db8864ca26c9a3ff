/** Changed paths for one reader: each once, however often it changes before it is read. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConnectionError } from "../CodexError.ts"

/** More paths than these are not kept; a reader that is so far behind looks at everything anyway. */
const MAX_PATHS = 16_384

interface Changes {
  readonly paths: ReadonlyArray<string>
  readonly overflowed: boolean
}

export class WatchedPaths {
  private readonly wake: Queue.Queue<void, ConnectionError | Cause.Done>
  private paths = new Set<string>()
  private overflowed = false

  private constructor(wake: Queue.Queue<void, ConnectionError | Cause.Done>) {
    this.wake = wake
  }

  /** Paths for as long as the scope is open. */
  static readonly make: Effect.Effect<WatchedPaths, never, Scope.Scope> = Effect.map(
    Effect.acquireRelease(Queue.sliding<void, ConnectionError | Cause.Done>(1), Queue.end),
    (wake) => new WatchedPaths(wake)
  )

  /** Called by the reader of the connection. */
  add(paths: ReadonlyArray<string>): void {
    for (const path of paths) {
      if (this.paths.size < MAX_PATHS) this.paths.add(path)
      else if (!this.paths.has(path)) this.overflowed = true
    }
    Queue.offerUnsafe(this.wake, undefined)
  }

  /** Paths have changed, and nobody knows which. */
  miss(): void {
    this.overflowed = true
    Queue.offerUnsafe(this.wake, undefined)
  }

  fail(error: ConnectionError): void {
    Queue.failCauseUnsafe(this.wake, Cause.fail(error))
  }

  get stream(): Stream.Stream<Changes, ConnectionError> {
    const take = Effect.map(Queue.take(this.wake), () => {
      const changes = { paths: Array.from(this.paths), overflowed: this.overflowed }
      this.paths = new Set()
      this.overflowed = false
      return Arr.of(changes)
    })
    return Stream.fromPull(Effect.succeed(take))
  }
}
