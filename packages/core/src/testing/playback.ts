/**
 * Which message of a transcript is next. What the server says of one thread, process
 * or watch keeps its place among what the client says of it; what it says of none
 * comes after everything before it. So programs whose threads take turns in another
 * order than they did are played to all the same.
 */
import { ServerNotifications, ServerRequests } from "@effect-codex/generated"
import type * as Schema from "effect/Schema"
import { idAt, isKnown } from "../internal/notifications.ts"
import { Bindings, isMessage, type Message, type Normaliser, type Side } from "./normaliser.ts"

/** One step of a transcript: a message, a line that is none, or the end of the connection. */
export type Step =
  | { readonly from: Side; readonly message: Message }
  | { readonly from: "server"; readonly line: string }
  | { readonly from: "server"; readonly end: Schema.Json }

/** What was expected in place of what came. */
export interface Divergence {
  /** The steps of the client that could have come, the likeliest first. */
  readonly expected: ReadonlyArray<Message>
  /** Where the likeliest one differs. */
  readonly difference: string | undefined
  /** What came, without secrets. */
  readonly actual: Message
}

/** A message of the server as this run is to see it. */
export type Delivery =
  | { readonly index: number; readonly message: Message }
  | { readonly index: number; readonly line: string }
  | { readonly index: number; readonly end: Schema.Json }

/** The start of a turn cannot pass another message that does something on its thread. */
const ordered: ReadonlySet<string> = new Set([
  "turn/start",
  "turn/steer",
  "review/start",
  "thread/compact/start",
  "thread/queue/start"
])

/** Names of what messages can be about, other than a thread. */
const addresses = ["processId", "processHandle", "watchId", "sessionId", "loginId"]

const isServerRequest = (method: string): method is keyof typeof ServerRequests => Object.hasOwn(ServerRequests, method)

/** What a message with a method is about. */
const laneOf = (from: Side, method: string, params: unknown): string | undefined => {
  const path = from === "client"
    ? undefined
    : isKnown(method)
    ? ServerNotifications[method].threadId
    : isServerRequest(method)
    ? ServerRequests[method].threadId
    : undefined
  const threadId = idAt(params, path) ?? idAt(params, ["threadId"])
  if (threadId !== undefined) return threadId
  for (const name of addresses) {
    const id = idAt(params, [name])
    if (id !== undefined) return id
  }
  return undefined
}

/** Where each step belongs to: a thread, a process, a watch ... or nothing; and where the answers of requests stand. */
export const lanesOf = (
  steps: ReadonlyArray<Step>
): { readonly lanes: ReadonlyArray<string | undefined>; readonly answers: ReadonlyMap<number, number> } => {
  const lanes: Array<string | undefined> = []
  const answers = new Map<number, number>()
  const requested = new Map<Schema.Json, number>()
  const asked = new Map<Schema.Json, string | undefined>()
  const place = (index: number, from: Side, { id, method, params }: Message): string | undefined => {
    if (typeof method === "string") {
      const lane = laneOf(from, method, params)
      if (id !== undefined && from === "client") requested.set(id, index)
      if (id !== undefined && from === "server") asked.set(id, lane)
      return lane
    }
    if (id === undefined) return undefined
    if (from === "client") return asked.get(id)
    const request = requested.get(id)
    if (request === undefined) return undefined
    requested.delete(id)
    answers.set(request, index)
    return lanes[request]
  }
  for (const [index, step] of steps.entries()) {
    lanes.push("message" in step ? place(index, step.from, step.message) : undefined)
  }
  return { lanes, answers }
}

/** What a message of the client is compared by: its method, or the request of the server that it answers. */
const kindOf = ({ id, method }: Message): string =>
  typeof method === "string" ? `${id === undefined ? "notification" : "request"} ${method}` : `answer ${String(id)}`

const withoutId = (message: Message): Message =>
  Object.fromEntries(Object.entries(message).filter(([name]) => name !== "id"))

/** Indices in order, with the first of them that is still to come. */
interface Lane {
  readonly indices: Array<number>
  next: number
}

const AT_MOST_SHOWN = 3

export class Playback {
  private readonly steps: ReadonlyArray<Step>
  private readonly normaliser: Normaliser
  private readonly bindings: Bindings
  private readonly done: Array<boolean>
  private readonly laneAt: ReadonlyArray<string | undefined>
  private readonly lanes = new Map<string, Lane>()
  /** Where the client's messages of one kind stand that have not come yet. */
  private readonly open = new Map<string, Array<number>>()
  /** Where the answer to a request stands, if it was answered. */
  private readonly answerOf: ReadonlyMap<number, number>
  /** The ids of this run's requests, by the recorded ones. */
  private readonly requestIds = new Map<Schema.Json, Schema.Json>()
  private readonly ready = new Set<number>()
  private allBefore = 0

  constructor(steps: ReadonlyArray<Step>, normaliser: Normaliser, paths: Readonly<Record<string, string>>) {
    this.steps = steps
    this.normaliser = normaliser
    this.bindings = new Bindings(paths)
    this.done = steps.map(() => false)
    const { answers, lanes } = lanesOf(steps)
    this.laneAt = lanes
    this.answerOf = answers
    for (const [index, step] of steps.entries()) {
      if (step.from === "client") {
        const kind = kindOf(step.message)
        const open = this.open.get(kind)
        if (open === undefined) this.open.set(kind, [index])
        else open.push(index)
      }
      const lane = lanes[index]
      if (lane === undefined) continue
      const known = this.lanes.get(lane)
      if (known === undefined) this.lanes.set(lane, { indices: [index], next: 0 })
      else known.indices.push(index)
    }
    this.advance(undefined)
  }

  /** Takes a message of the client: the step that it is, or what was expected when nothing recorded is like it. */
  receive(message: Message): { readonly index: number } | { readonly divergence: Divergence } {
    const body = this.normaliser.bare(withoutId(message))
    const open = this.open.get(kindOf(message)) ?? []
    const passed = new Set<string>()
    let closest: { readonly index: number; readonly difference: string } | undefined
    for (const [place, index] of open.entries()) {
      const lane = this.laneAt[index]
      const step = this.steps[index]
      if (step === undefined || !("message" in step)) continue
      const { id, method } = step.message
      const isOrdered = lane !== undefined && typeof method === "string" && ordered.has(method)
      if (isOrdered && passed.has(lane)) continue
      const difference = this.bindings.match(withoutId(step.message), body)
      if (difference === undefined) {
        open.splice(place, 1)
        if (typeof method === "string" && id !== undefined && message["id"] !== undefined) {
          this.requestIds.set(id, message["id"])
        }
        this.finish(index)
        const answer = this.answerOf.get(index)
        if (answer !== undefined && this.laneAt[answer] === undefined) this.ready.add(answer)
        return { index }
      }
      closest ??= { index, difference }
      if (isOrdered) passed.add(lane)
    }
    const expected = [...(closest === undefined ? [] : [closest.index]), ...this.firstOpen()]
    const divergence: Divergence = {
      expected: [...new Set(expected)].slice(0, AT_MOST_SHOWN).flatMap((index) => {
        const step = this.steps[index]
        return step !== undefined && "message" in step ? [step.message] : []
      }),
      difference: closest?.difference,
      actual: isMessage(body) ? body : {}
    }
    return { divergence }
  }

  /** The message of the server that can be told now, if there is one. */
  peek(): number | undefined {
    let first: number | undefined
    for (const index of this.ready) {
      if (first === undefined || index < first) first = index
    }
    return first
  }

  /** Takes it. */
  deliver(index: number): Delivery | undefined {
    this.ready.delete(index)
    this.finish(index)
    const step = this.steps[index]
    if (step === undefined || step.from === "client") return undefined
    if ("line" in step) return { index, line: step.line }
    if ("end" in step) return { index, end: step.end }
    const applied = this.bindings.apply(step.message)
    const message = isMessage(applied) ? applied : step.message
    const { id, method } = message
    if (method !== undefined || id === undefined) return { index, message }
    const actual = this.requestIds.get(id)
    this.requestIds.delete(id)
    return { index, message: actual === undefined ? message : { ...message, id: actual } }
  }

  /** Whether a step has been played. */
  isDone(index: number | undefined): boolean {
    return index !== undefined && this.done[index] === true
  }

  private firstOpen(): ReadonlyArray<number> {
    return [...this.open.values()].flatMap((indices) => indices.slice(0, 1)).sort((a, b) => a - b)
  }

  private finish(index: number): void {
    this.done[index] = true
    this.advance(this.laneAt[index])
  }

  /** What may be told once something is done: the next of its lane, and what waits for everything before it. */
  private advance(lane: string | undefined): void {
    const line = lane === undefined ? undefined : this.lanes.get(lane)
    if (line !== undefined) {
      while (this.isDone(line.indices[line.next])) line.next++
      const next = line.indices[line.next]
      // The first word about something new comes of what was before.
      if (next !== undefined && line.next > 0 && this.steps[next]?.from === "server") this.ready.add(next)
    }
    while (this.isDone(this.allBefore)) this.allBefore++
    if (this.steps[this.allBefore]?.from === "server") this.ready.add(this.allBefore)
  }
}
