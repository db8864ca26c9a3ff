import { Codex } from "@effect-codex/core"
import { OfflineCodex } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import { closable, failure, live } from "./support.ts"

/** A directory with these files, its name and all. */
const tree = (...names: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = yield* fs.makeTempDirectoryScoped({ prefix: "codex-search-" })
    for (const name of names) {
      yield* fs.makeDirectory(path.dirname(path.join(root, name)), { recursive: true })
      yield* fs.writeFileString(path.join(root, name), "")
    }
    return root
  })

layer(OfflineCodex.layer({ codex: { experimental: true } }).pipe(Layer.merge(NodeServices.layer)), live)(
  "file search",
  (it) => {
    it.effect("finds files and directories by a few letters, best first", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const root = yield* tree("alpha.txt", "beta.ts", "sub/alphabet.md", ".alpine", "grüße.txt", "alps/x")
        const files = yield* codex.searchFiles("alp", [root])
        assert.deepStrictEqual(files.map(({ path }) => path).sort(), [
          ".alpine",
          "alpha.txt",
          "alps",
          "alps/x",
          "sub/alphabet.md"
        ])
        assert.deepStrictEqual(files.map(({ score }) => score), files.map(({ score }) => score).sort((a, b) => b - a))
        const found = files.find(({ path }) => path === "sub/alphabet.md")
        assert.deepStrictEqual(found, {
          root,
          path: "sub/alphabet.md",
          fileName: "alphabet.md",
          matchType: "file",
          score: found?.score ?? 0,
          indices: [4, 5, 6]
        })
        assert.strictEqual(files.find(({ path }) => path === "alps")?.matchType, "directory")
        const [umlaut] = yield* codex.searchFiles("üß", [root])
        assert.deepStrictEqual([umlaut?.path, umlaut?.indices], ["grüße.txt", [2, 3]])
      }))

    it.effect("shows where in the path the characters are that match, whatever is before them", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        // A pair of surrogates; a letter and its accent; a family of eight.
        const names = ["\u{1f600}abc", "e\u0301abc", "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}abc", "\u65e5\u672cabc"]
        const files = yield* codex.searchFiles("abc", [yield* tree(...names)])
        assert.deepStrictEqual(files.map(({ path }) => path).sort(), names.sort())
        for (const { indices, path } of files) {
          assert.strictEqual(indices.map((index) => path[index]).join(""), "abc", JSON.stringify(path))
        }
      }))

    it.effect("looks under every root, and finds nothing where there is nothing", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const [one, two] = yield* Effect.all([tree("alpha"), tree("alphabet")])
        const files = yield* codex.searchFiles("alp", [one, two])
        assert.deepStrictEqual(
          files.map(({ path, root }) => [root, path]).sort((a, b) => `${a[1]}` < `${b[1]}` ? -1 : 1),
          [[one, "alpha"], [two, "alphabet"]]
        )
        assert.deepStrictEqual(yield* codex.searchFiles("", [one]), [])
        assert.deepStrictEqual(yield* codex.searchFiles("zzz", [one]), [])
        assert.deepStrictEqual(yield* codex.searchFiles("a", []), [])
        assert.deepStrictEqual(yield* codex.searchFiles("a", ["/no/such/root"]), [])
      }))

    it.effect("gives at most 50 of many, and is over soon when it is interrupted", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const root = yield* tree(...Array.from({ length: 60 }, (_, index) => `match-${index}`))
        assert.strictEqual((yield* codex.searchFiles("match", [root])).length, 50)
        const fiber = yield* Effect.forkChild(codex.searchFiles("s", ["/"]), { startImmediately: true })
        const [elapsed] = yield* Effect.timed(Fiber.interrupt(fiber))
        assert.isTrue(Duration.isLessThan(elapsed, Duration.seconds(5)))
      }))

    it.effect("follows somebody who types", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const root = yield* tree("alpha.txt", "beta.ts", "sub/alphabet.md")
        const search = yield* codex.fileSearch([root])
        const find = (query: string, count: number) =>
          Effect.andThen(
            search.update(query),
            search.results.pipe(
              Stream.tap((results) => Effect.sync(() => assert.strictEqual(results.query, query))),
              Stream.filter(({ files }) => files.length === count),
              Stream.map(({ files }) => files.map(({ path }) => path).sort()),
              Stream.take(1),
              Stream.runCollect
            )
          )
        assert.deepStrictEqual(yield* find("alp", 2), [["alpha.txt", "sub/alphabet.md"]])
        assert.deepStrictEqual(yield* find("alphabet", 1), [["sub/alphabet.md"]])
        assert.deepStrictEqual(yield* find("be", 2), [["beta.ts", "sub/alphabet.md"]])
        assert.deepStrictEqual(yield* find("nowhere", 0), [[]])
        assert.deepStrictEqual(yield* find("", 0), [[]])
      }))

    it.effect("shows the newest state to every reader, and ends with its scope", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const root = yield* tree("alpha.txt", "beta.ts")
        const scope = yield* closable
        const search = yield* scope.use(codex.fileSearch([root]))
        const readers = yield* Effect.forkChild(
          Effect.all([Stream.runCollect(search.results), Stream.runCollect(search.results)], { concurrency: 2 }),
          { startImmediately: true }
        )
        const settled = search.results.pipe(
          Stream.takeUntil(({ files, query }) => query === "beta" && files.length === 1),
          Stream.runDrain
        )
        yield* Effect.forEach(["b", "be", "bet", "beta"], search.update)
        yield* settled
        yield* scope.close
        for (const results of yield* Fiber.join(readers)) {
          const last = results.at(-1)
          assert.deepStrictEqual([last?.query, last?.files.map(({ path }) => path)], ["beta", ["beta.ts"]])
        }
        const late = yield* Stream.runCollect(search.results)
        assert.deepStrictEqual(late.map(({ query }) => query), ["beta"])
        const over = yield* failure(search.update("more"), "InvalidRequest")
        assert.include(over.description, "session not found")
      }))

    it.effect("has nothing of earlier queries for a reader that is behind", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const search = yield* codex.fileSearch([yield* tree("alpha.txt", "beta.ts", "gamma.md")])
        const found = (file: string) =>
          search.results.pipe(
            Stream.filter(({ files }) => files.length === 1 && files[0]?.path === file),
            Stream.take(1),
            Stream.runDrain
          )
        const gate = yield* Deferred.make<void>()
        const seen: Array<string> = []
        const first = yield* Deferred.make<void>()
        const reader = yield* Effect.forkChild(
          search.results.pipe(
            Stream.filter(({ files }) => files.length > 0),
            Stream.tap(({ query }) =>
              Effect.andThen(
                Effect.sync(() => {
                  if (seen.at(-1) !== query) seen.push(query)
                }),
                Effect.andThen(Deferred.succeed(first, undefined), Deferred.await(gate))
              )
            ),
            Stream.takeUntil(({ query }) => query === "gamma"),
            Stream.runDrain
          ),
          { startImmediately: true }
        )
        yield* search.update("alpha")
        yield* Deferred.await(first)
        yield* search.update("beta")
        yield* found("beta.ts")
        yield* search.update("gamma")
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(reader)
        assert.deepStrictEqual(seen, ["alpha", "gamma"])
      }))

    it.effect("keeps two searches apart", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const paths = yield* Effect.forEach(["left", "right"], (name) =>
          Effect.gen(function*() {
            const root = yield* tree(`${name}-file`)
            const search = yield* codex.fileSearch([root])
            yield* search.update("file")
            return yield* search.results.pipe(
              Stream.filter(({ files }) => files.length > 0),
              Stream.map(({ files }) => files.map(({ path }) => path)),
              Stream.take(1),
              Stream.runCollect
            )
          }), { concurrency: 2 })
        assert.deepStrictEqual(paths, [[["left-file"]], [["right-file"]]])
      }))

    it.effect("needs a root to look under", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const refused = yield* failure(codex.fileSearch([]), "InternalError")
        assert.include(refused.description, "at least one search directory")
      }))
  }
)

layer(OfflineCodex.layer(), live)("without the experimental API", (it) => {
  it.effect("files can be searched once, but not while somebody types", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      assert.deepStrictEqual(yield* codex.searchFiles("a", []), [])
      const refused = yield* failure(codex.fileSearch(["/"]), "ExperimentalApiRequired")
      assert.strictEqual(refused.method, "fuzzyFileSearch/sessionStart")
    }))
})

describe("the end of the connection", () => {
  it.live("ends a search", () =>
    Effect.gen(function*() {
      const scope = yield* closable
      const services = yield* scope.use(Layer.build(OfflineCodex.layer({ codex: { experimental: true } })))
      const codex = Context.get(services, Codex)
      const own = yield* closable
      const search = yield* own.use(codex.fileSearch([codex.metadata.codexHome]))
      const waiting = yield* Effect.forkChild(failure(Stream.runDrain(search.results), "TransportError"), {
        startImmediately: true
      })
      yield* scope.close
      yield* Fiber.join(waiting)
      yield* own.close
    }))
})
