import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { readdirSync } from "node:fs"
import { email, loginIssuer, userCode } from "./support/loginIssuer.ts"
import { run, start } from "./support/program.ts"

const folder = new URL("../examples", import.meta.url).pathname
const args = (file: string) => ["--conditions=@effect-codex/source", `${folder}/${file}`]

/** How an example is run, and what it has to show: all of its lines, or some of them. */
interface Example {
  readonly file: string
  readonly shows: string | ReadonlyArray<string | RegExp>
  readonly args?: ReadonlyArray<string>
  readonly env?: Record<string, string>
  readonly stdin?: ReadonlyArray<string>
  readonly exitCode?: number
}

const lines = (...lines: ReadonlyArray<string>) => lines.map((line) => `${line}\n`).join("")

const examples: ReadonlyArray<Example> = [
  { file: "01-quickstart.ts", args: ["Say hello"], shows: lines("Hello from the offline model.") },
  {
    file: "02-run.ts",
    shows: lines(
      "Status: completed",
      "Item: userMessage",
      "Message (commentary): I will try it.",
      "Command: /bin/bash -lc 'echo hello'",
      "Message (final_answer): It prints hello.",
      "Answer: It prints hello.",
      "Tokens: 40"
    )
  },
  {
    file: "03-events.ts",
    shows: lines(
      "[begins: userMessage]",
      "",
      "[ends: userMessage]",
      "[begins: agentMessage]",
      "One, two, three.",
      "[ends: agentMessage]",
      "[tokens: 10]",
      "[the turn is completed]"
    )
  },
  { file: "04-models.ts", shows: [/^Codex \d+\.\d+\.\d+ on linux$/m, "Account: nobody\n", /^\* \S+: .+ \(.+\)$/m] },
  { file: "05-resume.ts", shows: lines("It was 7.", "The thread has 2 turns.") },
  {
    file: "06-lifecycle.ts",
    shows: lines(
      "Threads: Another greeting, Greeting",
      "Archived: Greeting",
      "Back: Greeting",
      "Deleted: InvalidRequest"
    )
  },
  { file: "07-image.ts", shows: lines("One pixel.") },
  { file: "08-local-image.ts", shows: lines("One pixel.") },
  { file: "09-several-turns.ts", shows: lines("Rome: Italy", "Oslo: Norway", "Lima: Peru") },
  {
    file: "10-errors.ts",
    shows: [
      /^Failed: .*It broke\.; there were 2 items$/m,
      "Refused: thread/resume (-32600)\n",
      "Answer: Hello.\n"
    ]
  },
  {
    file: "11-terminal.ts",
    stdin: ["Hello\nMo", "re\n\n/new\nAgain\n/quit\nNever\n"],
    shows: lines(
      "> Message 1 of this thread: Hello",
      "> Message 2 of this thread: More",
      "> > > Message 1 of this thread: Again"
    ) + "> "
  },
  {
    file: "12-structured-output.ts",
    shows: lines("Oslo has 720000 inhabitants", "Founded in 1040", "Rivers: Akerselva")
  },
  {
    file: "13-model-and-effort.ts",
    // What the model is told for the hardest effort stands in the server's own catalogue.
    shows: [/^Effort: (\w+)\nEffort: (\w+)\nEffort: \2\nDefault: \1, hardest: \w+\n$/]
  },
  { file: "14-steer-and-interrupt.ts", shows: lines("Once upon a time there was a ship.", "Stopped: interrupted") },
  { file: "15-login.ts", env: { OPENAI_API_KEY: "sk-not-a-real-key" }, shows: lines("You are logged in (apiKey).") },
  {
    file: "16-approvals.ts",
    shows: [
      "/bin/bash -lc 'echo hello': Accept by thread\n",
      "/bin/bash -lc 'rm -rf build': Decline by thread\n",
      "Asked for a Command: declined\n",
      "/bin/bash -lc 'curl https://example.com': Decline by thread\n",
      lines(
        "The command is completed",
        "The command is declined",
        "The command is declined",
        "I have said hello; the rest was not allowed."
      )
    ]
  },
  {
    file: "17-tools.ts",
    shows: lines(
      "The agent asks for the weather in Rome",
      "The agent asks for the weather in Atlantis",
      "weather: success",
      "weather: failure",
      "It is 21 degrees in Rome; Atlantis has no weather."
    )
  },
  {
    file: "18-review-bot.ts",
    exitCode: 1,
    shows: [
      lines(
        "A check for zero is missing.",
        "src/divide.ts:3: error: The divisor may be zero.",
        "src/divide.ts:1: warning: The name says little."
      ),
      "Errors to fix: 1"
    ]
  },
  { file: "20-budget.ts", shows: lines("Stopped for its toolCalls: the turn is interrupted", "Hello.") },
  {
    file: "22-testing.ts",
    shows: lines(
      "In memory: low, It is in memory.",
      "It was asked for initialize, thread/start, turn/start",
      "Offline: high, Data is lost.",
      "Recorded: high, Data is lost.",
      "Replayed: high, Data is lost.",
      "Something else: TransportError"
    )
  },
  {
    file: "23-sub-agents.ts",
    shows: [
      // The agents work while others are being told.
      "An agent is told: Read the code\n",
      "An agent is told: Read the tests\n",
      "An agent has found: divide and multiply\n",
      "An agent has found: a test of multiply\n",
      lines("The answer: divide has no test.", "A thread of 1 turn, for this one", "A thread of 1 turn, for this one")
    ]
  },
  {
    file: "24-worker.ts",
    shows: [
      "Job 1: once more\n",
      "Job 2: once more\n",
      "The app-server is back (AppServerExited)\n",
      "Job 1: hello!\n",
      "Job 2: good morning!\n",
      "Job 3: goodbye!\n"
    ]
  },
  {
    file: "25-goals.ts",
    shows: lines(
      "A turn begins",
      "- The guide has two.",
      "A turn begins",
      "- The FAQ has none.",
      "A turn begins",
      "The goal is complete",
      "- Two typos in all.",
      "complete after 3 turns: Two typos in all.",
      "Find all typos in the documentation. (complete)"
    )
  },
  {
    file: "26-commands-and-files.ts",
    shows: lines(
      "In the folder: src",
      "Sorted: apple, pear, plum",
      "Without a file: exit code 2",
      "Words: 3",
      "It says: Hello, cat.",
      "It ended with 0",
      "It has slept long enough",
      "Changed: src/vegetables.txt",
      "Found: src/vegetables.txt",
      "Removed: InternalError"
    )
  },
  {
    file: "27-notebook.ts",
    shows: lines(
      "[1] Codex on linux",
      "[2] A thread",
      "[3] Oslo, Bergen and Trondheim.",
      "[4] [ 'Os', 'lo', '.' ]",
      "[5] { name: 'Oslo', inhabitants: 720000 }",
      "[6] Bergen.",
      "[7] 3 turns",
      "[8] InvalidRequest"
    )
  },
  {
    file: "28-remote.ts",
    shows: [
      "The second hears a turn begin\n",
      // Two connections: the first may be told before, between or after what the second says.
      "The first is told: That makes 10.\n",
      "The second hears it end\n",
      /The second hears it end[^]*The second is told: It is 10\.\n/
    ]
  },
  {
    file: "21-observability.ts",
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: "" },
    shows: lines(
      "work",
      "  Thread.start",
      "    thread/start",
      "  Thread.run",
      "    turn/start",
      "    invoke_agent codex gen_ai.usage.input_tokens=20 gen_ai.usage.output_tokens=10",
      "      codex.item userMessage",
      "      execute_tool commandExecution process.exit.code=0",
      "        item/commandExecution/requestApproval codex.approval.decision=accept",
      "      codex.item agentMessage",
      "codex_request_window",
      "codex_requests_in_flight",
      "codex_requests_queued",
      "codex_tokens",
      "codex_turn_duration"
    )
  }
]

const HTTP_SERVER = "19-http-server.ts"

layer(NodeServices.layer, { excludeTestServices: true })("the examples", (it) => {
  it.effect("are all run", () =>
    Effect.sync(() => {
      const files = readdirSync(folder).filter((file) => /^\d+-.*\.ts$/.test(file)).sort()
      assert.deepStrictEqual([...examples.map(({ file }) => file), HTTP_SERVER].sort(), files)
    }))

  it.effect.each(examples)("$file shows what it should", (example) =>
    Effect.gen(function*() {
      const { exitCode, stderr, stdout } = yield* run(
        process.execPath,
        [...args(example.file), ...example.args ?? []],
        { env: { CODEX_HOME: "", ...example.env }, stdin: example.stdin ?? [] }
      )
      assert.strictEqual(exitCode, example.exitCode ?? 0, stderr + stdout)
      if (typeof example.shows === "string") return assert.strictEqual(stdout, example.shows)
      for (const part of example.shows) {
        if (typeof part === "string") assert.include(stdout, part)
        else assert.match(stdout, part)
      }
    }), 120_000)

  it.effect("run live with the home that CODEX_HOME names", () =>
    Effect.gen(function*() {
      const model = yield* OfflineModel
      const home = yield* OfflineHome.make({ baseUrl: model.baseUrl })
      const { exitCode, stderr, stdout } = yield* run(process.execPath, [...args("09-several-turns.ts"), "--live"], {
        env: { CODEX_HOME: home }
      })
      assert.strictEqual(exitCode, 0, stderr + stdout)
      assert.include(stderr, "Using the real model")
      assert.include(stdout, "Rome: Hello from the offline model.\n")
      assert.strictEqual((yield* model.requests).length, 3)
    }).pipe(Effect.provide(OfflineModel.layer())), 120_000)

  /** Runs the login until it asks for something, and does it. */
  const logIn = (
    options: ReadonlyArray<string>,
    answer: (asked: string, issuer: Effect.Success<typeof loginIssuer>) => Effect.Effect<unknown>
  ) =>
    Effect.gen(function*() {
      const issuer = yield* loginIssuer
      const home = yield* OfflineHome.make({ baseUrl: "http://127.0.0.1:9/v1", config: issuer.config })
      const child = yield* start(process.execPath, [...args("15-login.ts"), "--live", ...options], {
        env: { CODEX_HOME: home, OPENAI_API_KEY: "", ...issuer.env }
      })
      const [stdout, exitCode] = yield* Effect.all([
        Stream.mkString(Stream.decodeText(child.stdout)),
        child.exitCode,
        child.stderr.pipe(
          Stream.decodeText,
          Stream.splitLines,
          Stream.runForEach((line) => line.startsWith("http") ? answer(line, issuer) : Effect.void)
        )
      ], { concurrency: "unbounded" })
      assert.strictEqual(exitCode, 0, stdout)
      return stdout
    })

  // Whoever else begins such a login on this machine takes its port, which ends this one.
  const browser = { timeout: 120_000, retry: 2 }

  it.effect("15-login.ts logs in with a ChatGPT account in the browser", () =>
    Effect.gen(function*() {
      const stdout = yield* logIn([], (page, issuer) => issuer.visit(new URL(page), "yes"))
      assert.strictEqual(
        stdout,
        lines("Open this page in your browser:", `You are logged in (chatgpt, ${email}, plus).`)
      )
    }), browser)

  it.effect("15-login.ts tells why nobody is logged in", () =>
    Effect.gen(function*() {
      const stdout = yield* logIn([], (page, issuer) => issuer.visit(new URL(page), "no"))
      assert.match(stdout, /^Open this page in your browser:\nThat did not work: .*\n$/)
    }), browser)

  it.effect("15-login.ts logs in by a code", () =>
    Effect.gen(function*() {
      const stdout = yield* logIn(["--device-code"], (asked, issuer) => {
        assert.match(asked, new RegExp(`^http\\S+/codex/device ${userCode}$`))
        return issuer.enter
      })
      assert.strictEqual(
        stdout,
        lines("Open this page, and enter the code there:", `You are logged in (chatgpt, ${email}, plus).`)
      )
    }), 120_000)

  it.effect(
    `${HTTP_SERVER} streams its answers, stops a turn when its client leaves, and ends while another runs`,
    () =>
      Effect.gen(function*() {
        const child = yield* start(process.execPath, args(HTTP_SERVER), { env: { CODEX_HOME: "", PORT: "0" } })
        const said: Array<string> = []
        /** Reads on until the server has said all of this. */
        const until = (...wanted: ReadonlyArray<string>) =>
          Effect.gen(function*() {
            for (;;) {
              if (wanted.every((part) => said.some((line) => line.startsWith(part)))) return
              yield* Effect.sleep("10 millis")
            }
          })
        yield* child.stdout.pipe(
          Stream.decodeText,
          Stream.splitLines,
          Stream.runForEach((line) => Effect.sync(() => said.push(line))),
          Effect.forkScoped
        )
        yield* until("Listening on ")
        const address = said[0]?.slice("Listening on ".length) ?? ""

        const answer = yield* Effect.promise(async (signal) => {
          const response = await fetch(`${address}/ask?q=Hello`, { signal })
          return { type: response.headers.get("content-type"), text: await response.text() }
        })
        assert.include(answer.type ?? "", "text/event-stream")
        assert.strictEqual(
          answer.text,
          ["delta\ndata: \"You \"", "delta\ndata: \"asked: \"", "delta\ndata: \"Hello\"", "end\ndata: \"completed\""]
            .map((event) => `event: ${event}\n\n`).join("")
        )
        yield* until("The turn has ended")

        // What is not read to its end is left.
        yield* Effect.promise((signal) => fetch(`${address}/ask?q=A+long+answer`, { signal })).pipe(
          Effect.andThen(({ body }) => Effect.promise(async () => body?.cancel()))
        )
        yield* until("The client has left", "The model has stopped")

        assert.strictEqual(yield* Effect.promise(() => fetch(`${address}/ask`).then(({ status }) => status)), 400)

        // An answer that goes on holds the end up for no more than a moment.
        const another = yield* Effect.promise((signal) => fetch(`${address}/ask?q=Another+long+answer`, { signal }))
        yield* child.kill().pipe(Effect.timeout("10 seconds"))
        assert.strictEqual(yield* child.exitCode, 130)
        assert.isTrue(another.ok)
      }).pipe(Effect.timeout("100 seconds")),
    120_000
  )
})
