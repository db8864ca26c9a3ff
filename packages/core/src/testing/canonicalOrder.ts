/**
 * An order of a recording's steps that does not depend on what raced: what belongs to no thread first, then thread after
 * thread.
 */
import { ServerNotifications } from "@effect-codex/generated"
import type * as Schema from "effect/Schema"
import { idAt, isKnown } from "../internal/notifications.ts"
import { isMessage } from "./normaliser.ts"
import { lanesOf } from "./playback.ts"
import type { Entry } from "./Transcript.ts"

/** The request of the server that a step says the answer to has been noted. */
const resolvedBy = (entry: Entry): Schema.Json | undefined => {
  const { method, params } = "message" in entry ? entry.message : {}
  return method === "serverRequest/resolved" && isMessage(params) ? params["requestId"] : undefined
}

/** The turn that a step tells of. */
const turnOf = (entry: Entry): string | undefined => {
  const { method, params } = "message" in entry ? entry.message : {}
  return typeof method === "string" && isKnown(method) ? idAt(params, ServerNotifications[method].turnId) : undefined
}

/** The turn that an answer says has begun. */
const begunBy = (entry: Entry): string | undefined =>
  "message" in entry ? idAt(entry.message, ["result", "turn", "id"]) : undefined

const isActive = (entry: Entry): boolean =>
  "message" in entry && entry.message["method"] === "thread/status/changed" &&
  idAt(entry.message, ["params", "status", "type"]) === "active"

/** Where an exchange belongs in its thread: one that begins a turn stands before what is said of the turn. */
const placeIn = (group: ReadonlyArray<Entry>, answer: Entry): number => {
  const turn = begunBy(answer)
  let place = group.length
  if (turn === undefined) return place
  const isOfTurn = (entry: Entry | undefined) => entry !== undefined && (isActive(entry) || turnOf(entry) === turn)
  while (isOfTurn(group[place - 1])) place--
  return place
}

/** What a thread is warned of, before or after the answer to what it is asked: it stands right after the answer. */
interface Warnings {
  /** Requests without an answer so far. */
  pending: number
  /** What came before the answer. */
  readonly early: Array<Entry>
  /** Where the next one goes. */
  place: number
}

export const canonicalOrder = (entries: ReadonlyArray<Entry>): ReadonlyArray<Entry> => {
  const { answers, lanes } = lanesOf(entries)
  const requestOf = new Map([...answers].map(([request, answer]) => [answer, request]))
  const groups = new Map<string, Array<Entry>>()
  const exchanges: Array<readonly [request: number, exchange: ReadonlyArray<Entry>]> = []
  const told: Array<Entry> = []
  /** The program's answers that the server has not taken note of yet, by the ids of its requests. */
  const taken = new Map<Schema.Json, Entry>()
  const resolved = new Set(entries.map(resolvedBy))
  const warnings = new Map<string, Warnings>()
  const warningsOf = (lane: string): Warnings => {
    const known = warnings.get(lane) ?? { pending: 0, early: [], place: 0 }
    warnings.set(lane, known)
    return known
  }
  for (const [index, entry] of entries.entries()) {
    const lane = lanes[index]
    const group = lane === undefined ? told : groups.get(lane) ?? []
    if (lane !== undefined) groups.set(lane, group)
    const { id, method } = "message" in entry ? entry.message : {}
    if (entry.from === "client") {
      // What it asks and answers stands where the server reacts to it.
      if (method === undefined && id !== undefined && resolved.has(id)) taken.set(id, entry)
      else if (lane !== undefined && !answers.has(index)) group.push(entry)
      else if (!answers.has(index)) exchanges.push([index, [entry]])
      else if (lane !== undefined) warningsOf(lane).pending++
      continue
    }
    const from = requestOf.get(index)
    const request = from === undefined ? undefined : entries[from]
    if (from !== undefined && request !== undefined) {
      if (lane === undefined) {
        exchanges.push([from, [request, entry]])
        continue
      }
      const place = placeIn(group, entry)
      const thread = warningsOf(lane)
      const early = --thread.pending === 0 ? thread.early.splice(0) : []
      group.splice(place, 0, request, entry, ...early)
      thread.place = place + 2 + early.length
      continue
    }
    if (method === "warning" && lane !== undefined) {
      const thread = warningsOf(lane)
      if (thread.pending > 0) thread.early.push(entry)
      else group.splice(thread.place++, 0, entry)
      continue
    }
    const question = resolvedBy(entry)
    const answer = question === undefined ? undefined : taken.get(question)
    if (question !== undefined) taken.delete(question)
    group.push(...(answer === undefined ? [] : [answer]), entry)
  }
  const methodOf = (entry: Entry): string => "message" in entry ? String(entry.message["method"]) : ""
  told.sort((a, b) => methodOf(a) < methodOf(b) ? -1 : methodOf(a) > methodOf(b) ? 1 : 0)
  const first = [
    ...exchanges.sort(([a], [b]) => a - b).flatMap(([, exchange]) => exchange),
    ...told,
    ...taken.values()
  ]
  const text = JSON.stringify(first)
  // Threads in the order that they were asked for.
  const placeOf = (lane: string): number => text.indexOf(lane) >>> 0
  return [
    ...first,
    ...[...groups].sort(([a], [b]) => placeOf(a) - placeOf(b)).flatMap(([, group]) => group)
  ]
}
