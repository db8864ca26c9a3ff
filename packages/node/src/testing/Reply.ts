/**
 * What the offline model answers: small values that are put together to a scripted reply of the Responses API.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as Latch from "effect/Latch"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

// ============================================================================
// Models
// ============================================================================

/**
 * A JSON object, as it goes over the wire.
 *
 * @category models
 * @since 0.1.0
 */
export type JsonObject = { readonly [key: string]: Schema.Json }

/**
 * What a message of the model is: work in progress, or the answer.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase = "commentary" | "final_answer"

/**
 * The tokens a reply claims to have used, in tokens. `total` is the sum of input and output unless given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Usage {
  readonly input?: number | undefined
  readonly cachedInput?: number | undefined
  readonly output?: number | undefined
  readonly reasoningOutput?: number | undefined
  readonly total?: number | undefined
}

/**
 * A point at which a reply stands still until a test lets it go on. `reached` completes when a reply stands at the
 * gate, `open` lets everything through for good.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gate {
  /** Completes when a reply stands at the gate. */
  readonly reached: Effect.Effect<void>
  /** Lets every reply through, for good. */
  readonly open: Effect.Effect<void>
  /** What a reply does that comes to the gate: it tells that it is there, and waits until the gate is open. */
  readonly pass: Effect.Effect<void>
}

/**
 * A moment at which a reply waits: for a gate or any Effect, or for a time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pause {
  readonly _tag: "Pause"
  /** The reply goes on when this has run. */
  readonly wait: Effect.Effect<void>
}

/**
 * A message of the assistant, streamed as `response.output_text.delta` events, one per chunk.
 *
 * @category models
 * @since 0.1.0
 */
export interface Message {
  readonly _tag: "Message"
  readonly chunks: ReadonlyArray<string | Pause>
  readonly phase: Phase | undefined
}

/**
 * A reasoning item with its summary, one streamed part per entry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reasoning {
  readonly _tag: "Reasoning"
  readonly summary: ReadonlyArray<string>
}

/**
 * A call of one of the tools that the request offered.
 *
 * @category models
 * @since 0.1.0
 */
export interface FunctionCall {
  readonly _tag: "FunctionCall"
  readonly name: string
  readonly namespace: string | undefined
  readonly arguments: string
  readonly callId: string | undefined
}

/**
 * An output item exactly as given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Item {
  readonly _tag: "Item"
  readonly item: JsonObject
}

/**
 * A server-sent event exactly as given; its name is the event's `type`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Event {
  readonly _tag: "Event"
  readonly event: JsonObject & { readonly type: string }
}

/**
 * The usage that the reply's last event reports.
 *
 * @category models
 * @since 0.1.0
 */
export interface UsagePart {
  readonly _tag: "Usage"
  readonly usage: Usage
}

/**
 * How the reply ends, where it is not `response.completed`.
 *
 * @category models
 * @since 0.1.0
 */
export type End =
  | { readonly _tag: "Failed"; readonly code: string; readonly message: string }
  | { readonly _tag: "Incomplete"; readonly reason: string }
  | { readonly _tag: "Cut" }

/**
 * A piece of a streamed reply. A part on its own is a whole reply too.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = Message | Reasoning | FunctionCall | Item | Event | Pause | UsagePart | End

/**
 * A plain HTTP answer in place of a stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface HttpReply {
  readonly _tag: "Http"
  /** The HTTP status. */
  readonly status: number
  /** What is sent as JSON. */
  readonly body: Schema.Json
  /** Headers besides the content type. */
  readonly headers: { readonly [name: string]: string }
}

/**
 * The answer to one request: one part, several parts in order, or a plain HTTP answer.
 *
 * @category models
 * @since 0.1.0
 */
export type Reply = Part | ReadonlyArray<Part> | HttpReply

// ============================================================================
// Constructors
// ============================================================================

/**
 * How a text is cut into deltas: `deltas` is the number of characters (code points) of each; without it every word is
 * a delta of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextOptions {
  readonly phase?: Phase | undefined
  readonly deltas?: number | undefined
}

const pieces = (text: string, size: number | undefined): ReadonlyArray<string> => {
  if (size === undefined) return text.match(/\S+\s*|\s+/gu) ?? []
  const points = Array.from(text)
  const width = Math.max(1, Math.floor(size))
  const out: Array<string> = []
  for (let i = 0; i < points.length; i += width) out.push(points.slice(i, i + width).join(""))
  return out
}

/**
 * A message of the assistant. A string is cut into deltas; an array gives the deltas themselves, with pauses between
 * them where wanted.
 *
 * @category constructors
 * @since 0.1.0
 */
export const text = (content: string | ReadonlyArray<string | Pause>, options: TextOptions = {}): Message => ({
  _tag: "Message",
  chunks: typeof content === "string" ? pieces(content, options.deltas) : content,
  phase: options.phase
})

/**
 * A message of phase `commentary`: what the agent says while it works.
 *
 * @category constructors
 * @since 0.1.0
 */
export const commentary = (content: string | ReadonlyArray<string | Pause>): Message =>
  text(content, { phase: "commentary" })

/**
 * A message of phase `final_answer`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const finalAnswer = (content: string | ReadonlyArray<string | Pause>): Message =>
  text(content, { phase: "final_answer" })

/**
 * A JSON value as the text of the answer, for turns with an output schema.
 *
 * @category constructors
 * @since 0.1.0
 */
export const json = (value: Schema.Json, options: TextOptions = {}): Message => text(JSON.stringify(value), options)

/**
 * A reasoning item with the given summary parts.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reasoning = (...summary: ReadonlyArray<string>): Reasoning => ({ _tag: "Reasoning", summary })

/**
 * A tool call. Arguments given as a string go out as they are, so that malformed ones can be tried. The agent sends
 * the tool's output in a following request, which needs a reply of its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const functionCall = (options: {
  readonly name: string
  readonly arguments?: JsonObject | string | undefined
  readonly callId?: string | undefined
  readonly namespace?: string | undefined
}): FunctionCall => ({
  _tag: "FunctionCall",
  name: options.name,
  namespace: options.namespace,
  arguments: typeof options.arguments === "string" ? options.arguments : JSON.stringify(options.arguments ?? {}),
  callId: options.callId
})

/**
 * An output item given as the wire has it, for kinds that have no constructor here.
 *
 * @category constructors
 * @since 0.1.0
 */
export const item = (value: JsonObject): Item => ({ _tag: "Item", item: value })

/**
 * A server-sent event given as the wire has it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const event = (value: JsonObject & { readonly type: string }): Event => ({ _tag: "Event", event: value })

/**
 * The token usage that the reply reports at its end.
 *
 * @category constructors
 * @since 0.1.0
 */
export const usage = (value: Usage): UsagePart => ({ _tag: "Usage", usage: value })

/**
 * Makes a closed gate.
 *
 * @category constructors
 * @since 0.1.0
 */
export const gate: Effect.Effect<Gate> = Effect.sync(() => {
  const reached = Latch.makeUnsafe(false)
  const opened = Latch.makeUnsafe(false)
  return {
    reached: reached.await,
    open: Effect.asVoid(opened.open),
    pass: Effect.andThen(reached.open, opened.await)
  }
})

/**
 * Holds the reply until the gate is opened, the latch is open, or the Effect succeeds. A client that goes away ends
 * the wait by interruption.
 *
 * @category constructors
 * @since 0.1.0
 */
export const hold = (until: Gate | Latch.Latch | Effect.Effect<unknown>): Pause => ({
  _tag: "Pause",
  wait: Effect.asVoid(Effect.isEffect(until) ? until : "pass" in until ? until.pass : until.await)
})

/**
 * Holds the reply for a time.
 *
 * @category constructors
 * @since 0.1.0
 */
export const delay = (duration: Duration.Input): Pause => ({ _tag: "Pause", wait: Effect.sleep(duration) })

/**
 * Ends the reply with `response.failed`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failed = (error: { readonly code: string; readonly message: string }): End => ({
  _tag: "Failed",
  code: error.code,
  message: error.message
})

/**
 * Ends the reply with `response.incomplete`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const incomplete = (reason = "max_output_tokens"): End => ({ _tag: "Incomplete", reason })

/**
 * Ends the reply by closing the connection before `response.completed`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const cut: End = { _tag: "Cut" }

/**
 * Answers with an HTTP status in place of a stream.
 *
 * @category constructors
 * @since 0.1.0
 */
export const httpError = (
  status: number,
  body: Schema.Json = { error: { message: `HTTP ${status}`, type: "offline_model", code: null, param: null } },
  headers: { readonly [name: string]: string } = {}
): HttpReply => ({ _tag: "Http", status, body, headers })

// ============================================================================
// Encoding
// ============================================================================

/**
 * Fails the body of a response, so that the server closes the connection.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReplyCut extends Schema.TaggedError<ReplyCut>()("ReplyCut", {}) {}

const usageJson = (value: Usage): JsonObject => {
  const input = value.input ?? 10
  const output = value.output ?? 5
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: value.cachedInput ?? 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: value.reasoningOutput ?? 0 },
    total_tokens: value.total ?? input + output
  }
}

const isParts = (reply: Part | ReadonlyArray<Part>): reply is ReadonlyArray<Part> => Array.isArray(reply)

/**
 * The server-sent events of a reply as text. All ids derive from `request` (the number of the request) and from the
 * place in the reply. Where the reply ends in a cut, runs `beforeCut` and fails with `ReplyCut`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (
  reply: Part | ReadonlyArray<Part>,
  request: number,
  beforeCut: Effect.Effect<void> = Effect.void
): Stream.Stream<string, ReplyCut> => {
  const responseId = `resp_${request}`
  const steps: Array<Stream.Stream<string, ReplyCut>> = []
  // Events between two pauses leave in one write: a model that is fast sends many events per packet too.
  let pending = ""
  const send = (value: JsonObject & { readonly type: string }) => {
    pending += Sse.encoder.write({ _tag: "Event", event: value.type, id: undefined, data: JSON.stringify(value) })
  }
  const flush = () => {
    if (pending !== "") steps.push(Stream.succeed(pending))
    pending = ""
  }
  const pause = (wait: Effect.Effect<void>) => {
    flush()
    steps.push(Stream.fromEffectDrain(wait))
  }

  let index = 0
  let reported: Usage = {}
  let ended = false
  send({
    type: "response.created",
    response: { id: responseId, object: "response", status: "in_progress", output: [] }
  })
  for (const part of isParts(reply) ? reply : [reply]) {
    if (ended) break
    const suffix = `${request}_${index}`
    switch (part._tag) {
      case "Message": {
        const base = {
          id: `msg_${suffix}`,
          type: "message",
          role: "assistant",
          ...(part.phase === undefined ? {} : { phase: part.phase })
        }
        send({
          type: "response.output_item.added",
          output_index: index,
          item: { ...base, status: "in_progress", content: [] }
        })
        let full = ""
        for (const chunk of part.chunks) {
          if (typeof chunk === "string") {
            full += chunk
            send({
              type: "response.output_text.delta",
              item_id: base.id,
              output_index: index,
              content_index: 0,
              delta: chunk
            })
          } else {
            pause(chunk.wait)
          }
        }
        send({
          type: "response.output_item.done",
          output_index: index,
          item: { ...base, status: "completed", content: [{ type: "output_text", text: full, annotations: [] }] }
        })
        index++
        break
      }
      case "Reasoning": {
        const id = `rs_${suffix}`
        send({
          type: "response.output_item.added",
          output_index: index,
          item: { id, type: "reasoning", summary: [] }
        })
        part.summary.forEach((delta, summary) => {
          const at = { item_id: id, output_index: index, summary_index: summary }
          send({ type: "response.reasoning_summary_part.added", ...at, part: { type: "summary_text", text: "" } })
          send({ type: "response.reasoning_summary_text.delta", ...at, delta })
          send({ type: "response.reasoning_summary_text.done", ...at, text: delta })
        })
        send({
          type: "response.output_item.done",
          output_index: index,
          item: { id, type: "reasoning", summary: part.summary.map((entry) => ({ type: "summary_text", text: entry })) }
        })
        index++
        break
      }
      case "FunctionCall": {
        const call = {
          id: `fc_${suffix}`,
          type: "function_call",
          call_id: part.callId ?? `call_${suffix}`,
          name: part.name,
          ...(part.namespace === undefined ? {} : { namespace: part.namespace })
        }
        send({ type: "response.output_item.added", output_index: index, item: { ...call, arguments: "" } })
        send({
          type: "response.output_item.done",
          output_index: index,
          item: { ...call, arguments: part.arguments, status: "completed" }
        })
        index++
        break
      }
      case "Item": {
        send({ type: "response.output_item.added", output_index: index, item: part.item })
        send({ type: "response.output_item.done", output_index: index, item: part.item })
        index++
        break
      }
      case "Event": {
        send(part.event)
        break
      }
      case "Pause": {
        pause(part.wait)
        break
      }
      case "Usage": {
        reported = part.usage
        break
      }
      case "Failed": {
        send({
          type: "response.failed",
          response: {
            id: responseId,
            status: "failed",
            error: { code: part.code, message: part.message },
            output: []
          }
        })
        ended = true
        break
      }
      case "Incomplete": {
        send({
          type: "response.incomplete",
          response: {
            id: responseId,
            status: "incomplete",
            incomplete_details: { reason: part.reason },
            usage: usageJson(reported),
            output: []
          }
        })
        ended = true
        break
      }
      case "Cut": {
        flush()
        steps.push(Stream.fromEffectDrain(beforeCut), Stream.fail(new ReplyCut({})))
        ended = true
        break
      }
    }
  }
  if (!ended) {
    send({
      type: "response.completed",
      response: { id: responseId, status: "completed", usage: usageJson(reported), output: [] }
    })
  }
  flush()
  return Stream.fromIterable(steps).pipe(Stream.flatMap((step) => step))
}
