import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { TransportError } from "../src/CodexError.ts"
import * as Commands from "../src/Commands.ts"
import * as Files from "../src/Files.ts"
import * as FuzzyFileSearch from "../src/FuzzyFileSearch.ts"
import { collect, fork, until } from "./support/observe.ts"
import { connect, type Request, type ScriptedServer } from "./support/ScriptedServer.ts"

const NamedCommand = Schema.Struct({ processId: Schema.String })
const NamedProcess = Schema.Struct({ processHandle: Schema.String })
const NamedWatch = Schema.Struct({ watchId: Schema.String })
const NamedSession = Schema.Struct({ sessionId: Schema.String })
const Cancellable = Schema.Struct({ cancellationToken: Schema.String })

const processIdOf = (request: Request) => Schema.decodeUnknownSync(NamedCommand)(request.params).processId
const processHandleOf = (request: Request) => Schema.decodeUnknownSync(NamedProcess)(request.params).processHandle

const watchIdOf = (request: Request) => Schema.decodeUnknownSync(NamedWatch)(request.params).watchId
const sessionIdOf = (request: Request) => Schema.decodeUnknownSync(NamedSession)(request.params).sessionId
const tokenOf = (request: Request) => Schema.decodeUnknownSync(Cancellable)(request.params).cancellationToken

const base64 = (text: string) => btoa(text)

const execDelta = (processId: string, text: string, capReached = false) => ({
  method: "command/exec/outputDelta",
  params: { processId, stream: "stdout", deltaBase64: base64(text), capReached }
})

const delta = (processHandle: string, text: string) => ({
  method: "process/outputDelta",
  params: { processHandle, stream: "stdout", deltaBase64: base64(text), capReached: false }
})

const exited = (processHandle: string, exitCode = 0) => ({
  method: "process/exited",
  params: { processHandle, exitCode, stdout: "", stdoutCapReached: false, stderr: "", stderrCapReached: false }
})

const text = <E, R>(output: Stream.Stream<Uint8Array, E, R>) => Stream.mkString(Stream.decodeText(output))

interface World {
  readonly server: ScriptedServer
  readonly commands: Commands.Commands
  readonly files: Files.Files
  readonly search: FuzzyFileSearch.FuzzyFileSearch
}

const gone = new TransportError({ operation: "read", description: "Gone" })

/** The connection ends before the scope of what is tested: what is not answered then does not hold it. */
const inWorld = <A, E, R>(test: (world: World) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { client, server } = yield* connect({ experimental: true })
    yield* test({
      server,
      commands: Commands.make(client),
      files: Files.make(client),
      search: FuzzyFileSearch.make(client)
    }).pipe(Effect.ensuring(server.end(gone)), Effect.scoped)
  })

/** A command that has been started, and the request that stands for it. */
const running = (server: ScriptedServer, commands: Commands.Commands, options?: Commands.ExecOptions) =>
  Effect.gen(function*() {
    const starting = yield* fork(commands.exec(["program"], options))
    const request = yield* server.request("command/exec")
    yield* server.respond(yield* server.request("command/exec/write"), {})
    return { process: yield* Fiber.join(starting), request, id: processIdOf(request) }
  })

describe("a command", () => {
  it.effect("is asked for by all of its options", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(commands.exec(["program", "argument"], {
          cwd: "/work",
          env: { A: "1", B: null },
          sandbox: "workspaceWrite",
          timeout: "1500 millis",
          outputLimit: 10,
          tty: { rows: 2, cols: 3 }
        }))
        const request = yield* server.request("command/exec")
        assert.deepStrictEqual(request.params, {
          command: ["program", "argument"],
          cwd: "/work",
          env: { A: "1", B: null },
          sandboxPolicy: { type: "workspaceWrite" },
          timeoutMs: 1500,
          outputBytesCap: 10,
          processId: processIdOf(request),
          streamStdin: true,
          streamStdoutStderr: true,
          tty: true,
          size: { rows: 2, cols: 3 }
        })
        yield* server.respond(request, { exitCode: 0, stdout: "", stderr: "" })
        yield* Fiber.join(starting)
      })
    ))

  it.effect("loses no output that comes before anything is answered, and takes none of another's", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(commands.exec(["program"]))
        const request = yield* server.request("command/exec")
        const id = processIdOf(request)
        yield* server.push(
          execDelta("another", "not mine"),
          execDelta(id, "all "),
          execDelta(id, "of it", true),
          { id: request.id, result: { exitCode: 7, stdout: "", stderr: "" } }
        )
        const process = yield* Fiber.join(starting)
        assert.deepStrictEqual(yield* process.exit, { exitCode: 7, stdoutTruncated: true, stderrTruncated: false })
        assert.strictEqual(yield* text(process.stdout), "all of it")
      })
    ))

  it.effect("is text across chunks that cut a character", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const { id, process, request } = yield* running(server, commands)
        const chunk = (deltaBase64: string) => ({
          method: "command/exec/outputDelta",
          params: { processId: id, stream: "stdout", deltaBase64, capReached: false }
        })
        // The three bytes of a euro sign.
        yield* server.push(chunk("4g=="), chunk("gg=="), chunk("rA=="))
        yield* server.respond(request, { exitCode: 0, stdout: "", stderr: "" })
        assert.strictEqual(yield* text(process.stdout), "€")
      })
    ))

  it.effect("that could not be started fails, whichever answer comes first", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        for (const knockFirst of [true, false]) {
          const starting = yield* fork(Effect.flip(Effect.scoped(commands.exec(["program"]))))
          const request = yield* server.request("command/exec")
          const knock = yield* server.request("command/exec/write")
          const answers = [
            server.refuse(knock, -32600, "no active command/exec"),
            server.refuse(request, -32603, "failed to spawn command: No such file or directory")
          ]
          for (const answer of knockFirst ? answers : answers.toReversed()) {
            yield* answer
            yield* server.barrier
          }
          const error = yield* Fiber.join(starting)
          assert.strictEqual(error._tag, "InternalError")
        }
        assert.notInclude(server.methods(), "command/exec/terminate")
      })
    ))

  it.effect("whose output is no Base64 fails its reader and nothing else", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const { id, process, request } = yield* running(server, commands)
        yield* server.push({
          method: "command/exec/outputDelta",
          params: { processId: id, stream: "stdout", deltaBase64: "*", capReached: false }
        })
        yield* server.respond(request, { exitCode: 0, stdout: "", stderr: "" })
        const error = yield* Effect.flip(Stream.runDrain(process.stdout))
        assert.strictEqual(error._tag, "DecodeError")
        assert.notInclude(error.message, "*")
        assert.strictEqual(yield* process.exitCode, 0)
      })
    ))

  it.effect("keeps as many chunks as it may, and what is read makes room", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const { id, process, request } = yield* running(server, commands, { buffer: { events: 2, bytes: 4 } })
        yield* server.push(execDelta(id, "ab"), execDelta(id, "cd"))
        yield* server.barrier
        assert.strictEqual(yield* text(Stream.take(process.stdout, 2)), "abcd")
        yield* server.push(execDelta(id, "ef"), execDelta(id, "gh"), execDelta(id, "lost"))
        yield* server.respond(request, { exitCode: 0, stdout: "", stderr: "" })
        assert.strictEqual(yield* process.exitCode, 0)
        assert.strictEqual(yield* text(Stream.take(process.stdout, 2)), "efgh")
        const error = yield* Effect.flip(Stream.runDrain(process.stdout))
        assert.strictEqual(error._tag, "OutputLagged")
      })
    ))

  it.effect("that ends while it is terminated is no error", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const { process, request } = yield* running(server, commands)
        const terminating = yield* fork(process.terminate)
        const terminate = yield* server.request("command/exec/terminate")
        yield* server.refuse(terminate, -32600, "no active command/exec")
        yield* server.barrier
        yield* server.respond(request, { exitCode: 0, stdout: "", stderr: "" })
        yield* Fiber.join(terminating)
        assert.isFalse(yield* process.isRunning)
      })
    ))

  it.effect("that the server does not end in time does not hold its scope for ever", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const inScope = yield* fork(Effect.scoped(Effect.map(running(server, commands), ({ process }) => process)))
        const terminate = yield* server.request("command/exec/terminate")
        yield* TestClock.adjust("10 seconds")
        const process = yield* Fiber.join(inScope)
        // Nobody waits for what will not be known any more.
        const error = yield* Effect.flip(process.exitCode)
        assert.strictEqual(error._tag, "TransportError")
        assert.strictEqual((yield* Effect.flip(Stream.runDrain(process.stdout)))._tag, "TransportError")
        yield* server.respond(terminate, {})
      })
    ))

  it.effect("has no deadline, nor has what is written to it", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const { process, request } = yield* running(server, commands)
        const writing = yield* fork(Stream.run(Stream.make(new Uint8Array([1])), process.stdin))
        const write = yield* server.request("command/exec/write")
        yield* TestClock.adjust("1 day")
        assert.isTrue(yield* process.isRunning)
        yield* server.respond(write, {})
        yield* server.respond(yield* server.request("command/exec/write"), {})
        yield* Fiber.join(writing)
        yield* server.respond(request, { exitCode: 0, stdout: "", stderr: "" })
        assert.strictEqual(yield* process.exitCode, 0)
      })
    ))

  it.effect("whose deadline is over is terminated with its scope all the same", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ requestTimeouts: { "command/exec": "10 seconds" } })
      const ended = yield* fork(
        Effect.scoped(Effect.flatMap(Commands.make(client).exec(["program"]), ({ exitCode }) => Effect.flip(exitCode)))
      )
      const request = yield* server.request("command/exec")
      yield* server.respond(yield* server.request("command/exec/write"), {})
      yield* TestClock.adjust("10 seconds")
      const terminate = yield* server.request("command/exec/terminate")
      assert.deepStrictEqual(terminate.params, { processId: processIdOf(request) })
      yield* server.respond(terminate, {})
      assert.strictEqual((yield* Fiber.join(ended))._tag, "RequestTimeout")
    }))

  it.effect("is terminated when its start is interrupted, though nothing is ever answered", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(commands.exec(["program"]))
        yield* server.request("command/exec")
        yield* server.request("command/exec/write")
        const interrupting = yield* fork(Fiber.interrupt(starting))
        yield* server.request("command/exec/terminate")
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(interrupting)
      })
    ))

  it.effect("one of whose outputs cannot be read fails those who read it, and its end is known", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const { id, process, request } = yield* running(server, commands)
        const lost = { method: "command/exec/outputDelta", params: { processId: id, stream: "stdout", deltaBase64: 1 } }
        yield* server.push(execDelta(id, "kept"), lost, execDelta(id, "later"))
        yield* server.respond(request, { exitCode: 0, stdout: "", stderr: "" })
        assert.strictEqual(yield* process.exitCode, 0)
        const stdout = yield* collect(
          Stream.catchTag(Stream.decodeText(process.stdout), "DecodeError", () => Stream.make("(lost)"))
        )
        yield* until(() => stdout.seen.length === 2)
        assert.deepStrictEqual(stdout.seen, ["kept", "(lost)"])

        const whole = yield* fork(Effect.flip(commands.execOutput(["program"])))
        const again = yield* server.request("command/exec")
        yield* server.respond(yield* server.request("command/exec/write"), {})
        yield* server.push({ ...lost, params: { ...lost.params, processId: processIdOf(again) } })
        yield* server.respond(again, { exitCode: 0, stdout: "", stderr: "" })
        assert.strictEqual((yield* Fiber.join(whole))._tag, "DecodeError")
      })
    ))

  it.effect("that is nobody's has output that is told as an event like any other", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect({ experimental: true })
      const all = yield* collect(client.notifications)
      const unowned = yield* collect(client.unownedNotifications)
      const expected = ["command/exec/outputDelta", "process/outputDelta", "process/exited"]
      yield* server.push(execDelta("nobody", "late"), delta("nobody", "late"), exited("nobody", 137))
      assert.deepStrictEqual((yield* all.atLeast(3)).map(({ method }) => String(method)), expected)
      assert.deepStrictEqual((yield* unowned.atLeast(3)).map(({ method }) => String(method)), expected)
    }))

  it.effect("ends with the connection", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const { id, process } = yield* running(server, commands)
        yield* server.push(execDelta(id, "last"))
        yield* server.end(gone)
        assert.strictEqual((yield* Effect.flip(process.exitCode))._tag, "TransportError")
        const stdout = yield* collect(
          Stream.catchTag(Stream.decodeText(process.stdout), "TransportError", () => Stream.make("(gone)"))
        )
        yield* until(() => stdout.seen.length === 2)
        assert.deepStrictEqual(stdout.seen, ["last", "(gone)"])
      })
    ))
})

describe("a process", () => {
  it.effect("loses nothing that comes before the answer to its start", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(commands.spawn(["program"], { cwd: "/" }))
        const request = yield* server.request("process/spawn")
        const handle = processHandleOf(request)
        yield* server.push(
          exited("another", 1),
          delta(handle, "early"),
          exited(handle, 3),
          { id: request.id, result: {} }
        )
        const process = yield* Fiber.join(starting)
        assert.strictEqual(yield* process.exitCode, 3)
        assert.strictEqual(yield* text(process.stdout), "early")
      })
    ))

  it.effect("is killed when its start is interrupted before the answer", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(commands.spawn(["program"], { cwd: "/" }))
        const request = yield* server.request("process/spawn")
        const interrupting = yield* fork(Fiber.interrupt(starting))
        // The answer may never come.
        const kill = yield* server.request("process/kill")
        yield* server.push({ id: kill.id, result: {} }, exited(processHandleOf(request), 137))
        yield* Fiber.join(interrupting)
      })
    ))

  it.effect("is killed again when it was not there yet the first time", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(commands.spawn(["program"], { cwd: "/" }))
        const request = yield* server.request("process/spawn")
        const interrupting = yield* fork(Fiber.interrupt(starting))
        yield* server.refuse(yield* server.request("process/kill"), -32600, "no active process")
        yield* server.barrier
        yield* server.respond(request, {})
        const kill = yield* server.request("process/kill")
        yield* server.push({ id: kill.id, result: {} }, exited(processHandleOf(request), 137))
        yield* Fiber.join(interrupting)
      })
    ))

  it.effect("is killed when the answer to its start does not come in time, or cannot be read", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        for (const what of ["RequestTimeout", "DecodeError"]) {
          const starting = yield* fork(Effect.flip(Effect.scoped(commands.spawn(["program"], { cwd: "/" }))))
          const request = yield* server.request("process/spawn")
          if (what === "DecodeError") yield* server.respond(request, 1)
          else yield* TestClock.adjust("1 minute")
          const kill = yield* server.request("process/kill")
          yield* server.push({ id: kill.id, result: {} }, exited(processHandleOf(request), 137))
          assert.strictEqual((yield* Fiber.join(starting))._tag, what)
        }
      })
    ))

  it.effect("whose start came to nothing without a word is let go at once", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(Effect.flip(Effect.scoped(commands.spawn(["program"], { cwd: "/" }))))
        yield* server.request("process/spawn")
        yield* TestClock.adjust("1 minute")
        yield* server.refuse(yield* server.request("process/kill"), -32600, "no active process")
        assert.strictEqual((yield* Fiber.join(starting))._tag, "RequestTimeout")
      })
    ))

  it.effect("whose end cannot be read fails whoever waits for it", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(commands.spawn(["program"], { cwd: "/" }))
        const request = yield* server.request("process/spawn")
        yield* server.respond(request, {})
        const process = yield* Fiber.join(starting)
        yield* server.push({
          method: "process/exited",
          params: { processHandle: processHandleOf(request), exitCode: "?" }
        })
        assert.strictEqual((yield* Effect.flip(process.exitCode))._tag, "DecodeError")
      })
    ))

  it.effect("that is refused is not killed", () =>
    inWorld(({ commands, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(Effect.flip(Effect.scoped(commands.spawn(["program"], { cwd: "/" }))))
        yield* server.refuse(yield* server.request("process/spawn"), -32603, "failed to spawn process")
        assert.strictEqual((yield* Fiber.join(starting))._tag, "InternalError")
        assert.deepStrictEqual(server.methods(), ["process/spawn"])
      })
    ))
})

describe("a watch", () => {
  it.effect("gathers what nobody has read, each path once", () =>
    inWorld(({ files, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(files.watcher("/work"))
        const request = yield* server.request("fs/watch")
        const watchId = watchIdOf(request)
        const changed = (...changedPaths: ReadonlyArray<string>) => ({
          method: "fs/changed",
          params: { watchId, changedPaths }
        })
        // Before the answer, and of another watch.
        yield* server.push(changed("/work/a"), { method: "fs/changed", params: { watchId: "x", changedPaths: ["/x"] } })
        yield* server.respond(request, { path: "/work" })
        const watcher = yield* Fiber.join(starting)
        yield* server.push(changed("/work/b", "/work/a"))
        yield* server.barrier
        const [first] = yield* Stream.runCollect(Stream.take(watcher.changes, 1))
        assert.deepStrictEqual(first, { paths: ["/work/a", "/work/b"], overflowed: false })
        const many = Array.from({ length: 20_000 }, (_, index) => `/work/${index}`)
        yield* server.push(changed(...many))
        yield* server.barrier
        const [second] = yield* Stream.runCollect(Stream.take(watcher.changes, 1))
        assert.deepStrictEqual([second?.paths.length, second?.overflowed], [16_384, true])
      })
    ))

  it.effect("is taken away by its scope, but not where it was refused", () =>
    inWorld(({ files, server }) =>
      Effect.gen(function*() {
        const refused = yield* fork(Effect.flip(Stream.runDrain(files.watch("/work"))))
        yield* server.refuse(yield* server.request("fs/watch"), -32600, "no")
        yield* Fiber.join(refused)
        assert.deepStrictEqual(server.methods(), ["fs/watch"])
        const watching = yield* fork(Stream.runDrain(files.watch("/work")))
        yield* server.respond(yield* server.request("fs/watch"), { path: "/work" })
        yield* server.barrier
        const interrupting = yield* fork(Fiber.interrupt(watching))
        yield* server.respond(yield* server.request("fs/unwatch"), {})
        yield* Fiber.join(interrupting)
      })
    ))
})

describe("a file search", () => {
  it.effect("leaves out what belongs to a query that is no longer the latest", () =>
    inWorld(({ search, server }) =>
      Effect.gen(function*() {
        const starting = yield* fork(search.fileSearch(["/work"]))
        const request = yield* server.request("fuzzyFileSearch/sessionStart")
        const sessionId = sessionIdOf(request)
        const found = (query: string, ...names: ReadonlyArray<string>) => ({
          method: "fuzzyFileSearch/sessionUpdated",
          params: {
            sessionId,
            query,
            files: names.map((name) => ({ root: "/work", path: name, file_name: name, match_type: "file", score: 1 }))
          }
        })
        yield* server.push(found(""))
        yield* server.respond(request, {})
        const session = yield* Fiber.join(starting)
        const all = yield* collect(session.results)
        const update = (query: string) =>
          Effect.gen(function*() {
            const updating = yield* fork(session.update(query))
            yield* server.respond(yield* server.request("fuzzyFileSearch/sessionUpdate"), {})
            yield* Fiber.join(updating)
          })
        yield* update("a")
        yield* update("ab")
        yield* server.push(found("a", "a"), found("ab", "ab"))
        yield* all.atLeast(1)
        assert.deepStrictEqual(all.seen, [{
          query: "ab",
          files: [{ root: "/work", path: "ab", fileName: "ab", matchType: "file", score: 1, indices: [] }]
        }])
        // A reader that comes later begins with what there is.
        const [late] = yield* Stream.runCollect(Stream.take(session.results, 1))
        assert.strictEqual(late?.query, "ab")
      })
    ))

  it.effect("that is interrupted is given up on the server too", () =>
    inWorld(({ search, server }) =>
      Effect.gen(function*() {
        const searching = yield* fork(search.searchFiles("a", ["/"]))
        const request = yield* server.request("fuzzyFileSearch")
        const interrupting = yield* fork(Fiber.interrupt(searching))
        const cancel = yield* server.request("fuzzyFileSearch")
        assert.strictEqual(tokenOf(cancel), tokenOf(request))
        yield* server.respond(cancel, { files: [] })
        yield* Fiber.join(interrupting)
      })
    ))
})
