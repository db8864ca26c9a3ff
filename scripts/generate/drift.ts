import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { Drift } from "./errors.ts"

const firstDifference = (a: string, b: string): number => {
  const before = a.split("\n")
  return b.split("\n").findIndex((line, index) => line !== before[index]) + 1
}

/** Fails with what differs, byte by byte, between `files` and the files in `directory`. */
export const checkDrift = Effect.fnUntraced(function*(directory: string, files: Readonly<Record<string, string>>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const present = (yield* fs.exists(directory)) ? yield* fs.readDirectory(directory) : []
  const drift: Array<{ readonly file: string; readonly problem: string }> = []
  for (const [file, expected] of Object.entries(files)) {
    if (!present.includes(file)) {
      drift.push({ file, problem: "is missing" })
      continue
    }
    const actual = yield* fs.readFileString(path.join(directory, file))
    if (actual !== expected) drift.push({ file, problem: `differs from line ${firstDifference(actual, expected)}` })
  }
  for (const file of present) {
    if (!Object.hasOwn(files, file)) drift.push({ file, problem: "is not generated" })
  }
  if (drift.length > 0) return yield* new Drift({ files: drift })
})

/** Makes `directory` hold `files` and nothing else. */
export const writeFiles = Effect.fnUntraced(function*(directory: string, files: Readonly<Record<string, string>>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* fs.makeDirectory(directory, { recursive: true })
  for (const file of yield* fs.readDirectory(directory)) {
    if (!Object.hasOwn(files, file)) yield* fs.remove(path.join(directory, file), { recursive: true })
  }
  for (const [file, text] of Object.entries(files)) yield* fs.writeFileString(path.join(directory, file), text)
})
