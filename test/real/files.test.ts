import { Codex } from "@effect-codex/core"
import { OfflineCodex } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { closable, failure, live } from "./support.ts"

/** A directory of its own, and what is below it. */
const directory = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = yield* fs.makeTempDirectoryScoped({ prefix: "codex-files-" })
  return { fs, root, at: (...parts: ReadonlyArray<string>) => path.join(root, ...parts) }
})

layer(OfflineCodex.layer().pipe(Layer.merge(NodeServices.layer)), live)("files", (it) => {
  it.effect("are written and read, byte by byte the same", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at, fs } = yield* directory
      const content = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 31 + (index >> 8)) & 0xff)
      yield* files.writeFile(at("bytes"), content)
      assert.deepStrictEqual(Array.from(yield* fs.readFile(at("bytes"))), Array.from(content))
      assert.deepStrictEqual(Array.from(yield* files.readFile(at("bytes"))), Array.from(content))
      // The file that is there gives way.
      yield* files.writeFile(at("bytes"), new Uint8Array())
      assert.strictEqual((yield* files.readFile(at("bytes"))).length, 0)
    }))

  it.effect("are text in UTF-8", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at, fs } = yield* directory
      yield* files.writeFile(at("text"), "grüße 👋\n")
      assert.strictEqual(yield* fs.readFileString(at("text")), "grüße 👋\n")
      assert.strictEqual(yield* files.readText(at("text")), "grüße 👋\n")
      yield* files.writeFile(at("text"), Uint8Array.of(0x61, 0xff))
      assert.strictEqual(yield* files.readText(at("text")), "a\uFFFD")
      yield* files.writeFile(at("text"), "\uFEFFa")
      assert.strictEqual(yield* files.readText(at("text")), "\uFEFFa")
    }))

  it.effect("lie in directories", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at, fs } = yield* directory
      yield* files.createDirectory(at("a", "b"))
      yield* files.createDirectory(at("a", "b"))
      yield* failure(files.createDirectory(at("a"), { recursive: false }), "InternalError")
      yield* failure(files.createDirectory(at("x", "y"), { recursive: false }), "InternalError")
      yield* files.createDirectory(at("a", "c"), { recursive: false })
      yield* files.writeFile(at("a", "file"), "")
      yield* fs.symlink(at("nowhere"), at("a", "dangling"))
      const entries = yield* files.readDirectory(at("a"))
      assert.deepStrictEqual(entries.toSorted((one, two) => one.fileName < two.fileName ? -1 : 1), [
        { fileName: "b", isDirectory: true, isFile: false },
        { fileName: "c", isDirectory: true, isFile: false },
        { fileName: "file", isDirectory: false, isFile: true }
      ])
    }))

  it.effect("have metadata, with times", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at, fs, root } = yield* directory
      yield* files.writeFile(at("file"), "content")
      const modified = DateTime.makeUnsafe("2024-02-29T12:34:56.789Z")
      yield* fs.utimes(at("file"), DateTime.toDate(modified), DateTime.toDate(modified))
      const metadata = yield* files.metadata(at("file"))
      assert.isTrue(metadata.modifiedAt !== null && DateTime.Equivalence(metadata.modifiedAt, modified))
      assert.isTrue(
        metadata.createdAt === null || DateTime.isGreaterThan(metadata.createdAt, modified),
        "the creation has no time, or one after the one that was set"
      )
      assert.deepStrictEqual([metadata.isFile, metadata.isDirectory, metadata.isSymlink], [true, false, false])
      yield* fs.symlink(at("file"), at("link"))
      const link = yield* files.metadata(at("link"))
      assert.deepStrictEqual([link.isFile, link.isDirectory, link.isSymlink], [true, false, true])
      const folder = yield* files.metadata(root)
      assert.deepStrictEqual([folder.isFile, folder.isDirectory, folder.isSymlink], [false, true, false])
    }))

  it.effect("are removed, and with care", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at, fs } = yield* directory
      yield* files.createDirectory(at("full", "inner"))
      const full = yield* failure(files.remove(at("full")), "InternalError")
      assert.include(full.description, "not empty")
      yield* files.remove(at("full"), { recursive: true })
      assert.isFalse(yield* fs.exists(at("full")))
      yield* failure(files.remove(at("full")), "InternalError")
      yield* files.remove(at("full"), { force: true })
      yield* files.writeFile(at("target"), "stays")
      yield* fs.symlink(at("target"), at("link"))
      yield* files.remove(at("link"))
      assert.strictEqual(yield* files.readText(at("target")), "stays")
    }))

  it.effect("are copied, and directories when asked for", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at } = yield* directory
      yield* files.createDirectory(at("from", "inner"))
      yield* files.writeFile(at("from", "inner", "file"), "one")
      yield* files.copy(at("from", "inner", "file"), at("copy"))
      assert.strictEqual(yield* files.readText(at("copy")), "one")
      yield* failure(files.copy(at("from"), at("to")), "InvalidRequest")
      yield* files.copy(at("from"), at("to"), { recursive: true })
      assert.strictEqual(yield* files.readText(at("to", "inner", "file")), "one")
      yield* files.writeFile(at("from", "inner", "file"), "two")
      yield* files.copy(at("from"), at("to"), { recursive: true })
      assert.strictEqual(yield* files.readText(at("to", "inner", "file")), "two")
      yield* failure(files.copy(at("from"), at("from", "inner"), { recursive: true }), "InvalidRequest")
    }))

  it.effect("are not copied onto themselves, however the path is written", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at, fs, root } = yield* directory
      yield* files.createDirectory(at("far", "inner"))
      yield* fs.symlink(at("far", "inner"), at("link"))
      yield* files.writeFile(at("file"), "one")
      for (
        const path of [at("file"), `${root}//file`, `${root}/./file`, `${root}/far/../file`, `${root}/link/../file`]
      ) {
        const refused = yield* failure(files.copy(at("file"), path), "InvalidParams")
        assert.deepStrictEqual(refused.issues.map(({ path }) => path), ["destinationPath"])
        yield* failure(files.copy(path, at("file")), "InvalidParams")
        assert.strictEqual(yield* files.readText(path), "one")
      }
    }))

  it.effect("give way to a file, but not to a link, and not a directory to a file", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at, fs } = yield* directory
      yield* files.writeFile(at("file"), "one")
      yield* files.writeFile(at("other"), "two")
      yield* fs.symlink(at("file"), at("link"))
      yield* files.copy(at("file"), at("other"))
      assert.strictEqual(yield* files.readText(at("other")), "one")
      assert.include((yield* failure(files.copy(at("link"), at("other")), "InternalError")).description, "File exists")
      yield* files.copy(at("link"), at("new"))
      assert.isTrue((yield* files.metadata(at("new"))).isSymlink)
      yield* files.createDirectory(at("folder"))
      const into = yield* failure(files.copy(at("file"), at("folder")), "InternalError")
      assert.include(into.description, "Is a directory")
    }))

  it.effect("fail in the server's words", () =>
    Effect.gen(function*() {
      const { files } = yield* Codex
      const { at, root } = yield* directory
      for (
        const missing of [
          Effect.asVoid(files.readFile(at("nothing"))),
          Effect.asVoid(files.readDirectory(at("nothing"))),
          Effect.asVoid(files.metadata(at("nothing"))),
          files.writeFile(at("nothing", "below"), ""),
          files.copy(at("nothing"), at("copy"))
        ]
      ) {
        assert.include((yield* failure(missing, "InternalError")).description, "No such file or directory")
      }
      assert.include((yield* failure(files.readFile(root), "InvalidRequest")).description, "is not a file")
      assert.include((yield* failure(files.readFile("relative"), "InvalidParams")).description, "AbsolutePathBuf")
    }))

  describe("a watch", () => {
    it.effect("tells what changes in a directory, from when it is there until its scope closes", () =>
      Effect.gen(function*() {
        const { files } = yield* Codex
        const { at, fs, root } = yield* directory
        const scope = yield* closable
        const watcher = yield* scope.use(files.watcher(root))
        assert.strictEqual(watcher.path, root)
        yield* fs.writeFileString(at("one"), "1")
        yield* fs.writeFileString(at("two"), "2")
        const seen = new Set<string>()
        yield* watcher.changes.pipe(
          Stream.tap(({ overflowed, paths }) =>
            Effect.sync(() => {
              assert.isFalse(overflowed)
              assert.strictEqual(new Set(paths).size, paths.length)
              for (const path of paths) seen.add(path)
            })
          ),
          Stream.takeUntil(() => seen.has(at("one")) && seen.has(at("two"))),
          Stream.runDrain
        )
        assert.deepStrictEqual(Array.from(seen).sort(), [at("one"), at("two")])
        yield* fs.remove(at("one"))
        yield* watcher.changes.pipe(
          Stream.takeUntil(({ paths }) => paths.includes(at("one"))),
          Stream.runDrain
        )
        yield* scope.close
        // What is over ends, whoever reads it.
        assert.deepStrictEqual(yield* Stream.runCollect(watcher.changes), [])
      }))

    it.effect("tells about a file that is not there yet", () =>
      Effect.gen(function*() {
        const { files } = yield* Codex
        const { at, fs } = yield* directory
        const watcher = yield* files.watcher(at("later"))
        yield* fs.writeFileString(at("later"), "here")
        const [first] = yield* watcher.changes.pipe(Stream.take(1), Stream.runCollect)
        assert.deepStrictEqual(first?.paths, [at("later")])
      }))

    it.effect("is a stream, which two can run", () =>
      Effect.gen(function*() {
        const { files } = yield* Codex
        const { at, fs, root } = yield* directory
        const first = Effect.map(
          Stream.runCollect(Stream.take(files.watch(root), 1)),
          ([changes]) => changes?.paths
        )
        const readers = yield* Effect.forkChild(Effect.all([first, first], { concurrency: 2 }))
        // A stream does not say when it has begun: it is written until both have heard of it.
        yield* fs.writeFileString(at("file"), "again").pipe(
          Effect.repeat(Schedule.spaced("50 millis")),
          Effect.raceFirst(Fiber.await(readers))
        )
        assert.deepStrictEqual(yield* Fiber.join(readers), [[at("file")], [at("file")]])
      }))

    it.effect("of a relative path is refused", () =>
      Effect.gen(function*() {
        const { files } = yield* Codex
        yield* failure(Stream.runDrain(files.watch("relative")), "InvalidParams")
      }))
  })
})

describe("the end of the connection", () => {
  it.live("ends a watch", () =>
    Effect.gen(function*() {
      const scope = yield* closable
      const services = yield* scope.use(Layer.build(OfflineCodex.layer()))
      const codex = Context.get(services, Codex)
      const own = yield* closable
      const watcher = yield* own.use(codex.files.watcher(codex.metadata.codexHome))
      const waiting = yield* Effect.forkChild(failure(Stream.runDrain(watcher.changes), "TransportError"), {
        startImmediately: true
      })
      yield* scope.close
      yield* Fiber.join(waiting)
      yield* own.close
    }))
})
