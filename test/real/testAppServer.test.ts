import {
  Approvals,
  AppServerClient,
  Codex,
  CodexTools,
  Input,
  type Thread,
  type Transport,
  type TurnEvent
} from "@effect-codex/core"
import { type AgentTurn, type Script, TestAppServer, Transcript } from "@effect-codex/core/testing"
import type { ReviewTarget } from "@effect-codex/generated"
import { OfflineCodex, OfflineModel, type Reply } from "@effect-codex/node/testing"
import { assert, describe, it } from "@effect/vitest"
import { Tool, Toolkit } from "effect/ai"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

// =============================================================================
// Scenarios
// =============================================================================

/** The same twice: as the model's part of it on the real app-server, and as a script of the one in memory. */
interface Scenario {
  readonly name: string
  readonly replies: ReadonlyArray<Reply>
  readonly scripts: ReadonlyArray<Script>
  readonly program: Effect.Effect<unknown, unknown, Codex | AppServerClient>
}

const start = Effect.flatMap(
  Codex,
  (codex) => codex.startThread({ sandbox: "readOnly", approvalMode: "ask" })
)

const run = (command: string, callId: string) =>
  OfflineModel.functionCall({
    name: "exec_command",
    callId,
    arguments: { cmd: command, sandbox_permissions: "require_escalated", justification: "It has to be" }
  })

const patch = "*** Begin Patch\n*** Add File: x\n+hello\n*** End Patch"

/** A change of files that needs approval: as the model asks for it, and as a script. */
const addFile = OfflineModel.functionCall({
  name: "exec_command",
  callId: "p",
  arguments: { cmd: `apply_patch <<'EOF'\n${patch}\nEOF\n` }
})

const addsFile: Script = (turn) =>
  Effect.andThen(
    turn.changeFiles({
      changes: [{ path: "/workspace/x", kind: { type: "add" }, diff: "hello\n" }],
      approval: true
    }),
    turn.say("Not done")
  )

const toolkit = Toolkit.make(
  Tool.make("weather", { parameters: Schema.Struct({ city: Schema.String }), success: Schema.String })
)

const finding = (title: string, body: string, line: number) => ({
  title,
  body,
  confidence_score: 0.8,
  priority: 1,
  code_location: { absolute_file_path: "/src/a.ts", line_range: { start: line, end: line + 1 } }
})

const verdict = (findings: ReadonlyArray<ReturnType<typeof finding>>) => ({
  findings,
  overall_correctness: "patch is correct",
  overall_explanation: "That was it",
  overall_confidence_score: 0.9
})

/** Where the goal stands: as the model's tool call, and as the same in a script, with what is said then. */
const settles = (status: "complete" | "blocked" | "paused", callId: string) =>
  OfflineModel.functionCall({ name: "update_goal", callId, arguments: { status } })

const settled = (status: "complete" | "blocked" | "paused", text: string): Script => (turn) =>
  Effect.andThen(turn.updateGoal(status), turn.say(text))

/** A turn that waits after its first word: as the model's part of it, and as a script. */
const hangs = [OfflineModel.commentary("On it"), OfflineModel.hold(Effect.never), OfflineModel.text("Never")]

const hanging = (turn: AgentTurn) => Effect.andThen(turn.commentary("On it"), Effect.never)

const firstWord = (events: Stream.Stream<TurnEvent, unknown>) =>
  Stream.runHead(Stream.filter(
    events,
    (event) => event.method === "item/completed" && event.params.item.type === "agentMessage"
  ))

/** Waits for the ends of so many turns, from now on. */
const ends = (thread: Thread, turns: number) =>
  thread.events.pipe(
    Stream.filter(({ method }) => method === "turn/completed"),
    Stream.take(turns),
    Stream.runDrain,
    Effect.forkChild({ startImmediately: true })
  )

const nobody = "019ab3f0-1111-7222-8333-444455556666"

/** What is refused is part of what is compared, and not the end of the program. */
const refused = <A, E>(effect: Effect.Effect<A, E>) => Effect.flip(effect)

const scenarios: ReadonlyArray<Scenario> = [
  {
    name: "messages, commentary and reasoning",
    replies: [
      [OfflineModel.reasoning("Adding", "up"), OfflineModel.commentary("On it"), OfflineModel.text("Hello there")],
      [
        OfflineModel.finalAnswer("Yes"),
        OfflineModel.usage({ input: 30, cachedInput: 4, output: 7, reasoningOutput: 2 })
      ]
    ],
    scripts: [
      (turn) =>
        Effect.andThen(
          Effect.andThen(turn.reason("Adding", "up"), turn.commentary("On it")),
          turn.say("Hello there")
        ),
      (turn) =>
        Effect.andThen(
          turn.usage({ input: 30, cachedInput: 4, output: 7, reasoningOutput: 2 }),
          turn.say("Yes", { phase: "final_answer" })
        )
    ],
    program: Effect.gen(function*() {
      const thread = yield* start
      yield* thread.run("Hi")
      yield* thread.run("Again")
      yield* thread.read({ includeTurns: true })
    })
  },
  {
    name: "what somebody else says",
    replies: [OfflineModel.text("You have mail"), OfflineModel.text("And more")],
    scripts: [(turn) => turn.say("You have mail"), (turn) => turn.say("And more")],
    program: Effect.gen(function*() {
      const thread = yield* start
      yield* thread.run(Input.externalMessage({ toolName: "inbox", content: "One letter" }))
      yield* thread.run(Input.externalMessage({
        toolName: "inbox",
        namespace: "mail",
        content: [{ type: "input_text", text: "Two letters" }]
      }))
      yield* refused(thread.run(Input.externalMessage({ toolName: "", content: "No letter" })))
      const toolOutput = { name: "inbox", output: "Another letter" }
      yield* refused(thread.run("A letter", { params: { toolOutput } }))
      yield* thread.read({ includeTurns: true })
    })
  },
  {
    name: "commands with and without approval",
    replies: [
      run("echo hi", "a"),
      OfflineModel.text("Done"),
      run("rm hi", "b"),
      OfflineModel.text("Not done"),
      OfflineModel.functionCall({ name: "exec_command", callId: "c", arguments: { cmd: "echo plain; exit 3" } }),
      OfflineModel.text("Ran")
    ],
    scripts: [
      (turn) =>
        Effect.andThen(
          turn.command({ command: "echo hi", output: "hi\n", approval: "It has to be" }),
          turn.say("Done")
        ),
      (turn) => Effect.andThen(turn.command({ command: "rm hi", approval: "It has to be" }), turn.say("Not done")),
      (turn) =>
        Effect.andThen(
          turn.command({ command: "echo plain; exit 3", output: "plain\n", exitCode: 3 }),
          turn.say("Ran")
        )
    ],
    program: Effect.gen(function*() {
      const thread = yield* start
      yield* thread.run("One")
      yield* thread.run("Two")
      yield* thread.run("Three")
      yield* thread.read({ includeTurns: true })
    })
  },
  {
    name: "what needs approval where nobody may be asked",
    replies: [
      run("echo hi", "a"),
      OfflineModel.text("Not done"),
      addFile,
      OfflineModel.text("Not done")
    ],
    scripts: [
      (turn) => Effect.andThen(turn.command({ command: "echo hi", approval: "It has to be" }), turn.say("Not done")),
      addsFile
    ],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ sandbox: "readOnly", approvalMode: "denyAll" })
      yield* thread.run("One")
      yield* thread.run("Two")
      yield* thread.read({ includeTurns: true })
    })
  },
  {
    name: "a change of files",
    replies: [
      addFile,
      OfflineModel.text("Not done")
    ],
    scripts: [
      addsFile
    ],
    program: Effect.flatMap(
      start,
      (thread) => Effect.andThen(thread.run("Change"), thread.read({ includeTurns: true }))
    )
  },
  {
    name: "a tool of the program's",
    replies: [
      OfflineModel.functionCall({ name: "weather", callId: "w", arguments: { city: "Rome" } }),
      OfflineModel.text("Sunny")
    ],
    scripts: [
      (turn) => Effect.andThen(turn.callTool({ tool: "weather", arguments: { city: "Rome" } }), turn.say("Sunny"))
    ],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ sandbox: "readOnly", tools: CodexTools.fromToolkit(toolkit) })
      yield* thread.run("Weather?")
      yield* thread.read({ includeTurns: true })
    }).pipe(Effect.provide(toolkit.toLayer({ weather: ({ city }) => Effect.succeed(`sunny in ${city}`) })))
  },
  {
    name: "reviews",
    replies: [
      [OfflineModel.reasoning("Reading"), OfflineModel.commentary("I look"), OfflineModel.text("It is fine")],
      OfflineModel.json(verdict([])),
      OfflineModel.json(verdict([finding("One", "It is\nspelled teh", 1)])),
      OfflineModel.json(verdict([finding("One", "Here", 1), finding("Two", "There", 7)])),
      OfflineModel.failed({ code: "invalid_prompt", message: "It broke" }),
      OfflineModel.text("Welcome")
    ],
    scripts: [
      (turn) =>
        Effect.andThen(Effect.andThen(turn.reason("Reading"), turn.commentary("I look")), turn.say("It is fine")),
      (turn) => turn.json(verdict([])),
      (turn) => turn.json(verdict([finding("One", "It is\nspelled teh", 1)])),
      (turn) => turn.json(verdict([finding("One", "Here", 1), finding("Two", "There", 7)])),
      (turn) => turn.fail("It broke", "other"),
      "Welcome"
    ],
    program: Effect.gen(function*() {
      const thread = yield* start
      const review = (target: ReviewTarget) =>
        Effect.scoped(Effect.flatMap(thread.review(target), ({ result }) => Effect.exit(result)))
      yield* refused(Effect.scoped(thread.review({ type: "custom", instructions: " " })))
      yield* review({ type: "custom", instructions: " Check the spelling\n" })
      yield* review({ type: "uncommittedChanges" })
      yield* review({ type: "commit", sha: "0123456789abcdef0123456789abcdef01234567", title: "A commit" })
      yield* review({ type: "commit", sha: "0123456789abcdef0123456789abcdef01234567" })
      yield* review({ type: "custom", instructions: "Break" })
      yield* thread.run("Thank you")
      yield* thread.read({ includeTurns: true })
    })
  },
  {
    name: "reviews that are interrupted, and what they do not let happen",
    replies: [
      [OfflineModel.hold(Effect.never), OfflineModel.text("Never")],
      [OfflineModel.hold(Effect.never), OfflineModel.text("Never")]
    ],
    scripts: [() => Effect.never, () => Effect.never],
    program: Effect.scoped(Effect.gen(function*() {
      const client = yield* AppServerClient
      const thread = yield* start
      const turn = yield* thread.turn("Wait")
      yield* Stream.runHead(Stream.filter(turn.events, ({ method }) => method === "item/completed"))
      const review = yield* thread.review({ type: "custom", instructions: "Check" })
      yield* Effect.exit(turn.result)
      yield* Stream.runHead(Stream.filter(review.events, ({ method }) => method === "turn/started"))
      yield* Stream.runHead(Stream.filter(
        review.events,
        (event) => event.method === "item/completed" && event.params.item.type === "userMessage"
      ))
      yield* refused(review.steer("Faster"))
      yield* refused(client.request("turn/start", { threadId: thread.id, input: [Input.text("Other")] }))
      yield* refused(client.request("turn/interrupt", { threadId: thread.id, turnId: review.id }))
      yield* review.interrupt
      yield* Effect.exit(review.result)
    }))
  },
  {
    name: "compactions",
    replies: [
      OfflineModel.text("Short"),
      OfflineModel.text("SUMMARY"),
      OfflineModel.text("Hello"),
      [OfflineModel.text("SUMMARY"), OfflineModel.usage({ input: 30, cachedInput: 4, output: 7, reasoningOutput: 2 })],
      OfflineModel.text("Again"),
      OfflineModel.failed({ code: "invalid_prompt", message: "It broke" }),
      OfflineModel.text("Still there")
    ],
    scripts: [
      "Short",
      "SUMMARY",
      "Hello",
      (turn) =>
        Effect.andThen(
          turn.usage({ input: 30, cachedInput: 4, output: 7, reasoningOutput: 2 }),
          turn.say("SUMMARY")
        ),
      "Again",
      (turn) => turn.fail("It broke", "other"),
      "Still there"
    ],
    program: Effect.gen(function*() {
      const client = yield* AppServerClient
      const untouched = yield* start
      yield* untouched.run("One word")
      yield* untouched.compact
      const thread = yield* start
      yield* thread.run("Hi")
      yield* thread.compact
      yield* thread.run("And?")
      yield* Effect.exit(thread.compact)
      yield* thread.run("Well?")
      yield* thread.read({ includeTurns: true })
      yield* refused(client.request("thread/compact/start", { threadId: nobody }))
    })
  },
  {
    name: "compactions that are interrupted, that interrupt, and what they do not let happen",
    replies: [
      hangs,
      hangs,
      OfflineModel.text("Welcome")
    ],
    scripts: [hanging, hanging, "Welcome"],
    program: Effect.scoped(Effect.gen(function*() {
      const client = yield* AppServerClient
      const thread = yield* start
      const turn = yield* thread.turn("Wait")
      yield* firstWord(turn.events)
      const compaction = yield* client.openTurn("thread/compact/start", { threadId: thread.id })
      yield* Effect.exit(turn.result)
      yield* Stream.runHead(Stream.filter(compaction.events, ({ method }) => method === "item/started"))
      const { turnId } = compaction
      yield* refused(
        client.request("turn/steer", { threadId: thread.id, expectedTurnId: turnId, input: [Input.text("Faster")] })
      )
      yield* refused(client.request("turn/start", { threadId: thread.id, input: [Input.text("Other")] }))
      yield* compaction.interrupt
      yield* Effect.exit(compaction.result)
      yield* thread.run("Thank you")
      yield* thread.read({ includeTurns: true })
    }))
  },
  {
    name: "a compaction before anything was said",
    replies: [OfflineModel.text("SUMMARY"), OfflineModel.text("Hello")],
    scripts: ["SUMMARY", "Hello"],
    program: Effect.gen(function*() {
      const thread = yield* start
      yield* thread.compact
      yield* thread.read({ includeTurns: true })
      yield* thread.run("Hi")
      yield* thread.read()
    })
  },
  {
    name: "a goal that goes on behind a compaction",
    replies: [hangs, OfflineModel.text("SUMMARY"), settles("complete", "g"), OfflineModel.text("Done")],
    scripts: [hanging, "SUMMARY", settled("complete", "Done")],
    program: Effect.scoped(Effect.gen(function*() {
      const client = yield* AppServerClient
      const thread = yield* start
      const goal = yield* thread.startGoal({ objective: "Do it" })
      yield* firstWord(goal.events)
      const end = yield* ends(thread, 3)
      yield* thread.compact
      yield* Fiber.join(end)
      yield* client.request("thread/goal/get", { threadId: thread.id })
    }))
  },
  {
    name: "a thread that is loaded and resumed with other settings",
    replies: [OfflineModel.text("One"), OfflineModel.text("Two"), OfflineModel.text("Three")],
    scripts: ["One", "Two", "Three"],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* start
      yield* thread.run("One")
      yield* codex.resumeThread(thread.id, { sandbox: "readOnly", approvalMode: "ask" })
      const resumed = yield* codex.resumeThread(thread.id, { sandbox: "fullAccess", approvalMode: "denyAll" })
      yield* resumed.run("Two")
      yield* resumed.run("Three")
    })
  },
  {
    name: "input that is steered in",
    replies: [
      [OfflineModel.commentary("On it"), OfflineModel.hold(Effect.never), OfflineModel.text("Never")],
      OfflineModel.text("Blue")
    ],
    scripts: [(turn) => Effect.andThen(turn.commentary("On it"), Effect.never), "Blue"],
    program: Effect.scoped(Effect.gen(function*() {
      const thread = yield* start
      const turn = yield* thread.turn("Red")
      yield* Stream.runHead(Stream.filter(
        turn.events,
        (event) => event.method === "item/completed" && event.params.item.type === "agentMessage"
      ))
      yield* turn.steer("No, blue")
      yield* turn.result
      yield* thread.read({ includeTurns: true })
    }))
  },
  {
    name: "odd wishes",
    replies: [OfflineModel.text("One"), OfflineModel.text("Two"), OfflineModel.text("Three")],
    scripts: ["One", "Two", "Three"],
    program: Effect.gen(function*() {
      const client = yield* AppServerClient
      const thread = yield* start
      yield* thread.run("Hello there")
      yield* refused(thread.fork({ lastTurnId: nobody }))
      yield* refused(thread.setName(""))
      yield* refused(thread.setName("  "))
      yield* thread.setName("  A name ")
      yield* thread.read()
      yield* refused(client.request("thread/list", { cursor: "nonsense" }))
      yield* refused(client.request("thread/turns/list", { threadId: thread.id, cursor: "nonsense" }))
      yield* client.request("thread/list", { searchTerm: "HELLO" })
      yield* client.request("thread/list", { searchTerm: "Hello" })
      yield* thread.run([])
      yield* thread.archive
      yield* refused(thread.archive)
      yield* refused(thread.fork())
      yield* refused(thread.setName("Other"))
    })
  },
  {
    name: "input in another form than what runs",
    replies: [hangs, hangs, OfflineModel.text("Both"), OfflineModel.text("Once more")],
    scripts: [hanging, hanging, "Both", "Once more"],
    program: Effect.gen(function*() {
      const thread = yield* start
      const output = { type: "object", properties: {}, required: [], additionalProperties: false }
      yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Busy")
        yield* firstWord(turn.events)
        yield* refused(thread.run("More", { params: { outputSchema: output } }))
        yield* turn.interrupt
      }))
      yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Busy", { params: { outputSchema: output } })
        yield* firstWord(turn.events)
        yield* refused(
          thread.run("More", { params: { outputSchema: { ...output, properties: { a: { type: "null" } } } } })
        )
        yield* Effect.all([turn.result, thread.run("More")], { concurrency: 2 })
      }))
      yield* thread.run("Again")
    })
  },
  {
    name: "lists in other orders, and of other kinds",
    replies: [OfflineModel.text("One"), OfflineModel.text("Two"), OfflineModel.text("Three")],
    scripts: ["One", "Two", "Three"],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const first = yield* start
      const second = yield* start
      yield* first.run("One")
      yield* second.run("Two")
      yield* first.run("Three")
      yield* codex.listThreads()
      yield* codex.listThreads({ sortDirection: "asc" })
      yield* codex.listThreads({ sortKey: "created_at" })
      for (const sortDirection of ["asc", "desc"] as const) {
        yield* codex.listThreads({ sortKey: "updated_at", sortDirection })
        yield* codex.listThreads({ sortKey: "recency_at", sortDirection })
      }
      yield* codex.listThreads({ modelProviders: ["nobody"] })
      yield* codex.listThreads({ modelProviders: [] })
      yield* codex.listThreads({ sourceKinds: ["cli"] })
      yield* codex.listThreads({ sourceKinds: ["cli", "vscode"] })
    })
  },
  {
    name: "a turn that fails",
    replies: [OfflineModel.failed({ code: "rate_limit_exceeded", message: "Slow down" }), OfflineModel.text("Better")],
    scripts: [
      (turn) => turn.fail("Slow down", "rateLimitExceeded"),
      "Better"
    ],
    program: Effect.gen(function*() {
      const thread = yield* start
      yield* Effect.flip(thread.run("Hi"))
      yield* thread.run("Again")
    })
  },
  {
    name: "interruption and steering where they are refused",
    replies: [
      [OfflineModel.text(["Hel", OfflineModel.hold(Effect.never)])],
      OfflineModel.text("Again")
    ],
    scripts: [
      (turn) =>
        Effect.andThen(
          Effect.all([
            turn.notify("item/started", {
              threadId: turn.threadId,
              turnId: turn.turnId,
              startedAtMs: 0,
              item: { type: "agentMessage", id: "msg_0", text: "", startedAtMs: 0 }
            }),
            turn.notify("item/agentMessage/delta", {
              threadId: turn.threadId,
              turnId: turn.turnId,
              itemId: "msg_0",
              delta: "Hel"
            })
          ]),
          Effect.never
        ),
      "Again"
    ],
    program: Effect.gen(function*() {
      const client = yield* AppServerClient
      const thread = yield* start
      const threadId = thread.id
      yield* refused(client.request("turn/interrupt", { threadId, turnId: nobody }))
      const input = [{ type: "text" as const, text: "More" }]
      yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Hi")
        yield* turn.events.pipe(
          Stream.takeUntil(({ method }) => method === "item/agentMessage/delta"),
          Stream.runDrain
        )
        yield* refused(client.request("turn/interrupt", { threadId, turnId: nobody }))
        yield* refused(client.request("turn/steer", { threadId, expectedTurnId: nobody, input }))
        yield* turn.interrupt
        yield* refused(client.request("turn/interrupt", { threadId, turnId: turn.id }))
        yield* refused(client.request("turn/steer", { threadId, expectedTurnId: turn.id, input }))
      }))
      yield* thread.run("Go on")
    })
  },
  {
    name: "a question that is open when its turn is interrupted",
    replies: [run("echo hi", "a"), OfflineModel.text("Again")],
    scripts: [
      (turn) => turn.command({ command: "echo hi", approval: "It has to be" }),
      "Again"
    ],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const asked = yield* Deferred.make<void>()
      const thread = yield* codex.startThread({
        sandbox: "readOnly",
        approvalMode: "ask",
        approvals: { policy: () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never) }
      })
      yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Hi")
        yield* Deferred.await(asked)
        yield* turn.interrupt
      }))
      yield* thread.run("Again")
    })
  },
  {
    name: "turns that end early behind something that was paid for",
    replies: [
      OfflineModel.functionCall({ name: "exec_command", callId: "d", arguments: { cmd: "echo plain" } }),
      hangs,
      hangs,
      OfflineModel.functionCall({ name: "exec_command", callId: "e", arguments: { cmd: "echo plain" } }),
      OfflineModel.failed({ code: "rate_limit_exceeded", message: "Slow down" }),
      OfflineModel.failed({ code: "rate_limit_exceeded", message: "Slow down" })
    ],
    scripts: [
      (turn) => Effect.andThen(turn.command({ command: "echo plain", output: "plain\n" }), hanging(turn)),
      hanging,
      (turn) =>
        Effect.andThen(
          turn.command({ command: "echo plain", output: "plain\n" }),
          turn.fail("Slow down", "rateLimitExceeded")
        ),
      (turn) => turn.fail("Slow down", "rateLimitExceeded")
    ],
    program: Effect.gen(function*() {
      const thread = yield* start
      const cutShort = Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Go")
        yield* firstWord(turn.events)
        yield* turn.interrupt
        yield* Effect.exit(turn.result)
      }))
      yield* cutShort
      yield* cutShort
      yield* refused(thread.run("Fail behind a command"))
      yield* refused(thread.run("Fail"))
    })
  },
  {
    name: "a thread that is reverted",
    replies: [
      OfflineModel.text("One"),
      OfflineModel.text("Two"),
      OfflineModel.text("Three"),
      OfflineModel.text("Again"),
      hangs,
      OfflineModel.text("New"),
      OfflineModel.text("Ephemeral")
    ],
    scripts: ["One", "Two", "Three", "Again", hanging, "New", "Ephemeral"],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* start
      const first = yield* thread.run("One")
      const second = yield* thread.run("Two")
      yield* thread.run("Three")
      yield* refused(thread.revert(nobody))
      yield* thread.revert(second.turnId)
      yield* thread.read({ includeTurns: true })
      yield* thread.run("Again")
      yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Go")
        yield* firstWord(turn.events)
        yield* thread.revert(turn.id)
        yield* refused(turn.result)
      }))
      yield* thread.setName("Name")
      yield* thread.revert(first.turnId)
      yield* thread.read({ includeTurns: true })
      yield* thread.run("New")
      yield* thread.read({ includeTurns: true })
      const ephemeral = yield* codex.startThread({ ephemeral: true, sandbox: "readOnly" })
      yield* refused(ephemeral.revert((yield* ephemeral.run("Ephemeral")).turnId))
      const fresh = yield* start
      yield* refused(fresh.revert(nobody))
      yield* refused(fresh.run("Gone"))
      yield* thread.archive
      yield* refused(thread.revert(first.turnId))
    })
  },
  {
    name: "forks",
    replies: [
      OfflineModel.text("One"),
      OfflineModel.text("Two"),
      OfflineModel.text("Three"),
      OfflineModel.text("Fork"),
      hangs,
      OfflineModel.text("Cut")
    ],
    scripts: ["One", "Two", "Three", "Fork", hanging, "Cut"],
    program: Effect.gen(function*() {
      const thread = yield* start
      const { turnId } = yield* thread.run("One")
      yield* thread.run("Two")
      yield* thread.setName("Name")
      const ephemeral = yield* thread.fork({ ephemeral: true })
      yield* ephemeral.read()
      yield* ephemeral.run("Ephemeral")
      yield* ephemeral.read()
      const early = yield* thread.fork({ lastTurnId: turnId })
      yield* early.run("Fork")
      yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Wait")
        yield* firstWord(turn.events)
        const cut = yield* thread.fork()
        yield* cut.read({ includeTurns: true })
        yield* cut.run("Go on")
      }))
    })
  },
  {
    name: "a tool that nobody has",
    replies: [
      OfflineModel.functionCall({ name: "weather", callId: "w", arguments: {} }),
      OfflineModel.text("I cannot")
    ],
    scripts: [
      (turn) => Effect.andThen(turn.callTool({ tool: "weather", arguments: {} }), turn.say("I cannot"))
    ],
    program: Effect.flatMap(start, (thread) => thread.run("Weather?"))
  },
  {
    name: "goals",
    replies: [
      OfflineModel.text("Step"),
      settles("complete", "a"),
      OfflineModel.text("Done"),
      settles("blocked", "b"),
      OfflineModel.text("Stuck"),
      OfflineModel.text("One"),
      OfflineModel.text("Two"),
      OfflineModel.failed({ code: "rate_limit_exceeded", message: "Slow down" }),
      OfflineModel.text("Back")
    ],
    scripts: [
      "Step",
      settled("complete", "Done"),
      settled("blocked", "Stuck"),
      "One",
      "Two",
      (turn) => turn.fail("Slow down", "rateLimitExceeded"),
      "Back"
    ],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const thread = yield* start
      yield* thread.goal.get
      yield* refused(thread.goal.set({ status: "paused" }))
      yield* refused(thread.goal.set({ objective: " " }))
      yield* refused(thread.goal.set({ objective: "None", tokenBudget: 0 }))
      yield* thread.goal.clear
      yield* thread.runGoal({ objective: "Take a step", tokenBudget: 100_000 })
      yield* thread.goal.set({ objective: "  Something else " })
      yield* thread.runGoal("Something impossible")
      yield* thread.runGoal({ objective: "Go on", tokenBudget: 20 })
      yield* thread.goal.set({ status: "active" })
      yield* refused(thread.runGoal("Fail"))
      yield* thread.goal.get
      yield* thread.run("Well")
      yield* thread.read({ includeTurns: true })
      const fork = yield* thread.fork()
      yield* fork.goal.get
      yield* codex.resumeThread(thread.id)
      yield* thread.archive
      yield* refused(thread.goal.get)
      yield* codex.unarchiveThread(thread.id)
      yield* thread.goal.set({ objective: "Later", status: "paused", tokenBudget: null })
      yield* codex.resumeThread(thread.id)
      const ephemeral = yield* codex.startThread({ ephemeral: true })
      yield* refused(ephemeral.goal.set({ objective: "x" }))
      yield* refused(client.request("thread/goal/get", { threadId: nobody }))
    })
  },
  {
    name: "a goal that is interrupted, paused and taken up again",
    replies: [
      hangs,
      OfflineModel.text("Mine"),
      hangs,
      OfflineModel.text("Also mine"),
      settles("complete", "c"),
      OfflineModel.text("Done")
    ],
    scripts: [hanging, "Mine", hanging, "Also mine", settled("complete", "Done")],
    program: Effect.scoped(Effect.gen(function*() {
      const client = yield* AppServerClient
      const thread = yield* start
      const goal = yield* thread.startGoal("Go")
      yield* firstWord(goal.events)
      yield* goal.interrupt
      yield* thread.run("Meanwhile")
      const again = yield* thread.startGoal({})
      yield* firstWord(again.events)
      yield* client.request("turn/interrupt", { threadId: thread.id, turnId: "" })
      yield* Effect.exit(again.result)
      // The end of anybody's turn has the goal go on.
      const both = yield* ends(thread, 2)
      yield* thread.run("Once more")
      yield* Fiber.join(both)
      yield* thread.goal.get
    }))
  },
  {
    name: "the queue of a thread",
    replies: [
      OfflineModel.text("One"),
      hangs,
      OfflineModel.text("From the queue"),
      OfflineModel.text("The next of it")
    ],
    scripts: ["One", hanging, "From the queue", "The next of it"],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const thread = yield* start
      yield* Stream.runCollect(thread.queue.list)
      yield* refused(Effect.scoped(thread.queue.start()))
      const first = yield* ends(thread, 1)
      yield* thread.queue.add("First", { clientId: "first" })
      yield* Fiber.join(first)
      yield* Effect.scoped(Effect.gen(function*() {
        const turn = yield* thread.turn("Busy")
        yield* firstWord(turn.events)
        const a = yield* thread.queue.add("A", { clientId: "a" })
        const b = yield* thread.queue.add("B", { clientId: "b" })
        const c = yield* thread.queue.add("C", { clientId: "c" })
        yield* Stream.runCollect(thread.queue.list)
        yield* thread.queue.update(b.id, "BB")
        yield* thread.queue.reorder([c.id, b.id, a.id])
        yield* thread.queue.delete(c.id)
        yield* thread.queue.delete(c.id)
        yield* refused(thread.queue.update(c.id, "Gone"))
        yield* refused(thread.queue.reorder([a.id]))
        yield* refused(Effect.scoped(thread.queue.start()))
        yield* refused(thread.queue.add([], { clientId: "none" }))
        yield* turn.interrupt
        yield* Effect.exit(turn.result)
        yield* refused(Effect.scoped(thread.queue.start(nobody)))
        const both = yield* ends(thread, 2)
        const started = yield* thread.queue.start(a.id)
        yield* started.result
        yield* Fiber.join(both)
      }))
      yield* Stream.runCollect(thread.queue.list)
      yield* thread.read({ includeTurns: true })
      const ephemeral = yield* codex.startThread({ ephemeral: true })
      yield* refused(ephemeral.queue.add("x", { clientId: "x" }))
      yield* refused(client.experimental.request("thread/queue/list", { threadId: nobody }))
      yield* thread.archive
      yield* refused(Stream.runCollect(thread.queue.list))
    })
  },
  {
    name: "threads",
    replies: [OfflineModel.text("One"), OfflineModel.text("Two"), OfflineModel.text("Three")],
    scripts: ["One", "Two", "Three"],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const thread = yield* start
      yield* refused(codex.resumeThread(thread.id))
      yield* refused(thread.fork())
      yield* thread.read({ includeTurns: true })
      yield* refused(client.request("thread/turns/list", { threadId: thread.id }))
      yield* refused(client.request("thread/items/list", { threadId: thread.id }))
      yield* thread.run("Hi")
      yield* thread.setName("Name")
      yield* thread.read({ includeTurns: true })
      yield* Stream.runCollect(thread.turns())
      yield* Stream.runCollect(thread.items())
      yield* codex.resumeThread(thread.id)
      const fork = yield* thread.fork()
      yield* fork.run("Fork")
      yield* fork.read({ includeTurns: true })
      yield* refused(thread.delete)
      yield* thread.archive
      yield* refused(thread.run("x"))
      yield* codex.listThreads({ archived: true })
      yield* codex.unarchiveThread(thread.id)
      yield* refused(thread.run("x"))
      yield* codex.resumeThread(thread.id)
      yield* thread.run("Back")
      yield* fork.delete
      yield* thread.unsubscribe
      yield* thread.unsubscribe
      yield* codex.listThreads()
      yield* client.request("thread/loaded/list", {})
    })
  },
  {
    name: "threads that have nothing yet",
    replies: [],
    scripts: [],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const thread = yield* start
      const threadId = thread.id
      yield* refused(client.request("thread/turns/list", { threadId }))
      yield* refused(client.request("thread/items/list", { threadId }))
      yield* Stream.runCollect(thread.turns())
      yield* Stream.runCollect(thread.items())
      yield* refused(codex.resumeThread(threadId))
      yield* refused(thread.fork())
      yield* refused(codex.unarchiveThread(threadId))
      yield* codex.listThreads()
      yield* thread.archive
      yield* refused(thread.archive)
      yield* client.request("thread/turns/list", { threadId })
      yield* codex.listThreads({ archived: true })
      yield* refused(codex.resumeThread(threadId))
      yield* codex.unarchiveThread(threadId)
      yield* refused(codex.unarchiveThread(threadId))
      yield* codex.listThreads()
      yield* codex.resumeThread(threadId)
      const other = yield* start
      yield* other.delete
      yield* refused(other.delete)
    })
  },
  {
    name: "threads whose turns were read before the first",
    replies: [],
    scripts: [],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const thread = yield* start
      const threadId = thread.id
      yield* refused(client.request("thread/read", { threadId, includeTurns: true }))
      yield* refused(client.request("thread/turns/list", { threadId }))
      yield* refused(client.request("thread/items/list", { threadId }))
      yield* refused(codex.resumeThread(threadId))
      const fork = yield* thread.fork()
      yield* client.request("thread/turns/list", { threadId: fork.id })
      yield* thread.setName("Name")
      yield* codex.resumeThread(threadId)
      yield* client.request("thread/turns/list", { threadId })
    })
  },
  {
    name: "threads that have a name, or a goal, and no turn",
    replies: [OfflineModel.text("One")],
    scripts: ["One"],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      const thread = yield* start
      const threadId = thread.id
      yield* thread.setName("Name")
      yield* client.request("thread/turns/list", { threadId })
      yield* client.request("thread/items/list", { threadId })
      yield* thread.read({ includeTurns: true })
      yield* codex.resumeThread(threadId)
      const fork = yield* thread.fork()
      yield* fork.read({ includeTurns: true })
      yield* codex.listThreads()
      yield* thread.unsubscribe
      yield* thread.run("Hi")
      yield* thread.fork()
      yield* codex.listThreads()
      yield* fork.archive
      yield* codex.listThreads({ archived: true })
      yield* fork.delete
      const source = yield* start
      yield* source.setName("Other")
      yield* source.fork()
      yield* source.delete
      const aimed = yield* start
      yield* aimed.goal.set({ objective: "First", status: "paused" })
      yield* aimed.goal.set({ objective: "Second", status: "paused" })
      yield* aimed.read({ includeTurns: true })
      yield* aimed.goal.clear
      yield* aimed.fork()
      yield* codex.listThreads()
    })
  },
  {
    name: "threads that are not stored, or not there",
    replies: [OfflineModel.text("Ephemeral")],
    scripts: ["Ephemeral"],
    program: Effect.gen(function*() {
      const codex = yield* Codex
      const client = yield* AppServerClient
      yield* refused(codex.readThread(nobody))
      yield* refused(codex.resumeThread(nobody))
      yield* refused(codex.forkThread(nobody))
      yield* refused(codex.archiveThread(nobody))
      yield* refused(codex.unarchiveThread(nobody))
      yield* refused(codex.deleteThread(nobody))
      yield* refused(client.request("thread/name/set", { threadId: nobody, name: "Name" }))
      yield* refused(client.request("thread/turns/list", { threadId: nobody }))
      yield* refused(client.request("turn/start", { threadId: nobody, input: [{ type: "text", text: "x" }] }))
      yield* refused(client.request("turn/interrupt", { threadId: nobody, turnId: nobody }))
      yield* client.request("thread/unsubscribe", { threadId: nobody })
      const thread = yield* codex.startThread({ ephemeral: true })
      yield* thread.run("Hi")
      yield* refused(thread.read({ includeTurns: true }))
      yield* refused(client.request("thread/turns/list", { threadId: thread.id }))
      yield* refused(client.request("thread/items/list", { threadId: thread.id }))
      yield* refused(thread.setName(" "))
      yield* refused(thread.setName("Name"))
      yield* refused(thread.archive)
      yield* refused(codex.unarchiveThread(thread.id))
      yield* refused(thread.delete)
      yield* refused(codex.resumeThread(thread.id))
      yield* codex.account()
    })
  }
]

// =============================================================================
// Comparing
// =============================================================================

/** What the real one tells beside what a program is about, and what depends on its machine. */
const passedOver = new Set([
  "account/rateLimits/updated",
  "configWarning",
  "deprecationNotice",
  // Told as the command prints, where it takes its time.
  "item/commandExecution/outputDelta",
  "remoteControl/status/changed",
  "thread/readState/changed",
  "turn/diff/updated",
  "warning"
])

/** Fields that the one in memory leaves out, or that say what only a real model, shell or machine could. */
const leftOut = new Set([
  "activePermissionProfile",
  "availableDecisions",
  "backwardsCursor",
  "canAcceptDirectInput",
  "callId",
  "collaborationMode",
  "commandActions",
  "disabledPluginIds",
  "emittedAtMs",
  "environments",
  "gitInfo",
  "historyMode",
  "instructionSources",
  "itemId",
  "itemsBackwardsCursor",
  "message",
  "modelProvider",
  "multiAgentMode",
  "originator",
  "path",
  "processId",
  "proposedExecpolicyAmendment",
  "readState",
  "readStates",
  "runtimeWorkspaceRoots",
  "text_elements",
  "tokensUsed",
  "turnsBackwardsCursor"
])

const isList = (value: Schema.Json): value is ReadonlyArray<Schema.Json> => Array.isArray(value)

const isRecord = (value: Schema.Json | undefined): value is { readonly [name: string]: Schema.Json } =>
  typeof value === "object" && value !== null && !isList(value)

/** Without what is null, empty or left out, and with no other ids of items than the server's own. */
const bare = (value: Schema.Json): Schema.Json => {
  if (isList(value)) return value.map(bare)
  if (!isRecord(value)) return value
  const isItem = "type" in value && value.type !== "userMessage"
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) =>
        member !== null && !leftOut.has(name) && !(isItem && name === "id") && !(isList(member) && member.length === 0)
      )
      .sort(([a], [b]) => a < b ? -1 : 1)
      .map(([name, member]) => [name, bare(member)])
  )
}

/** Without how much there is left to read behind a compaction, which depends on the server's own instructions. */
const uncounted = (params: Schema.Json): Schema.Json => {
  if (!isRecord(params) || !isRecord(params["tokenUsage"])) return params
  const { last } = params["tokenUsage"]
  return isRecord(last) && last["inputTokens"] === 0
    ? { ...params, tokenUsage: { ...params["tokenUsage"], last: { ...last, totalTokens: null } } }
    : params
}

/** What counts of a message, if anything does. */
const counted = (entry: Transcript.Entry): ReadonlyArray<Transcript.Entry> => {
  if (!("message" in entry)) return [entry]
  const { error, method, params, result, ...envelope } = entry.message
  if (typeof method === "string" && passedOver.has(method)) return []
  const text = JSON.stringify(params ?? null)
  // Whether the thread waits for an approval is told before or behind what it waits for.
  // That a thread is not loaded any more is told or not, as the connection's reading goes.
  // What the tokens of a request are put on the goal's account comes before or behind the model's word on it.
  if (method === "thread/goal/updated" && /"turnId":"/.test(text) && /"status":"active"/.test(text)) return []
  if (method === "thread/status/changed" && /activeFlags|notLoaded/.test(text)) return []
  return [{
    from: entry.from,
    message: {
      ...envelope,
      ...(method === undefined ? {} : { method }),
      ...(params === undefined ? {} : { params: bare(uncounted(params)) }),
      ...(result === undefined ? {} : { result: bare(result) }),
      ...(isRecord(error) ? { error: Object.fromEntries(Object.entries(error).sort()) } : {})
    }
  }]
}

/** What was said after the handshake: what was answered, what was told and how each thread and its queue fared, which race with each other. */
interface Said {
  readonly exchanges: ReadonlyArray<string>
  readonly told: ReadonlyArray<string>
  readonly statuses: ReadonlyArray<string>
  readonly queues: ReadonlyArray<string>
}

const saidIn = (text: string): Effect.Effect<Said, Transcript.InvalidTranscript> =>
  Effect.map(Transcript.parse(text), (recording) => {
    const exchanges: Array<string> = []
    const told: Array<string> = []
    const statuses: Array<string> = []
    const queues: Array<string> = []
    const { entries } = Transcript.canonical({ ...recording, entries: recording.entries.flatMap(counted) })
    for (const entry of entries) {
      const line = JSON.stringify(entry)
      const method = "message" in entry ? entry.message["method"] : undefined
      // The client takes its time with the word that an answer is not wanted any more.
      if (entry.from === "client" && "message" in entry && entry.message["error"] !== undefined) continue
      if (line.includes("userAgent") || method === "initialize" || method === "initialized") continue
      if (method === "thread/status/changed") statuses.push(line)
      else if (method === "thread/queue/changed") queues.push(line)
      else if (entry.from === "client" || method === undefined) exchanges.push(line)
      else told.push(line)
    }
    return { exchanges, told, statuses, queues }
  })

const recorded = (
  scenario: Scenario,
  transport: Layer.Layer<Transport, unknown>
): Effect.Effect<Said, unknown> =>
  Effect.gen(function*() {
    const written: Array<string> = []
    const agent = Codex.layer.pipe(
      Layer.provideMerge(AppServerClient.layer({ experimental: true })),
      Layer.provide(Approvals.layer({ policy: Approvals.acceptCommands(["echo"]) })),
      Layer.provide(Transcript.recordTo((text) => Effect.sync(() => written.push(text)))),
      Layer.provide(transport)
    )
    yield* Effect.provide(scenario.program, agent)
    return yield* saidIn(written.join(""))
  })

describe("the app-server in memory", () => {
  it.live.each(scenarios)("says what the real one says: $name", (scenario) =>
    Effect.gen(function*() {
      const real = Layer.effectDiscard(
        Effect.flatMap(OfflineModel, (model) => model.enqueue(...scenario.replies))
      ).pipe(Layer.provideMerge(OfflineCodex.layerTransport()))
      const inMemory = Layer.effectDiscard(
        Effect.flatMap(TestAppServer, (server) => server.enqueue(...scenario.scripts))
      ).pipe(Layer.provideMerge(TestAppServer.layerTransport()))
      const expected = yield* recorded(scenario, real)
      const actual = yield* recorded(scenario, inMemory)
      assert.deepStrictEqual(actual, expected)
    }), 120_000)
})
