/**
 * Records the bytes that fake.mjs writes: a turn of the real app-server on an offline model, with a command and a message
 * in deltas, and the same turn of `codex exec`. What differs from one machine and one time to the next is made neutral;
 * all else in recorded.jsonl is what was read.
 *
 *     npm run bench:record
 */
import { Transport } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import { OfflineHome, OfflineModel } from "@effect-codex/node/testing"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Stream from "effect/Stream"
import { fileURLToPath } from "node:url"
import { pinnedBinary } from "../generate/binary.ts"
import { CommandFailed } from "./commands.ts"

const RECORDED = fileURLToPath(new URL("recorded.jsonl", import.meta.url))
const PROMPT = "Say hello."
/** How many lines the command prints, so that the event of its end has about 870 bytes in either form. */
const PRINTED = { appServer: 8, exec: 23 }

interface Answer {
  readonly id?: string
  readonly result: { readonly thread: { readonly id: string }; readonly turn: { readonly id: string } }
}

const lines = <E>(bytes: Stream.Stream<Uint8Array, E>) => bytes.pipe(Stream.decodeText(), Stream.splitLines)

/** Has the model call a command that prints so many lines, and then answer. */
const script = Effect.fnUntraced(function*(project: string, printed: number) {
  const fs = yield* FileSystem.FileSystem
  const model = yield* OfflineModel
  yield* fs.writeFileString(`${project}/index.ts`, "export * from \"./Codex.ts\"\n".repeat(printed))
  yield* model.enqueue(
    OfflineModel.functionCall({
      name: "exec_command",
      callId: "call_0123456789abcdef",
      arguments: { cmd: "cat index.ts" }
    }),
    OfflineModel.text("Something was printed.")
  )
})

interface Places {
  readonly binary: string
  readonly home: string
  readonly project: string
}

/** The answers, whose ids are the methods that were asked, and the events of the turn. */
const recordAppServer = Effect.fnUntraced(function*({ project }: Places) {
  yield* script(project, PRINTED.appServer)
  const { incoming, send } = yield* Transport
  const ask = (method: string, params: unknown) => send(JSON.stringify({ id: method, method, params }))
  let turnId = ""
  const next = ({ id, result }: Answer) =>
    Effect.gen(function*() {
      switch (id) {
        case "initialize":
          yield* send(JSON.stringify({ method: "initialized" }))
          yield* ask("thread/loaded/list", {})
          return yield* ask("thread/start", { approvalPolicy: "never", sandbox: "danger-full-access" })
        case "thread/start":
          return yield* ask("turn/start", { threadId: result.thread.id, input: [{ type: "text", text: PROMPT }] })
        case "turn/start":
          turnId = result.turn.id
      }
    })
  yield* ask("initialize", { clientInfo: { name: "bench", title: null, version: "0.0.0" }, capabilities: null })
  const read = yield* lines(incoming).pipe(
    Stream.tap((line) => Effect.suspend(() => next(JSON.parse(line)))),
    Stream.takeUntil((line) => line.startsWith(`{"method":"turn/completed"`)),
    Stream.runCollect
  )
  return read.filter((line) => line.startsWith(`{"id"`) || line.includes(turnId))
}, (recording, { binary, home, project }) =>
  Effect.provide(
    recording,
    NodeCodex.layerTransport({ codexPath: binary, codexHome: home, cwd: project, env: { HOME: home } })
  ))

const recordExec = Effect.fnUntraced(function*({ binary, home, project }: Places) {
  yield* script(project, PRINTED.exec)
  const spawner = yield* ChildProcessSpawner
  const args = ["--experimental-json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
  const child = yield* spawner.spawn(
    ChildProcess.make(binary, ["exec", ...args, PROMPT], {
      cwd: project,
      env: { CODEX_HOME: home, HOME: home },
      extendEnv: true,
      stdin: "ignore"
    })
  )
  const read = yield* Stream.runCollect(lines(child.stdout))
  if ((yield* child.exitCode) !== 0) return yield* new CommandFailed({ command: "codex exec", output: read.join("\n") })
  return read
}, Effect.scoped)

/** Ids by their order, times, durations, process ids, places and the name of the system as neutral ones of their kind. */
const neutral = (text: string, { home, project }: Places): string => {
  const ids = new Map<string, string>()
  const idOf = (id: string) => {
    const known = ids.get(id) ?? `00000000-0000-7000-8000-${String(ids.size + 1).padStart(12, "0")}`
    ids.set(id, known)
    return known
  }
  return text
    .replaceAll(project, "/home/user/project")
    .replaceAll(home, "/home/user/.codex")
    .replace(/[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, idOf)
    .replace(/(At":)\d+/g, "$11795243299")
    .replace(/(AtMs":)\d+/g, "$11795243299693")
    .replace(/("durationMs":)\d+/g, "$1500")
    .replace(/("processId":)"\d+"/g, "$1\"12345\"")
    .replace(/sessions\/\S+?\/rollout-[\dT-]{19}/g, "sessions/2026/11/21/rollout-2026-11-21T06-41-39")
    .replace(/ \([^();]+; [^()]+\) \S+ /g, " (Linux 6.1.0; x86_64) xterm ")
}

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const { baseUrl } = yield* OfflineModel
  const { binary } = yield* pinnedBinary
  const project = yield* fs.realPath(yield* fs.makeTempDirectoryScoped())
  const places = { binary, home: yield* OfflineHome.make({ baseUrl }), project }
  const recorded = [...(yield* recordAppServer(places)), ...(yield* recordExec(places)), ""]
  yield* fs.writeFileString(RECORDED, neutral(recorded.join("\n"), places))
})

program.pipe(
  Effect.scoped,
  Effect.timeout("1 minute"),
  Effect.provide(Layer.mergeAll(OfflineModel.layer(), NodeServices.layer)),
  NodeRuntime.runMain
)
