/** Small executables that stand in for `codex`, and what they leave behind. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { existsSync, readFileSync } from "node:fs"

/** What every fake can do; its own part comes after it. */
const prelude = (log: string): string =>
  `#!${process.execPath}
const fs = require("node:fs")
const record = (text) => fs.appendFileSync(${JSON.stringify(log)}, text + "\\n")
const say = (text) => fs.writeSync(2, text + "\\n")
const write = (text) => {
  const bytes = Buffer.from(text + "\\n")
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += fs.writeSync(1, bytes, sent)
    } catch (error) {
      if (error.code !== "EAGAIN") throw error
    }
  }
}
const send = (message) => write(JSON.stringify(message))
const initialized = { userAgent: "fake/1.2.3 (x)", codexHome: "/", platformFamily: "unix", platformOs: "linux" }
const answerInitialize = (message) => message.method === "initialize" && send({ id: message.id, result: initialized })
const onLine = (handle) => {
  let rest = ""
  process.stdin.setEncoding("utf8").on("data", (chunk) => {
    const lines = (rest + chunk).split("\\n")
    rest = lines.pop()
    for (const line of lines) handle(line)
  })
}
const onMessage = (handle) => onLine((line) => {
  const message = JSON.parse(line)
  answerInitialize(message)
  handle(message)
})
record("pid " + process.pid)
`

export interface FakeExecutable {
  readonly path: string
  /** The lines that it has recorded. */
  readonly recorded: () => ReadonlyArray<string>
  /** Waits for a line that it records. */
  readonly awaitRecord: (line: string) => Effect.Effect<void>
  /** Waits for a line `name value` and gives the value. */
  readonly awaitValue: (name: string) => Effect.Effect<string>
  /** Waits until the process with the id that it recorded under the name is gone. */
  readonly awaitGone: (name?: string) => Effect.Effect<void>
}

/** Waits until the condition holds, in real time whatever the clock: processes know no other. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setInterval(() => {
      if (!condition()) return
      clearInterval(timer)
      resume(Effect.void)
    }, 5)
    return Effect.sync(() => clearInterval(timer))
  })

/** Whether a process runs; one that has ended and was not looked after yet does not. */
export const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  if (process.platform !== "linux") return true
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

const make = (content: (log: string) => string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "fake-codex-" })
    const log = path.join(directory, "log")
    const executable = path.join(directory, "codex.cjs")
    yield* fs.writeFileString(executable, content(log), { mode: 0o755 })
    const recorded = () => existsSync(log) ? readFileSync(log, "utf8").split("\n").slice(0, -1) : []
    const find = (name: string) => recorded().find((line) => line.startsWith(`${name} `))?.slice(name.length + 1)
    const fake: FakeExecutable = {
      path: executable,
      recorded,
      awaitRecord: (line) => until(() => recorded().includes(line)),
      awaitValue: (name) => Effect.map(until(() => find(name) !== undefined), () => find(name) ?? ""),
      awaitGone: (name = "pid") =>
        Effect.flatMap(until(() => find(name) !== undefined), () => until(() => !isRunning(Number(find(name)))))
    }
    return fake
  })

/** A Node script that begins with what every fake can do. */
export const script = (body: string) => make((log) => prelude(log) + body)

/** The real executable, which tells its process id first. */
export const recorded = (executable: string) =>
  make((log) => `#!/bin/sh\necho "pid $$" >> '${log}'\nexec '${executable}' "$@"\n`)
