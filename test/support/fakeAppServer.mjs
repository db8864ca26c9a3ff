#!/usr/bin/env node
/**
 * A fake `codex app-server` for faults that the real one does not show at will. It is
 * a real executable: give its path as `codexPath`. It speaks the real wire shapes,
 * and does what the JSON in the variable FAKE_APP_SERVER says:
 *
 *   log            a file; the process writes what it notes there, a line each: first
 *                  `pid N`, and `grandchild N` for each of those
 *   methods        true notes each method that comes, as `> method`
 *   ignore         what it does not mind: "eof" (the end of stdin), "SIGTERM"
 *   grandchildren  how many processes it starts before all else, in its own group; they
 *                  ignore SIGTERM
 *   escaped        how many of them have a session of their own
 *   on             by method, what it does when such a message comes, instead of the
 *                  ordinary answer; "(start)" is the start of the process, "(answer)" an
 *                  answer of the client. A list of steps, one after the other:
 *     { ordinary: true }           the ordinary answer
 *     { result: value }            answers with a result
 *     { error: { code, message } } answers with an error
 *     { notify: [method, params] } tells something
 *     { ask: [method, params] }    asks something; ids are 0, 1, 2 ...
 *     { raw: text, times: n }      writes text as it is, n times (once), as fast as it goes
 *     { say: text }                writes a line to stderr
 *     { note: text }               writes a line to the log
 *     { wait: milliseconds }       waits
 *     { signal: name }             sends itself a signal
 *     { exit: code }               exits
 *                  In strings, $id, $threadId and $turnId stand for those of the message.
 *   turn           how turns go:
 *     deltas: n    so many deltas (3) ...
 *     bytes: n     ... of so many characters (8), prepared and written at once
 *     every: ms    instead, one delta of each open turn at such an interval, for ever
 *     hold: true   no end of the turn, except by `turn/interrupt`
 *     burst: n     no turn starts before n have been asked for; then all do at once
 *
 * Without any of it, it answers as a server in good health does: threads can be
 * started and resumed, turns run to their end.
 */
import { spawn } from "node:child_process"
import { appendFileSync, writeSync } from "node:fs"

const script = JSON.parse(process.env["FAKE_APP_SERVER"] ?? "{}")
const turns = { deltas: 3, bytes: 8, ...script.turn }
const on = script.on ?? {}

const note = (line) => {
  if (script.log !== undefined) appendFileSync(script.log, `${line}\n`)
}

const put = (data) => {
  const bytes = typeof data === "string" ? Buffer.from(data) : data
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += writeSync(1, bytes, sent)
    } catch (error) {
      // Nobody reads any more.
      if (error.code === "EPIPE") return
      if (error.code !== "EAGAIN") throw error
    }
  }
}

const line = (message) => `${JSON.stringify(message)}\n`
const send = (message) => put(line(message))

// =============================================================================
// The wire
// =============================================================================

const now = 1_795_243_250

const thread = (id) => ({
  thread: {
    id,
    sessionId: id,
    projectId: null,
    preview: "",
    ephemeral: false,
    modelProvider: "fake",
    createdAt: now,
    updatedAt: now,
    status: { type: "idle" },
    path: null,
    cwd: "/",
    cliVersion: "0.169.0",
    source: "vscode",
    turns: []
  },
  model: "fake-model",
  modelProvider: "fake",
  serviceTier: null,
  cwd: "/",
  approvalPolicy: "on-request",
  approvalsReviewer: "user",
  sandbox: { type: "readOnly" },
  reasoningEffort: null
})

const turn = (id, status) => ({
  id,
  rootTurnId: id,
  items: [],
  itemsView: "notLoaded",
  status,
  error: null,
  startedAt: now,
  completedAt: status === "inProgress" ? null : now + 1,
  durationMs: status === "inProgress" ? null : 1_000
})

const message = (turnId, text) => ({
  type: "agentMessage",
  id: `item-${turnId}`,
  text,
  phase: null,
  memoryCitation: null
})

const started = (threadId, turnId) =>
  line({ method: "turn/started", params: { threadId, turn: turn(turnId, "inProgress") } })

const delta = (threadId, turnId, text) =>
  line({ method: "item/agentMessage/delta", params: { threadId, turnId, itemId: `item-${turnId}`, delta: text } })

const said = (threadId, turnId, text) =>
  line({
    method: "item/completed",
    params: { threadId, turnId, item: message(turnId, text), completedAtMs: now * 1_000, contentTokenCount: null }
  })

const completed = (threadId, turnId, status = "completed") =>
  line({ method: "turn/completed", params: { threadId, turn: turn(turnId, status) } })

// =============================================================================
// What a server in good health answers
// =============================================================================

let threads = 0
let turnCount = 0
const open = new Map()
const waiting = []
const piece = "x".repeat(turns.bytes)

const run = ({ id, threadId, turnId }) => {
  const answer = line({ id, result: { turn: turn(turnId, "inProgress") } }) + started(threadId, turnId)
  if (turns.every !== undefined || turns.hold === true) open.set(turnId, threadId)
  if (turns.every !== undefined) return answer
  const deltas = delta(threadId, turnId, piece).repeat(turns.deltas)
  if (turns.hold === true) return answer + deltas
  return answer + deltas + said(threadId, turnId, piece.repeat(turns.deltas)) + completed(threadId, turnId)
}

if (turns.every !== undefined) {
  setInterval(() => {
    if (open.size > 0) put(Array.from(open, ([turnId, threadId]) => delta(threadId, turnId, piece)).join(""))
  }, turns.every)
}

const ordinary = ({ id, method, params }) => {
  switch (method) {
    case "initialize":
      return send({
        id,
        result: { userAgent: "fake/0.169.0 (Fake; x)", codexHome: "/", platformFamily: "unix", platformOs: "linux" }
      })
    case "thread/start":
      return send({ id, result: thread(`thread-${++threads}`) })
    case "thread/resume":
    case "thread/fork":
      return send({ id, result: thread(params.threadId) })
    case "thread/list":
    case "model/list":
      return send({ id, result: { data: [], nextCursor: null } })
    case "thread/loaded/list":
      return send({ id, result: { data: [], nextCursor: null } })
    case "turn/start": {
      waiting.push({ id, threadId: params.threadId, turnId: `turn-${++turnCount}` })
      if (waiting.length >= (turns.burst ?? 1)) put(waiting.splice(0).map(run).join(""))
      return
    }
    case "turn/interrupt": {
      send({ id, result: {} })
      if (open.delete(params.turnId)) put(completed(params.threadId, params.turnId, "interrupted"))
      return
    }
    case "account/login/start":
      return send({ id, result: { type: "chatgpt", loginId: "login-1", authUrl: "https://example.com/login" } })
    default:
      if (id !== undefined) send({ id, result: {} })
  }
}

// =============================================================================
// What the script says
// =============================================================================

let asked = 0

const fill = (value, ids) => {
  if (typeof value === "string") return value.replace(/\$(id|threadId|turnId)\b/g, (_, name) => String(ids[name]))
  if (Array.isArray(value)) return value.map((item) => fill(item, ids))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, ids)]))
}

const play = async (steps, incoming) => {
  for (const template of steps) {
    const ids = {
      id: incoming.id,
      threadId: incoming.params?.threadId ?? "thread-1",
      turnId: incoming.params?.turnId ?? `turn-${turnCount}`
    }
    const step = fill(template, ids)
    if (step.ordinary) ordinary(incoming)
    else if (step.result !== undefined) send({ id: incoming.id, result: step.result })
    else if (step.error !== undefined) send({ id: incoming.id, error: step.error })
    else if (step.notify !== undefined) send({ method: step.notify[0], params: step.notify[1] })
    else if (step.ask !== undefined) send({ id: asked++, method: step.ask[0], params: step.ask[1] })
    else if (step.raw !== undefined) flood(step.raw, step.times ?? 1)
    else if (step.say !== undefined) writeSync(2, `${step.say}\n`)
    else if (step.note !== undefined) note(step.note)
    else if (step.wait !== undefined) await new Promise((resolve) => setTimeout(resolve, step.wait))
    else if (step.signal !== undefined) process.kill(process.pid, step.signal)
    else if (step.exit !== undefined) process.exit(step.exit)
  }
}

const CHUNK = 262_144

/** Prepares a chunk of many repetitions, so that the pipe is the limit. */
const flood = (text, times) => {
  const many = Math.max(1, Math.min(times, Math.floor(CHUNK / Math.max(1, text.length))))
  const chunk = Buffer.from(text.repeat(many))
  for (let rest = times; rest > 0; rest -= many) put(rest >= many ? chunk : text.repeat(rest))
}

const receive = (incoming) => {
  const name = incoming.method ?? "(answer)"
  if (script.methods === true) note(`> ${name}`)
  const steps = on[name]
  if (steps === undefined) ordinary(incoming)
  else play(steps, incoming)
}

// =============================================================================
// The process
// =============================================================================

const ignored = new Set(script.ignore ?? [])

note(`pid ${process.pid}`)
if (ignored.has("SIGTERM")) process.on("SIGTERM", () => note("SIGTERM"))
for (let count = 0; count < (script.grandchildren ?? 0); count++) {
  const stubborn = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('ready')"
  const child = spawn(process.execPath, ["-e", stubborn], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: count < (script.escaped ?? 0)
  })
  await new Promise((resolve) => child.stdout.once("data", resolve))
  note(`grandchild ${child.pid}`)
}

let rest = ""
process.stdin.setEncoding("utf8")
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\n")
  rest = lines.pop()
  for (const text of lines) receive(JSON.parse(text))
})
process.stdin.on("end", () => {
  note("end of stdin")
  if (!ignored.has("eof")) process.exit(0)
})
if (ignored.has("eof")) setInterval(() => {}, 1_000)
if (on["(start)"] !== undefined) play(on["(start)"], {})
