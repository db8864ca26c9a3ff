/** `effect-codex doctor`. */
import { Codex } from "@effect-codex/core"
import { ClientRequests, codexVersion, ServerNotifications, ServerRequests } from "@effect-codex/generated"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as SemVer from "effect/SemVer"
import { homedir } from "node:os"
import * as Bundle from "../protocol/bundle.ts"
import { methodsOf } from "../protocol/diff.ts"
import { CodexHome, CodexPath, layer } from "./codex.ts"
import * as Executable from "./executable.ts"
import {
  DOCTOR_ADVICE,
  ended,
  ExitCode,
  type Failure,
  fromCodexError,
  INSTALL_ADVICE,
  LOGIN_ADVICE
} from "./failure.ts"
import { Output } from "./output.ts"
import { count, duration, line } from "./text.ts"

/** What was found of one thing that a turn needs. */
interface Finding {
  readonly check: string
  readonly status: "ok" | "warning" | "failure" | "skipped"
  readonly message: string
  /** What can be done. */
  readonly advice?: string
}

const ok = (check: string, message: string): Finding => ({ check, status: "ok", message })

const warning = (check: string, message: string, advice: string): Finding => ({
  check,
  status: "warning",
  message,
  advice
})

const failure = (check: string, message: string, advice?: string): Finding => ({
  check,
  status: "failure",
  message,
  ...(advice === undefined ? {} : { advice })
})

const skipped = (check: string, message: string): Finding => ({ check, status: "skipped", message })

/** The finding that a failure is. */
const failedTo = (check: string) => ({ description, details }: Failure): Finding => {
  const advice = details.find((detail) => detail === LOGIN_ADVICE || detail === INSTALL_ADVICE)
  const said = details.filter((detail) => detail !== advice && detail !== DOCTOR_ADVICE)
  return failure(check, [description, ...said].join("; "), advice)
}

export const doctor = Command.make("doctor", {
  live: Flag.Boolean("live").pipe(
    Flag.withDescription("Runs a turn on the model, which costs a few thousand tokens of your account"),
    Flag.withDefault(false)
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("The findings as JSON"), Flag.withDefault(false))
}, ({ json, live }) =>
  Effect.gen(function*() {
    const { answer, paintAnswer } = yield* Output
    const findings: Array<Finding> = []
    const found = (finding: Finding) =>
      Effect.suspend(() => {
        findings.push(finding)
        if (json) return Effect.void
        const { advice, check, message, status } = finding
        return answer(
          `${paintAnswer(colours[status], status.padEnd(7))}  ${check.padEnd(10)}  ${line(message, 400)}\n` +
            (advice === undefined ? "" : `${" ".repeat(21)}${advice}\n`)
        )
      })

    const executable = yield* Executable.locate(yield* CodexPath).pipe(
      Effect.flatMap((path) => Effect.map(Executable.version(path), (version) => ({ path, version }))),
      Effect.result
    )
    if (Result.isFailure(executable)) {
      yield* found(failedTo("executable")(executable.failure))
      yield* found(yield* home)
    } else {
      yield* found(ok("executable", executable.success.path))
      yield* found(compared(executable.success.version))
      yield* found(yield* home)
      yield* found(yield* schema(executable.success.path))
      yield* connected(found, live)
    }

    const failures = findings.filter(({ status }) => status === "failure").length
    const warnings = findings.filter(({ status }) => status === "warning").length
    yield* answer(
      json
        ? `${JSON.stringify({ ok: failures === 0, findings })}\n`
        : failures > 0
        ? `\n${count(failures)} of ${findings.length} checks failed.\n`
        : warnings > 0
        ? "\nIt works, with warnings.\n"
        : "\nEverything is well.\n"
    )
    if (failures > 0) return yield* ended(ExitCode.failed)
  })).pipe(
    Command.withDescription(
      "Looks whether there is all that a turn needs, and says what to do where there is not: the executable and its " +
        "version, its home, the protocol, the handshake, the configuration, the login, and with --live a turn. " +
        "Exit codes: 0 all is well or warned of, 1 something failed."
    ),
    Command.withShortDescription("Look whether everything is there, and what to do"),
    Command.withExamples([{ command: "effect-codex doctor --live" }, { command: "effect-codex doctor --json" }])
  )

const colours = { ok: "green", warning: "yellow", failure: "red", skipped: "dim" } as const

// =============================================================================
// Before anything is started
// =============================================================================

const compared = (version: string): Finding => {
  const parsed = Result.getOrUndefined(SemVer.parse(version))
  const message = `codex ${version}; effect-codex is made for ${codexVersion}`
  if (version === codexVersion) return ok("version", message)
  return parsed === undefined || SemVer.isGreaterThan(parsed, SemVer.parseUnsafe(codexVersion))
    ? warning("version", message, "`effect-codex schema diff pinned <executable>` tells what has changed.")
    : failure("version", message, "Update it, or leave --codex-path out to use the one that comes with effect-codex.")
}

const home = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const named = (yield* CodexHome) ?? (process.env["CODEX_HOME"] || undefined)
  const directory = path.resolve(named ?? path.join(homedir(), ".codex"))
  const info = yield* Effect.option(fs.stat(directory))
  if (info._tag === "None") {
    return named === undefined
      ? ok("home", `${directory} is not there yet; codex makes it`)
      : failure("home", `${directory} is not there`, "Make it, or name another one with --codex-home or CODEX_HOME.")
  }
  if (info.value.type !== "Directory") return failure("home", `${directory} is no directory`)
  const config = path.join(directory, "config.toml")
  const written = yield* Effect.orElseSucceed(fs.exists(config), () => false)
  if (written && (yield* Effect.exit(fs.readFileString(config)))._tag === "Failure") {
    return failure("home", `${config} cannot be read`, "Look at its owner and mode.")
  }
  const writable = yield* Effect.exit(fs.access(directory, { writable: true }))
  return writable._tag === "Failure"
    ? failure("home", `${directory} cannot be written to`, "codex keeps its threads there: look at its owner and mode.")
    : ok("home", `${directory} (${written ? "with" : "no"} config.toml)`)
})

const registries = [
  ["ClientRequest", ClientRequests],
  ["ServerRequest", ServerRequests],
  ["ServerNotification", ServerNotifications]
] as const

/** What the executable says of its protocol, against what this package is made of. */
const schema = (executable: string) =>
  Bundle.protocolDefinitions(executable, { experimental: true }).pipe(
    Effect.map((definitions): Finding => {
      const drift = registries.flatMap(([union, known]) => {
        const there = methodsOf(definitions, union)
        return [
          ...Object.keys(known).filter((method) => !there.has(method)).map((method) => `- ${method}`),
          ...[...there].filter((method) => !Object.hasOwn(known, method)).map((method) => `+ ${method}`)
        ]
      })
      return drift.length === 0
        ? ok("schema", `the methods of codex ${codexVersion}`)
        : warning(
          "schema",
          `${count(drift.length)} methods differ from codex ${codexVersion}: ${drift.slice(0, 5).join(", ")}${
            drift.length > 5 ? " …" : ""
          }`,
          "`effect-codex schema diff pinned <executable>` tells what has changed."
        )
    }),
    Effect.catch((error) =>
      Effect.succeed(warning("schema", `not known: ${error.message}`, "The executable does not describe its protocol."))
    )
  )

// =============================================================================
// With an app-server
// =============================================================================

const connected = (found: (finding: Finding) => Effect.Effect<void, Failure>, live: boolean) =>
  Effect.gen(function*() {
    const begun = yield* Clock.currentTimeMillis
    yield* Effect.gen(function*() {
      const codex = yield* Codex
      yield* found(ok("handshake", `the app-server answers (${duration((yield* Clock.currentTimeMillis) - begun)})`))
      yield* found(yield* config)
      const login = yield* loginState
      yield* found(login)
      yield* found(
        !live
          ? skipped("turn", "not tried; --live runs one, which costs a few thousand tokens of your account")
          : login.status === "failure"
          ? skipped("turn", "not tried without a login")
          : yield* ping(codex)
      )
    }).pipe(Effect.provide(layer))
  }).pipe(
    // What fails in here and is no finding is that there is no app-server.
    Effect.catchTag("Failure", (error) =>
      error.description === "" ? Effect.fail(error) : found(failedTo("handshake")(error)))
  )

const config = Effect.gen(function*() {
  const codex = yield* Codex
  const { config } = yield* codex.config.read()
  return ok("config", `model ${config.model ?? "by default"}, provider ${config.model_provider ?? "openai"}`)
}).pipe(Effect.catch((error) => Effect.succeed(failedTo("config")(fromCodexError(error)))))

const loginState = Effect.gen(function*() {
  const codex = yield* Codex
  const { account, requiresOpenaiAuth } = yield* codex.account()
  if (account !== null && account !== undefined) {
    return ok(
      "login",
      account.type === "chatgpt" && "planType" in account ? `ChatGPT, plan ${String(account.planType)}` : account.type
    )
  }
  return requiresOpenaiAuth
    ? failure("login", "nobody is logged in", LOGIN_ADVICE)
    : ok("login", "the configured provider needs none")
}).pipe(Effect.catch((error) => Effect.succeed(failedTo("login")(fromCodexError(error)))))

const ping = (codex: Codex["Service"]) =>
  Effect.gen(function*() {
    const thread = yield* codex.startThread({ ephemeral: true, sandbox: "readOnly", approvalMode: "denyAll" })
    const { durationMs, finalResponse, usage } = yield* thread.run("Answer with the word pong, and do nothing else.")
    const took = [
      ...(durationMs === null ? [] : [duration(durationMs)]),
      ...(usage === null ? [] : [`${count(usage.total.totalTokens)} tokens`])
    ]
    return finalResponse === null
      ? warning("turn", "the model gave no answer", "Try another model with --config model=ID.")
      : ok("turn", `the model answers "${line(finalResponse, 40)}"${took.length === 0 ? "" : ` (${took.join(", ")})`}`)
  }).pipe(Effect.catch((error) => Effect.succeed(failedTo("turn")(fromCodexError(error)))))
