/**
 * Keeps the real app-server busy for minutes and watches what that costs: turns that
 * complete, fail and are interrupted, streams that are read, left unread and left
 * early, and bursts of requests, all through one connection. Fails when anything
 * ends in a way that it must not, or when memory grows.
 *
 * `npm run soak -- [minutes] [--write]`; with `--write` the figures go to docs/guarantees.md.
 */
import { AppServerClient, Codex } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import { readFileSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const gc: unknown = runInNewContext("gc")

const GUARANTEES = new URL("../docs/guarantees.md", import.meta.url)
const BEGIN = "<!-- soak -->"
const END = "<!-- /soak -->"
/** Threads that run turns at the same time. */
const LANES = 12
/** How much more memory may be in use at the end than after the first fifth. */
const GROWTH_MIB = 24

const args = process.argv.slice(2)
const minutes = Number(args.find((arg) => /^\d+(?:\.\d+)?$/.test(arg)) ?? 5)

const usedMiB = Effect.sync(() => {
  if (typeof gc === "function") { for (let pass = 0; pass < 3; pass++) gc() }
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return (heapUsed + arrayBuffers) / (1024 * 1024)
})

const kinds = ["run", "read", "left", "unread", "failed", "interrupted", "burst"] as const

type Kind = typeof kinds[number]

const lane = Effect.fnUntraced(function*(until: number, counts: Record<Kind, number>) {
  const codex = yield* Codex
  const client = yield* AppServerClient
  let thread = yield* codex.startThread({ ephemeral: true })
  for (let turns = 0; (yield* Clock.currentTimeMillis) < until; turns++) {
    if (turns % 20 === 19) {
      yield* client.request("thread/unsubscribe", { threadId: thread.id })
      thread = yield* codex.startThread({ ephemeral: true })
    }
    const kind = kinds[yield* Random.nextIntBetween(0, kinds.length)] ?? "run"
    switch (kind) {
      case "run":
        yield* expect(thread.run("say it"), "completed")
        break
      case "read":
        yield* Stream.runDrain(thread.stream("say it"))
        break
      case "left":
        yield* thread.stream("say it").pipe(Stream.take(3), Stream.runDrain)
        break
      case "unread":
        yield* Effect.scoped(Effect.flatMap(thread.turn("say it"), (turn) => expect(turn.result, "completed")))
        break
      case "failed":
        yield* Effect.flip(thread.run("fail")).pipe(
          Effect.flatMap((error) => hold(error._tag === "TurnFailed", `Expected TurnFailed, got ${error._tag}`))
        )
        break
      case "interrupted":
        yield* Effect.scoped(Effect.flatMap(thread.turn("say it slowly"), (turn) => turn.interrupt))
        break
      case "burst":
        yield* Effect.forEach(
          Array.from({ length: 100 }),
          () => client.request("thread/loaded/list", {}),
          { concurrency: "unbounded", discard: true }
        )
        break
    }
    counts[kind]++
  }
})

const hold = (condition: boolean, description: string): Effect.Effect<void> =>
  condition ? Effect.void : Effect.die(new Error(description))

const expect = <E, R>(run: Effect.Effect<{ readonly status: string }, E, R>, status: string) =>
  Effect.flatMap(run, (result) => hold(result.status === status, `It ended as ${result.status}`))

const words = Array.from({ length: 50 }, (_, index) => `word ${index} `)

const program = Effect.gen(function*() {
  const counts: Record<Kind, number> = {
    run: 0,
    read: 0,
    left: 0,
    unread: 0,
    failed: 0,
    interrupted: 0,
    burst: 0
  }
  const client = yield* AppServerClient
  const start = yield* Clock.currentTimeMillis
  const length = Duration.toMillis(Duration.minutes(minutes))
  const early = yield* Ref.make(0)
  // Somebody who wants every event and is always late.
  yield* client.notifications.pipe(
    Stream.runForEach(() => Effect.sleep("5 millis")),
    Effect.forkScoped
  )
  yield* Effect.sleep(length / 5).pipe(
    Effect.andThen(usedMiB),
    Effect.flatMap((used) => Ref.set(early, used)),
    Effect.forkScoped
  )
  yield* Effect.forEach(Array.from({ length: LANES }), () => lane(start + length, counts), {
    concurrency: "unbounded",
    discard: true
  })
  yield* Effect.sleep("1 second")
  const before = yield* Ref.get(early)
  const after = yield* usedMiB
  const turns = Object.entries(counts).reduce((sum, [kind, count]) => kind === "burst" ? sum : sum + count, 0)
  const rows: ReadonlyArray<readonly [string, string]> = [
    ["length", `${minutes} minutes, ${LANES} threads at a time, ${cpus().length} cores, Node ${process.versions.node}`],
    ["turns", `${turns} (${Math.round(turns / minutes / 60)} a second)`],
    ["run to their end", String(counts.run)],
    ["streamed to their end", String(counts.read)],
    ["left early, so interrupted", String(counts.left)],
    ["never read", String(counts.unread)],
    ["failed", String(counts.failed)],
    ["interrupted", String(counts.interrupted)],
    ["bursts of 100 requests", String(counts.burst)],
    ["memory in use after a fifth of the time", `${before.toFixed(1)} MiB`],
    ["memory in use at the end", `${after.toFixed(1)} MiB`]
  ]
  const table = ["| what | figure |", "| --- | --- |", ...rows.map(([what, figure]) => `| ${what} | ${figure} |`)].join(
    "\n"
  )
  yield* Console.log(table)
  if (args.includes("--write")) {
    const document = readFileSync(GUARANTEES, "utf8")
    const from = document.indexOf(BEGIN) + BEGIN.length
    writeFileSync(GUARANTEES, `${document.slice(0, from)}\n\n${table}\n\n${document.slice(document.indexOf(END))}`)
  }
  yield* hold(after - before <= GROWTH_MIB, `Memory grew by ${(after - before).toFixed(1)} MiB`)
})

program.pipe(
  Effect.scoped,
  Effect.provide(OfflineCodex.layer({
    model: {
      recordLimit: 16,
      respond: ({ text }) =>
        text === "fail"
          ? OfflineModel.failed({ code: "server_error", message: "no" })
          : text === "say it slowly"
          ? OfflineModel.text(["slow", OfflineModel.delay("10 seconds"), "ly"])
          : OfflineModel.text(words)
    }
  })),
  NodeRuntime.runMain
)
