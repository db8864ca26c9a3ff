import { AppServerClient, AppServerExited, type CodexEvent, DecodeError } from "@effect-codex/core"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as NodeCodex from "../src/NodeCodex.ts"
import * as Fake from "./support/FakeExecutable.ts"
import * as Junk from "./support/junk.ts"

const live = { excludeTestServices: true } as const

/** A client of a process that writes junk, and everything that it has told. */
const connect = (options: NodeCodex.Options = {}) =>
  Effect.gen(function*() {
    const fake = yield* Fake.script(Junk.body)
    const context = yield* Layer.build(NodeCodex.layer({ ...options, codexPath: fake.path }))
    const client = yield* AppServerClient.useSync((client) => client).pipe(Effect.provide(context))
    const events: Array<CodexEvent> = []
    yield* client.notifications.pipe(
      Stream.runForEach((event) => Effect.sync(() => events.push(event))),
      Effect.ignore,
      Effect.forkScoped({ startImmediately: true })
    )
    /** Has the junk written and waits for the answer behind it. */
    const ask = (cursor: string) => client.request("model/list", { cursor })
    /** What was told because of the junk. */
    const told = (cursor: string, count: number) =>
      Effect.gen(function*() {
        const before = events.length
        assert.deepStrictEqual((yield* ask(cursor)).data, [])
        yield* Fake.until(() => events.length >= before + count)
        assert.strictEqual(events.length, before + count, cursor)
        return events.slice(before)
      })
    return { client, events, ask, told }
  })

const messages = (events: ReadonlyArray<CodexEvent>) =>
  events.map((event) => event.method === "warning" ? event.params.message : event.method)

layer(NodeServices.layer, live)("junk from a real process", (it) => {
  it.effect("lines that are no messages are told and skipped", () =>
    Effect.gen(function*() {
      const { told } = yield* connect()
      const failures = yield* told("lines", 8)
      assert.isTrue(failures.every(({ method }) => method === "client/decodeFailure"))
      assert.notInclude(JSON.stringify(failures), "disco")
    }))

  it.effect("CR LF ends a line, and blank lines are nothing", () =>
    Effect.gen(function*() {
      const { told } = yield* connect()
      assert.deepStrictEqual(messages(yield* told("crlf", 1)), ["with CR LF"])
    }))

  it.effect("invalid UTF-8 becomes replacement characters, and lone surrogates stay", () =>
    Effect.gen(function*() {
      const { told } = yield* connect()
      assert.deepStrictEqual(messages(yield* told("utf8", 1)), ["a\ufffd\ufffd(z"])
      assert.deepStrictEqual(messages(yield* told("surrogates", 1)), ["\ud800 and \udc00"])
    }))

  it.effect("stdout written one byte at a time loses nothing, whatever a character's length", () =>
    Effect.gen(function*() {
      const { told } = yield* connect()
      assert.deepStrictEqual(messages(yield* told("bytes", 1)), ["é€😀 byte by byte"])
    }))

  it.effect("responses with unknown ids, ids of the other type and repeated ones answer nobody", () =>
    Effect.gen(function*() {
      const { ask, told } = yield* connect()
      assert.deepStrictEqual(messages(yield* told("ids", 1)), ["client/decodeFailure"])
      yield* told("twice", 0)
      assert.deepStrictEqual((yield* ask("none")).data, [])
    }))

  it.effect("nesting deeper than the stack costs that message only", () =>
    Effect.gen(function*() {
      const { told } = yield* connect()
      assert.deepStrictEqual(messages(yield* told("deep", 2)), ["client/decodeFailure", "deep"])
    }))

  it.effect("keys and methods named like parts of a prototype change nothing", () =>
    Effect.gen(function*() {
      const { told } = yield* connect()
      assert.deepStrictEqual(messages(yield* told("proto", 3)), ["proto", "__proto__", "constructor"])
      assert.isUndefined(Reflect.get({}, "polluted"))
    }))

  it.effect("a line of 64 MiB fails the request that it answers, and the connection lives", () =>
    Effect.gen(function*() {
      const { ask } = yield* connect()
      const error = yield* Effect.flip(ask("huge"))
      assert.instanceOf(error, DecodeError)
      assert.include(error.message, "a line within the limit (671")
      assert.deepStrictEqual((yield* ask("none")).data, [])
    }))

  it.effect("a line of 64 MiB is read where the limit allows it", () =>
    Effect.gen(function*() {
      const { ask } = yield* connect({ maxLineBytes: 65 * 1024 * 1024 })
      assert.strictEqual((yield* ask("huge")).nextCursor?.length, 64 * 1024 * 1024)
    }))

  it.effect("half a line at the end is nothing, and the exit is told", () =>
    Effect.gen(function*() {
      const { ask, events } = yield* connect()
      const error = yield* Effect.flip(ask("half"))
      assert.instanceOf(error, AppServerExited)
      assert.strictEqual(error.exitCode, 3)
      assert.deepStrictEqual(events, [])
    }))

  it.effect("a flood of 100 MiB on stderr blocks nothing and is not kept", () =>
    Effect.gen(function*() {
      const { ask, client } = yield* connect()
      assert.deepStrictEqual((yield* ask("stderr")).data, [])
      const error = yield* Effect.flip(ask("half"))
      assert.instanceOf(error, AppServerExited)
      assert.isAtMost(error.stderr.length, 40 * 2_001)
      assert.strictEqual((yield* client.closed)._tag, "AppServerExited")
    }), 120_000)
})
