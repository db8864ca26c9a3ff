import { AppServerClient, Codex, type CodexEvent, Input, type ThreadFilter } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { asked, echo, failure, live, messages, prompts } from "./support.ts"

const isEnd = ({ method }: CodexEvent): boolean => method === "turn/completed"

layer(OfflineCodex.layer({ model: echo }), live)("a thread", (it) => {
  const startedThread = (prompt: string) =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const result = yield* thread.run(prompt)
      return { thread, result }
    })

  it.effect("tells its history, turn by turn", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { result: first, thread } = yield* startedThread("One")
      const second = yield* thread.run("Two")
      const read = yield* codex.readThread(thread.id, { includeTurns: true })
      assert.strictEqual(read.id, thread.id)
      assert.strictEqual(read.preview, "One")
      assert.deepStrictEqual(read.turns.map((turn) => [turn.id, turn.status]), [
        [first.turnId, "completed"],
        [second.turnId, "completed"]
      ])
      assert.deepStrictEqual(read.turns.map((turn) => prompts(turn.items)), [["One"], ["Two"]])
      assert.deepStrictEqual(read.turns.map((turn) => messages(turn.items)), [["Answer to: One"], ["Answer to: Two"]])
    }))

  it.effect("is started, forked, resumed and run with whatever else the protocol knows", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ params: { approvalPolicy: "untrusted" } })
      const policyOf = (id: string) =>
        Effect.flatMap(AppServerClient, (client) =>
          Effect.map(
            client.request("thread/resume", { threadId: id, excludeTurns: true }),
            ({ approvalPolicy }) => approvalPolicy
          ))
      const { threadId } = yield* thread.run([], {
        params: { toolOutput: { name: "inbox", output: "You have mail" } }
      })
      assert.strictEqual(threadId, thread.id)
      assert.include(JSON.stringify((yield* asked(thread.id)).input), "You have mail")
      assert.strictEqual(yield* policyOf(thread.id), "untrusted")
      const fork = yield* thread.fork({ params: { approvalPolicy: "never" } })
      assert.strictEqual(yield* policyOf(fork.id), "never")
      // What is experimental needs the option, also here.
      const error = yield* failure(codex.startThread({ params: { environments: [] } }), "ExperimentalApiRequired")
      assert.strictEqual(error.method, "thread/start")
    }))

  it.effect("leaves its history out unless asked for it", () =>
    Effect.gen(function*() {
      const { thread } = yield* startedThread("One")
      const read = yield* thread.read()
      assert.strictEqual(read.id, thread.id)
      assert.deepStrictEqual(read.turns, [])
      assert.deepStrictEqual(read.status, { type: "idle" })
    }))

  it.effect("goes on after it was resumed", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { thread } = yield* startedThread("Remember me")
      const resumed = yield* codex.resumeThread(thread.id)
      assert.strictEqual(resumed.id, thread.id)
      const result = yield* resumed.run("Who am I?")
      assert.strictEqual(result.finalResponse, "Answer to: Who am I?")
      assert.include(JSON.stringify((yield* asked(thread.id, 2)).input), "Remember me")
    }))

  it.effect("is the same one for the client below, however its id is written", () =>
    Effect.gen(function*() {
      const client = yield* AppServerClient
      const { thread } = yield* startedThread("One")
      const { id } = thread
      for (const spelling of [id.toUpperCase(), id.replaceAll("-", ""), `urn:uuid:${id}`, `{${id}}`]) {
        const events = yield* Effect.forkChild(
          Stream.runHead(Stream.filter(client.threadNotifications(spelling), isEnd)),
          { startImmediately: true }
        )
        const turn = yield* client.openTurn("turn/start", { threadId: spelling, input: [Input.text("Two")] })
        assert.strictEqual((yield* turn.result).finalResponse, "Answer to: Two")
        assert.isTrue(Option.isSome(yield* Fiber.join(events)))
        const { result } = yield* client.openTurn("thread/compact/start", { threadId: spelling })
        assert.strictEqual((yield* result).threadId, id)
        // What is unsubscribed from is resumed, whoever has written the id in which way.
        yield* client.request("thread/unsubscribe", { threadId: spelling })
        assert.strictEqual((yield* thread.run("Three")).finalResponse, "Answer to: Three")
        yield* client.leaveThread(spelling)
        assert.strictEqual((yield* thread.run("Four")).finalResponse, "Answer to: Four")
      }
    }).pipe(Effect.scoped, Effect.timeout("20 seconds")))

  it.effect("that is loaded already has the settings it is resumed with, from its next turn on", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread({ sandbox: "fullAccess", approvalMode: "denyAll" })
      yield* thread.run("One")
      const resumed = yield* codex.resumeThread(thread.id, { sandbox: "readOnly", model: "gpt-5.4-mini" })
      const run = Effect.gen(function*() {
        yield* model.enqueue(
          OfflineModel.functionCall({
            name: "exec_command",
            callId: "touch",
            arguments: { cmd: "touch /tmp/of-a-thread-that-only-reads" }
          }),
          OfflineModel.text("Done")
        )
        const { items } = yield* resumed.run("Touch it")
        return items.flatMap((item) => item.type === "commandExecution" ? [item.exitCode] : [])
      })
      assert.notDeepEqual(yield* run, [0])
      assert.notDeepEqual(yield* run, [0])
      assert.deepStrictEqual((yield* model.requests).slice(-4).map(({ model }) => model), [
        "gpt-5.4-mini",
        "gpt-5.4-mini",
        "gpt-5.4-mini",
        "gpt-5.4-mini"
      ])
      // What a turn is given goes before it, and stays.
      yield* resumed.run("Again", { model: "gpt-5.4" })
      assert.strictEqual((yield* resumed.read()).model, "gpt-5.4")
    }))

  it.effect("is forked with its history, and both go their own ways", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { thread } = yield* startedThread("Common past")
      const fork = yield* thread.fork()
      assert.notStrictEqual(fork.id, thread.id)
      yield* fork.run("Only in the fork")
      yield* thread.run("Only in the original")
      const inFork = JSON.stringify((yield* asked(fork.id)).input)
      assert.include(inFork, "Common past")
      assert.notInclude(inFork, "Only in the original")
      const inOriginal = JSON.stringify((yield* asked(thread.id, 2)).input)
      assert.notInclude(inOriginal, "Only in the fork")
      const read = yield* codex.readThread(fork.id, { includeTurns: true })
      assert.strictEqual(read.forkedFromId, thread.id)
      assert.deepStrictEqual(read.turns.flatMap((turn) => prompts(turn.items)), ["Common past", "Only in the fork"])
    }))

  it.effect("is forked up to a turn", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { result, thread } = yield* startedThread("First")
      yield* thread.run("Second")
      const fork = yield* codex.forkThread(thread.id, { lastTurnId: result.turnId })
      const read = yield* fork.read({ includeTurns: true })
      assert.deepStrictEqual(read.turns.flatMap((turn) => prompts(turn.items)), ["First"])
    }))

  it.effect("tells what it is for, and is listed by what has begun it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const model = yield* OfflineModel
      const thread = yield* codex.startThread({ source: "nightly-report" })
      yield* thread.run("Go", { trigger: "cron", turnServiceTier: "flex" })
      assert.strictEqual((yield* thread.read()).threadSource, "nightly-report")
      const fork = yield* thread.fork({ source: "second-look" })
      assert.strictEqual((yield* fork.read()).threadSource, "second-look")
      const listed = (sourceKind: "cli" | "vscode") =>
        Effect.map(
          Stream.runCollect(codex.threads({ sourceKinds: [sourceKind] })),
          (threads) => threads.some(({ id }) => id === thread.id)
        )
      // That is what the server takes a program for.
      assert.deepStrictEqual([yield* listed("vscode"), yield* listed("cli")], [true, false])
      const request = yield* model.awaitRequest(({ threadId }) => threadId === thread.id)
      assert.include(JSON.stringify(request.headers), String.raw`turn_trigger\":\"cron`)
      assert.include(JSON.stringify(request.body), `"service_tier":"flex"`)
    }))

  it.effect("is renamed, and everybody who listens is told", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { thread } = yield* startedThread("Name me")
      const isName = (event: CodexEvent) => event.method === "thread/name/updated" && event.threadId === thread.id
      const listen = (events: typeof codex.events) =>
        Effect.forkChild(Stream.runHead(Stream.filter(events, isName)), { startImmediately: true })
      const listeners = [yield* listen(thread.events), yield* listen(codex.events)]
      yield* thread.setName("A good name")
      for (const told of yield* Fiber.joinAll(listeners)) {
        if (Option.isNone(told) || told.value.method !== "thread/name/updated") return assert.fail("Nobody was told")
        assert.strictEqual(told.value.params.threadName, "A good name")
      }
      assert.strictEqual((yield* thread.read()).name, "A good name")
    }))

  it.effect("refuses an empty name", () =>
    Effect.gen(function*() {
      const { thread } = yield* startedThread("Name me")
      const error = yield* failure(thread.setName(""), "InvalidRequest")
      assert.strictEqual(error.method, "thread/name/set")
      assert.include(error.message, "name must not be empty")
    }))

  it.effect("is archived and brought back", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { thread } = yield* startedThread("Put me away")
      const listed = (archived: boolean) =>
        codex.threads({ archived }).pipe(Stream.map(({ id }) => id), Stream.runCollect)
      yield* thread.archive
      assert.notInclude(yield* listed(false), thread.id)
      assert.include(yield* listed(true), thread.id)
      const refused = yield* failure(codex.resumeThread(thread.id), "InvalidRequest")
      assert.include(refused.message, "is archived")
      const back = yield* codex.unarchiveThread(thread.id)
      assert.strictEqual(back.id, thread.id)
      assert.include(yield* listed(false), thread.id)
      assert.notInclude(yield* listed(true), thread.id)
      const resumed = yield* codex.resumeThread(thread.id)
      yield* resumed.run("And go on")
      assert.include(JSON.stringify((yield* asked(thread.id, 2)).input), "Put me away")
    }))

  it.effect("is deleted", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const { thread } = yield* startedThread("Forget me")
      yield* codex.deleteThread(thread.id)
      const listed = yield* codex.threads().pipe(Stream.map(({ id }) => id), Stream.runCollect)
      assert.notInclude(listed, thread.id)
      const error = yield* failure(codex.resumeThread(thread.id), "InvalidRequest")
      assert.strictEqual(error.method, "thread/resume")
      const late = yield* failure(thread.run("Still there?"), "InvalidRequest")
      assert.strictEqual(late.method, "turn/start")
    }))

  it.effect("that is ephemeral runs turns and is not listed", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ ephemeral: true })
      yield* thread.run("One")
      const result = yield* thread.run("Two")
      assert.strictEqual(result.finalResponse, "Answer to: Two")
      assert.isTrue((yield* thread.read()).ephemeral)
      const listed = yield* codex.threads().pipe(Stream.map(({ id }) => id), Stream.runCollect)
      assert.notInclude(listed, thread.id)
    }))

  it.effect("tells how it is while its turns run", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const other = yield* codex.startThread()
      const listener = yield* thread.events.pipe(
        Stream.takeUntil((event) => event.method === "turn/completed"),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      const elsewhere = yield* codex.events.pipe(
        Stream.takeUntil((event) =>
          event.method === "thread/status/changed" && event.threadId === thread.id &&
          event.params.status.type === "idle"
        ),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* other.run("Not for these ears")
      const { turnId } = yield* thread.run("Work")
      const events = yield* Fiber.join(listener)
      assert.isTrue(events.every((event) => event.threadId === thread.id))
      const status = events.flatMap((event) =>
        event.method === "thread/status/changed" ? [event.params.status.type] : []
      )
      assert.deepStrictEqual(status, ["active", "idle"])
      assert.isTrue(events.some((event) => event.method === "turn/started" && event.turnId === turnId))
      // What belongs to a turn of this client is read from the turn.
      const global = yield* Fiber.join(elsewhere)
      assert.isFalse(global.some((event) => event.turnId !== undefined))
    }))
})

layer(OfflineCodex.layer({ model: echo }), live)("the list of threads", (it) => {
  it.effect("pages by itself, newest first", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const ids: Array<string> = []
      for (const prompt of ["alpha", "beta", "gamma"]) {
        const thread = yield* codex.startThread()
        yield* thread.run(prompt)
        ids.push(thread.id)
      }
      const bySmallPages = yield* Stream.runCollect(codex.threads({ pageSize: 1 }))
      assert.sameMembers(bySmallPages.map(({ id }) => id), ids)
      assert.sameMembers(bySmallPages.map(({ preview }) => preview), ["alpha", "beta", "gamma"])
      const byOnePage = yield* codex.listThreads({ pageSize: 10 })
      assert.deepStrictEqual(byOnePage.data.map(({ id }) => id), bySmallPages.map(({ id }) => id))
      assert.isNull(byOnePage.nextCursor ?? null)
      const first = yield* codex.listThreads({ pageSize: 1 })
      assert.strictEqual(first.data.length, 1)
      const second = yield* codex.listThreads({ pageSize: 1, cursor: first.nextCursor ?? assert.fail("No cursor") })
      assert.deepStrictEqual(second.data.map(({ id }) => id), bySmallPages.slice(1, 2).map(({ id }) => id))
      const oldestFirst = yield* Stream.runCollect(codex.threads({ pageSize: 2, sortDirection: "asc" }))
      assert.deepStrictEqual(oldestFirst.map(({ id }) => id), bySmallPages.map(({ id }) => id).toReversed())
      assert.deepStrictEqual(yield* Stream.runCollect(codex.threads({ cwd: "/nowhere" })), [])
    }))

  it.effect("is of one section, or of the threads in none, and may be left to the database", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const begun = Effect.gen(function*() {
        const thread = yield* codex.startThread()
        yield* thread.run("Hello")
        return thread.id
      })
      const inside = yield* begun
      const outside = yield* begun
      const { section } = yield* client.request("threadSection/create", { name: "Letters" })
      yield* client.request("thread/section/move", { threadId: inside, sectionId: section.id })
      const listed = (filter: ThreadFilter) => Stream.runCollect(Stream.map(codex.threads(filter), ({ id }) => id))
      assert.deepStrictEqual(yield* listed({ sectionId: section.id, useStateDbOnly: true }), [inside])
      const others = yield* listed({ sectionId: null, pageSize: 1 })
      assert.include(others, outside)
      assert.notInclude(others, inside)
      assert.notInclude(yield* listed({ params: { excludedThreadIds: [outside] } }), outside)
    }))

  it.effect("asks for no more pages than are read", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const [only] = yield* codex.threads({ pageSize: 1 }).pipe(Stream.take(1), Stream.runCollect)
      const [first] = (yield* codex.listThreads()).data
      assert.strictEqual(only?.id, first?.id)
    }))

  it.effect("refuses a cursor that it has not given", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const error = yield* failure(codex.listThreads({ cursor: "junk" }), "InvalidRequest")
      assert.strictEqual(error.method, "thread/list")
      assert.include(error.message, "cursor")
    }))
})
