import { Approvals, AppServerClient, Codex, type StartThreadOptions } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { agent } from "./agent.ts"
import { connect, start } from "./sharedServer.ts"
import { closable, failure, heard, itemsOf, live, messages } from "./support.ts"

/** A person who is asked and takes the time that the test gives. */
const person = Effect.gen(function*() {
  const asked = yield* Deferred.make<Approvals.ApprovalRequest>()
  const answer = yield* Deferred.make<Approvals.Decision>()
  const withdrawn = yield* Deferred.make<void>()
  const count = yield* Ref.make(0)
  return {
    asked: Deferred.await(asked),
    answer: (decision: Approvals.Decision) => Deferred.succeed(answer, decision),
    withdrawn: Deferred.await(withdrawn),
    count: Ref.get(count),
    policy: Approvals.ask((request) =>
      Ref.update(count, (count) => count + 1).pipe(
        Effect.andThen(Deferred.succeed(asked, request)),
        Effect.andThen(Deferred.await(answer)),
        Effect.onInterrupt(() => Deferred.succeed(withdrawn, undefined))
      )
    )
  }
})

/** In the background, up to the first thing it waits for before this returns. */
const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const statuses = (items: Parameters<typeof itemsOf>[0]) =>
  itemsOf(items, "commandExecution").map(({ status }) => status)

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}

layer(OfflineCodex.layer({ model: agent }).pipe(Layer.provideMerge(NodeServices.layer)), live)(
  "the answers of a thread",
  (it) => {
    it.effect("make a new thread ask; without them the reviewer decides", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const client = yield* AppServerClient
        const stored = Effect.fnUntraced(function*(options: StartThreadOptions) {
          const thread = yield* codex.startThread(options)
          yield* thread.run("Hello")
          const { approvalPolicy, approvalsReviewer } = yield* client.request("thread/resume", { threadId: thread.id })
          return [approvalPolicy, approvalsReviewer]
        })
        const approvals = { policy: Approvals.acceptAll }
        assert.deepStrictEqual(yield* stored({}), ["on-request", "auto_review"])
        assert.deepStrictEqual(yield* stored({ approvals }), ["on-request", "user"])
        assert.deepStrictEqual(yield* stored({ approvals, approvalMode: "autoReview" }), ["on-request", "auto_review"])
        assert.deepStrictEqual(yield* stored({ approvals, approvalMode: "denyAll" }), ["never", "user"])
      }))

    it.effect("accept by prefix, and leave to others what is more than that", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const thread = yield* codex.startThread({ approvals: { policy: Approvals.acceptCommands(["echo one"]) } })
        const first = yield* thread.run("a run: echo one two")
        assert.deepStrictEqual(statuses(first.items), ["completed"])
        assert.include(itemsOf(first.items, "commandExecution")[0]?.aggregatedOutput ?? "", "one two")
        for (
          const [name, line] of [["b", "echo one; echo two"], ["c", "echo one $(echo two)"], [
            "d",
            "echo three"
          ]] as const
        ) {
          assert.deepStrictEqual(statuses((yield* thread.run(`${name} run: ${line}`)).items), ["declined"], line)
        }
      }))

    it.effect("accept what it says for the session: the agent does not ask again", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const asked = yield* Ref.make(0)
        const thread = yield* codex.startThread({
          approvals: {
            policy: Approvals.ask(() => Effect.as(Ref.update(asked, (count) => count + 1), Approvals.acceptForSession))
          }
        })
        assert.deepStrictEqual(statuses((yield* thread.run("a run: echo same")).items), ["completed"])
        assert.deepStrictEqual(statuses((yield* thread.run("b run: echo same")).items), ["completed"])
        assert.strictEqual(yield* Ref.get(asked), 1)
        assert.deepStrictEqual(statuses((yield* thread.run("c run: echo other")).items), ["completed"])
        assert.strictEqual(yield* Ref.get(asked), 2)
      }))

    it.effect("cancel, which ends the turn", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const thread = yield* codex.startThread({
          approvals: { policy: Approvals.ask(() => Effect.succeed(Approvals.cancel)) }
        })
        const { result } = yield* failure(thread.run("a run: echo hi"), "TurnInterrupted")
        assert.strictEqual(result.status, "interrupted")
      }))

    it.effect("accept and decline files by where they are, and where they are moved to", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const cwd = yield* fs.makeTempDirectoryScoped({ prefix: "codex-paths-" })
        const outside = yield* fs.makeTempDirectoryScoped({ prefix: "codex-outside-" })
        // What is accepted may write to folders that are there.
        yield* fs.makeDirectory(path.join(cwd, "sub"))
        const seen: Array<ReadonlyArray<string>> = []
        const thread = yield* codex.startThread({
          cwd,
          sandbox: "readOnly",
          approvals: {
            policy: Approvals.firstMatch(
              (request) =>
                Effect.sync(() => {
                  if (request._tag === "FileChange") seen.push(request.paths)
                }).pipe(Effect.andThen(Effect.succeedNone)),
              Approvals.declinePaths([path.join(cwd, "secret")]),
              Approvals.acceptPaths([cwd])
            )
          }
        })
        const patch = (name: string, text: string) =>
          Effect.map(
            thread.run(`${name} patch: ${text}`),
            ({ items }) => itemsOf(items, "fileChange").map(({ status }) => status)
          )
        assert.deepStrictEqual(yield* patch("a", "*** Add File: sub/new.txt\n+hello"), ["completed"])
        assert.strictEqual(yield* fs.readFileString(path.join(cwd, "sub/new.txt")), "hello\n")
        assert.deepStrictEqual(yield* patch("b", "*** Add File: secret/new.txt\n+hello"), ["declined"])
        const elsewhere = path.join(outside, "moved.txt")
        assert.deepStrictEqual(
          yield* patch("c", `*** Update File: sub/new.txt\n*** Move to: ${elsewhere}\n@@\n-hello\n+bye`),
          ["declined"]
        )
        assert.deepStrictEqual(
          yield* patch("d", `*** Add File: sub/two.txt\n+two\n*** Add File: ${elsewhere}\n+hello`),
          ["declined"]
        )
        assert.isFalse(yield* fs.exists(elsewhere))
        assert.isFalse(yield* fs.exists(path.join(cwd, "sub/two.txt")))
        assert.deepStrictEqual(
          seen.map((paths) => [...paths].sort()),
          [
            [path.join(cwd, "sub/new.txt")],
            [path.join(cwd, "secret/new.txt")],
            [path.join(cwd, "sub/new.txt"), elsewhere].sort(),
            [path.join(cwd, "sub/two.txt"), elsewhere].sort()
          ]
        )
      }))

    it.effect("stay when the thread cannot be resumed with others", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const asked: Array<string> = []
        const thread = yield* codex.startThread({
          approvals: {
            policy: Approvals.ask(({ itemId }) => Effect.as(Effect.sync(() => asked.push(itemId)), Approvals.accept))
          }
        })
        // A thread without a turn has nothing to be resumed from.
        yield* failure(
          codex.resumeThread(thread.id, { approvals: { policy: Approvals.declineAll } }),
          "InvalidRequest"
        )
        assert.deepStrictEqual(statuses((yield* thread.run("a run: echo hi")).items), ["completed"])
        assert.deepStrictEqual(asked, ["a"])
      }))

    it.effect("may take their time: the turn is interrupted meanwhile, and the person is told", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const somebody = yield* person
        const audit = yield* fork(codex.decisions.pipe(Stream.take(1), Stream.runCollect))
        const thread = yield* codex.startThread({ approvals: { policy: somebody.policy } })
        const turn = yield* thread.turn("a run: echo hi")
        const request = yield* somebody.asked
        assert.strictEqual(request._tag === "Command" ? request.command : undefined, "/bin/bash -lc 'echo hi'")
        assert.strictEqual(request.reason, "It has to be")
        yield* turn.interrupt
        yield* somebody.withdrawn
        assert.strictEqual((yield* failure(turn.result, "TurnInterrupted")).result.status, "interrupted")
        const [record] = yield* Fiber.join(audit)
        assert.deepStrictEqual([record?.request.itemId, record?.decision, record?.by], ["a", null, "thread"])
        // The thread goes on.
        assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
      }))

    it.effect("are withdrawn when nobody waits for the turn any more", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const somebody = yield* person
        const thread = yield* codex.startThread({ approvals: { policy: somebody.policy } })
        const fiber = yield* fork(thread.run("a run: echo hi"))
        yield* somebody.asked
        yield* Fiber.interrupt(fiber)
        yield* somebody.withdrawn
      }))

    it.effect("may take their time while everything else goes on, on this thread and on others", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const slow = yield* person
        const [one, two] = yield* Effect.all([
          codex.startThread({ approvals: { policy: slow.policy } }),
          codex.startThread({ approvals: { policy: Approvals.declineAll } })
        ])
        const waiting = yield* one.turn("a run: echo one")
        yield* slow.asked
        // A whole turn of another thread, with another handler, and its deltas.
        const other = yield* two.turn("b run: echo two")
        yield* heard(other, "Done: b")
        assert.deepStrictEqual(statuses((yield* other.result).items), ["declined"])
        // Responses about the thread that waits.
        assert.strictEqual((yield* one.read()).id, one.id)
        yield* slow.answer(Approvals.accept)
        const result = yield* waiting.result
        assert.deepStrictEqual(statuses(result.items), ["completed"])
        assert.strictEqual(yield* slow.count, 1)
      }))

    it.effect("are each thread's own while both wait at once", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const people = yield* Effect.all([person, person])
        const turns = yield* Effect.forEach(people, ({ policy }, index) =>
          Effect.flatMap(
            codex.startThread({ approvals: { policy } }),
            (thread) => thread.turn(`a run: echo ${index}`)
          ))
        const requests = yield* Effect.forEach(people, ({ asked }) => asked)
        assert.deepStrictEqual(requests.map(({ threadId }) => threadId), turns.map(({ threadId }) => threadId))
        yield* people[1].answer(Approvals.accept)
        assert.deepStrictEqual(statuses((yield* turns[1]?.result ?? Effect.die("No turn")).items), ["completed"])
        yield* people[0].answer(Approvals.decline)
        assert.deepStrictEqual(statuses((yield* turns[0]?.result ?? Effect.die("No turn")).items), ["declined"])
      }))

    it.effect("may come from the agent itself: a handler runs a turn of another thread", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const judge = yield* codex.startThread()
        const thread = yield* codex.startThread({
          approvals: {
            policy: Approvals.ask((request) =>
              Effect.gen(function*() {
                const { finalResponse } = yield* judge.run("May it?")
                const { name } = yield* codex.readThread(request.threadId)
                return finalResponse === "Answer to: May it?" && name !== "never" ? Approvals.accept : Approvals.decline
              })
            )
          }
        })
        assert.deepStrictEqual(statuses((yield* thread.run("a run: echo hi")).items), ["completed"])
      }))

    it.effect("are no when a handler dies, throws or fails, and the client lives on", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const audit = yield* fork(codex.decisions.pipe(Stream.take(3), Stream.runCollect))
        const policies: ReadonlyArray<Approvals.Policy<Refused>> = [
          () => Effect.die(new Error("dead")),
          () => {
            throw new Error("thrown")
          },
          () => Effect.fail(new Refused())
        ]
        for (const policy of policies) {
          const thread = yield* codex.startThread({ approvals: { policy } })
          const result = yield* thread.run("a run: echo hi")
          assert.deepStrictEqual(statuses(result.items), ["declined"])
          assert.strictEqual(result.finalResponse, "Done: a")
        }
        assert.deepStrictEqual(
          (yield* Fiber.join(audit)).map(({ by, decision }) => `${by}: ${decision?._tag}`),
          policies.map(() => "failure: Decline")
        )
      }))

    it.effect("are those of a thread that was resumed, however its id was written", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const { id, run } = yield* codex.startThread()
        yield* run("Hello")
        const spellings = [id.toUpperCase(), id.replaceAll("-", ""), `urn:uuid:${id}`, `{${id}}`]
        for (const [index, spelling] of spellings.entries()) {
          const somebody = yield* person
          const approvals = { policy: somebody.policy }
          const thread = yield* codex.resumeThread(spelling, { approvals, approvalMode: "ask" })
          assert.strictEqual(thread.id, id)
          const turn = yield* thread.turn(`call${index} run: echo hi`)
          yield* somebody.asked
          yield* somebody.answer(Approvals.accept)
          assert.deepStrictEqual(statuses((yield* turn.result).items), ["completed"])
          // One who has it for a scope does not take it from another one who wrote it otherwise.
          yield* Effect.scoped(
            codex.thread({ resume: id }).pipe(
              Effect.andThen(Effect.scoped(codex.thread({ resume: spelling }))),
              Effect.andThen((held) => held.run("Hello")),
              Effect.tap((result) => Effect.sync(() => assert.strictEqual(result.finalResponse, "Answer to: Hello")))
            )
          )
        }
      }))

    it.effect("are asked once, though the thread is resumed while they are awaited", () =>
      Effect.gen(function*() {
        const codex = yield* Codex
        const somebody = yield* person
        const thread = yield* codex.startThread({ approvals: { policy: somebody.policy } })
        const turn = yield* thread.turn("a run: echo hi")
        yield* somebody.asked
        const client = yield* AppServerClient
        const cleared = yield* fork(client.on("thread/goal/cleared").pipe(Stream.take(1), Stream.runDrain))
        const resumed = yield* codex.resumeThread(thread.id)
        // The server asks again right behind this.
        yield* Fiber.join(cleared)
        yield* resumed.setName("resumed")
        assert.strictEqual(yield* somebody.count, 1)
        yield* somebody.answer(Approvals.accept)
        assert.deepStrictEqual(statuses((yield* turn.result).items), ["completed"])
        assert.strictEqual(yield* somebody.count, 1)
      }))
  }
)

const shared = OfflineModel.layer(agent).pipe(Layer.provideMerge(NodeServices.layer))

layer(shared, live)("several clients of one server", (it) => {
  it.effect("ask all; the first answer counts, and the others are withdrawn", () =>
    Effect.gen(function*() {
      const address = yield* start
      const [one, two] = yield* Effect.all([person, person])
      const first = yield* connect(address)
      const thread = yield* first.codex.startThread({ approvals: { policy: one.policy } })
      const turn = yield* thread.turn("a run: echo hi")
      const asked = yield* one.asked
      const second = yield* connect(address)
      yield* second.codex.resumeThread(thread.id, { approvals: { policy: two.policy } })
      const again = yield* two.asked
      assert.deepStrictEqual([again.turnId, again.itemId], [asked.turnId, asked.itemId])
      yield* two.answer(Approvals.accept)
      yield* one.withdrawn
      // A command that ends at once need not show as completed; one that was declined does.
      const result = yield* turn.result
      assert.strictEqual(result.status, "completed")
      assert.isTrue(statuses(result.items).every((status) => status === "completed"))
    }))

  it.effect("go on with what another left unanswered", () =>
    Effect.gen(function*() {
      const address = yield* start
      const [one, two] = yield* Effect.all([person, person])
      const gone = yield* closable
      const { client, codex } = yield* gone.use(connect(address))
      const { id: threadId } = yield* codex.startThread({ approvals: { policy: one.policy } })
      // Nobody's turn, so that the client that goes leaves it as it is.
      yield* client.request("turn/start", { threadId, input: [{ type: "text", text: "a run: echo hi" }] })
      const asked = yield* one.asked
      yield* gone.close
      yield* one.withdrawn
      const other = yield* connect(address)
      const completed = yield* fork(
        other.client.on("turn/completed").pipe(Stream.take(1), Stream.runCollect)
      )
      const items = yield* fork(
        other.client.on("item/completed").pipe(
          Stream.filter(({ params }) => params.item.type === "agentMessage"),
          Stream.take(1),
          Stream.runCollect
        )
      )
      yield* other.codex.resumeThread(threadId, { approvals: { policy: two.policy } })
      const again = yield* two.asked
      assert.deepStrictEqual([again.turnId, again.itemId], [asked.turnId, asked.itemId])
      yield* two.answer(Approvals.decline)
      assert.strictEqual((yield* Fiber.join(completed))[0]?.params.turn.status, "completed")
      assert.deepStrictEqual(messages((yield* Fiber.join(items)).map(({ params }) => params.item)), ["Done: a"])
    }))
})
