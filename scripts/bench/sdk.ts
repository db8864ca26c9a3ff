/** The same with this SDK, as a program would do it. */
import { AppServerClient, Codex, type Thread } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { serverTimeOf, sinceSpawn } from "./pipes.ts"
import {
  type Measures,
  mediansOf,
  partsOf,
  PAUSE,
  type Plan,
  stopwatch,
  type StreamTask,
  type Target,
  type Task,
  type TurnTimes,
  WARM_UP,
  withFirst,
  withFirstBurst
} from "./task.ts"

const stream = Effect.fnUntraced(function*({ events, kind, reads, turns }: StreamTask) {
  const codex = yield* Codex
  const threads = yield* Effect.replicateEffect(codex.startThread(), turns)
  const pause = turns === 1 ? 0 : PAUSE
  const plan: Plan = { kind, events: Math.round(events / turns), together: turns, pause }
  const text = JSON.stringify(plan)
  let stop = stopwatch()
  const begin = Effect.sync(() => {
    if (turns > 1) stop = stopwatch()
  })
  let seen = 0
  const read = (thread: Thread) =>
    Stream.runForEachArray(thread.stream(text), (events) => {
      const isFirst = seen === 0
      seen += events.length
      return isFirst ? begin : Effect.void
    })
  const wait = (thread: Thread) =>
    Effect.map(thread.run(text), () => {
      seen += plan.events
    })
  if (!reads) {
    const { on } = yield* AppServerClient
    yield* Effect.forkChild(Stream.runForEach(Stream.take(on("turn/started"), 1), () => begin), {
      startImmediately: true
    })
  }
  yield* Effect.forEach(threads, reads ? read : wait, { concurrency: "unbounded", discard: true })
  const { cpu, wall } = stop()
  return { cpu, wall: wall - pause, events: seen }
})

const requests = Effect.fnUntraced(function*(count: number, concurrency: number | "unbounded") {
  const client = yield* AppServerClient
  const stop = stopwatch()
  yield* Effect.forEach(Array.from({ length: count }), () => client.request("thread/loaded/list", {}), {
    concurrency,
    discard: true
  })
  return { ...stop(), requests: count }
})

const run = Effect.fnUntraced(function*(count: number, serverTime: () => number) {
  const codex = yield* Codex
  const thread = yield* codex.startThread()
  const turns: Array<TurnTimes> = []
  for (let index = 0; index < count; index++) {
    const stop = stopwatch()
    yield* thread.run("Say hello.")
    turns.push({ wall: stop().wall, server: serverTime() })
  }
  return mediansOf(turns)
})

/** Bytes on the heap once nothing is left to collect. */
const heapUsed = Effect.promise(async () => {
  // Sockets and finalizers need turns of the event loop to let go.
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return process.memoryUsage().heapUsed
})

const heap = Effect.fnUntraced(function*(task: Extract<Task, { readonly name: "heap" }>) {
  const codex = yield* Codex
  const runs = (count: number) =>
    Effect.gen(function*() {
      const thread = yield* codex.startThread()
      for (let index = 0; index < count; index++) yield* thread.run("Say hello.")
    })
  yield* runs(Math.ceil(task.turns / 10))
  const before = yield* heapUsed
  yield* runs(task.turns)
  const after = yield* heapUsed
  const threads = yield* Effect.replicateEffect(codex.startThread(), task.threads)
  const withThreads = yield* heapUsed
  const scope = yield* Scope.make()
  const open: Plan = { events: 0, open: true }
  const turns = yield* Effect.forEach(
    threads.slice(0, task.openTurns),
    (thread) => Scope.provide(thread.turn(JSON.stringify(open)), scope)
  )
  const withTurns = yield* heapUsed
  return {
    growth: after - before,
    perThread: (withThreads - after) / threads.length,
    perTurn: (withTurns - withThreads) / turns.length
  }
})

const perform = Effect.fnUntraced(function*(
  task: Exclude<Task, { readonly name: "import" | "ready" }>,
  serverTime: () => number
) {
  switch (task.name) {
    case "stream": {
      const { first, measured } = partsOf(task)
      const warm = yield* Effect.forEach(first, stream)
      return withFirst(yield* Effect.forEach(measured, stream), warm)
    }
    case "roundTrip":
      yield* requests(task.requests * WARM_UP, 1)
      return yield* requests(task.requests, 1)
    case "burst":
      return withFirstBurst(yield* Effect.replicateEffect(requests(task.requests, "unbounded"), task.times))
    case "run":
      return yield* run(task.turns, serverTime)
    case "heap":
      return yield* heap(task)
  }
})

export const drive = ({ executable, home }: Target, task: Task): Promise<Measures> => {
  const layer = NodeCodex.layer({ codexPath: executable, codexHome: home })
  if (task.name === "import") return Promise.reject(new Error("imports are measured before the SDK is there"))
  const program = task.name === "ready"
    ? Effect.suspend(() => {
      const spawned = sinceSpawn()
      const stop = stopwatch()
      return Effect.scoped(
        Effect.map(Layer.build(layer), () => ({ ...stop(), sinceSpawn: spawned() }))
      )
    })
    : Effect.provide(perform(task, serverTimeOf(task)), layer)
  return Effect.runPromise(program)
}
