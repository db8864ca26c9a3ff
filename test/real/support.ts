/** What the tests against the real app-server share. */
import { Codex, type CodexEvent, type TurnEvent, type TurnHandle } from "@effect-codex/core"
import type { ThreadItem } from "@effect-codex/core/types"
import { type ModelRequest, OfflineModel, type OfflineModelOptions } from "@effect-codex/node/testing"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** The app-server lives in real time: the tests that share one run without the TestClock. */
export const live = { excludeTestServices: true } as const

/** A model that answers each request that is not scripted with what it was asked. */
export const echo: OfflineModelOptions = {
  respond: (request) => OfflineModel.text(`Answer to: ${request.text}`)
}

/** A thread whose turn waits at a gate between `So` and `far`. */
export const halfway = Effect.gen(function*() {
  const codex = yield* Codex
  const model = yield* OfflineModel
  const gate = yield* OfflineModel.gate
  yield* model.enqueue(OfflineModel.text(["So ", OfflineModel.hold(gate), "far"]))
  const thread = yield* codex.startThread()
  const turn = yield* thread.turn("Go")
  yield* gate.reached
  return { gate, thread, turn }
})

/** The error that an effect has to fail with, by its tag. */
export const failure = <A, E extends { readonly _tag: string }, R, Tag extends E["_tag"]>(
  effect: Effect.Effect<A, E, R>,
  tag: Tag
): Effect.Effect<Extract<E, { readonly _tag: Tag }>, never, R> => {
  const isExpected = (error: E): error is Extract<E, { readonly _tag: Tag }> => error._tag === tag
  return Effect.matchEffect(effect, {
    onFailure: (error) => isExpected(error) ? Effect.succeed(error) : Effect.die(error),
    onSuccess: () => Effect.sync(() => assert.fail(`It should have failed with ${tag}`))
  })
}

/** The `count`th request for a thread, from 1; waits for it. */
export const asked = (threadId: string, count = 1): Effect.Effect<ModelRequest, never, OfflineModel> =>
  Effect.gen(function*() {
    const model = yield* OfflineModel
    const requests = yield* model.requestStream.pipe(
      Stream.filter((request) => request.threadId === threadId),
      Stream.take(count),
      Stream.runCollect
    )
    const request = requests[count - 1]
    return request === undefined ? assert.fail("The model has ended") : request
  })

/** How many requests there were for a thread. */
export const askedCount = (threadId: string): Effect.Effect<number, never, OfflineModel> =>
  Effect.gen(function*() {
    const model = yield* OfflineModel
    const requests = yield* model.requests
    return requests.filter((request) => request.threadId === threadId).length
  })

/** A scope to be closed by the test; the test's own end closes it too. */
export const closable = Effect.gen(function*() {
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  return {
    use: Scope.provide(scope),
    close: Scope.close(scope, Exit.void)
  }
})

/** The items of one type. */
export const itemsOf = <Type extends ThreadItem["type"]>(items: ReadonlyArray<ThreadItem>, type: Type) =>
  items.filter((item): item is Extract<ThreadItem, { readonly type: Type }> => item.type === type)

/** The texts of the agent's messages. */
export const messages = (items: ReadonlyArray<ThreadItem>): ReadonlyArray<string> =>
  itemsOf(items, "agentMessage").map((item) => item.text)

/** What the user said. */
export const prompts = (items: ReadonlyArray<ThreadItem>): ReadonlyArray<string> =>
  itemsOf(items, "userMessage").flatMap((item) =>
    item.content.flatMap((part) => part.type === "text" ? [part.text] : [])
  )

/** The methods of events, in order. */
export const methods = (events: ReadonlyArray<CodexEvent>): ReadonlyArray<string> => events.map(({ method }) => method)

/** The deltas of the agent's messages, joined. */
export const spoken = (events: ReadonlyArray<TurnEvent>): string =>
  events.map((event) => event.method === "item/agentMessage/delta" ? event.params.delta : "").join("")

/** Waits until the agent has said this delta, as the reader of the turn sees it. */
export const heard = (turn: TurnHandle, delta: string) =>
  turn.text.pipe(Stream.takeUntil((said) => said === delta), Stream.runDrain, Effect.orDie)
