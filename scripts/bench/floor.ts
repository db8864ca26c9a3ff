/**
 * The least Node program that does the same: it reads chunks, splits lines, parses them and finds in a `Map` who waits.
 * It checks nothing and survives nothing.
 */
import { spawn } from "node:child_process"
import { serverTimeOf, sinceSpawn } from "./pipes.ts"
import {
  type Measures,
  mediansOf,
  partsOf,
  PAUSE,
  type Plan,
  stopwatch,
  type StreamTask,
  type Target,
  type Task,
  type TurnTimes,
  WARM_UP,
  withFirst,
  withFirstBurst
} from "./task.ts"

interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: { readonly turnId?: string; readonly turn?: { readonly id: string } }
  readonly result: { readonly thread: { readonly id: string }; readonly turn: { readonly id: string } }
}

const connect = ({ executable, home }: Target) => {
  const child = spawn(executable, ["app-server"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: home === undefined ? process.env : { ...process.env, CODEX_HOME: home }
  })
  const requests = new Map<number, (message: Message) => void>()
  const turns = new Map<string, (message: Message) => void>()
  let rest = ""
  child.stdout.setEncoding("utf8")
  child.stdout.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      const message: Message = JSON.parse(line)
      if (message.method !== undefined) {
        const turnId = message.params?.turnId ?? message.params?.turn?.id
        if (turnId !== undefined) turns.get(turnId)?.(message)
      } else if (message.id !== undefined) {
        const request = requests.get(message.id)
        requests.delete(message.id)
        request?.(message)
      }
    }
  })
  let nextId = 1
  const send = (method: string, params: unknown, onAnswer: (message: Message) => void): void => {
    const id = nextId++
    requests.set(id, onAnswer)
    child.stdin.write(`${JSON.stringify({ id, method, params })}\n`)
  }
  const request = (method: string, params: unknown) => new Promise<Message>((resolve) => send(method, params, resolve))
  /** Starts a turn and waits for its end. */
  const turn = (threadId: string, text: string, onEvent?: () => void) =>
    new Promise<void>((resolve) => {
      send("turn/start", { threadId, input: [{ type: "text", text }] }, ({ result }) => {
        turns.set(result.turn.id, ({ method }) => {
          onEvent?.()
          if (method !== "turn/completed") return
          turns.delete(result.turn.id)
          resolve()
        })
      })
    })
  return { child, request, turn }
}

type Connection = ReturnType<typeof connect>

const ready = async (target: Target): Promise<Connection> => {
  const connection = connect(target)
  await connection.request("initialize", {
    clientInfo: { name: "floor", title: null, version: "0.0.0" },
    capabilities: null
  })
  connection.child.stdin.write(`${JSON.stringify({ method: "initialized" })}\n`)
  return connection
}

/** What the SDK asks of a thread that is told nothing: the server works longer with it than without. */
const AS_THE_SDK = { approvalPolicy: "on-request", approvalsReviewer: "auto_review" }

const startThread = async ({ request }: Connection): Promise<string> =>
  (await request("thread/start", AS_THE_SDK)).result.thread.id

const stream = async (connection: Connection, { events, kind, turns }: StreamTask): Promise<Measures> => {
  const threads = await Promise.all(Array.from({ length: turns }, () => startThread(connection)))
  const pause = turns === 1 ? 0 : PAUSE
  const plan: Plan = { kind, events: Math.round(events / turns), together: turns, pause }
  const text = JSON.stringify(plan)
  let stop = stopwatch()
  let seen = 0
  const onEvent = () => {
    if (seen++ === 0 && turns > 1) stop = stopwatch()
  }
  await Promise.all(threads.map((thread) => connection.turn(thread, text, onEvent)))
  const { cpu, wall } = stop()
  return { cpu, wall: wall - pause, events: seen }
}

/** As fast as any other number for the window, when tuned by hand. */
const WINDOW = 64

/** A window of requests in flight, the next one sent as soon as one is answered. */
const burst = async ({ request }: Connection, count: number, window: number): Promise<Measures> => {
  const stop = stopwatch()
  let sent = 0
  const lane = async (): Promise<void> => {
    while (sent++ < count) await request("thread/loaded/list", {})
  }
  await Promise.all(Array.from({ length: window }, lane))
  return { ...stop(), requests: count }
}

export const drive = async (target: Target, task: Task): Promise<Measures> => {
  const spawned = sinceSpawn()
  const stop = stopwatch()
  if (task.name === "import") {
    for (const module of task.modules) await import(module)
    return stop()
  }
  const serverTime = serverTimeOf(task)
  const connection = await ready(target)
  const started = { ...stop(), sinceSpawn: spawned() }
  try {
    switch (task.name) {
      case "ready":
        return started
      case "stream": {
        const { first, measured } = partsOf(task)
        const inTurn = async (parts: ReadonlyArray<StreamTask>) => {
          const done: Array<Measures> = []
          for (const part of parts) done.push(await stream(connection, part))
          return done
        }
        const warm = await inTurn(first)
        return withFirst(await inTurn(measured), warm)
      }
      case "roundTrip":
        await burst(connection, task.requests * WARM_UP, 1)
        return await burst(connection, task.requests, 1)
      case "burst": {
        const bursts: Array<Measures> = []
        while (bursts.length < task.times) bursts.push(await burst(connection, task.requests, WINDOW))
        return withFirstBurst(bursts)
      }
      case "run": {
        const turns: Array<TurnTimes> = []
        const thread = await startThread(connection)
        for (let index = 0; index < task.turns; index++) {
          const stop = stopwatch()
          await connection.turn(thread, "Say hello.")
          turns.push({ wall: stop().wall, server: serverTime() })
        }
        return mediansOf(turns)
      }
      case "heap":
        return {}
    }
  } finally {
    connection.child.kill()
  }
}
