/** Counts what a program leaves behind in its process. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { readdirSync } from "node:fs"
import { setImmediate, setTimeout } from "node:timers/promises"

/** What there is, apart from fibers. */
const resources = () => {
  const active = process.getActiveResourcesInfo()
  const count = (name: string) => active.filter((resource) => resource === name).length
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    processes: count("ProcessWrap"),
    pipes: count("PipeWrap"),
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    timers: count("Timeout")
  }
}

/** A moment of real time, whatever the clock. */
const moment = Effect.promise(() => setTimeout(10)).pipe(Effect.andThen(Effect.promise(() => setImmediate())))

/**
 * Runs the program and tells how many more there are after it than before: fibers that
 * have not ended, open files, child processes, pipes, listeners on the process, timers.
 * Zero also where there are less, because something from before has ended meanwhile.
 */
export const left = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    let fibers = 0
    const before = resources()
    yield* Effect.provideService(program, Metric.FiberRuntimeMetrics, {
      recordFiberStart: () => fibers++,
      recordFiberEnd: () => fibers--
    })
    const more = () => {
      const after = resources()
      return {
        fibers,
        descriptors: Math.max(0, after.descriptors - before.descriptors),
        processes: Math.max(0, after.processes - before.processes),
        pipes: Math.max(0, after.pipes - before.pipes),
        listeners: Math.max(0, after.listeners - before.listeners),
        timers: Math.max(0, after.timers - before.timers)
      }
    }
    const clean = () => Object.values(more()).every((count) => count === 0)
    // A file is closed a moment after its owner has let go of it. Counted in looks, so that a machine that is
    // busy has as many; each is taken where no timer of this wait is left.
    for (let looks = 0; looks < 500 && !clean(); looks++) yield* moment
    return more()
  })
