/** `effect-codex record` and `effect-codex replay`. */
import { AppServerClient, Codex } from "@effect-codex/core"
import { Transcript } from "@effect-codex/core/testing"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redact from "../internal/redact.ts"
import * as NodeCodex from "../NodeCodex.ts"
import * as CodexOptions from "./codex.ts"
import { failed, fromCodexError, misused } from "./failure.ts"
import * as JsonReporter from "./jsonReporter.ts"
import { Output } from "./output.ts"
import * as Progress from "./progress.ts"
import { prompt, runTurn, turnFlags } from "./run.ts"
import * as Teller from "./teller.ts"
import * as Text from "./text.ts"

// =============================================================================
// Record
// =============================================================================

/** A turn of a new thread, with all that crosses the wire written to a file. */
export const record = Command.make(
  "record",
  {
    file: Argument.File("file").pipe(Argument.withDescription("Where to write; what is there is written over")),
    prompt,
    times: Flag.Boolean("times").pipe(
      Flag.withDescription("Writes when each message came, so that it can be replayed at that pace"),
      Flag.withDefault(false)
    ),
    ...turnFlags
  },
  ({ file, prompt, times, ...flags }) =>
    runTurn({ prompt, resume: undefined, ephemeral: false, flags, layer: recorded(file, times) })
).pipe(
  Command.withDescription(
    "Runs one turn as `run` does, and writes all that crosses the wire to a file, for `replay` and for tests " +
      "(`Transcript` of @effect-codex/core/testing). Ids and places are placeholders there and keys are taken out; " +
      "prompts, answers and the content of files are in it."
  ),
  Command.withShortDescription("Run a turn and write down what crosses the wire"),
  Command.withExamples([{ command: "effect-codex record hello.jsonl --sandbox read-only -- Say hello" }])
)

const recorded = (file: string, times: boolean) =>
  Layer.unwrap(Effect.map(CodexOptions.options, (options) =>
    Codex.layer.pipe(
      Layer.provideMerge(AppServerClient.layer(options)),
      Layer.catch((error) => Layer.effectContext(Effect.fail(fromCodexError(error)))),
      Layer.provide(
        Transcript.record(file, { times, secrets: Redact.secretsOf(process.env) }).pipe(
          Layer.provide(NodeFileSystem.layer),
          Layer.catch(() => Layer.effectContext(Effect.fail(misused(`${file} cannot be written`))))
        )
      ),
      Layer.provide(
        NodeCodex.layerTransport(options).pipe(
          Layer.catch((error) => Layer.effectContext(Effect.fail(fromCodexError(error))))
        )
      )
    )))

// =============================================================================
// Replay
// =============================================================================

/** What a transcript holds, told as it was when it happened. */
export const replay = Command.make("replay", {
  file: Argument.File("file", { mustExist: true }).pipe(Argument.withDescription("A transcript")),
  pace: Flag.Boolean("pace").pipe(
    Flag.withDescription("Takes as long as it took, where the transcript has times"),
    Flag.withDefault(false)
  ),
  json: turnFlags.json,
  quiet: turnFlags.quiet
}, ({ file, json, pace, quiet }) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const output = yield* Output
    const text = yield* Effect.mapError(fs.readFileString(file), () => failed(`${file} cannot be read`))
    const { entries, header } = yield* Effect.mapError(Transcript.parse(text), (error) =>
      misused(`${file} is no transcript: ${error.message}`))
    if (!json && !quiet) {
      yield* output.tellLine(output.paint("dim", `recorded with codex ${header.codex}`))
    }
    const teller = yield* Teller.make({
      reporter: json ? JsonReporter.make : Progress.make({ quiet, stored: false }),
      failed: (reason) =>
        json ? Effect.void : output.tellLine(output.paint("red", Text.line(reason, REASON_WIDTH)))
    })
    let now = 0
    for (const entry of entries) {
      const at = entry.at ?? now
      if (pace && at > now) {
        yield* Effect.sleep(at - now)
      }
      now = at
      if ("message" in entry) {
        yield* teller.tell(entry.from, entry.message)
      }
      if ("end" in entry) {
        yield* output.tellLine(output.paint("yellow", "the connection ended here"))
      }
    }
    if (teller.isWithinTurn()) {
      yield* output.tellLine(output.paint("yellow", "the transcript ends here, and the turn went on"))
    }
  })).pipe(
    Command.withDescription(
      "Tells what was recorded as `run` tells it, with no process, account or network. What does not match the protocol " +
        "that effect-codex knows is warned of."
    ),
    Command.withShortDescription("Tell what was recorded"),
    Command.withExamples([{ command: "effect-codex replay hello.jsonl" }])
  )

/** How much is shown of why a turn has failed. */
const REASON_WIDTH = 1_000
