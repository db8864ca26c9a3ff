/** How much memory is in use. */
import * as Effect from "effect/Effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const gc: unknown = runInNewContext("gc")

/** MiB of the heap and of buffers that something still refers to. */
export const usedMiB: Effect.Effect<number> = Effect.sync(() => {
  if (typeof gc === "function") { for (let pass = 0; pass < 3; pass++) gc() }
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return (heapUsed + arrayBuffers) / (1024 * 1024)
  // The event loop has to turn once: until then the platform holds on to timers that were cleared.
}).pipe(Effect.delay(10))
