/**
 * The threads of an app-server in memory, which behave as those of the real one were
 * seen to: what it does for each request about them.
 */
import type { ThreadListParams } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Str from "effect/String"
import { INTERNAL_ERROR } from "../internal/responseError.ts"
import type { AgentTurn, Script } from "./agentTurn.ts"
import { type FakeConnection, type Handlers, invalidRequest, refuse } from "./fakeConnection.ts"
import * as FakeGoals from "./fakeGoals.ts"
import { pageOf } from "./fakePage.ts"
import * as FakeQueue from "./fakeQueue.ts"
import { promptOf } from "./fakeReview.ts"
import { FakeStore, isWhole, noRollout, noTurns } from "./fakeStore.ts"
import * as FakeTelling from "./fakeTelling.ts"
import {
  adjust,
  configure,
  type FakeThread,
  loadedOf,
  makeNumbers,
  MODEL_PROVIDER,
  nothing,
  now,
  type Place,
  previewOf,
  type Running,
  saidIn,
  sandboxOf,
  type Settings,
  SOURCE,
  type StoredTurn,
  threadOf,
  turnOf
} from "./fakeThread.ts"
import * as FakeTurns from "./fakeTurns.ts"

/** What a turn is that cannot be given more input, in the server's words. */
const unsteerable = ({ isCompaction, review }: Running): "review" | "compact" | undefined =>
  review !== null ? "review" : isCompaction ? "compact" : undefined

export const make = (
  connection: FakeConnection,
  place: Place,
  next: (turn: AgentTurn) => Effect.Effect<Script>
): Handlers => {
  const store = new FakeStore()
  const numbers = makeNumbers()
  const telling = FakeTelling.make(connection)
  const { tell, tellStatus, tellUsage } = telling
  const goals = FakeGoals.make(telling)
  const turns = FakeTurns.make(connection, telling, goals, numbers, next)
  const { begin, compact, goOn, steer, stop } = turns

  const create = (
    settings: Settings,
    fields: Partial<Omit<FakeThread, "codexHome" | "id">>
  ): Effect.Effect<FakeThread> =>
    Effect.map(now, (createdAt) => {
      const thread: FakeThread = {
        id: numbers.id(),
        codexHome: place.codexHome,
        ephemeral: false,
        forkedFromId: null,
        createdAt,
        turns: [],
        stored: "nothing",
        acceptedCommands: new Set(),
        queue: [],
        goal: null,
        beginning: null,
        cwd: place.cwd,
        model: place.models.find(({ isDefault }) => isDefault)?.id ?? "gpt-5.4",
        effort: null,
        approvalPolicy: "on-request",
        approvalsReviewer: "user",
        sandbox: sandboxOf("read-only"),
        acceptsChanges: false,
        name: null,
        used: numbers.use(),
        updatedAt: createdAt,
        archived: false,
        loaded: true,
        subscribed: true,
        failed: false,
        tools: [],
        spent: nothing,
        running: undefined,
        ...fields
      }
      configure(thread, settings)
      store.add(thread)
      return thread
    })

  const unload = (thread: FakeThread): Effect.Effect<void> =>
    Effect.andThen(
      stop(thread),
      Effect.sync(() => {
        thread.loaded = false
        thread.failed = false
      })
    )

  const handlers: Handlers = {
    "thread/start": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* create(params, { ephemeral: params.ephemeral === true, tools: params.dynamicTools ?? [] })
        yield* respond(loadedOf(thread, false))
        yield* tell(thread, "thread/started", { thread: threadOf(thread) })
      }),
    "thread/resume": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* Effect.filterOrFail(store.stored(params.threadId), isWhole, noTurns)
        const wasLoaded = thread.loaded
        thread.loaded = true
        thread.subscribed = true
        // One that is loaded keeps its settings.
        if (!wasLoaded) {
          configure(thread, params)
          yield* tellStatus(thread)
        }
        yield* respond(loadedOf(thread, params.excludeTurns !== true))
        const last = thread.turns.at(-1)
        if (!wasLoaded && last !== undefined) yield* tellUsage(thread, last.id)
        yield* goals.show(thread)
        yield* connection.askAgain(thread.id)
        yield* goOn(thread)
      }),
    "thread/fork": (params, respond) =>
      Effect.gen(function*() {
        const source = yield* store.stored(params.threadId)
        const end = params.lastTurnId == null
          ? source.turns.length
          : source.turns.findIndex(({ id }) => id === params.lastTurnId) + 1
        if (end === 0 && params.lastTurnId != null) return yield* invalidRequest(`turn not found: ${params.lastTurnId}`)
        // What runs is cut off where it is.
        const turns = source.turns.slice(0, end).map((turn): StoredTurn =>
          turn.status === "inProgress"
            ? { ...turn, items: [...turn.items], spent: source.spent, status: "interrupted" }
            : turn
        )
        const thread = yield* create(params, {
          ephemeral: params.ephemeral === true,
          forkedFromId: source.id,
          turns,
          stored: "whole",
          name: source.name,
          beginning: source.beginning,
          tools: source.tools,
          cwd: source.cwd,
          approvalPolicy: source.approvalPolicy,
          approvalsReviewer: source.approvalsReviewer,
          spent: turns.at(-1)?.spent ?? nothing
        })
        configure(thread, params)
        yield* respond(loadedOf(thread, params.excludeTurns !== true))
        yield* tell(thread, "thread/started", { thread: threadOf(thread) })
      }),
    "thread/list": (params, respond) => Effect.flatMap(Effect.suspend(() => listed(store.all(), params)), respond),
    "thread/loaded/list": (_, respond) =>
      respond({ data: store.all().filter(({ loaded }) => loaded).map(({ id }) => id), nextCursor: null }),
    "thread/read": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.known(params.threadId)
        if (params.includeTurns === true) {
          if (thread.ephemeral) return yield* invalidRequest("ephemeral threads do not support includeTurns")
          if (!isWhole(thread)) {
            thread.stored = "begun"
            return yield* noTurns()
          }
        }
        const shown = threadOf(thread, params.includeTurns === true)
        // Of one that is not stored there is little to read.
        yield* respond({ thread: thread.ephemeral ? { ...shown, forkedFromId: null, name: null, preview: "" } : shown })
      }),
    "thread/turns/list": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.withTurns(params.threadId)
        const turns = thread.turns.map((turn) => turnOf(turn, params.itemsView ?? "summary"))
        yield* respond(yield* pageOf(params.sortDirection === "asc" ? turns : turns.toReversed(), params))
      }),
    "thread/items/list": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.withItems(params.threadId)
        const all = thread.turns.flatMap((turn) =>
          params.turnId == null || params.turnId === turn.id
            ? turn.items.map((item) => ({
              turnId: turn.id,
              item,
              startedAtMs: typeof item.startedAtMs === "number" ? item.startedAtMs : null,
              completedAtMs: typeof item.completedAtMs === "number" ? item.completedAtMs : null
            }))
            : []
        )
        const { cursor, limit } = params
        yield* respond(
          yield* pageOf(params.sortDirection === "desc" ? all.toReversed() : all, {
            limit,
            cursor: typeof cursor === "string" ? cursor : null
          })
        )
      }),
    "thread/name/set": (params, respond) =>
      Effect.gen(function*() {
        const name = params.name.trim()
        if (name === "") return yield* invalidRequest("thread name must not be empty")
        const thread = store.get(params.threadId)
        if (thread === undefined || thread.archived) return yield* noRollout(params.threadId)
        if (thread.ephemeral) {
          return yield* invalidRequest(`ephemeral thread does not support metadata updates: ${thread.id}`)
        }
        thread.name = name
        thread.stored = "whole"
        yield* respond({})
        yield* tell(thread, "thread/name/updated", { threadId: thread.id, threadName: name })
      }),
    "thread/archive": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.lasting(params.threadId)
        if (thread.archived) return yield* noRollout(thread.id)
        yield* unload(thread)
        thread.archived = true
        thread.stored = "whole"
        yield* respond({})
        yield* tell(thread, "thread/archived", { threadId: thread.id })
      }),
    "thread/unarchive": (params, respond) =>
      Effect.gen(function*() {
        const thread = store.get(params.threadId)
        if (thread?.archived !== true) {
          return yield* invalidRequest(
            thread?.loaded === true && !thread.ephemeral
              ? `thread ${params.threadId} already has an active writer`
              : `no archived rollout found for thread id ${params.threadId}`
          )
        }
        thread.archived = false
        yield* respond({ thread: threadOf(thread) })
        yield* tell(thread, "thread/unarchived", { threadId: thread.id })
      }),
    "thread/delete": (params, respond) =>
      Effect.gen(function*() {
        const thread = store.get(params.threadId)
        if (thread === undefined) return yield* noRollout(params.threadId)
        if (thread.ephemeral) {
          return yield* invalidRequest(`thread is not persisted and cannot be deleted: ${thread.id}`)
        }
        if (thread.loaded) {
          yield* unload(thread)
          yield* tellStatus(thread)
        }
        if (store.all().some(({ forkedFromId, turns }) => forkedFromId === thread.id && sharesTurns(turns, thread))) {
          return yield* invalidRequest(`cannot delete thread ${thread.id}: forked history still references it`)
        }
        store.delete(thread)
        yield* respond({})
        yield* tell(thread, "thread/deleted", { threadId: thread.id })
      }),
    "thread/revert": ({ beforeTurnId, threadId }, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.loaded(threadId)
        if (thread.ephemeral) return yield* invalidRequest("ephemeral threads do not support thread/revert")
        yield* unload(thread)
        yield* tellStatus(thread)
        // It is not loaded again.
        if (thread.stored === "nothing") return yield* noRollout(threadId)
        thread.loaded = true
        yield* tellStatus(thread)
        const place = thread.turns.findIndex(({ id }) => id === beforeTurnId)
        if (place < 0) return yield* invalidRequest(`turn not found: ${beforeTurnId}`)
        thread.beginning = previewOf(thread)
        thread.turns = thread.turns.slice(0, place)
        thread.spent = thread.turns.at(-1)?.spent ?? nothing
        yield* respond({ thread: threadOf(thread) })
        yield* tell(thread, "thread/reverted", { threadId: thread.id })
      }),
    "thread/settings/update": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.loaded(params.threadId)
        adjust(thread, params)
        yield* respond({})
        yield* tell(thread, "thread/settings/updated", {
          threadId: thread.id,
          threadSettings: {
            activePermissionProfile: null,
            approvalPolicy: thread.approvalPolicy,
            approvalsReviewer: thread.approvalsReviewer,
            collaborationMode: {
              mode: "default",
              settings: { model: thread.model, reasoning_effort: thread.effort, developer_instructions: null }
            },
            cwd: thread.cwd,
            effort: thread.effort,
            model: thread.model,
            modelProvider: MODEL_PROVIDER,
            sandboxPolicy: thread.sandbox,
            serviceTier: null
          }
        })
      }),
    "thread/unsubscribe": (params, respond) =>
      Effect.suspend(() => {
        const thread = store.get(params.threadId)
        if (thread === undefined || !thread.loaded) return respond({ status: "notLoaded" })
        const status = thread.subscribed ? "unsubscribed" : "notSubscribed"
        thread.subscribed = false
        return respond({ status })
      }),
    "review/start": ({ target, threadId }, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.loaded(threadId)
        const prompt = promptOf(target)
        if (prompt === "") return yield* invalidRequest("instructions must not be empty")
        yield* begin(
          thread,
          { threadId, input: [{ type: "text", text: prompt }] },
          (result) => respond({ ...result, reviewThreadId: threadId }),
          { review: target }
        )
      }),
    "thread/compact/start": ({ threadId }, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.loaded(threadId)
        yield* respond({})
        yield* compact(thread)
      }),
    "turn/start": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.loaded(params.threadId)
        const { input, toolOutput } = params
        if (toolOutput != null) {
          if (input.length > 0) return yield* invalidRequest("`toolOutput` cannot be combined with nonempty `input`")
          if (toolOutput.name === "") return yield* invalidRequest("`toolOutput.name` must not be empty")
        }
        const { running } = thread
        if (running !== undefined) {
          const kind = unsteerable(running)
          if (kind !== undefined) {
            return yield* refuse(
              INTERNAL_ERROR,
              `failed to submit turn input: ActiveTurnNotSteerable { turn_kind: ${Str.capitalize(kind)} }`
            )
          }
          const { outputSchema: form } = params
          if (form != null && JSON.stringify(form) !== JSON.stringify(running.params.outputSchema)) {
            return yield* refuse(INTERNAL_ERROR, "failed to submit turn input: ActiveTurnOutputSchemaMismatch")
          }
          // What it is steered with may be all that it has to say: it ends behind the answer.
          yield* respond({ turn: { ...turnOf(running.turn, "notLoaded"), startedAt: null } })
          return yield* steer(running, saidIn(params))
        }
        adjust(thread, params)
        yield* begin(thread, params, respond)
      }),
    "turn/steer": (params, respond) =>
      Effect.gen(function*() {
        const { running } = yield* store.loaded(params.threadId)
        if (running === undefined) return yield* invalidRequest("no active turn to steer")
        const kind = unsteerable(running)
        if (kind !== undefined) {
          const message = `cannot steer a ${kind} turn`
          return yield* invalidRequest(message, {
            message,
            codexErrorInfo: { activeTurnNotSteerable: { turnKind: kind } },
            additionalDetails: null,
            misalignment: null
          })
        }
        if (running.turn.id !== params.expectedTurnId) {
          return yield* invalidRequest(
            `expected active turn id \`${params.expectedTurnId}\` but found \`${running.turn.id}\``
          )
        }
        if (params.input.length === 0) return yield* invalidRequest("input must not be empty")
        yield* steer(running, saidIn(params))
        yield* respond({ turnId: running.turn.id })
      }),
    "turn/interrupt": (params, respond) =>
      Effect.gen(function*() {
        const thread = yield* store.loaded(params.threadId)
        const { running } = thread
        if (running === undefined || !running.active) return yield* invalidRequest("no active turn to interrupt")
        if (params.turnId !== "" && running.run.id !== params.turnId) {
          return yield* invalidRequest(`expected active turn id ${params.turnId} but found ${running.run.id}`)
        }
        yield* respond({})
        yield* stop(thread)
      }),
    "model/list": (_, respond) => respond({ data: [...place.models], nextCursor: null })
  }

  return {
    ...handlers,
    ...FakeGoals.handlers(store, goals, turns),
    ...FakeQueue.handlers(store, telling, numbers, turns)
  }
}

/** Whether they begin with the turns of that thread. */
const sharesTurns = ([first]: ReadonlyArray<StoredTurn>, thread: FakeThread): boolean =>
  first !== undefined && thread.turns.some(({ id }) => id === first.id)

/** Those that are asked for, the newest or the last used first. */
const listed = (
  threads: ReadonlyArray<FakeThread>,
  params: ThreadListParams
) => {
  const folders = params.cwd == null ? undefined : typeof params.cwd === "string" ? [params.cwd] : params.cwd
  const isOf = (kinds: ReadonlyArray<string> | null | undefined, kind: string) =>
    kinds == null || kinds.length === 0 || kinds.includes(kind)
  if (!isOf(params.modelProviders, MODEL_PROVIDER) || !isOf(params.sourceKinds, SOURCE)) return pageOf([], params)
  const term = params.searchTerm
  const found = threads.filter((thread) =>
    !thread.ephemeral && thread.archived === (params.archived ?? false) &&
    // One in which nothing was said is seen when it is put away.
    (thread.archived || previewOf(thread) !== "") &&
    (folders === undefined || folders.includes(thread.cwd)) &&
    (term == null || `${thread.name ?? ""}\n${previewOf(thread)}`.includes(term))
  )
  // They come in the order in which they were made.
  if (params.sortKey === "updated_at" || params.sortKey === "recency_at") found.sort((a, b) => a.used - b.used)
  if (params.sortDirection !== "asc") found.reverse()
  // What each was forked from is not in lists.
  return pageOf(found.map((thread) => ({ ...threadOf(thread), forkedFromId: null })), params)
}
