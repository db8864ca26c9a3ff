/** What a driver is asked to do, each in a process of its own, and what it measures. */
import { performance } from "node:perf_hooks"

/** The text of a turn's input that tells the fake executable what to write. */
export interface Plan {
  readonly events: number
  readonly kind?: "delta" | "item"
  /** How many turns are started before the events of all of them come, one after the other. */
  readonly together?: number
  /** Milliseconds between the word that they have started and their events. */
  readonly pause?: number
  /** The turn does not end. */
  readonly open?: boolean
}

export type Task =
  /** Reads the events of `turns` turns at once, or only waits for their ends, and that so many `times`, one after the other. */
  | {
    readonly name: "stream"
    readonly reads: boolean
    readonly kind: "delta" | "item"
    readonly events: number
    readonly turns: number
    readonly times: number
  }
  /** Sends one request after the other. */
  | { readonly name: "roundTrip"; readonly requests: number }
  /** Sends so many requests at once, and that so many `times`, one after the other. */
  | { readonly name: "burst"; readonly requests: number; readonly times: number }
  /** Runs one turn after the other. */
  | { readonly name: "run"; readonly turns: number }
  /** Starts the process and shakes hands. */
  | { readonly name: "ready" }
  /** Imports the modules. */
  | { readonly name: "import"; readonly modules: ReadonlyArray<string> }
  /** Weighs threads and turns. */
  | { readonly name: "heap"; readonly threads: number; readonly openTurns: number; readonly turns: number }

/** What came out of it: numbers by name. */
export type Measures = Readonly<Record<string, number>>

/**
 * How much of a task is done before it is measured, so that all drivers are measured when they are warm: V8 compiles what
 * runs often, and has not done so before it has seen some hundred thousand events. Streams warm up with one turn at a
 * time, as programs begin.
 */
export const WARM_UP = 0.5

/** Events of turns that are started together. */
export type StreamTask = Omit<Extract<Task, { readonly name: "stream" }>, "times">

/** Streams as they are run one after the other: those that warm up, and those that are measured. */
export const partsOf = ({ times, ...task }: Extract<Task, { readonly name: "stream" }>): {
  readonly first: ReadonlyArray<StreamTask>
  readonly measured: ReadonlyArray<StreamTask>
} => {
  const events = task.events / times
  const warmUp = task.events * WARM_UP
  const size = Math.min(events, warmUp)
  return {
    first: Array.from({ length: Math.round(warmUp / size) }, () => ({ ...task, events: size, turns: 1 })),
    measured: Array.from({ length: times }, () => ({ ...task, events }))
  }
}

/** What was measured, and how the first events of the process went, which came before. */
export const withFirst = (measured: ReadonlyArray<Measures>, first: ReadonlyArray<Measures>): Measures => {
  const { events = Number.NaN, wall = Number.NaN } = sum(first)
  return { ...sum(measured), firstEvents: events, firstWall: wall }
}

/**
 * How long the events of many turns wait once all have been started, in milliseconds, so that the drivers know when to
 * start the watch: with the first word of a turn, and without this.
 */
export const PAUSE = 20

/** Bursts: the first half warms up, and the very first one is told too. */
export const withFirstBurst = (bursts: ReadonlyArray<Measures>): Measures => {
  const [first] = bursts
  return { ...sum(bursts.slice(bursts.length >> 1)), firstWall: first?.["wall"] ?? Number.NaN }
}

/** Several measurements as one. */
const sum = (parts: ReadonlyArray<Measures>): Measures => {
  const total: Record<string, number> = {}
  for (const part of parts) {
    for (const [name, value] of Object.entries(part)) total[name] = (total[name] ?? 0) + value
  }
  return total
}

/** Where a driver finds what it measures. */
export interface Target {
  readonly executable: string
  readonly home: string | undefined
}

export const median = (numbers: ReadonlyArray<number>): number => {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** How long a turn took, and how long the server had it, in milliseconds. */
export interface TurnTimes {
  readonly wall: number
  readonly server: number
}

/** The whole, and what the client has added to the server's own time. */
export const mediansOf = (turns: ReadonlyArray<TurnTimes>): Measures => ({
  wall: median(turns.map(({ wall }) => wall)),
  added: median(turns.map(({ server, wall }) => wall - server))
})

/** Wall time and this process's CPU time, in milliseconds. */
export const stopwatch = (): () => { readonly wall: number; readonly cpu: number } => {
  const start = performance.now()
  const cpu = process.cpuUsage()
  return () => {
    const { system, user } = process.cpuUsage(cpu)
    return { wall: performance.now() - start, cpu: (user + system) / 1000 }
  }
}
