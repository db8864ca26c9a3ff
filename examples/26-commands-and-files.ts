/** Commands and files on the app-server's machine, without the model: run, feed, stream, limit, read, watch, find. */
import { Codex } from "@effect-codex/core"
import { Console, Effect, Fiber, FileSystem, Stream } from "effect"
import { runExample } from "./support.ts"

const program = Effect.gen(function*() {
  const codex = yield* Codex
  const { files } = codex
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.flatMap(fs.makeTempDirectoryScoped({ prefix: "commands-and-files-" }), fs.realPath)

  // Files. Nobody asks whether they may be written: this is your program, not the agent.
  yield* files.createDirectory(`${folder}/src`)
  yield* files.writeFile(`${folder}/src/fruit.txt`, "pear\napple\nplum\n")
  const entries = yield* files.readDirectory(folder)
  yield* Console.log(`In the folder: ${entries.map(({ fileName }) => fileName).join(", ")}`)

  // A command in the sandbox, to its end. Its arguments are a list: no shell has a part in it.
  const sorted = yield* codex.execOutput(["sort", "src/fruit.txt"], { cwd: folder, sandbox: "readOnly" })
  yield* Console.log(`Sorted: ${sorted.stdout.trim().split("\n").join(", ")}`)
  const failed = yield* codex.execOutput(["sort", "no-such-file"], { cwd: folder, sandbox: "readOnly" })
  yield* Console.log(`Without a file: exit code ${failed.exitCode}`)
  const counted = yield* codex.execOutput(["wc", "-w"], { stdin: "one two three" })
  yield* Console.log(`Words: ${counted.stdout.trim()}`)

  // A command in hand: its output as it comes, its input as a Sink. The scope ends it.
  yield* Effect.scoped(Effect.gen(function*() {
    const cat = yield* codex.exec(["cat"], { cwd: folder })
    yield* Effect.forkScoped(Stream.run(Stream.encodeText(Stream.make("Hello, ", "cat.\n")), cat.stdin))
    yield* cat.stdout.pipe(
      Stream.decodeText,
      Stream.splitLines,
      Stream.runForEach((line) => Console.log(`It says: ${line}`))
    )
    yield* Console.log(`It ended with ${yield* cat.exitCode}`)
  }))

  // A command that takes too long is interrupted as any effect is, and killed with it.
  yield* codex.execOutput(["sleep", "60"]).pipe(
    Effect.timeoutOrElse({ duration: "100 millis", orElse: () => Console.log("It has slept long enough") })
  )

  // Who begins to watch before something changes misses nothing.
  const watcher = yield* files.watcher(`${folder}/src`)
  const change = yield* Effect.forkChild(Stream.runHead(watcher.changes))
  yield* files.writeFile(`${folder}/src/vegetables.txt`, "leek\n")
  const changed = yield* Effect.flatMap(Fiber.join(change), Effect.fromOption)
  yield* Console.log(`Changed: ${changed.paths.map((path) => path.slice(folder.length + 1)).join(", ")}`)

  // By a few letters of the name.
  const found = yield* codex.searchFiles("veg", [folder])
  yield* Console.log(
    `Found: ${found.filter(({ matchType }) => matchType === "file").map(({ path }) => path).join(", ")}`
  )

  yield* files.remove(`${folder}/src`, { recursive: true })
  const gone = yield* Effect.flip(files.readText(`${folder}/src/fruit.txt`))
  yield* Console.log(`Removed: ${gone._tag}`)
}).pipe(Effect.scoped)

runExample(program)
