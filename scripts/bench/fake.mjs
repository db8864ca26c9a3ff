#!/usr/bin/env node
/**
 * A `codex` that costs as little as possible, for measuring its clients. As `codex app-server` it answers the handshake,
 * starts threads and writes the events of turns from bytes that are made once; as `codex exec --experimental-json` it
 * writes as many events of that form.
 *
 * What a turn is made of comes from the text of its input, as JSON: `events` of a `kind` ("delta" or "item"), one turn
 * after the other, event by event, `pause` milliseconds after `together` turns have been started. Any other text is a turn without events; one
 * that is `open` does not end.
 */
import { createInterface } from "node:readline"
import { setTimeout } from "node:timers/promises"

/** Enough for the writes to cost next to nothing. */
const BATCH_BYTES = 256 * 1024
const emittedAtMs = 1_795_243_299_693

let ids = 0

const write = (bytes) =>
  new Promise((resolve) => {
    if (process.stdout.write(bytes)) resolve()
    else process.stdout.once("drain", resolve)
  })

const line = (message) => `${JSON.stringify(message)}\n`

const turn = (id, status) => ({
  id,
  rootTurnId: id,
  items: [],
  itemsView: "notLoaded",
  status,
  error: null,
  startedAt: 1_795_243_299,
  completedAt: status === "inProgress" ? null : 1_795_243_300,
  durationMs: status === "inProgress" ? null : 1_000
})

const output = "export * from \"./Codex.ts\"\n".repeat(8)

const kinds = {
  delta: (threadId, turnId) => ({
    method: "item/agentMessage/delta",
    params: { threadId, turnId, itemId: "msg_0123456789abcdef", delta: "hello " },
    emittedAtMs
  }),
  item: (threadId, turnId) => ({
    method: "item/completed",
    params: {
      item: {
        type: "commandExecution",
        id: "call_0123456789abcdef",
        command: "/bin/bash -lc 'cat packages/core/src/index.ts'",
        cwd: "/home/user/project",
        processId: "12345",
        source: "unifiedExecStartup",
        status: "completed",
        commandActions: [{
          type: "read",
          command: "cat packages/core/src/index.ts",
          name: "index.ts",
          path: "/home/user/project/packages/core/src/index.ts"
        }],
        aggregatedOutput: output,
        exitCode: 0,
        durationMs: 12,
        startedAtMs: emittedAtMs,
        completedAtMs: emittedAtMs
      },
      threadId,
      turnId,
      contentTokenCount: null,
      completedAtMs: emittedAtMs
    },
    emittedAtMs
  })
}

const repeated = async (round, times) => {
  const perBatch = Math.max(1, Math.min(times, Math.floor(BATCH_BYTES / round.length)))
  const batch = Buffer.from(round.repeat(perBatch))
  for (let left = times; left > 0; left -= perBatch) {
    await write(left >= perBatch ? batch : Buffer.from(round.repeat(left)))
  }
}

const told = (method, { threadId, turnId }, status) =>
  line({ method, params: { threadId, turn: turn(turnId, status) }, emittedAtMs })

/** Runs turns that were started with the same input side by side. */
const runTurns = async (turns, { events, kind, open, pause }) => {
  await write(turns.map((one) => told("turn/started", one, "inProgress")).join(""))
  if (pause > 0) await setTimeout(pause)
  if (events > 0) {
    const round = turns.map(({ threadId, turnId }) => line(kinds[kind](threadId, turnId))).join("")
    await repeated(round, events)
  }
  if (open !== true) await write(turns.map((one) => told("turn/completed", one, "completed")).join(""))
}

const waiting = []

const startTurn = async (id, { input, threadId }) => {
  const turnId = `turn-${ids++}`
  const { text } = input[0]
  const plan = text.startsWith("{") ? JSON.parse(text) : { events: 0 }
  await write(line({ id, result: { turn: turn(turnId, "inProgress") } }))
  waiting.push({ threadId, turnId })
  if (waiting.length >= (plan.together ?? 1)) await runTurns(waiting.splice(0), plan)
}

const results = {
  initialize: () => ({
    userAgent: "bench/0.169.0 (fake)",
    codexHome: "/",
    platformFamily: "unix",
    platformOs: "linux"
  }),
  "thread/start": () => ({
    thread: {
      id: `thread-${ids++}`,
      sessionId: "s",
      preview: "",
      ephemeral: false,
      modelProvider: "offline",
      createdAt: 1,
      updatedAt: 1,
      status: { type: "idle" },
      cwd: "/",
      cliVersion: "0.169.0",
      source: "appServer",
      projectId: null,
      turns: []
    },
    model: "m",
    modelProvider: "offline",
    cwd: "/",
    approvalPolicy: "on-request",
    approvalsReviewer: "user",
    sandbox: { type: "readOnly" }
  }),
  "thread/loaded/list": () => ({ data: [], nextCursor: null })
}

const serve = async () => {
  for await (const text of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(text)
    if (id === undefined) continue
    if (method === "turn/start") void startTurn(id, params)
    else process.stdout.write(line({ id, result: results[method]?.() ?? {} }))
  }
}

const execItem = line({
  type: "item.completed",
  item: {
    id: "item_0",
    type: "command_execution",
    command: "/bin/bash -lc 'cat packages/core/src/index.ts'",
    aggregated_output: output.repeat(3),
    exit_code: 0,
    status: "completed"
  }
})

const execute = async () => {
  let text = ""
  for await (const chunk of process.stdin) text += chunk
  const { events } = text.startsWith("{") ? JSON.parse(text) : { events: 0 }
  await write(line({ type: "thread.started", thread_id: "thread-0" }))
  await write(line({ type: "turn.started" }))
  await repeated(execItem, events)
  const usage = { input_tokens: 1, cached_input_tokens: 0, output_tokens: 1, reasoning_output_tokens: 0 }
  await write(line({ type: "turn.completed", usage }))
}

await (process.argv[2] === "exec" ? execute() : serve())
