/** `effect-codex run`. */
import { Codex, Input } from "@effect-codex/core"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Prompt from "effect/cli/Prompt"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Approvals from "./approvals.ts"
import { layer, optional } from "./codex.ts"
import { ended, ExitCode, failed, fromCodexError, LOGIN_ADVICE, misused } from "./failure.ts"
import * as JsonReporter from "./jsonReporter.ts"
import { Output } from "./output.ts"
import * as Progress from "./progress.ts"
import * as Turn from "./turn.ts"

/** The prompt, word by word. */
export const prompt = Argument.String("prompt").pipe(
  Argument.withDescription("What the agent is told; without it, stdin is read, or asked for at the terminal"),
  Argument.variadic()
)

/** How a turn is run, whatever thread it is of. */
export const turnFlags = {
  model: optional(Flag.String("model").pipe(Flag.withAlias("m"), Flag.withDescription("The model, by its id"))),
  effort: optional(
    Flag.String("effort").pipe(
      Flag.withAlias("e"),
      Flag.withDescription("How hard the model thinks: one of the efforts that it lists, as low or high")
    )
  ),
  sandbox: optional(
    Flag.ChoiceWithValue(
      "sandbox",
      [["read-only", "readOnly"], ["workspace-write", "workspaceWrite"], ["full-access", "fullAccess"]] as const
    ).pipe(
      Flag.withAlias("s"),
      Flag.withDescription("What commands may touch: they only read, write below the working directory, or no sandbox")
    )
  ),
  approval: optional(
    Flag.ChoiceWithValue("approval", [["ask", "ask"], ["auto", "autoReview"], ["deny", "denyAll"]] as const).pipe(
      Flag.withAlias("a"),
      Flag.withDescription(
        "Who decides what goes beyond the sandbox: you, at this terminal; the server's reviewer; nobody"
      )
    )
  ),
  cd: optional(
    Flag.Directory("cd", { mustExist: true }).pipe(
      Flag.withAlias("C"),
      Flag.withDescription("The directory that the agent works in, instead of this one")
    )
  ),
  image: Flag.String("image").pipe(
    Flag.withAlias("i"),
    Flag.withMetavar("FILE"),
    Flag.withDescription("An image for the agent to look at, a file or a data: URL; can be repeated"),
    Flag.atLeast(0)
  ),
  outputSchema: optional(
    Flag.FileSchema("output-schema", Schema.Record(Schema.String, Schema.Json), { format: "json" }).pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("A file with the JSON schema that the answer has to match")
    )
  ),
  timeout: optional(
    Flag.String("timeout").pipe(
      Flag.withMetavar("DURATION"),
      Flag.withDescription("How long the turn may take, as \"90 seconds\" or \"10 minutes\"; a bare number is seconds"),
      Flag.filterMap(parseDuration, (text) => `Expected a duration as "10 minutes", got "${text}"`)
    )
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("One JSON object per event as lines on stdout, and nothing else there"),
    Flag.withDefault(false)
  ),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withDescription("Only the answer, and what goes wrong"),
    Flag.withDefault(false)
  )
}

/** The flags as they were given. */
export type TurnFlags = Command.Command.Config.Infer<typeof turnFlags>

/** A new thread, or a turn of a stored one. */
export const run = Command.make("run", {
  prompt,
  resume: optional(
    Flag.String("resume").pipe(
      Flag.withAlias("r"),
      Flag.withMetavar("ID"),
      Flag.withDescription("The thread to go on with, instead of a new one")
    )
  ),
  ephemeral: Flag.Boolean("ephemeral").pipe(
    Flag.withDescription("Keeps a new thread in memory only"),
    Flag.withDefault(false)
  ),
  ...turnFlags
}, ({ ephemeral, prompt, resume, ...flags }) =>
  ephemeral && resume !== undefined
    ? Effect.fail(misused("--ephemeral is for a new thread: one that is resumed is stored already"))
    : runTurn({ prompt, resume, ephemeral, flags })).pipe(
    Command.withDescription(
      "Runs one turn of the agent. The answer goes to stdout; what the agent does, and what it took, to stderr. " +
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 124 out of time, 130 interrupted."
    ),
    Command.withShortDescription("Run one turn of the agent"),
    Command.withExamples([
      { command: "effect-codex run \"What does this repository do?\"" },
      { command: "git diff | effect-codex run --sandbox read-only --quiet", description: "The prompt from stdin" },
      { command: "effect-codex run --resume ID --approval deny \"And the tests?\"" },
      { command: "effect-codex run --json \"Say hello\" | jq -r .method" }
    ])
  )

/** Runs the turn that a command line asks for. */
export const runTurn = Effect.fnUntraced(function*(options: {
  readonly prompt: ReadonlyArray<string>
  readonly resume: string | undefined
  readonly ephemeral: boolean
  readonly flags: TurnFlags
  /** The agent, where it is not the one of the options. */
  readonly layer?: typeof layer
}) {
  const { ephemeral, flags, resume } = options
  // All that can be wrong with the command line is found before anything is started.
  const input = [Input.text(yield* readPrompt(options.prompt)), ...(yield* Effect.forEach(flags.image, imageOf))]
  const reporter = yield* flags.json ? JsonReporter.make : Progress.make({ quiet: flags.quiet, stored: !ephemeral })
  const quit = yield* Deferred.make<void>()
  const policy = yield* Approvals.policy({
    reporter,
    onQuit: Effect.asVoid(Deferred.succeed(quit, undefined))
  })
  const path = yield* Path.Path

  yield* Effect.gen(function*() {
    const codex = yield* Codex
    const threadOptions = {
      model: flags.model,
      cwd: flags.cd === undefined ? undefined : path.resolve(flags.cd),
      sandbox: flags.sandbox,
      approvalMode: flags.approval,
      approvals: { policy }
    }
    yield* checkLogin
    const thread = yield* (resume === undefined
      ? codex.startThread({ ...threadOptions, ephemeral })
      : codex.resumeThread(resume, threadOptions)).pipe(Effect.mapError(fromCodexError))
    yield* Turn.run({
      threadId: thread.id,
      input,
      effort: flags.effort,
      outputSchema: flags.outputSchema,
      timeout: flags.timeout,
      reporter,
      quit
    })
  }).pipe(Effect.provide(options.layer ?? layer))
})

/** Without a login every turn fails late, and with less to say. */
const checkLogin = Effect.gen(function*() {
  const codex = yield* Codex
  const { account, requiresOpenaiAuth } = yield* Effect.mapError(codex.account(), fromCodexError)
  if (requiresOpenaiAuth && (account === null || account === undefined)) {
    // Where the configuration cannot be read, the server goes by its defaults, which need a login.
    yield* Effect.mapError(codex.config.read(), fromCodexError)
    return yield* failed("You are not logged in", LOGIN_ADVICE)
  }
})

const readPrompt = Effect.fnUntraced(function*(words: ReadonlyArray<string>) {
  const stdio = yield* Stdio.Stdio
  const output = yield* Output
  const text = words.length > 0 && words.join(" ") !== "-"
    ? words.join(" ")
    : !(yield* stdio.stdinIsTerminal)
    ? yield* stdio.stdin.pipe(
      Stream.decodeText,
      Stream.mkString,
      Effect.mapError(() => failed("stdin cannot be read"))
    )
    : output.interactive
    ? yield* output.ask(Prompt.run(Prompt.String({ message: "What is the agent to do?" }))).pipe(
      Effect.catchTag("QuitError", () => Effect.fail(ended(ExitCode.interrupted)))
    )
    : ""
  if (text.trim() === "") {
    return yield* misused("There is no prompt", "Give it as arguments or on stdin: effect-codex run \"Say hello\"")
  }
  return text
})

const imageOf = Effect.fnUntraced(function*(image: string) {
  if (image.startsWith("data:")) return Input.image(image)
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.resolve(image)
  const kind = yield* Effect.orElseSucceed(Effect.map(fs.stat(file), ({ type }) => type), () => undefined)
  if (kind === undefined) return yield* misused(`There is no image at ${image}`)
  if (kind === "Directory") return yield* misused(`${image} is a directory, and not an image`)
  return Input.localImage(file)
})

function parseDuration(text: string): Option.Option<Duration.Duration> {
  const given = Option.liftPredicate(/^\d+(\.\d+)?$/.test(text) ? `${text} seconds` : text, isDurationText)
  return Option.filter(Option.flatMap(given, Duration.fromInput), (duration) => Duration.toMillis(duration) > 0)
}

const isDurationText = (text: string): text is `${number} seconds` => /^\d+(\.\d+)? [a-z]+$/.test(text)
