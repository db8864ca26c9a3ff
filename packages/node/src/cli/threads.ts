/** `effect-codex threads`. */
import { Codex } from "@effect-codex/core"
import type { Thread, Turn, UserInput } from "@effect-codex/core/types"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import { layer, optional } from "./codex.ts"
import { fromCodexError } from "./failure.ts"
import * as Items from "./items.ts"
import { Output } from "./output.ts"
import { prompt, runTurn, turnFlags } from "./run.ts"
import * as Text from "./text.ts"

const id = Argument.String("id").pipe(Argument.withDescription("The id of the thread, as `threads list` shows it"))

const json = Flag.Boolean("json").pipe(Flag.withDefault(false))

// =============================================================================
// List
// =============================================================================

const TITLE_WIDTH = 48

const list = Command.make("list", {
  limit: Flag.Int("limit").pipe(
    Flag.withAlias("n"),
    Flag.withDescription("How many threads to show"),
    Flag.filter((limit) => limit > 0, () => "Expected a number above 0"),
    Flag.withDefault(20)
  ),
  cursor: optional(Flag.String("cursor").pipe(Flag.withDescription("Where to go on: what the page before ended with"))),
  search: optional(Flag.String("search").pipe(Flag.withDescription("Only threads whose title has this text"))),
  cwd: optional(
    Flag.Directory("cwd").pipe(Flag.withDescription("Only threads of this working directory; `--cwd .` for this one"))
  ),
  archived: Flag.Boolean("archived").pipe(
    Flag.withDescription("The archived threads instead of the others"),
    Flag.withDefault(false)
  ),
  sort: Flag.ChoiceWithValue("sort", [["created", "created_at"], ["updated", "updated_at"]] as const).pipe(
    Flag.withDescription("What comes first"),
    Flag.withDefault("updated_at" as const)
  ),
  json: json.pipe(Flag.withDescription("One thread as JSON per line"))
}, ({ archived, cursor, cwd, json, limit, search, sort }) =>
  Effect.gen(function*() {
    const { answer, paintAnswer, tellLine } = yield* Output
    const path = yield* Path.Path
    const codex = yield* Codex
    const { data, nextCursor } = yield* codex.listThreads({
      archived,
      cursor,
      pageSize: limit,
      searchTerm: search,
      sortKey: sort,
      cwd: cwd === undefined ? undefined : path.resolve(cwd)
    }).pipe(Effect.mapError(fromCodexError))
    const now = yield* Clock.currentTimeMillis
    yield* answer(
      json
        ? data.map((thread) => `${JSON.stringify(thread)}\n`).join("")
        : data.length === 0
        ? ""
        : Text.table([
          ["ID", "AGE", "TITLE", "MODEL", "DIRECTORY"],
          ...data.map((thread) => [
            thread.id,
            Text.age(now - thread.updatedAt * 1000),
            titleOf(thread),
            thread.model ?? thread.modelProvider,
            Text.line(thread.cwd, TITLE_WIDTH * 2)
          ])
        ]).replace(/^.*$/m, (heading) => paintAnswer("bold", heading))
    )
    if (data.length === 0) yield* tellLine("There are no such threads.")
    if (typeof nextCursor === "string") yield* tellLine(`There are more: --cursor "${nextCursor}"`)
  }).pipe(Effect.provide(layer))).pipe(
    Command.withDescription("Lists the stored threads, those first that were at work last."),
    Command.withShortDescription("List the stored threads"),
    Command.withExamples([
      { command: "effect-codex threads list --cwd . --limit 5" },
      { command: "effect-codex threads list --json | jq -r .id" }
    ])
  )

const titleOf = ({ name, preview }: Thread): string => Text.line(name ?? preview, TITLE_WIDTH)

// =============================================================================
// Show
// =============================================================================

const show = Command.make(
  "show",
  { id, json: json.pipe(Flag.withDescription("The thread as JSON, as the protocol has it")) },
  ({ id, json }) =>
    Effect.gen(function*() {
      const { answer, paintAnswer } = yield* Output
      const codex = yield* Codex
      const thread = yield* Effect.mapError(codex.readThread(id, { includeTurns: true }), fromCodexError)
      yield* answer(
        json
          ? `${JSON.stringify(thread)}\n`
          : [heading(thread, paintAnswer), ...thread.turns.map((turn) => history(turn, paintAnswer))].join("\n")
      )
    }).pipe(Effect.provide(layer))
).pipe(
  Command.withDescription("Shows a stored thread: what it runs with, and what was said and done."),
  Command.withShortDescription("Show a stored thread")
)

type Paint = Output["Service"]["paintAnswer"]

const heading = (thread: Thread, paint: Paint): string =>
  `${paint("bold", titleOf(thread))}\n` + Text.table([
    ["id", thread.id],
    ["model", `${thread.model ?? "unknown"} (${thread.modelProvider})`],
    ["directory", Text.line(thread.cwd, TITLE_WIDTH * 2)],
    ["created", time(thread.createdAt)],
    ["updated", time(thread.updatedAt)],
    ["turns", String(thread.turns.length)]
  ])

const time = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(".000Z", "Z")

const history = ({ durationMs, error, items, status }: Turn, paint: Paint): string => {
  const lines = items.flatMap((item) => {
    switch (item.type) {
      case "userMessage":
        return [paint("bold", item.content.map(said).join("\n").replaceAll(/^/gm, "> "))]
      case "agentMessage":
        return [item.phase === "commentary" ? paint("dim", Text.visible(item.text)) : Text.visible(item.text)]
      default: {
        const title = Items.titleOf(item)
        return title === undefined
          ? []
          : [paint("cyan", title), ...Items.detailsOf(item).map((detail) => paint("dim", `  ${detail}`))]
      }
    }
  })
  const end = `${status}${typeof durationMs === "number" ? ` in ${Text.duration(durationMs)}` : ""}`
  const why = error === null || error === undefined ? "" : `: ${Text.line(error.message, TITLE_WIDTH * 4)}`
  return `${[...lines, paint("dim", `(${end}${why})`)].join("\n")}\n`
}

const said = (input: UserInput): string => {
  switch (input.type) {
    case "text":
      return Text.visible(input.text)
    case "localImage":
      return `[image ${Text.visible(input.path)}]`
    default:
      return `[${input.type}]`
  }
}

// =============================================================================
// Resume
// =============================================================================

const resume = Command.make(
  "resume",
  { id, prompt, ...turnFlags },
  ({ id, prompt, ...flags }) => runTurn({ prompt, resume: id, ephemeral: false, flags })
).pipe(
  Command.withDescription(
    "Runs one turn of a stored thread, as `run --resume`. What is not said is as the thread has it."
  ),
  Command.withShortDescription("Go on with a stored thread"),
  Command.withExamples([{ command: "effect-codex threads resume ID \"And the tests?\"" }])
)

/** What there is of stored threads. */
export const threads = Command.make("threads").pipe(
  Command.withDescription("Lists, shows and goes on with stored threads."),
  Command.withShortDescription("List, show and resume stored threads"),
  Command.withSubcommands([list, show, resume])
)
