/** `effect-codex record` and `effect-codex replay`. */
import { type Approvals, AppServerClient, Codex, type ServerNotification } from "@effect-codex/core"
import { Transcript } from "@effect-codex/core/testing"
import type { ThreadItem, ThreadTokenUsage } from "@effect-codex/core/types"
import {
  CommandExecutionRequestApprovalParams,
  type ServerNotificationMethod,
  ServerNotifications
} from "@effect-codex/generated"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Redact from "../internal/redact.ts"
import * as NodeCodex from "../NodeCodex.ts"
import * as CodexOptions from "./codex.ts"
import { failed, fromCodexError, misused } from "./failure.ts"
import * as JsonReporter from "./jsonReporter.ts"
import { Output } from "./output.ts"
import * as Progress from "./progress.ts"
import type { Conclusion, Reporter } from "./reporter.ts"
import { prompt, runTurn, turnFlags } from "./run.ts"
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
    const reporter = yield* json ? JsonReporter.make : Progress.make({ quiet, stored: false })
    if (!json && !quiet) {
      yield* output.tellLine(output.paint("dim", `recorded with codex ${header.codex}`))
    }
    const teller = makeTeller(
      reporter,
      (reason) =>
        json ? Effect.void : output.tellLine(output.paint("red", Text.line(reason, REASON_WIDTH)))
    )
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

type Message = Readonly<Record<string, Schema.Json>>

/** How much is shown of why a turn has failed. */
const REASON_WIDTH = 1_000

/** A turn that is being told. */
interface Told {
  readonly items: Array<ThreadItem>
  usage: ThreadTokenUsage | null
}

/** Tells messages one after the other. Turns are known by what the server says of them. */
const makeTeller = (reporter: Reporter, failed: (reason: string) => Effect.Effect<void>) => {
  const turns = new Map<string, Told>()
  const asked = new Map<Schema.Json, Approvals.ApprovalRequest>()

  const event = Effect.fnUntraced(function*(event: ServerNotification) {
    if (event.method === "turn/started") {
      turns.set(event.params.turn.id, { items: [], usage: null })
      yield* reporter.started({ threadId: event.params.threadId, turnId: event.params.turn.id })
    }
    const turn = turns.get(event.turnId ?? "")
    if (turn === undefined) return
    if (event.method === "item/completed") turn.items.push(event.params.item)
    if (event.method === "thread/tokenUsage/updated") turn.usage = event.params.tokenUsage
    yield* reporter.events([event])
    if (event.method === "turn/completed") {
      const { threadId, turn: { completedAt, durationMs, error, id, startedAt, status } } = event.params
      turns.delete(id)
      const conclusion: Conclusion = {
        threadId,
        turnId: id,
        status,
        finalResponse: answerOf(turn.items),
        items: turn.items,
        usage: turn.usage,
        startedAt: timeOf(startedAt),
        completedAt: timeOf(completedAt),
        // A transcript has none, unless it was asked for times.
        durationMs: durationMs === undefined || durationMs === 0 ? null : durationMs
      }
      yield* reporter.ended(conclusion, error?.message)
      if (typeof error?.message === "string") yield* failed(error.message)
    }
  })

  const tell = Effect.fnUntraced(function*(from: "client" | "server", message: Message) {
    const { id, method, params, result } = message
    if (from === "server" && id === undefined && isKnown(method)) {
      const decoded = decodeEvent(method, params)
      if (Option.isSome(decoded)) yield* event(decoded.value)
      else yield* reporter.unknown(`${method} does not match its schema`)
    } else if (from === "server" && method === "item/commandExecution/requestApproval" && id !== undefined) {
      const request = decodeApproval(params)
      if (Option.isSome(request)) {
        const { command, cwd, itemId, reason, threadId, turnId } = request.value
        asked.set(id, {
          _tag: "Command",
          threadId,
          turnId,
          itemId,
          reason: reason ?? null,
          command: command ?? null,
          cwd: cwd ?? null,
          network: null,
          additionalPermissions: null,
          mayHidePermissions: true
        })
      }
    } else if (from === "client" && id !== undefined && method === undefined) {
      const request = asked.get(id)
      const decision = Option.getOrUndefined(decodeAnswer(result))?.decision
      if (request !== undefined && decision !== undefined) {
        yield* reporter.decided({ request, decision: decisions[decision], asked: true })
      }
    }
  })
  return { tell, isWithinTurn: () => turns.size > 0 }
}

const isKnown = (method: Schema.Json | undefined): method is ServerNotificationMethod =>
  typeof method === "string" && Object.hasOwn(ServerNotifications, method)

const decodeEvent = <M extends ServerNotificationMethod>(
  method: M,
  payload: Schema.Json | undefined
): Option.Option<ServerNotification<M>> => {
  const { params, threadId, turnId } = ServerNotifications[method]
  return Option.map(Schema.decodeUnknownOption(params)(payload), (params) => ({
    method,
    params,
    threadId: idAt(payload, threadId),
    turnId: idAt(payload, turnId),
    emittedAtMs: undefined
  }))
}

/** The id at the place that the registry names. */
const idAt = (payload: unknown, path: ReadonlyArray<string> | undefined): string | undefined => {
  const value = path?.reduce(
    (value: unknown, key) => Predicate.hasProperty(value, key) ? value[key] : undefined,
    payload
  )
  return typeof value === "string" ? value : undefined
}

const decodeApproval = Schema.decodeUnknownOption(CommandExecutionRequestApprovalParams)

const decisions = {
  accept: { _tag: "Accept", scope: "once" },
  acceptForSession: { _tag: "Accept", scope: "session" },
  decline: { _tag: "Decline" },
  cancel: { _tag: "Cancel" }
} as const

const decodeAnswer = Schema.decodeUnknownOption(
  Schema.Struct({ decision: Schema.Literals(["accept", "acceptForSession", "decline", "cancel"]) })
)

/** As `RunResult.finalResponse` has it. */
const answerOf = (items: ReadonlyArray<ThreadItem>): string | null => {
  const messages = items.filter((item) => item.type === "agentMessage")
  const last = messages.findLast(({ phase }) => phase === "final_answer") ??
    messages.findLast(({ phase }) => phase === null || phase === undefined)
  return last?.text ?? null
}

const timeOf = (seconds: number | null | undefined): DateTime.Utc | null =>
  typeof seconds === "number" ? DateTime.makeUnsafe(seconds * 1000) : null
