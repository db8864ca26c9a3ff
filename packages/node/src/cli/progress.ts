/** A turn for people: what the agent says and does as it does it, and its answer. */
import type { Approvals, ChildEvent, TurnEvent } from "@effect-codex/core"
import type { ThreadItem } from "@effect-codex/core/types"
import * as Effect from "effect/Effect"
import type { Failure } from "./failure.ts"
import * as Items from "./items.ts"
import { Output } from "./output.ts"
import type { Conclusion, Decided, Reporter } from "./reporter.ts"
import * as Text from "./text.ts"

const WIDTH = 200

/** With `quiet` there is nothing but the answer. A thread that is `stored` can be gone on with. */
export const make = Effect.fnUntraced(function*(options: { readonly quiet: boolean; readonly stored: boolean }) {
  const { answer, paint, stderrIsTerminal, stdoutIsTerminal, tell, tellLine } = yield* Output
  const dim = (text: string) => paint("dim", text)

  /** The messages under way: whether they are commentary, and whether their text was shown as it came. */
  const messages = new Map<string, { readonly commentary: boolean; streamed: boolean }>()
  /** The items that were told of, and what was decided on one before its turn to be told. */
  const begun = new Set<string>()
  const early = new Map<string, ReadonlyArray<Decided>>()
  /** The last message that may be the answer, and whether it stands on the terminal. */
  let candidate: { readonly text: string; readonly shown: boolean } | undefined

  /** A message that more followed was not the answer. */
  const tellCandidate = Effect.suspend(() => {
    const told = candidate
    candidate = undefined
    return told === undefined || told.shown ? Effect.void : tellLine(Text.visible(told.text))
  })

  const delta = (itemId: string, text: string): Effect.Effect<void, Failure> => {
    const message = messages.get(itemId) ?? { commentary: false, streamed: false }
    messages.set(itemId, message)
    const write = message.commentary
      ? stderrIsTerminal ? tell(dim(Text.visible(text))) : undefined
      // Where both outputs are one terminal, the answer needs to be written only once.
      : stdoutIsTerminal
      ? answer(Text.visible(text))
      : stderrIsTerminal
      ? tell(Text.visible(text))
      : undefined
    if (write === undefined) return Effect.void
    message.streamed = true
    return write
  }

  const tellDecision = ({ asked, decision, request }: Decided): Effect.Effect<void, Failure> =>
    tellLine(paint(
      "yellow",
      `${decisions[nameOf(decision)]}: ${Text.line(subjectOf(request), WIDTH)}${
        asked ? "" : " (there is no terminal to ask; see --approval)"
      }`
    ))

  const begins = (item: ThreadItem, indent = ""): Effect.Effect<void, Failure> => {
    const { id } = item
    if (typeof id !== "string") return beginsAs(item, indent)
    begun.add(id)
    const decided = early.get(id) ?? []
    early.delete(id)
    return Effect.andThen(beginsAs(item, indent), Effect.forEach(decided, tellDecision, { discard: true }))
  }

  const beginsAs = (item: ThreadItem, indent: string): Effect.Effect<void, Failure> => {
    switch (item.type) {
      case "agentMessage":
        return Effect.andThen(
          tellCandidate,
          Effect.sync(() => messages.set(item.id, { commentary: item.phase === "commentary", streamed: false }))
        )
      default: {
        const title = Items.titleOf(item)
        return title === undefined
          ? Effect.void
          : Effect.andThen(tellCandidate, tellLine(indent + paint("cyan", title)))
      }
    }
  }

  const ends = (item: ThreadItem, indent = ""): Effect.Effect<void, Failure> => {
    switch (item.type) {
      case "agentMessage": {
        const streamed = messages.get(item.id)?.streamed === true
        messages.delete(item.id)
        if (item.phase === "commentary") return streamed ? Effect.void : tellLine(dim(Text.visible(item.text)))
        candidate = { text: item.text, shown: streamed }
        return Effect.void
      }
      default: {
        const details = Items.detailsOf(item)
        return details.length === 0
          ? Effect.void
          : tellLine(dim(details.map((detail) => `${indent}  ${detail}`).join("\n")))
      }
    }
  }

  const event = (event: TurnEvent | ChildEvent): Effect.Effect<void, Failure> => {
    switch (event.method) {
      case "item/started":
        return begins(event.params.item)
      case "item/agentMessage/delta":
        return delta(event.params.itemId, event.params.delta)
      case "item/completed":
        return ends(event.params.item)
      case "item/autoApprovalReview/completed":
        return tellLine(dim(`  reviewed: ${event.params.review.status}`))
      case "error":
        // One that ends the turn is told as its failure.
        return event.params.willRetry
          ? tellLine(paint("yellow", `trying again: ${Text.line(event.params.error.message, WIDTH)}`))
          : Effect.void
      case "warning":
        return tellLine(paint("yellow", `warning: ${Text.line(event.params.message, WIDTH)}`))
      case "client/decodeFailure":
        return tellLine(paint("yellow", `warning: ${Text.line(event.params.error.message, WIDTH)}`))
      case "client/childEvent":
        return childEvent(event)
      default:
        return Effect.void
    }
  }

  /** What other agents say is for the one that has them at work. */
  const childEvent = ({ params }: ChildEvent): Effect.Effect<void, Failure> => {
    const { event } = params
    if (event.method !== "item/started" && event.method !== "item/completed") return Effect.void
    const { item } = event.params
    if (item.type === "agentMessage") return Effect.void
    const indent = `[agent ${params.childThreadId.slice(-4)}] `
    return event.method === "item/started" ? begins(item, indent) : ends(item, indent)
  }

  const reporter: Reporter = options.quiet
    ? {
      started: () => Effect.void,
      events: () => Effect.void,
      decided: () => Effect.void,
      lagged: Effect.void,
      unknown: () => Effect.void,
      ended: ({ finalResponse, status }) => status === "completed" ? printed(finalResponse) : Effect.void
    }
    : {
      started: ({ threadId }) => tellLine(dim(`thread ${threadId}`)),
      events: (events) => Effect.forEach(events, event, { discard: true }),
      // A question may be answered before its item has been read.
      decided: (decided) =>
        Effect.suspend(() => {
          const { _tag, itemId } = decided.request
          if (_tag === "Permissions" || begun.has(itemId)) return tellDecision(decided)
          early.set(itemId, [...early.get(itemId) ?? [], decided])
          return Effect.void
        }),
      lagged: tellLine(paint("yellow", "warning: some of what happened is not shown: it was read too slowly")),
      unknown: (what) => tellLine(paint("yellow", `warning: ${Text.line(what, WIDTH)}`)),
      ended: (conclusion) =>
        Effect.gen(function*() {
          const { finalResponse, status } = conclusion
          yield* Effect.forEach([...early.values()].flat(), tellDecision, { discard: true })
          const isAnswer = status === "completed" && candidate?.text === finalResponse
          if (!isAnswer) yield* tellCandidate
          if (status === "completed" && !(isAnswer && candidate?.shown === true && stdoutIsTerminal)) {
            yield* printed(finalResponse)
          }
          yield* tellLine(dim(summaryOf(conclusion, options.stored)))
        })
    }
  function printed(text: string | null): Effect.Effect<void, Failure> {
    return text === null
      ? Effect.void
      : answer(stdoutIsTerminal ? `${Text.visible(text)}\n` : text.endsWith("\n") ? text : `${text}\n`)
  }
  return reporter
})

/** What a decision is about. */
export const subjectOf = (request: Approvals.ApprovalRequest): string => {
  switch (request._tag) {
    case "Command":
      return request.network === null ? `$ ${request.command ?? "a command"}` : `reach ${request.network.host}`
    case "FileChange":
      return request.paths.length === 0
        ? `change files${request.grantRoot === null ? "" : ` below ${request.grantRoot}`}`
        : `change ${request.paths.join(", ")}`
    case "Permissions":
      return `permissions ${JSON.stringify(request.permissions)}`
  }
}

const nameOf = (decision: Approvals.Decision) =>
  decision._tag === "Accept" && decision.scope === "session" ? "AcceptForSession" : decision._tag

const decisions = {
  Accept: "allowed",
  AcceptForSession: "allowed for the session",
  Decline: "declined",
  Cancel: "declined, and the turn is stopped"
}

/** What a turn has taken. */
const summaryOf = ({ durationMs, status, threadId, usage }: Conclusion, stored: boolean): string =>
  [
    `${status}${durationMs === null ? "" : ` in ${Text.duration(durationMs)}`}`,
    usage === null
      ? "no tokens reported"
      : `${Text.count(usage.total.totalTokens)} tokens in this thread ` +
        `(input ${Text.count(usage.total.inputTokens)}, of it cached ${Text.count(usage.total.cachedInputTokens)}; ` +
        `output ${Text.count(usage.total.outputTokens)})`,
    ...(stored ? [`go on with: effect-codex threads resume ${threadId}`] : [])
  ].join("\n")
