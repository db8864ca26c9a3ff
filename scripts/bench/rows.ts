/** The rows of the table: what each one runs, and what is made of it. */
import * as Effect from "effect/Effect"
import type { Peers } from "./commands.ts"
import { comparing, type Driver, type Runs, type Series } from "./compare.ts"
import { type Measures, median, type Target, type Task, WARM_UP } from "./task.ts"

/** One line of the table. */
export interface Row {
  readonly name: string
  readonly goal: string
  readonly measured: string
  readonly reached: boolean | undefined
  /** By driver, as people read it. */
  readonly raw: Readonly<Partial<Record<Driver, string>>>
}

/** What the rows are measured on. */
export interface Setup {
  readonly peers: Peers
  readonly fake: Target
  readonly real: Target
  /** The modules of Effect that the SDK imports. */
  readonly modules: ReadonlyArray<string>
  /** Leaves out four fifths of the work. */
  readonly quick: boolean
}

const middle = (runs: ReadonlyArray<Measures>, measure: (run: Measures) => number): number => median(runs.map(measure))

/** How many times the one's figure is the other's: the median of rounds, in each of which one ran right after the other. */
const ratioOf = (
  runs: ReadonlyArray<Measures>,
  others: ReadonlyArray<Measures>,
  measure: (run: Measures) => number
): number =>
  median(runs.flatMap((run, round) => {
    const other = others[round]
    return other === undefined ? [] : [measure(run) / measure(other)]
  }))

const of = (name: string) => (run: Measures): number => run[name] ?? Number.NaN

const rate = (run: Measures): number => of("events")(run) / of("wall")(run) * 1000

/** The same of the events that came before those that are measured. */
const firstRate = (run: Measures): number => of("firstEvents")(run) / of("firstWall")(run) * 1000

const requestRate = (run: Measures): number => of("requests")(run) / of("wall")(run) * 1000

const cpuPerEvent = (run: Measures): number => of("cpu")(run) / of("events")(run) * 1000

const times = (ratio: number): string => `${ratio.toFixed(2)} x`

const perSecond = (value: number, unit: string): string => `${Math.round(value).toLocaleString("en")} ${unit}/s`

const milliseconds = (value: number): string => `${value.toFixed(1)} ms`

const kibibytes = (value: number): string => `${(value / 1024).toFixed(2)} KiB`

/** What every driver measured, where it measured anything. */
const rawOf = (
  runs: Runs,
  measure: (run: Measures) => number,
  show: (value: number) => string
): Row["raw"] => {
  const cell = (driver: Driver) => {
    const value = middle(runs[driver], measure)
    return Number.isFinite(value) ? { [driver]: show(value) } : {}
  }
  return { ...cell("sdk"), ...cell("floor"), ...cell("python"), ...cell("typescript") }
}

const own: ReadonlyArray<Driver> = ["floor", "sdk"]

export const measureRows = Effect.fnUntraced(function*({ fake, modules, peers, quick, real }: Setup) {
  const compareAll = comparing(peers)
  const compare = (task: Task, target: Target, rounds: number, drivers: ReadonlyArray<Driver>) =>
    Effect.map(compareAll({ only: { task, drivers } }, target, rounds), ({ only }) => only)
  const scale = (count: number) => quick ? count / 5 : count
  const rounds = quick ? 3 : 5
  const rows: Array<Row> = []

  const streamOf = (kind: "delta" | "item", events: number, turns: number, { reads = true, times = 1 } = {}): Task => ({
    name: "stream",
    reads,
    kind,
    events: scale(events),
    turns,
    times
  })

  // The events of one turn and of many, in one and the same rounds.
  const deltas = yield* compareAll(
    {
      one: { task: streamOf("delta", 500_000, 1), drivers: own },
      many: { task: streamOf("delta", 500_000, 100), drivers: own }
    },
    fake,
    quick ? 3 : 9
  )
  const { python } = yield* compare(streamOf("delta", 100_000, 1), fake, 2, ["python"])
  const runs = { ...deltas.one, python }
  const ratio = ratioOf(runs.sdk, runs.floor, rate)
  const overPython = middle(runs.sdk, rate) / middle(runs.python, rate)
  rows.push({
    name: `delta stream, one turn, ${scale(500_000).toLocaleString("en")} events`,
    goal: ">= 0.6 of the floor, >= 10 x Python",
    measured: `${times(ratio)}${Number.isFinite(overPython) ? `, ${times(overPython)} Python` : ""}`,
    reached: ratio >= 0.6 && !(overPython < 10),
    raw: rawOf(runs, rate, (value) => perSecond(value, "events"))
  })
  const cpu = ratioOf(runs.sdk, runs.floor, cpuPerEvent)
  rows.push({
    name: "the same, CPU time per event",
    goal: "<= 2 x the floor",
    measured: times(cpu),
    reached: cpu <= 2,
    raw: rawOf(runs, cpuPerEvent, (value) => `${value.toFixed(2)} µs`)
  })

  const fresh = ratioOf(runs.sdk, runs.floor, firstRate)
  rows.push({
    name: `delta stream, the first ${scale(500_000 * WARM_UP).toLocaleString("en")} events of a process`,
    goal: "",
    measured: times(fresh),
    reached: undefined,
    raw: rawOf(runs, firstRate, (value) => perSecond(value, "events"))
  })

  const interleaved = ratioOf(deltas.many.sdk, deltas.one.sdk, rate)
  rows.push({
    name: "delta stream, 100 turns interleaved",
    goal: ">= 0.9 of one turn",
    measured: times(interleaved),
    reached: interleaved >= 0.9,
    raw: rawOf(deltas.many, rate, (value) => perSecond(value, "events"))
  })

  // A result has every item of its turn, which the floor lets go: no turn has a hundred thousand.
  const items = yield* compare(streamOf("item", 100_000, 1, { times: 100 }), fake, rounds, own)
  const itemPeers = yield* compare(streamOf("item", 25_000, 1), fake, 2, ["python", "typescript"])
  const allItems = { ...items, python: itemPeers.python, typescript: itemPeers.typescript }
  const itemRatio = ratioOf(items.sdk, items.floor, rate)
  rows.push({
    name: "870-byte item/completed events, decoded, in turns of a thousand",
    goal: ">= 0.6 of the floor",
    measured: times(itemRatio),
    reached: itemRatio >= 0.6,
    raw: rawOf(allItems, rate, (value) => perSecond(value, "events"))
  })

  for (const reads of [true, false]) {
    // So many that the start and the end of a thousand turns count for little.
    const atOnce = (turns: number): Series => ({
      task: streamOf("delta", 1_000_000, turns, { reads }),
      drivers: ["sdk"]
    })
    const counts = yield* compareAll({ ten: atOnce(10), hundred: atOnce(100), thousand: atOnce(1_000) }, fake, rounds)
    const ofCounts = Object.values(counts).map(({ sdk }) => sdk)
    const perEvent = (run: Measures) => 1e6 / rate(run)
    const spread = Math.max(...ofCounts.flatMap((some) => ofCounts.map((others) => ratioOf(some, others, perEvent))))
    rows.push({
      name: reads ? "10, 100, 1,000 turns at once: time per event" : "the same with thread.run, which reads no events",
      goal: reads ? "flat within 1.3 x" : "",
      measured: times(spread),
      reached: reads ? spread <= 1.3 : undefined,
      raw: { sdk: ofCounts.map((runs) => `${middle(runs, perEvent).toFixed(2)} µs`).join(", ") }
    })
  }

  // So many processes, as the whole of a turn differs from one to the next by more than a client adds.
  const turn = { name: "run", turns: quick ? 10 : 40 } as const
  const ownTurns = yield* compare(turn, real, quick ? 3 : 9, own)
  const peerTurns = yield* compare(turn, real, 2, ["python", "typescript"])
  const turns = { ...ownTurns, python: peerTurns.python, typescript: peerTurns.typescript }
  const added = middle(turns.sdk, of("added"))
  rows.push({
    name: "thread.run on the real app-server, offline model: time added to the server's own",
    goal: "<= 2 ms",
    measured: milliseconds(added),
    reached: added <= 2,
    raw: rawOf(turns, of("added"), milliseconds)
  })
  const whole = ratioOf(turns.sdk, turns.floor, of("wall"))
  rows.push({
    name: "the same, the whole",
    goal: "<= 1.1 x the floor",
    measured: times(whole),
    reached: whole <= 1.1,
    raw: rawOf(turns, of("wall"), milliseconds)
  })

  const requests = scale(10_000)
  const burst = yield* compare({ name: "burst", requests, times: 4 }, real, rounds, own)
  const peerBurst = yield* compare({ name: "burst", requests, times: 1 }, real, 2, ["python"])
  const bursts = { ...burst, python: peerBurst.python }
  const burstRatio = ratioOf(burst.sdk, burst.floor, requestRate)
  rows.push({
    name: `${requests.toLocaleString("en")} requests at once at the real app-server`,
    goal: "all answered, >= 0.9 of a tuned window",
    measured: `all answered, ${times(burstRatio)}`,
    reached: burstRatio >= 0.9,
    raw: rawOf(bursts, requestRate, (value) => perSecond(value, "requests"))
  })
  const firstBurstRate = (run: Measures): number => requests / of("firstWall")(run) * 1000
  rows.push({
    name: "the same, the first of a process",
    goal: "",
    measured: times(ratioOf(burst.sdk, burst.floor, firstBurstRate)),
    reached: undefined,
    raw: rawOf(burst, firstBurstRate, (value) => perSecond(value, "requests"))
  })

  const trips = yield* compare({ name: "roundTrip", requests: scale(10_000) }, fake, rounds, [...own, "python"])
  const perTrip = (run: Measures) => of("wall")(run) / of("requests")(run) * 1000
  const trip = ratioOf(trips.sdk, trips.floor, perTrip)
  rows.push({
    name: "request round trip, one after the other",
    goal: "<= 2 x the floor",
    measured: times(trip),
    reached: trip <= 2,
    raw: rawOf(trips, perTrip, (value) => `${value.toFixed(0)} µs`)
  })

  const imports = quick ? 5 : 9
  const importing = yield* compareAll(
    {
      ours: { task: { name: "import", modules: ["@effect-codex/node"] }, drivers: ["sdk", "python", "typescript"] },
      theirs: { task: { name: "import", modules }, drivers: ["floor"] }
    },
    fake,
    imports
  )
  const imported = { ...importing.ours, floor: importing.theirs.floor }
  const importRatio = ratioOf(imported.sdk, imported.floor, of("wall"))
  rows.push({
    name: "import of @effect-codex/node",
    goal: "<= 1.5 x the modules of Effect it uses",
    measured: times(importRatio),
    reached: importRatio <= 1.5,
    raw: rawOf(imported, of("wall"), milliseconds)
  })

  for (const [what, target] of [["fake", fake], ["real", real]] as const) {
    const ready = yield* compare({ name: "ready" }, target, imports, ["floor", "effect", "sdk"])
    const readyRatio = ratioOf(ready.sdk, ready.floor, of("wall"))
    rows.push({
      name: `spawn to ready, ${what} app-server`,
      goal: "<= 1.05 x the floor",
      measured: times(readyRatio),
      reached: readyRatio <= 1.05,
      raw: rawOf(ready, of("wall"), milliseconds)
    })
    rows.push({
      name: "the same, from the call that spawns",
      goal: "",
      measured: times(ratioOf(ready.sdk, ready.floor, of("sinceSpawn"))),
      reached: undefined,
      raw: rawOf(ready, of("sinceSpawn"), milliseconds)
    })
    rows.push({
      name: "the whole, where the floor is the least program with Effect's spawner and streams",
      goal: "",
      measured: times(ratioOf(ready.sdk, ready.effect, of("wall"))),
      reached: undefined,
      raw: rawOf({ ...ready, floor: ready.effect }, of("wall"), milliseconds)
    })
  }

  const heap = yield* compare(
    { name: "heap", threads: 2_000, openTurns: 1_000, turns: scale(100_000) },
    fake,
    1,
    ["sdk"]
  )
  const growth = middle(heap.sdk, of("growth"))
  rows.push({
    name: `heap growth over ${scale(100_000).toLocaleString("en")} turns`,
    goal: "<= 5 MiB",
    measured: `${(growth / 1024 / 1024).toFixed(2)} MiB`,
    reached: growth <= 5 * 1024 * 1024,
    raw: {}
  })
  rows.push({
    name: "heap per idle thread, per open turn",
    goal: "",
    measured: `${kibibytes(middle(heap.sdk, of("perThread")))}, ${kibibytes(middle(heap.sdk, of("perTurn")))}`,
    reached: undefined,
    raw: {}
  })
  return rows
})
