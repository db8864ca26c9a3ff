/** Runs tasks with several drivers in turn, each time in a process of its own. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import { fileURLToPath } from "node:url"
import { type Peers, run } from "./commands.ts"
import type { Measures, Target, Task } from "./task.ts"

/** Who does the work: this SDK, the least program that does it, the least with Effect, or another client. */
export type Driver = "sdk" | "floor" | "effect" | "python" | "typescript"

/** What each driver measured, by round. */
export type Runs = Readonly<Record<Driver, ReadonlyArray<Measures>>>

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const decodeMeasures = Schema.decodeUnknownEffect(
  Schema.fromJsonString(Schema.Record(Schema.String, Schema.Finite))
)

/** The command that does a task with a driver; none where it is not installed. */
const commandOf = (
  driver: Driver,
  task: Task,
  { executable, home }: Target,
  { python, typescript }: Peers
): readonly [string, ...ReadonlyArray<string>] | undefined => {
  const json = JSON.stringify(task)
  const homes = home === undefined ? [] : [home]
  switch (driver) {
    case "sdk":
    case "floor":
    case "effect":
      return [process.execPath, "--expose-gc", file("worker.ts"), driver, json, executable, ...homes]
    case "python":
      return python === undefined ? undefined : [python, file("peer.py"), json, executable, ...homes]
    case "typescript":
      return typescript === undefined
        ? undefined
        : [process.execPath, file("peer.mjs"), json, executable, home ?? "", typescript]
  }
}

/** A task and who does it. */
export interface Series {
  readonly task: Task
  readonly drivers: ReadonlyArray<Driver>
}

/** All of the series in each round, and their drivers in turn, so that a busy moment of the machine is nobody's alone. */
export const comparing = (peers: Peers) =>
  Effect.fnUntraced(function*<Name extends string>(
    series: Readonly<Record<Name, Series>>,
    target: Target,
    rounds: number
  ) {
    const compared = Record.map(series, ({ drivers, task }) => {
      const runs: Record<Driver, Array<Measures>> = { sdk: [], floor: [], effect: [], python: [], typescript: [] }
      return { drivers, runs, task }
    })
    yield* Console.error(`${[...new Set(Record.values(series).map(({ task }) => task.name))].join(", ")} ...`)
    for (let round = 0; round < rounds; round++) {
      for (const { drivers, runs, task } of Record.values(compared)) {
        for (const driver of drivers) {
          const command = commandOf(driver, task, target, peers)
          if (command === undefined) continue
          const output = yield* Effect.timeout(run(...command), "5 minutes")
          // What the app-server warns of is logged before it.
          runs[driver].push(yield* decodeMeasures(output.trim().split("\n").at(-1)))
        }
      }
    }
    return Record.map(compared, ({ runs }): Runs => runs)
  })
