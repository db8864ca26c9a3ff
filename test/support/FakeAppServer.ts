/** The fake app-server (`fakeAppServer.mjs` says what it can do) for a test: its options, and what it leaves behind. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { isRunning, until } from "../../packages/node/test/support/FakeExecutable.ts"

/** The executable itself. */
export const executable = fileURLToPath(new URL("fakeAppServer.mjs", import.meta.url))

/** What it does about a message; see `fakeAppServer.mjs`. */
export type Step =
  | { readonly ordinary: true }
  | { readonly result: unknown }
  | { readonly error: { readonly code: number; readonly message: string } }
  | { readonly notify: readonly [method: string, params: unknown] }
  | { readonly ask: readonly [method: string, params: unknown] }
  | { readonly raw: string; readonly times?: number }
  | { readonly say: string }
  | { readonly note: string }
  | { readonly wait: number }
  | { readonly signal: NodeJS.Signals }
  | { readonly exit: number }

/** How it behaves; see `fakeAppServer.mjs`. */
export interface Script {
  readonly methods?: boolean
  readonly ignore?: ReadonlyArray<"eof" | "SIGTERM">
  readonly grandchildren?: number
  readonly escaped?: number
  readonly on?: { readonly [method: string]: ReadonlyArray<Step> }
  readonly turn?: {
    readonly deltas?: number
    readonly bytes?: number
    readonly every?: number
    readonly hold?: boolean
    readonly burst?: number
  }
}

/** A fake with a log of its own. */
export const make = (script: Script = {}) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const log = path.join(yield* fs.makeTempDirectoryScoped({ prefix: "fake-app-server-" }), "log")
    const notes = (): ReadonlyArray<string> => existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(0, -1) : []
    const values = (name: string): ReadonlyArray<string> =>
      notes().flatMap((line) => line.startsWith(`${name} `) ? [line.slice(name.length + 1)] : [])
    /** The ids of all the processes there have been. */
    const pids = (): ReadonlyArray<number> => [...values("pid"), ...values("grandchild")].map(Number)
    return {
      /** What starts it. */
      options: { codexPath: executable, env: { FAKE_APP_SERVER: JSON.stringify({ ...script, log }) } },
      notes,
      pids,
      /** Waits for a line in the log, or for so many of them. */
      noted: (line: string, times = 1) => until(() => notes().filter((note) => note === line).length >= times),
      /** Waits until so many processes have been started, and gives the id of the last server. */
      started: (count: number) => Effect.map(until(() => pids().length >= count), () => Number(values("pid").at(-1))),
      /** Sends the last server a signal. */
      kill: (signal: NodeJS.Signals) =>
        Effect.map(until(() => values("pid").length > 0), () => process.kill(Number(values("pid").at(-1)), signal)),
      /** Waits until none of the processes lives. */
      gone: until(() => !pids().some(isRunning))
    }
  })
