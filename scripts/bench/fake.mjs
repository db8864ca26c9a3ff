#!/usr/bin/env node
/**
 * A `codex` that costs as little as possible, for measuring its clients. What it writes was recorded from the real one by
 * record.ts, with the ids of its own threads and turns, and made once for each turn: as `codex app-server` it answers the
 * handshake, starts threads and writes the events of turns; as `codex exec --experimental-json` it writes as many events
 * of that form.
 *
 * How many come from a turn is in the text of its input, as JSON: `events` of a `kind` ("delta" or "item"), one turn
 * after the other, event by event, `pause` milliseconds after `together` turns have been started. Any other text is a
 * turn without events; one that is `open` does not end.
 */
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { setTimeout } from "node:timers/promises"

/** Enough for the writes to cost next to nothing. */
const BATCH_BYTES = 256 * 1024

const recorded = readFileSync(new URL("recorded.jsonl", import.meta.url), "utf8").match(/.+\n/g)

/** The first line that begins like this. */
const lineOf = (beginning) => recorded.find((line) => line.startsWith(beginning))

const answers = new Map()
for (const line of recorded) {
  const { id, result } = JSON.parse(line)
  // It was asked with the method as the id.
  if (id !== undefined) answers.set(id, { line, result })
}
const thread = answers.get("thread/start").result.thread.id
const turn = answers.get("turn/start").result.turn.id

const started = lineOf(`{"method":"turn/started"`)
const completed = lineOf(`{"method":"turn/completed"`)
const kinds = {
  delta: lineOf(`{"method":"item/agentMessage/delta"`),
  item: lineOf(`{"method":"item/completed","params":{"item":{"type":"commandExecution"`)
}

let ids = 0
/** Ids of one length, so that all turns have lines of one length. */
const nextId = (kind) => `${kind}-${String(ids++).padStart(6, "0")}`

const written = (line, { threadId, turnId }) => line.replaceAll(thread, threadId).replaceAll(turn, turnId)

const answer = (id, method) =>
  answers.get(method)?.line.replace(JSON.stringify(method), JSON.stringify(id)) ??
    `${JSON.stringify({ id, result: {} })}\n`

const write = (bytes) =>
  new Promise((resolve) => {
    if (process.stdout.write(bytes)) resolve()
    else process.stdout.once("drain", resolve)
  })

const repeated = async (round, times) => {
  const perBatch = Math.max(1, Math.min(times, Math.floor(BATCH_BYTES / round.length)))
  const batch = Buffer.from(round.repeat(perBatch))
  for (let left = times; left > 0; left -= perBatch) {
    await write(left >= perBatch ? batch : Buffer.from(round.repeat(left)))
  }
}

/** Runs turns that were started with the same input side by side. */
const runTurns = async (turns, { events, kind, open, pause }) => {
  const ofAll = (line) => turns.map((one) => written(line, one)).join("")
  await write(ofAll(started))
  if (pause > 0) await setTimeout(pause)
  if (events > 0) await repeated(ofAll(kinds[kind]), events)
  if (open !== true) await write(ofAll(completed))
}

const waiting = []

const startTurn = async (id, { input, threadId }) => {
  const one = { threadId, turnId: nextId("turn") }
  const { text } = input[0]
  const plan = text.startsWith("{") ? JSON.parse(text) : { events: 0 }
  await write(written(answer(id, "turn/start"), one))
  waiting.push(one)
  if (waiting.length >= (plan.together ?? 1)) await runTurns(waiting.splice(0), plan)
}

const serve = async () => {
  for await (const text of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(text)
    if (id === undefined) continue
    if (method === "turn/start") void startTurn(id, params)
    else if (method === "thread/start") process.stdout.write(answer(id, method).replaceAll(thread, nextId("thread")))
    else process.stdout.write(answer(id, method))
  }
}

const execute = async () => {
  let text = ""
  for await (const chunk of process.stdin) text += chunk
  const { events } = text.startsWith("{") ? JSON.parse(text) : { events: 0 }
  await write(lineOf(`{"type":"thread.started"`))
  await write(lineOf(`{"type":"turn.started"`))
  await repeated(recorded.find((line) => /^{"type":"item.completed".+"command_execution"/.test(line)), events)
  await write(lineOf(`{"type":"turn.completed"`))
}

await (process.argv[2] === "exec" ? execute() : serve())
