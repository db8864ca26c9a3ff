import { AppServerClient, Codex, type Commands } from "@effect-codex/core"
import { OfflineCodex } from "@effect-codex/node/testing"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { closable, failure, live } from "./support.ts"

const encoder = new TextEncoder()

const bytes = (...texts: ReadonlyArray<string>) => Stream.fromIterable(texts.map((text) => encoder.encode(text)))

/** All of an output, as text. */
const text = <E, R>(output: Stream.Stream<Uint8Array, E, R>) => Stream.mkString(Stream.decodeText(output))

/** Reads until the text has come, and gives what was read. */
const until = <E, R>(output: Stream.Stream<Uint8Array, E, R>, expected: string) =>
  Stream.decodeText(output).pipe(
    Stream.scan(() => "", (read, part: string) => read + part),
    Stream.takeUntil((read) => read.includes(expected)),
    Stream.runLast,
    Effect.map(Option.getOrElse(() => ""))
  )

const size = (output: ReadonlyArray<Uint8Array>) => output.reduce((total, chunk) => total + chunk.length, 0)

/** Runs the same on both kinds of process. */
type Start = (
  command: ReadonlyArray<string>,
  options?: Commands.ProcessOptions
) => ReturnType<Commands.Commands["exec"]>

layer(OfflineCodex.layer({ codex: { experimental: true } }), live)("processes", (it) => {
  const kinds: ReadonlyArray<readonly [string, Effect.Effect<Start, never, Codex>]> = [
    [
      "exec",
      Effect.map(Codex, (codex) => (command, options) => codex.exec(command, { sandbox: "fullAccess", ...options }))
    ],
    [
      "spawn",
      Effect.map(
        Codex,
        (codex) => (command, options) => codex.spawn(command, { cwd: codex.metadata.codexHome, ...options })
      )
    ]
  ]

  for (const [name, kind] of kinds) {
    describe(name, () => {
      it.effect("gives stdout, stderr and the exit code", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["sh", "-c", "echo out; echo err >&2; exit 3"])
          const [out, err, exitCode] = yield* Effect.all(
            [text(process.stdout), text(process.stderr), process.exitCode],
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual([out, err, exitCode], ["out\n", "err\n", 3])
          assert.deepStrictEqual(yield* process.exit, {
            exitCode: 3,
            stdoutTruncated: false,
            stderrTruncated: false
          })
          assert.isFalse(yield* process.isRunning)
          // What has ended can be terminated, to no effect.
          yield* process.terminate
        }))

      it.effect("keeps the output for a reader that comes after the end", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["printf", "late"])
          assert.strictEqual(yield* process.exitCode, 0)
          assert.strictEqual(yield* text(process.stdout), "late")
          assert.strictEqual(yield* text(process.stderr), "")
        }))

      it.effect("writes to stdin, and closes it at the end of the input", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["cat"])
          yield* Stream.run(bytes("grüße, ", "", "welt"), process.stdin)
          assert.strictEqual(yield* text(process.stdout), "grüße, welt")
          assert.strictEqual(yield* process.exitCode, 0)
        }))

      it.effect("talks with a process, a line at a time", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["sh", "-c", "while read line; do echo \"<$line>\"; done; echo bye"])
          const more = yield* Deferred.make<void>()
          const writer = yield* Effect.forkChild(
            Stream.run(
              Stream.concat(bytes("one\n"), Stream.fromEffectDrain(Deferred.await(more))).pipe(
                Stream.concat(bytes("two\n"))
              ),
              process.stdin
            )
          )
          yield* until(process.stdout, "<one>\n")
          assert.isTrue(yield* process.isRunning)
          yield* Deferred.succeed(more, undefined)
          // The second reader goes on where the first one stopped.
          assert.strictEqual(yield* text(process.stdout), "<two>\nbye\n")
          yield* Fiber.join(writer)
        }))

      it.effect("passes more than a megabyte in each direction, byte by byte the same", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["cat"])
          const part = Uint8Array.from({ length: 700_001 }, (_, index) => (index * 31 + (index >> 8)) & 0xff)
          const writer = yield* Effect.forkChild(Stream.run(Stream.make(part, part, part), process.stdin))
          const output = yield* Stream.runCollect(process.stdout)
          yield* Fiber.join(writer)
          assert.isTrue(Buffer.concat(output).equals(Buffer.concat([part, part, part])))
        }))

      it.effect("ends the input when the process ends, though there is more of it", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["sh", "-c", "read line; echo \"$line\""])
          yield* Stream.run(Stream.concat(bytes("only\n"), Stream.never), process.stdin)
          assert.strictEqual(yield* text(process.stdout), "only\n")
        }))

      it.effect("has nothing on stdin where it is ignored", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["cat"], { stdin: "ignore" })
          assert.strictEqual(yield* process.exitCode, 0)
        }))

      it.effect("has nothing on stdin where it is ignored in a terminal", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["cat"], { stdin: "ignore", tty: true })
          assert.strictEqual(yield* process.exitCode, 0)
          const brief = yield* start(["true"], { stdin: "ignore", tty: true })
          assert.strictEqual(yield* brief.exitCode, 0)
        }))

      it.effect("runs in a terminal that can be resized", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(
            ["sh", "-c", "stty -echo; stty size; echo to-stderr >&2; read line; stty size"],
            { tty: { rows: 11, cols: 22 } }
          )
          yield* until(process.stdout, "to-stderr\r\n")
          yield* process.resize({ rows: 33, cols: 44 })
          yield* Effect.forkChild(Stream.run(Stream.concat(bytes("\n"), Stream.never), process.stdin))
          assert.include(yield* text(process.stdout), "33 44\r\n")
          assert.strictEqual(yield* text(process.stderr), "")
          assert.strictEqual(yield* process.exitCode, 0)
        }))

      it.effect("has no terminal to resize unless asked for", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["cat"])
          const refused = yield* failure(process.resize({ rows: 1, cols: 1 }), "InvalidRequest")
          assert.include(refused.description, "not attached to a PTY")
        }))

      it.effect("refuses a terminal without rows, before anything runs", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const refused = yield* failure(start(["true"], { tty: { rows: 0, cols: 1 } }), "InvalidParams")
          assert.isTrue(refused.sent)
        }))

      it.effect("is killed with all that it has started when it is terminated", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait"])
          const child = yield* until(process.stdout, "\n")
          yield* process.terminate
          assert.strictEqual(yield* process.exitCode, 137)
          assert.match(child, /^\d+\n$/)
          // It may still be a zombie of nobody's.
          const gone = yield* start([
            "sh",
            "-c",
            `while case $(ps -o stat= -p ${child.trim()}) in ''|Z*) false;; esac; do sleep 0.01; done`
          ])
          assert.strictEqual(yield* gone.exitCode, 0)
        }))

      it.effect("is ended by its scope, which waits for its end", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const scope = yield* closable
          const process = yield* scope.use(start(["sh", "-c", "echo up; exec sleep 600"]))
          yield* until(process.stdout, "up\n")
          assert.isTrue(yield* process.isRunning)
          yield* scope.close
          assert.isFalse(yield* process.isRunning)
          assert.strictEqual(yield* process.exitCode, 137)
          assert.strictEqual(yield* text(process.stdout), "")
        }))

      it.effect("is ended when the fiber that started it is interrupted", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const handle = yield* Deferred.make<Commands.CommandProcess>()
          const fiber = yield* Effect.forkChild(Effect.scoped(Effect.gen(function*() {
            const process = yield* start(["sleep", "600"])
            yield* Deferred.succeed(handle, process)
            return yield* process.exitCode
          })))
          const process = yield* Deferred.await(handle)
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(yield* process.exitCode, 137)
        }))

      it.effect("is not left behind when the start is interrupted", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const codex = yield* Codex
          const marker = `6${yield* Effect.sync(() => `${process.pid}${Math.trunc(performance.now())}`)}`
          const fiber = yield* Effect.forkChild(start(["sleep", marker]), { startImmediately: true })
          yield* Fiber.interrupt(fiber)
          const { stdout } = yield* codex.execOutput(["pgrep", "-fc", `^sleep ${marker}`], { sandbox: "fullAccess" })
          assert.strictEqual(stdout, "0\n")
        }))

      it.effect("is ended by the server when its time is up", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["sleep", "600"], { timeout: "300 millis" })
          assert.strictEqual(yield* text(process.stdout), "")
          assert.strictEqual(yield* process.exitCode, 124)
        }))

      it.effect("tells the signal that ended it by its exit code", () =>
        Effect.gen(function*() {
          const start = yield* kind
          assert.strictEqual(yield* (yield* start(["sh", "-c", "kill -TERM $$"])).exitCode, 143)
        }))

      it.effect("cuts the output at the limit and says so", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["sh", "-c", "seq 1 100; echo err >&2"], { outputLimit: 10 })
          assert.strictEqual(yield* text(process.stdout), "1\n2\n3\n4\n5\n")
          assert.strictEqual(yield* text(process.stderr), "err\n")
          assert.deepStrictEqual(yield* process.exit, { exitCode: 0, stdoutTruncated: true, stderrTruncated: false })
        }))

      it.effect("keeps a bounded part of what nobody reads", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["sh", "-c", "head -c 3000000 /dev/zero; echo done >&2"], {
            buffer: { events: 1000, bytes: 200_000 }
          })
          // Reading the one does not depend on reading the other.
          assert.strictEqual(yield* text(process.stderr), "done\n")
          assert.strictEqual(yield* process.exitCode, 0)
          const kept: Array<Uint8Array> = []
          const lagged = yield* failure(
            Stream.runForEach(process.stdout, (chunk) => Effect.sync(() => kept.push(chunk))),
            "OutputLagged"
          )
          assert.strictEqual(lagged.stream, "stdout")
          assert.strictEqual(lagged.bufferBytes, 200_000)
          assert.isAtMost(size(kept), 200_000)
          assert.isAtLeast(size(kept), 100_000)
        }))

      it.effect("has no output limit and no time limit by itself", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["head", "-c", "5000000", "/dev/zero"])
          assert.strictEqual(size(yield* Stream.runCollect(process.stdout)), 5_000_000)
          assert.isFalse((yield* process.exit).stdoutTruncated)
        }))

      it.effect("has the environment that it is given", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const process = yield* start(["sh", "-c", "echo \"[$FIRST][$SECOND][$HOME]\""], {
            env: { FIRST: "1", SECOND: Redacted.make("hidden"), HOME: null }
          })
          assert.strictEqual(yield* text(process.stdout), "[1][hidden][]\n")
        }))

      it.effect("runs beside others, each with its own output", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const outputs = yield* Effect.forEach(
            Array.from({ length: 8 }, (_, index) => index),
            (index) =>
              Effect.flatMap(start(["sh", "-c", `for i in 1 2 3 4 5; do echo ${index}; done`]), ({ stdout }) =>
                text(stdout)),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(
            outputs,
            outputs.map((_, index) =>
              `${index}\n`.repeat(5)
            )
          )
        }))

      it.effect("fails where there is no such executable", () =>
        Effect.gen(function*() {
          const start = yield* kind
          const missing = yield* failure(start(["no-such-program"]), "InternalError")
          assert.include(missing.description, "No such file or directory")
          const forbidden = yield* failure(start(["/etc/passwd"]), "InternalError")
          assert.include(forbidden.description, "Permission denied")
          yield* failure(start(["no-such-program"], { tty: true }), "InternalError")
          yield* failure(start([]), "InvalidRequest")
        }))
    })
  }

  describe("exec", () => {
    it.effect("is held to the sandbox", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const result = yield* codex.execOutput(["sh", "-c", "echo read; touch forbidden"], { sandbox: "readOnly" })
        assert.strictEqual(result.stdout, "read\n")
        assert.include(result.stderr, "Read-only file system")
        assert.notStrictEqual(result.exitCode, 0)
      }))

    it.effect("shows a missing executable in the sandbox's own words", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const result = yield* codex.execOutput(["no-such-program"], { sandbox: "readOnly" })
        assert.notStrictEqual(result.exitCode, 0)
        assert.include(result.stderr, "No such file or directory")
      }))

    it.effect("is ended by its scope in the sandbox too", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const scope = yield* closable
        const process = yield* scope.use(
          codex.exec(["sh", "-c", "echo up; sleep 600"], { sandbox: "readOnly" })
        )
        yield* until(process.stdout, "up\n")
        yield* scope.close
        assert.strictEqual(yield* process.exitCode, 137)
      }))

    it.effect("refuses two kinds of permissions at once", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const refused = yield* failure(
          codex.exec(["true"], { sandbox: "readOnly", permissionProfile: "any" }),
          "InvalidRequest"
        )
        assert.include(refused.description, "permissionProfile")
      }))
  })

  describe("execOutput", () => {
    const fullAccess = { sandbox: "fullAccess" } as const

    it.effect("gives everything at once", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        assert.deepStrictEqual(
          yield* codex.execOutput(["sh", "-c", "cat; echo err >&2; exit 4"], { ...fullAccess, stdin: "grüße" }),
          { exitCode: 4, stdout: "grüße", stderr: "err\n", stdoutTruncated: false, stderrTruncated: false }
        )
      }))

    it.effect("reads UTF-8 whatever else the bytes may look like", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const marked = yield* codex.execOutput(["printf", "\\357\\273\\277z"], fullAccess)
        assert.strictEqual(marked.stdout, "\ufeffz")
        const { stdout } = yield* codex.execOutput(["printf", "\\377\\303\\244x"], fullAccess)
        assert.strictEqual(stdout, "\uFFFDäx")
      }))

    it.effect("keeps a megabyte unless told otherwise", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const command = ["head", "-c", "1500000", "/dev/zero"]
        const cut = yield* codex.execOutput(command, fullAccess)
        assert.deepStrictEqual([cut.stdout.length, cut.stdoutTruncated], [1_048_576, true])
        const all = yield* codex.execOutput(command, { ...fullAccess, outputLimit: Infinity })
        assert.deepStrictEqual([all.stdout.length, all.stdoutTruncated], [1_500_000, false])
        const some = yield* codex.execOutput(command, { ...fullAccess, outputLimit: 7 })
        assert.deepStrictEqual([some.stdout.length, some.stdoutTruncated], [7, true])
      }))

    it.effect("does not wait for input that nobody gives", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        assert.strictEqual((yield* codex.execOutput(["cat"], fullAccess)).exitCode, 0)
      }))

    it.effect("ends the command when it is interrupted", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const marker = `7${yield* Effect.sync(() => `${process.pid}${Math.trunc(performance.now())}`)}`
        const ended = yield* codex.execOutput(["sleep", marker], fullAccess).pipe(Effect.timeoutOption("500 millis"))
        assert.strictEqual(ended._tag, "None")
        const { stdout } = yield* codex.execOutput(["pgrep", "-fc", `^sleep ${marker}`], fullAccess)
        assert.strictEqual(stdout, "0\n")
      }))
  })
})

const impatient = OfflineCodex.layer({
  codex: { experimental: true, requestTimeouts: { "process/spawn": Duration.nanos(1n) } }
})

layer(impatient, live)("a process whose start is not answered in time", (it) => {
  it.effect("is killed all the same", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const marker = `7${yield* Effect.sync(() => `${process.pid}${Math.trunc(performance.now())}`)}`
      // The answer may be there first, which comes to the same.
      yield* Effect.ignore(Effect.scoped(codex.spawn(["sleep", marker], { cwd: codex.metadata.codexHome })))
      const { stdout } = yield* codex.execOutput(["pgrep", "-fc", `^sleep ${marker}`], { sandbox: "fullAccess" })
      assert.strictEqual(stdout, "0\n")
    }))
})

layer(OfflineCodex.layer({ codex: { experimental: true } }), live)("the output of a process that is killed", (it) => {
  it.effect("comes to its end without a word about it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const odd: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(client.notifications, ({ method }) =>
          Effect.sync(() => {
            if (method.startsWith("client/")) odd.push(method)
          })),
        { startImmediately: true }
      )
      for (let round = 0; round < 3; round++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const process = yield* codex.spawn(["yes"], { cwd: codex.metadata.codexHome })
          yield* until(process.stdout, "y")
        }))
      }
      yield* client.request("thread/loaded/list", {})
      assert.deepStrictEqual(odd, [])
    }))
})

describe("the end of the connection", () => {
  it.live("ends what waits for a process, and its output", () =>
    Effect.gen(function*() {
      const scope = yield* closable
      const services = yield* scope.use(Layer.build(OfflineCodex.layer({ codex: { experimental: true } })))
      const codex = Context.get(services, Codex)
      const own = yield* closable
      const processes = yield* own.use(Effect.all([
        codex.exec(["sleep", "600"], { sandbox: "fullAccess" }),
        codex.spawn(["sleep", "600"], { cwd: codex.metadata.codexHome })
      ]))
      const waiting = yield* Effect.forkChild(
        Effect.forEach(
          processes,
          (process) =>
            Effect.all([
              failure(process.exitCode, "TransportError"),
              failure(Stream.runDrain(process.stdout), "TransportError"),
              failure(Stream.run(Stream.never, process.stdin), "TransportError")
            ], { concurrency: "unbounded" }),
          { concurrency: "unbounded" }
        ),
        { startImmediately: true }
      )
      yield* scope.close
      yield* Fiber.join(waiting)
      // There is nothing left to end, nor to wait for.
      const [elapsed] = yield* Effect.timed(own.close)
      assert.isTrue(Duration.isLessThan(elapsed, Duration.seconds(5)))
      yield* failure(codex.execOutput(["true"]), "TransportError")
    }))
})

layer(OfflineCodex.layer(), live)("without the experimental API", (it) => {
  it.effect("commands run, processes do not", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { stdout } = yield* codex.execOutput(["echo", "stable"], { sandbox: "fullAccess" })
      assert.strictEqual(stdout, "stable\n")
      const spawn = yield* failure(codex.spawn(["true"], { cwd: "/" }), "ExperimentalApiRequired")
      assert.strictEqual(spawn.method, "process/spawn")
      const profile = yield* failure(codex.exec(["true"], { permissionProfile: "any" }), "ExperimentalApiRequired")
      assert.deepStrictEqual(profile.fields, ["permissionProfile"])
    }))
})
