import { Codex, type ThreadFilter } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { asked, echo, failure, halfway, live, messages, prompts } from "./support.ts"

const experimental = { experimental: true } as const

/** A thread with a turn for each text, and their ids. */
const threadWith = (...texts: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const codex = yield* Codex
    const thread = yield* codex.startThread()
    const results = yield* Effect.forEach(texts, (text) => thread.run(text))
    return { codex, thread, ids: results.map(({ turnId }) => turnId) }
  })

layer(OfflineCodex.layer({ model: echo, codex: experimental }), live)("the history of a thread", (it) => {
  it.effect("is a stream of turns that pages by itself, newest first", () =>
    Effect.gen(function*() {
      const { ids, thread } = yield* threadWith("One", "Two", "Three")
      const turns = yield* Stream.runCollect(thread.turns({ pageSize: 1 }))
      assert.deepStrictEqual(turns.map(({ id }) => id), ids.toReversed())
      assert.deepStrictEqual(turns.map(({ status }) => status), ["completed", "completed", "completed"])
      const [newest] = turns
      assert.deepStrictEqual(prompts(newest?.items ?? []), ["Three"])
      assert.deepStrictEqual(messages(newest?.items ?? []), ["Answer to: Three"])
      assert.isNotNull(newest?.startedAt)
      assert.isTrue(Duration.isDuration(newest?.duration))
      assert.strictEqual(newest?.wire.id, newest?.id)
    }))

  it.effect("comes oldest first where asked, without items or with all", () =>
    Effect.gen(function*() {
      const { ids, thread } = yield* threadWith("One", "Two")
      const bare = yield* Stream.runCollect(thread.turns({ sortDirection: "asc", items: "notLoaded" }))
      assert.deepStrictEqual(bare.map(({ id, items }) => [id, items.length]), [[ids[0], 0], [ids[1], 0]])
      const full = yield* Stream.runCollect(thread.turns({ sortDirection: "asc", items: "full" }))
      assert.deepStrictEqual(full.map(({ items }) => messages(items)), [["Answer to: One"], ["Answer to: Two"]])
    }))

  it.effect("asks for no more pages than are pulled", () =>
    Effect.gen(function*() {
      const { ids, thread } = yield* threadWith("One", "Two", "Three")
      const newest = yield* Stream.runCollect(Stream.take(thread.turns({ pageSize: 1 }), 1))
      assert.deepStrictEqual(newest.map(({ id }) => id), ids.slice(-1))
    }))

  it.effect("is a stream of items that pages by itself, oldest first", () =>
    Effect.gen(function*() {
      const { ids, thread } = yield* threadWith("One", "Two")
      const items = yield* Stream.runCollect(thread.items({ pageSize: 1 }))
      assert.deepStrictEqual(items.map(({ turnId }) => turnId), [ids[0], ids[0], ids[1], ids[1]])
      assert.deepStrictEqual(prompts(items.map(({ item }) => item)), ["One", "Two"])
      assert.deepStrictEqual(messages(items.map(({ item }) => item)), ["Answer to: One", "Answer to: Two"])
      for (const { completedAt, startedAt } of items) assert.isTrue(startedAt !== null && completedAt !== null)
      const reversed = yield* Stream.runCollect(thread.items({ sortDirection: "desc" }))
      assert.deepStrictEqual(
        reversed.map(({ item }) => item.id),
        items.map(({ item }) => item.id).toReversed()
      )
    }))

  it.effect("has the items of one turn", () =>
    Effect.gen(function*() {
      const { ids, thread } = yield* threadWith("One", "Two")
      const items = yield* Stream.runCollect(thread.items({ turnId: ids[1] }))
      assert.deepStrictEqual(prompts(items.map(({ item }) => item)), ["Two"])
    }))

  it.effect("has the turn that runs", () =>
    Effect.gen(function*() {
      const { gate, thread, turn } = yield* halfway
      const [running] = yield* Stream.runCollect(thread.turns())
      assert.deepStrictEqual([running?.id, running?.status, running?.completedAt], [turn.id, "inProgress", null])
      yield* gate.open
      yield* turn.result
    }))

  it.effect("is empty before the first turn", () =>
    Effect.gen(function*() {
      const { thread } = yield* threadWith()
      assert.deepStrictEqual(yield* Stream.runCollect(thread.turns()), [])
      assert.deepStrictEqual(yield* Stream.runCollect(thread.items()), [])
      // Reading the turns has the server answer otherwise from then on.
      assert.deepStrictEqual((yield* thread.read({ includeTurns: true })).turns, [])
      assert.deepStrictEqual((yield* thread.read({ includeTurns: true })).turns, [])
      assert.deepStrictEqual(yield* Stream.runCollect(thread.turns()), [])
      assert.deepStrictEqual(yield* Stream.runCollect(thread.items()), [])
      yield* thread.run("Hello")
      assert.strictEqual((yield* thread.read({ includeTurns: true })).turns.length, 1)
      assert.strictEqual((yield* Stream.runCollect(thread.turns())).length, 1)
    }))

  it.effect("is not kept of an ephemeral thread, which says so", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ ephemeral: true })
      yield* thread.run("Hello")
      const turns = yield* failure(Stream.runCollect(thread.turns()), "InvalidRequest")
      const items = yield* failure(Stream.runCollect(thread.items()), "InvalidRequest")
      for (const error of [turns, items]) assert.include(error.message, "ephemeral threads do not support")
    }))

  it.effect("is found by what was said", () =>
    Effect.gen(function*() {
      const { codex, thread } = yield* threadWith("Where is the xylophone?")
      const other = yield* codex.startThread()
      yield* other.run("Where is the trumpet?")
      const found = yield* Stream.runCollect(codex.searchThreads("xylophone", { pageSize: 1 }))
      assert.deepStrictEqual(found.map((hit) => hit.thread.id), [thread.id])
      assert.include(found[0]?.snippet, "xylophone")
      yield* thread.archive
      assert.deepStrictEqual(yield* Stream.runCollect(codex.searchThreads("xylophone")), [])
      const archived = yield* Stream.runCollect(codex.searchThreads("xylophone", { archived: true }))
      assert.deepStrictEqual(archived.map((hit) => hit.thread.id), [thread.id])
    }))

  it.effect("is searched for something only", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const error = yield* failure(Stream.runCollect(codex.searchThreads("")), "InvalidRequest")
      assert.include(error.message, "non-empty searchTerm")
    }))

  it.effect("is reverted, and the thread goes on from there", () =>
    Effect.gen(function*() {
      const { ids, thread } = yield* threadWith("One", "Two", "Three")
      const reverted = yield* thread.revert(ids[1] ?? "")
      assert.deepStrictEqual([reverted.id, reverted.turns], [thread.id, []])
      const left = yield* Stream.runCollect(thread.turns())
      assert.deepStrictEqual(left.map(({ id }) => id), ids.slice(0, 1))
      assert.strictEqual((yield* thread.run("Four")).finalResponse, "Answer to: Four")
      const request = yield* asked(thread.id, 4)
      const sent = JSON.stringify(request.input)
      assert.include(sent, "Answer to: One")
      assert.notInclude(sent, "Two")
      assert.notInclude(sent, "Three")
      const error = yield* failure(thread.revert(ids[2] ?? ""), "InvalidRequest")
      assert.include(error.message, "turn not found")
    }))

  it.effect("is kept in a file of its own once it is reverted, and the thread listed by both", () =>
    Effect.gen(function*() {
      const { codex, ids, thread } = yield* threadWith("One", "Two")
      yield* thread.revert(ids[1] ?? "")
      yield* thread.run("Three")
      const listed = (filter?: ThreadFilter) =>
        Effect.map(Stream.runCollect(codex.threads(filter)), (threads) => threads.filter(({ id }) => id === thread.id))
      assert.strictEqual((yield* listed()).length, 2)
      assert.deepStrictEqual((yield* listed({ useStateDbOnly: true })).map(({ preview }) => preview), ["One"])
    }))

  it.effect("is reverted under a running turn, which is interrupted", () =>
    Effect.gen(function*() {
      const { thread } = yield* threadWith("One")
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["So ", OfflineModel.hold(gate), "far"]))
      const turn = yield* thread.turn("Go")
      yield* gate.reached
      yield* thread.revert(turn.id)
      yield* failure(turn.result, "TurnInterrupted")
      assert.strictEqual((yield* thread.run("Again")).finalResponse, "Answer to: Again")
      assert.strictEqual((yield* Stream.runCollect(thread.turns())).length, 2)
    }))
})

layer(OfflineCodex.layer({ model: echo, codex: experimental }), live)("what is stored of a thread", (it) => {
  it.effect("is where its work stands in Git, field by field", () =>
    Effect.gen(function*() {
      const { thread } = yield* threadWith("One")
      const set = yield* thread.setMetadata({
        git: { branch: "main", sha: "0123abc", originUrl: "https://example.invalid/repository.git" }
      })
      assert.deepStrictEqual(set.gitInfo, {
        branch: "main",
        sha: "0123abc",
        originUrl: "https://example.invalid/repository.git"
      })
      yield* thread.setMetadata({ git: { branch: null } })
      assert.deepStrictEqual((yield* thread.read()).gitInfo, {
        branch: null,
        sha: "0123abc",
        originUrl: "https://example.invalid/repository.git"
      })
    }))

  it.effect("is not changed by nothing", () =>
    Effect.gen(function*() {
      const { thread } = yield* threadWith("One")
      const error = yield* failure(thread.setMetadata({}), "InvalidRequest")
      assert.include(error.message, "must include at least one field")
    }))

  it.effect("is gone once the thread is deleted, and a running turn is interrupted", () =>
    Effect.gen(function*() {
      const { codex, thread } = yield* threadWith("One")
      const model = yield* OfflineModel
      const gate = yield* OfflineModel.gate
      yield* model.enqueue(OfflineModel.text(["So ", OfflineModel.hold(gate), "far"]))
      const turn = yield* thread.turn("Go")
      yield* gate.reached
      yield* thread.delete
      yield* failure(turn.result, "TurnInterrupted")
      yield* failure(codex.readThread(thread.id), "InvalidRequest")
      yield* failure(thread.delete, "InvalidRequest")
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("without the experimental API", (it) => {
  it.effect("a search is refused before anything is sent", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const error = yield* failure(Stream.runCollect(codex.searchThreads("x")), "ExperimentalApiRequired")
      assert.strictEqual(error.method, "thread/search")
    }))

  it.effect("Git metadata are stored, a project is not", () =>
    Effect.gen(function*() {
      const { thread } = yield* threadWith("One")
      assert.strictEqual((yield* thread.setMetadata({ git: { branch: "next" } })).gitInfo?.branch, "next")
      const error = yield* failure(thread.setMetadata({ projectId: null }), "ExperimentalApiRequired")
      assert.deepStrictEqual(error.fields, ["projectId"])
    }))
})
