/** Counts what a program leaves behind in its process. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { readdirSync } from "node:fs"
import { until } from "../../packages/node/test/support/FakeExecutable.ts"

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
    const clean = () => {
      const { timers: _, ...others } = more()
      return Object.values(others).every((count) => count === 0)
    }
    // A file is closed a moment after its owner has let go of it.
    yield* Effect.timeoutOption(until(clean), "3 seconds")
    return more()
  })
