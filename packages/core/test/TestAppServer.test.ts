import {
  Approvals,
  AppServerClient,
  AppServerExited,
  Codex,
  CodexTools,
  InternalError,
  InvalidRequest,
  MethodNotFound,
  RequestTimeout,
  TransportError,
  TurnFailed,
  TurnInterrupted
} from "@effect-codex/core"
import { type Script, TestAppServer, Transcript } from "@effect-codex/core/testing"
import type { ReviewTarget } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import { Tool, Toolkit } from "effect/ai"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { collect, fork, until } from "./support/observe.ts"

const start = Effect.flatMap(Codex, (codex) => codex.startThread())

describe("the agent of a TestAppServer", () => {
  it.effect("answers what was enqueued, then what it always answers", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue("First", ({ json }) => json({ second: true }))
      const thread = yield* start
      assert.strictEqual((yield* thread.run("a")).finalResponse, "First")
      assert.strictEqual((yield* thread.run("b")).finalResponse, `{"second":true}`)
      assert.strictEqual((yield* thread.run("c")).finalResponse, "c, the third of its thread")
      assert.strictEqual(yield* server.unplayed, 0)
    }).pipe(
      Effect.provide(
        TestAppServer.layer({
          respond: (turn) => turn.say(`${turn.text}, the ${turn.before === 2 ? "third" : "other"} of its thread`)
        })
      )
    ))

  it.effect("works on a thread whose id is written otherwise, as the real one does", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const thread = yield* start
      yield* thread.run("One")
      const spelling = thread.id.replaceAll("-", "")
      assert.strictEqual((yield* (yield* codex.resumeThread(spelling)).run("Two")).finalResponse, "OK")
      const { result } = yield* client.openTurn("thread/compact/start", { threadId: spelling })
      assert.strictEqual((yield* result).threadId, thread.id)
      assert.strictEqual((yield* codex.readThread(spelling)).id, thread.id)
    }).pipe(Effect.scoped, Effect.provide(TestAppServer.layer())))

  it.effect("takes a second run for more input of the first, also where that is its end", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue(() => Effect.never, "Both.")
      const thread = yield* start
      const first = yield* fork(thread.run("One"))
      yield* server.receive("turn/start")
      const second = yield* thread.run("Two")
      const { finalResponse, turnId } = yield* Fiber.join(first)
      assert.deepStrictEqual([second.turnId, second.finalResponse, finalResponse], [turnId, "Both.", "Both."])
      const busy = yield* fork(thread.run("Three"))
      yield* server.receive("turn/start")
      const refused = yield* Effect.flip(thread.run("Four", { output: Schema.Struct({ a: Schema.String }) }))
      assert.strictEqual(refused._tag, "InternalError")
      yield* Fiber.interrupt(busy)
    }).pipe(Effect.provide(TestAppServer.layer({ respond: () => Effect.never }))))

  it.effect("speaks in deltas, thinks, comments and counts its tokens", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue((turn) =>
        Effect.gen(function*() {
          yield* turn.usage({ input: 20, cachedInput: 3, output: 7, reasoningOutput: 2 })
          yield* turn.reason("Adding", "up")
          yield* turn.commentary("On it")
          yield* turn.say(["1 + 1", " is 2"])
        })
      )
      const thread = yield* start
      const { result, text } = yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("What is 1 + 1?")
        return { text: yield* Stream.runCollect(turn.text), result: yield* turn.result }
      }))
      assert.deepStrictEqual([...text], ["On ", "it", "1 + 1", " is 2"])
      assert.strictEqual(result.finalResponse, "1 + 1 is 2")
      assert.deepStrictEqual(result.items.map(({ type }) => type), [
        "userMessage",
        "reasoning",
        "agentMessage",
        "agentMessage"
      ])
      assert.strictEqual(result.usage?.last.totalTokens, 27)
      assert.strictEqual(result.usage?.last.cachedInputTokens, 3)
      yield* thread.run("Again")
      assert.strictEqual((yield* thread.read({ includeTurns: true })).turns.length, 2)
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("reviews what it is to look at", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const thread = yield* start
      const review = (target: ReviewTarget) =>
        Effect.scoped(Effect.flatMap(thread.review(target), ({ result }) => result))
      yield* server.respond(({ before, reviewing, say, text }) =>
        say(`${before} ${reviewing?.type}: ${text.slice(0, 20)}`)
      )
      const first = yield* review({ type: "baseBranch", branch: "main" })
      assert.strictEqual(first.review, "0 baseBranch: Review the code chan")
      assert.strictEqual(first.finalResponse, first.review)
      assert.strictEqual((yield* thread.run("Fine?")).finalResponse, "2 undefined: Fine?")
      yield* server.enqueue(() => Effect.never)
      const { interrupt, result } = yield* thread.review({ type: "uncommittedChanges" })
      yield* interrupt
      const error = yield* Effect.flip(result)
      assert.strictEqual(error._tag, "TurnInterrupted")
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("has its commands and changes approved, and goes by the decision", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const script: Script = (turn) =>
        Effect.gen(function*() {
          const first = yield* turn.command({ command: "echo hi", output: "hi\n", approval: "It has to be" })
          const second = yield* turn.command({ command: "rm -rf build", approval: true })
          const third = yield* turn.changeFiles({
            changes: [{ path: "/workspace/a", kind: { type: "add" }, diff: "a\n" }],
            approval: true
          })
          const fourth = yield* turn.command({ command: "false", exitCode: 1 })
          yield* turn.json([first, second, third, fourth])
        })
      yield* server.enqueue(script)
      const thread = yield* start
      const result = yield* thread.run("Do it")
      assert.strictEqual(result.finalResponse, `["accept","decline","decline","accept"]`)
      assert.deepStrictEqual(
        result.items.flatMap((item) =>
          item.type === "commandExecution" || item.type === "fileChange" ? [item.status] : []
        ),
        ["completed", "declined", "declined", "failed"]
      )
    }).pipe(Effect.provide(
      TestAppServer.layer({ approvals: { policy: Approvals.acceptCommands(["echo"]) } })
    )))

  it.effect("asks once for what is accepted for the session, and stops when it is cancelled", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const thread = yield* start
      const run = (command: string): Script => (turn) => turn.command({ command, approval: true })
      yield* server.enqueue(run("make"), run("make"), run("rm x"))
      const asked = yield* collect((yield* AppServerClient).decisions)
      yield* thread.run("a")
      yield* thread.run("b")
      const interrupted = yield* Effect.flip(thread.run("c"))
      assert.instanceOf(interrupted, TurnInterrupted)
      yield* asked.atLeast(2)
      assert.strictEqual(asked.seen.length, 2)
    }).pipe(Effect.provide(
      TestAppServer.layer({
        approvals: {
          policy: (request) =>
            Effect.succeedSome(
              request._tag === "Command" && request.command?.includes("make") === true
                ? Approvals.acceptForSession
                : Approvals.cancel
            )
        }
      })
    )))

  it.effect("asks again what is open when its thread is resumed", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const asked = () => lines.join("").split("item/commandExecution/requestApproval").length - 1
      const answer = yield* Deferred.make<void>()
      const agent = Codex.layer.pipe(
        Layer.provideMerge(AppServerClient.layer()),
        Layer.provide(Approvals.layer({
          policy: () => Effect.as(Deferred.await(answer), Option.some(Approvals.accept))
        })),
        Layer.provide(Transcript.recordTo((text) => Effect.sync(() => lines.push(text)))),
        Layer.provideMerge(TestAppServer.layerTransport())
      )
      yield* Effect.gen(function*() {
        const server = yield* TestAppServer
        yield* server.enqueue((turn) => turn.command({ command: "make", approval: true }))
        const thread = yield* start
        const running = yield* fork(thread.run("Build it"))
        yield* until(() => asked() === 1)
        yield* (yield* Codex).resumeThread(thread.id)
        yield* until(() => asked() === 2)
        yield* Deferred.succeed(answer, undefined)
        assert.strictEqual((yield* Fiber.join(running)).status, "completed")
      }).pipe(Effect.provide(agent))
    }))

  it.effect("calls the program's tools", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue((turn) =>
        Effect.gen(function*() {
          const answer = yield* turn.callTool({ tool: "weather", arguments: { city: "Rome" } })
          yield* turn.json(answer.contentItems.map((part) => part.type === "inputText" ? part.text : part.type))
        })
      )
      const toolkit = Toolkit.make(
        Tool.make("weather", { parameters: Schema.Struct({ city: Schema.String }), success: Schema.String })
      )
      const thread = yield* (yield* Codex).startThread({ tools: CodexTools.fromToolkit(toolkit) }).pipe(
        Effect.provide(toolkit.toLayer({ weather: ({ city }) => Effect.succeed(`sunny in ${city}`) }))
      )
      const result = yield* thread.run("How is the weather?")
      assert.include(result.finalResponse, "sunny in Rome")
      assert.deepStrictEqual(result.items.map(({ type }) => type), ["userMessage", "dynamicToolCall", "agentMessage"])
    }).pipe(Effect.provide(TestAppServer.layer({ client: { experimental: true } }))))

  it.effect("fails as the real one does", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue((turn) =>
        Effect.andThen(turn.commentary("Half of"), turn.fail("The context is full", "contextWindowExceeded"))
      )
      const thread = yield* start
      const failed = yield* Effect.flip(thread.run("Hello"))
      if (!(failed instanceof TurnFailed)) return assert.fail(String(failed))
      assert.strictEqual(failed.error?.codexErrorInfo, "contextWindowExceeded")
      assert.strictEqual(failed.result.items.length, 2)
      assert.strictEqual((yield* thread.run("Once more")).finalResponse, "OK")
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("takes its time on the TestClock", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue((turn) => Effect.andThen(Effect.sleep("1 hour"), turn.say("Done")))
      const thread = yield* start
      const running = yield* fork(thread.run("Hello"))
      yield* server.receive("turn/start")
      yield* TestClock.adjust("59 minutes")
      assert.isUndefined(running.pollUnsafe())
      yield* TestClock.adjust("1 minute")
      const result = yield* Fiber.join(running)
      assert.strictEqual(result.finalResponse, "Done")
      assert.strictEqual(result.durationMs, 3_600_000)
    }).pipe(Effect.provide(TestAppServer.layer({ client: { turnIdleTimeout: "2 hours" } }))))

  it.effect("is interrupted where it waits", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const stopped = yield* Deferred.make<void>()
      yield* server.enqueue(() => Effect.ensuring(Effect.never, Deferred.succeed(stopped, undefined)))
      const thread = yield* start
      const running = yield* fork(thread.run("Hello"))
      yield* server.receive("turn/start")
      yield* Fiber.interrupt(running)
      yield* Deferred.await(stopped)
      assert.strictEqual((yield* server.requests("turn/interrupt"))[0]?.threadId, thread.id)
      assert.strictEqual((yield* thread.run("Again")).finalResponse, "OK")
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("answers what it is steered to with the next script", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const gate = yield* Deferred.make<void>()
      yield* server.enqueue(
        (turn) => Effect.andThen(Deferred.await(gate), turn.commentary("One")),
        (turn) => turn.say(`Two: ${turn.text}`)
      )
      const thread = yield* start
      const result = yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Hello")
        yield* turn.steer("More")
        yield* Deferred.succeed(gate, undefined)
        return yield* turn.result
      }))
      assert.strictEqual(result.finalResponse, "Two: More")
      assert.strictEqual(result.items.filter(({ type }) => type === "userMessage").length, 2)
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("is cut off by what it is steered to, but for what is under way", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const asked = yield* Deferred.make<void>()
      const allowed = yield* Deferred.make<void>()
      yield* server.enqueue(
        (turn) =>
          Effect.gen(function*() {
            yield* turn.command({ command: "make", approval: true })
            yield* turn.say("Never said")
          }),
        () => Effect.never,
        (turn) => turn.say(turn.text)
      )
      const codex = yield* Codex
      const thread = yield* codex.startThread({
        approvals: {
          policy: Approvals.ask(() =>
            Deferred.succeed(asked, undefined).pipe(
              Effect.andThen(Deferred.await(allowed)),
              Effect.as(Approvals.accept)
            )
          )
        }
      })
      const result = yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("One")
        yield* Deferred.await(asked)
        yield* turn.steer("Two")
        yield* turn.steer("Three")
        yield* Deferred.succeed(allowed, undefined)
        yield* Stream.runHead(Stream.filter(
          turn.events,
          (event) => event.method === "item/completed" && JSON.stringify(event.params.item).includes("Three")
        ))
        yield* turn.steer("Four")
        return yield* turn.result
      }))
      assert.deepStrictEqual(
        result.items.map(({ type }) => type),
        ["userMessage", "commandExecution", "userMessage", "userMessage", "userMessage", "agentMessage"]
      )
      assert.strictEqual(result.finalResponse, "Four")
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("with a mistake in its script ends the connection, and says what it was", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue(() => Effect.die(new Error("I cannot count")))
      const thread = yield* start
      const error = yield* Effect.flip(thread.run("Hello"))
      assert.instanceOf(error, TransportError)
      assert.include(error.message, "I cannot count")
    }).pipe(Effect.provide(TestAppServer.layer())))
})

describe("the threads of a TestAppServer", () => {
  it.effect("are listed, resumed, forked, archived and deleted", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const empty = yield* start
      const unstored = yield* Effect.flip(codex.resumeThread(empty.id))
      assert.strictEqual(unstored._tag, "InvalidRequest")
      const thread = yield* start
      yield* thread.run("One")
      const fork = yield* thread.fork()
      yield* thread.setName("A thread")
      yield* fork.run("Two")
      assert.deepStrictEqual((yield* Stream.runCollect(codex.threads())).map(({ id }) => id), [fork.id, thread.id])
      assert.deepStrictEqual(
        (yield* Stream.runCollect(codex.threads({ searchTerm: "A thr" }))).map(({ name }) => name),
        ["A thread"]
      )
      assert.strictEqual((yield* codex.listThreads({ pageSize: 1 })).nextCursor, "1")
      assert.strictEqual((yield* Stream.runCollect(fork.turns())).length, 2)
      assert.deepStrictEqual((yield* Stream.runCollect(thread.items())).map(({ item }) => item.type), [
        "userMessage",
        "agentMessage"
      ])
      assert.instanceOf(yield* Effect.flip(thread.delete), InvalidRequest)
      yield* codex.resumeThread(thread.id)
      yield* thread.archive
      assert.instanceOf(yield* Effect.flip(thread.run("Three")), InvalidRequest)
      yield* codex.unarchiveThread(thread.id)
      yield* codex.resumeThread(thread.id)
      assert.strictEqual((yield* thread.run("Three")).finalResponse, "OK")
      yield* fork.delete
      yield* thread.delete
      assert.instanceOf(yield* Effect.flip(codex.readThread(thread.id)), InvalidRequest)
      assert.deepStrictEqual((yield* codex.listThreads()).data, [])
    }).pipe(Effect.provide(TestAppServer.layer())))
})

describe("the goals of a TestAppServer", () => {
  it.effect("are worked on in turns until a script says where they stand", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const objectives: Array<string | undefined> = []
      const begun = yield* Deferred.make<void>()
      yield* server.enqueue(
        (turn) =>
          Effect.gen(function*() {
            objectives.push(turn.goal?.objective)
            yield* turn.usage({ input: 30, cachedInput: 4, output: 7 })
            yield* turn.command({ command: "npm test", output: "1 failed\n" })
            yield* turn.say("One is left")
          }),
        (turn) =>
          Effect.gen(function*() {
            yield* Deferred.succeed(begun, undefined)
            yield* Effect.sleep("90 seconds")
            yield* turn.updateGoal("complete")
            yield* turn.say("All pass")
          })
      )
      const thread = yield* start
      const running = yield* fork(thread.runGoal({ objective: "Fix the tests", tokenBudget: 1_000 }))
      yield* Deferred.await(begun)
      yield* TestClock.adjust("90 seconds")
      const { finalResponse, goal, outcome, turns } = yield* Fiber.join(running)
      assert.deepStrictEqual(objectives, ["Fix the tests"])
      assert.deepStrictEqual([outcome, finalResponse, turns.length], ["complete", "All pass", 2])
      // Two requests of 33 tokens without the cached ones, and one of 15.
      assert.deepStrictEqual([goal?.tokensUsed, Duration.toSeconds(goal?.timeUsed ?? 0)], [81, 90])
      assert.strictEqual((yield* thread.read()).preview, "Fix the tests")
    }).pipe(Effect.provide(TestAppServer.layer({ client: { turnIdleTimeout: "1 hour" } }))))

  it.effect("are complete where nothing was enqueued, limited by their budget, and blocked by a failure", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const thread = yield* start
      assert.strictEqual((yield* thread.runGoal("Anything")).outcome, "complete")
      yield* server.respond((turn) => turn.say("Going on"))
      const limited = yield* thread.runGoal({ objective: "Go on", tokenBudget: 40 })
      assert.deepStrictEqual([limited.outcome, limited.turns.length, limited.goal?.tokensUsed], [
        "budgetLimited",
        3,
        45
      ])
      yield* server.enqueue((turn) => turn.fail("No more", "usageLimitExceeded"))
      assert.strictEqual((yield* Effect.flip(thread.runGoal("Again")))._tag, "TurnFailed")
      assert.strictEqual((yield* thread.goal.get)?.status, "usageLimited")
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("are paused by an interruption", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const begun = yield* Deferred.make<void>()
      yield* server.enqueue(() => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
      const thread = yield* start
      const running = yield* fork(thread.runGoal("Wait"))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(running)
      assert.strictEqual((yield* thread.goal.get)?.status, "paused")
      assert.strictEqual((yield* thread.runGoal({ origin: "user" })).outcome, "complete")
      assert.deepStrictEqual(
        (yield* server.requests("thread/goal/set")).map(({ origin, status }) => [status, origin]),
        [["active", undefined], ["paused", undefined], ["active", "user"]]
      )
    }).pipe(Effect.provide(TestAppServer.layer())))
})

describe("the queue of a TestAppServer", () => {
  it.effect("is worked off behind the turn that runs", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const gate = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      yield* server.enqueue((turn) =>
        Effect.gen(function*() {
          yield* Deferred.succeed(begun, undefined)
          yield* Deferred.await(gate)
          yield* turn.say("First")
        })
      )
      const thread = yield* start
      const turns = yield* collect(Stream.filter(thread.events, ({ method }) => method === "turn/completed"))
      const running = yield* fork(thread.run("Hello"))
      yield* Deferred.await(begun)
      yield* thread.queue.add("Next", { clientId: "next" })
      assert.deepStrictEqual(
        (yield* Stream.runCollect(thread.queue.list)).map(({ clientUserMessageId }) => clientUserMessageId),
        ["next"]
      )
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(running)).finalResponse, "First")
      yield* turns.atLeast(2)
      const items = yield* Stream.runCollect(thread.items())
      assert.deepStrictEqual(
        items.flatMap(({ item }) => item.type === "userMessage" ? [item.clientId] : []),
        [null, "next"]
      )
    }).pipe(Effect.provide(TestAppServer.layer({ client: { experimental: true } }))))
})

describe("the methods of a TestAppServer", () => {
  it.effect("leave out what the client can do without", () =>
    Effect.gen(function*() {
      const events = yield* Stream.runCollect((yield* start).stream("Hello"))
      assert.notInclude(events.map(({ method }) => method), "item/agentMessage/delta")
    }).pipe(Effect.provide(TestAppServer.layer({
      client: { capabilities: { optOutNotificationMethods: ["item/agentMessage/delta"] } }
    }))))

  it.effect("do what the test says; nobody's method is not known", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const client = yield* AppServerClient
      const unknown = yield* Effect.flip(client.request("skills/list", {}))
      assert.instanceOf(unknown, MethodNotFound)
      assert.include(unknown.message, `on("skills/list"`)
      yield* server.on("skills/list", ({ cwds }) =>
        Effect.succeed({ data: (cwds ?? []).map((cwd) => ({ cwd, skills: [], errors: [] })) }))
      assert.deepStrictEqual((yield* client.request("skills/list", { cwds: ["/a"] })).data[0]?.cwd, "/a")
      yield* server.on("thread/name/set", () =>
        Effect.fail(TestAppServer.refuse(-32603, "The disk is full")))
      const thread = yield* start
      const refused = yield* Effect.flip(thread.setName("x"))
      assert.instanceOf(refused, InternalError)
      assert.include(refused.message, "The disk is full")
      assert.deepStrictEqual((yield* server.received).map(({ method }) => method), [
        "initialize",
        "skills/list",
        "skills/list",
        "thread/start",
        "thread/name/set"
      ])
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("cannot be made to say what does not fit the protocol", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const misfit = { data: ["a"] }
      Reflect.set(misfit, "data", [1])
      yield* server.on("thread/loaded/list", () => Effect.succeed(misfit))
      const client = yield* AppServerClient
      const error = yield* Effect.flip(client.request("thread/loaded/list", {}))
      assert.include(error.message, "the result of thread/loaded/list does not fit the protocol: data[0]")
      const other = { threadId: "a" }
      Reflect.set(other, "threadId", 1)
      const exit = yield* Effect.exit(server.notify("thread/archived", other))
      assert.isTrue(Exit.hasDies(exit))
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("know who is logged in, and what models there are", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      assert.isNull((yield* codex.account()).account)
      assert.deepStrictEqual((yield* codex.models()).map(({ id }) => id), ["gpt-5.4"])
    }).pipe(Effect.provide(TestAppServer.layer())))
})

describe("the faults of a TestAppServer", () => {
  it.effect("overload: it is tried again", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const thread = yield* start
      yield* server.overload({ times: 2, method: "thread/read" })
      const reading = yield* fork(thread.read())
      yield* server.receive("thread/read")
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(reading)
      assert.strictEqual((yield* server.requests("thread/read")).length, 3)
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("an answer that never comes, and one that comes late", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const codex = yield* Codex
      yield* server.dropResponses()
      const dropped = yield* fork(Effect.flip(codex.models()))
      yield* server.receive("model/list")
      yield* TestClock.adjust("5 seconds")
      assert.instanceOf(yield* Fiber.join(dropped), RequestTimeout)
      yield* server.delayResponses("3 seconds")
      const late = yield* fork(codex.models())
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(late.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(late)).length, 1)
    }).pipe(Effect.provide(TestAppServer.layer({ client: { requestTimeout: "5 seconds" } }))))

  it.effect("a stall: nothing is lost", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const thread = yield* start
      yield* server.stall
      const running = yield* fork(thread.run("Hello"))
      yield* server.receive("turn/start")
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(running.pollUnsafe())
      yield* server.resume
      assert.strictEqual((yield* Fiber.join(running)).finalResponse, "OK")
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("a stall: what is said behind it does not overtake what was held back", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const warn = (summary: string) => server.notify("configWarning", { summary, details: null })
      const warnings = yield* collect((yield* AppServerClient).on("configWarning"))
      yield* server.stall
      const held = yield* fork(Effect.andThen(warn("1"), warn("2")))
      yield* server.resume
      yield* warn("3")
      yield* Fiber.join(held)
      yield* warn("4")
      yield* warnings.atLeast(4)
      assert.deepStrictEqual(warnings.seen.map(({ params }) => params.summary), ["1", "2", "3", "4"])
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("an exit in a stall: what was held back never comes", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const thread = yield* start
      yield* server.stall
      const running = yield* fork(Effect.flip(thread.run("Hello")))
      yield* server.receive("turn/start")
      yield* server.exit({ exitCode: 1 })
      assert.strictEqual((yield* Fiber.join(running))._tag, "AppServerExited")
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("junk: the connection lives", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const failures = yield* collect(
        Stream.filter((yield* AppServerClient).notifications, ({ method }) => method === "client/decodeFailure")
      )
      yield* server.writeLine("This is no JSON {")
      yield* failures.atLeast(1)
      assert.strictEqual((yield* (yield* start).run("Hello")).finalResponse, "OK")
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("an exit in the middle of a line: everything ends with its cause", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      yield* server.enqueue(() => Effect.never)
      const thread = yield* start
      const running = yield* fork(Effect.flip(thread.run("Hello")))
      yield* server.receive("turn/start")
      yield* server.exit({ exitCode: 101, stderr: "panicked", halfLine: `{"method":"turn/comp` })
      const error = yield* Fiber.join(running)
      if (!(error instanceof AppServerExited)) return assert.fail(String(error))
      assert.strictEqual(error.exitCode, 101)
      assert.strictEqual(error.stderr, "panicked")
      assert.instanceOf(yield* Effect.flip(start), AppServerExited)
    }).pipe(Effect.provide(TestAppServer.layer())))

  it.effect("a flood: only the reader that is behind is told", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const gate = yield* Deferred.make<void>()
      yield* server.enqueue((turn) => Effect.andThen(turn.flood(1_000), turn.say("Done")))
      const thread = yield* start
      yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Hello")
        const reading = yield* fork(Effect.flip(Stream.runForEach(turn.events, () => Deferred.await(gate))))
        assert.strictEqual((yield* turn.result).finalResponse, "Done")
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual((yield* Fiber.join(reading))._tag, "TurnLagged")
      }))
    }).pipe(Effect.provide(TestAppServer.layer({ client: { turnBuffer: { events: 100, bytes: 1_000_000 } } }))))

  it.effect("what it says by itself and what it asks", () =>
    Effect.gen(function*() {
      const server = yield* TestAppServer
      const client = yield* AppServerClient
      const told = yield* collect(client.on("account/updated"))
      yield* server.notify("account/updated", { authMode: "apikey", planType: null })
      yield* told.atLeast(1)
      const thread = yield* start
      assert.deepStrictEqual(yield* server.ask("currentTime/read", { threadId: thread.id }), { currentTimeAt: 0 })
      const refusal = yield* Effect.flip(server.ask("attestation/generate", {}))
      assert.isBelow(refusal.code, 0)
    }).pipe(Effect.provide(TestAppServer.layer())))
})
