/** `effect-codex schema`. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Binary from "../internal/binary.ts"
import * as Bundle from "../protocol/bundle.ts"
import { type Change, diff as difference } from "../protocol/diff.ts"
import * as Executable from "./executable.ts"
import { ended, ExitCode, failed, misused } from "./failure.ts"
import { Output } from "./output.ts"
import { count, line } from "./text.ts"

const side = (name: string) =>
  Argument.String(name).pipe(
    Argument.withDescription(
      "`pinned`, a codex executable, a directory with generated JSON Schema, or the version of an installed @openai/codex"
    )
  )

const diff = Command.make("diff", {
  before: side("old"),
  after: side("new"),
  stable: Flag.Boolean("stable").pipe(
    Flag.withDescription("Without the experimental API; a directory is compared as it is"),
    Flag.withDefault(false)
  ),
  failOn: Flag.Literals("fail-on", ["any", "breaking", "never"]).pipe(
    Flag.withDescription("Which changes the command ends with exit code 1 for"),
    Flag.withDefault("any" as const)
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("The changes as JSON"), Flag.withDefault(false))
}, ({ after, before, failOn, json, stable }) =>
  Effect.gen(function*() {
    const { answer, paintAnswer } = yield* Output
    const [old, now] = yield* Effect.all([source(before, !stable), source(after, !stable)], { concurrency: 2 })
    const changes = difference(old.definitions, now.definitions)
    const breaking = changes.filter((change) => change.breaking)
    const compatible = changes.filter((change) => !change.breaking)
    yield* answer(
      json
        ? `${JSON.stringify({ old: old.name, new: now.name, breaking, compatible })}\n`
        : [
          paintAnswer("bold", `${old.name} -> ${now.name}`),
          ...(changes.length === 0 ? ["The same protocol."] : []),
          ...group("Breaking", breaking, (text) => paintAnswer("red", text)),
          ...group("Compatible", compatible, (text) => paintAnswer("green", text)),
          ""
        ].join("\n")
    )
    const counted = failOn === "any" ? changes : failOn === "breaking" ? breaking : []
    if (counted.length > 0) return yield* ended(ExitCode.failed)
  })).pipe(
    Command.withDescription(
      "What has changed in the protocol between two versions of codex: methods, types, their fields and variants, and " +
        "whether that may break a client. Exit codes: 0 where nothing has changed that --fail-on names, else 1."
    ),
    Command.withShortDescription("Compare the protocols of two versions of codex"),
    Command.withExamples([
      { command: "effect-codex schema diff pinned ./codex-new", description: "What an update would change" },
      { command: "effect-codex schema diff ./schema-old ./schema-new --fail-on breaking --json" }
    ])
  )

/** What there is of the protocol. */
export const schema = Command.make("schema").pipe(
  Command.withDescription("Looks at the protocol between codex and its clients."),
  Command.withShortDescription("Compare versions of the protocol"),
  Command.withSubcommands([diff])
)

const group = (
  title: string,
  changes: ReadonlyArray<Change>,
  paint: (text: string) => string
): ReadonlyArray<string> =>
  changes.length === 0 ? [] : [
    "",
    paint(`${title} (${count(changes.length)})`),
    ...changes.map(({ at, change, detail, kind }) =>
      `  ${signs[change]} ${kind} ${line(at, 200)}${detail === undefined ? "" : `: ${line(detail, 200)}`}`
    )
  ]

const signs = { added: "+", removed: "-", changed: "~" }

const source = Effect.fnUntraced(function*(name: string, experimental: boolean) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const kind = yield* fs.stat(name).pipe(Effect.map(({ type }) => type), Effect.orElseSucceed(() => undefined))
  if (kind === "Directory") {
    return {
      name,
      definitions: yield* Effect.mapError(Bundle.definitionsIn(name), ({ reason }) => misused(`${name}: ${reason}`))
    }
  }
  const installed = /^\d+\.\d+\.\d+/.test(name) ? Binary.ofVersion(name, path.resolve()) : undefined
  if (/^\d+\.\d+\.\d+/.test(name) && kind === undefined && installed === undefined) {
    return yield* misused(
      `@openai/codex ${name} is not installed here`,
      `Install it: npm install @openai/codex@${name}`
    )
  }
  const executable = installed ?? (yield* Executable.locate(name === "pinned" ? undefined : name))
  return {
    name: `codex ${yield* Executable.version(executable)}`,
    definitions: yield* Effect.mapError(
      Bundle.protocolDefinitions(executable, { experimental }),
      (error) => failed(`${executable}: ${error.message}`)
    )
  }
})
