/**
 * Shows what goes over the wire, for debugging: each line with its direction, time,
 * size, method and id, to the log or to a function. Prompts, answers, commands and the
 * content of files are left out unless they are asked for; keys and tokens always are.
 *
 * The connection neither waits for it nor fails because of it: lines that are not taken
 * in time give way, and are counted.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Envelope from "./internal/envelope.ts"
import { type Frame, Framer, OversizedLine } from "./internal/framer.ts"
import * as Log from "./internal/log.ts"
import * as Subscription from "./internal/subscription.ts"
import * as WireText from "./internal/wireText.ts"
import { Transport } from "./Transport.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * One line of the wire.
 *
 * @since 0.1.0
 * @category models
 */
export interface Line {
  /** Whether the client has written it or the server. */
  readonly direction: "sent" | "received"
  /** When it was written, or read. */
  readonly at: DateTime.Utc
  /** Its length in bytes, without the line break. */
  readonly bytes: number
  /** What it is; `"junk"` is no message. */
  readonly kind: "request" | "response" | "error" | "notification" | "junk"
  /** The id of a request or of what answers it. */
  readonly id?: string | number | undefined
  /** The method; of an answer, that of its request. */
  readonly method?: string | undefined
  /** The message, as far as it is shown. */
  readonly text: string
  /** How many lines before this one are missing because the sink was behind. */
  readonly missed: number
}

/**
 * Options of `layer` and `tap`, every one of which has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * - `"redacted"` (default): names, ids, numbers and the shape of the message; of any
   *   other text only its length;
   * - `"full"`: everything but what is secret.
   */
  readonly content?: "redacted" | "full" | undefined
  /** Secrets that do not look like any and do not stand where one is expected, by their values. */
  readonly secrets?: ReadonlyArray<string | Redacted.Redacted<string>> | undefined
  /** How much of a message is shown, in characters. Default: 2,000. */
  readonly maxLength?: number | undefined
  /** The level of the log. Where it is not enabled as the layer is built, nothing is done. Default: `"Debug"`. */
  readonly level?: LogLevel.Severity | undefined
  /** Is given the lines, one after the other, instead of the log. */
  readonly sink?: ((line: Line) => Effect.Effect<void>) | undefined
}

// =============================================================================
// Constructors
// =============================================================================

/** What waits for the sink. */
const LIMITS: Subscription.Limits = { events: 1_024, bytes: 8 * 1024 * 1024 }
/** Longer lines are shown by their size, and by what their start says they are. */
const MAX_LINE_BYTES = 1024 * 1024
/** How many requests are remembered until they are answered. */
const MAX_REQUESTS = 4_096
/** How long the end of the scope waits for the last lines to be taken. */
const GRACE = "1 second"
const DEFAULT_LENGTH = 2_000

/** A line that waits for the sink. */
interface Raw {
  readonly direction: Line["direction"]
  readonly at: number
  readonly bytes: number
  readonly frame: Frame
}

/**
 * The same transport, with all that goes over it shown until the scope closes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tap = Effect.fnUntraced(function*(
  transport: Transport["Service"],
  options: Options = {}
): Effect.fn.Return<Transport["Service"], never, Scope.Scope> {
  const { level = "Debug", sink = log(level) } = options
  const isHeard = options.sink !== undefined || (yield* LogLevel.isEnabled(level))
  if (!isHeard) return transport
  const clock = yield* Clock.Clock
  const waiting = yield* Subscription.make<Raw, never>(LIMITS)
  const reader = new LineReader(options)
  let over = false

  const writer = yield* waiting.streamWithLag.pipe(
    Stream.runForEach((raw) => {
      if ("method" in raw) return Effect.sync(() => reader.missed += raw.params.dropped)
      return Effect.suspend(() => sink(reader.read(raw)))
    }),
    Effect.tapCause((cause) => Log.warning("The wire is not shown any more", cause)),
    Effect.ensuring(Effect.sync(() => over = true)),
    Effect.forkScoped
  )
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => waiting.end()).pipe(
      Effect.andThen(Fiber.await(writer)),
      Effect.timeoutOption(GRACE)
    )
  )

  const note = (direction: Line["direction"]) => (frame: Frame, bytes: number): void => {
    if (!over) waiting.slide({ direction, at: clock.currentTimeMillisUnsafe(), bytes, frame }, bytes)
  }
  const sent = note("sent")
  const received = note("received")
  const framer = new Framer(MAX_LINE_BYTES)

  return Transport.of({
    ...transport,
    incoming: Stream.mapArray(transport.incoming, (chunks) => {
      for (const chunk of chunks) framer.push(chunk, received)
      return chunks
    }),
    send: (line) =>
      Effect.andThen(
        Effect.sync(() => {
          const bytes = sizeOf(line)
          sent(bytes > MAX_LINE_BYTES ? new OversizedLine(bytes, line.slice(0, HEAD)) : line, bytes)
        }),
        transport.send(line)
      )
  })
})

const HEAD = 1_024

const encoder = new TextEncoder()
const sizeOf = (line: string): number => encoder.encode(line).length

const log = (level: LogLevel.Severity) => (line: Line): Effect.Effect<void> => {
  const { bytes, direction, id, kind, method, missed, text } = line
  return Effect.logWithLevel(level)(
    `${direction} ${kind}${method === undefined ? "" : ` ${method}`}: ${text}`
  ).pipe(
    Effect.annotateLogs({
      source: "codex wire",
      bytes,
      ...(id === undefined ? {} : { id }),
      ...(missed === 0 ? {} : { missed })
    })
  )
}

// =============================================================================
// Layers
// =============================================================================

/**
 * The same `Transport`, with all that goes over it shown. `NodeCodex`'s layers have it
 * as the option `wireTap`.
 *
 * **Example** (Showing what an app-server of one's own says)
 *
 * ```ts
 * import { AppServerClient, Codex, WireTap } from "@effect-codex/core"
 * import { NodeCodex } from "@effect-codex/node"
 * import { Console, Layer } from "effect"
 *
 * const shown = Codex.layer.pipe(
 *   Layer.provideMerge(AppServerClient.layer()),
 *   Layer.provide(WireTap.layer({ sink: ({ direction, text }) => Console.log(direction, text) })),
 *   Layer.provide(NodeCodex.layerTransport())
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<Transport, never, Transport> =>
  Layer.effect(Transport, Effect.flatMap(Transport, (transport) => tap(transport, options)))

// =============================================================================
// Lines
// =============================================================================

type Parts = Pick<Line, "kind" | "id" | "method" | "text">

/** Makes the lines that are shown; knows what the answers answer. */
class LineReader {
  missed = 0
  private readonly show: WireText.Show
  private readonly isFull: boolean
  private readonly maxLength: number
  /** The methods of requests that are not answered yet, by who asked. */
  private readonly asked = { sent: new Map<unknown, string>(), received: new Map<unknown, string>() }

  constructor({ content, maxLength, secrets = [] }: Options) {
    this.isFull = content === "full"
    this.maxLength = maxLength ?? DEFAULT_LENGTH
    this.show = this.isFull
      ? WireText.everythingOf(
        secrets.map((secret) => Redacted.isRedacted(secret) ? Redacted.value(secret) : secret).filter((secret) =>
          secret !== ""
        )
      )
      : WireText.shapeOf
  }

  read({ at, bytes, direction, frame }: Raw): Line {
    const { missed } = this
    this.missed = 0
    const { text, ...parts } = typeof frame === "string"
      ? this.parts(direction, frame)
      : this.oversized(direction, frame)
    return {
      direction,
      at: DateTime.makeUnsafe(at),
      bytes,
      ...parts,
      text: text.length > this.maxLength ? `${text.slice(0, this.maxLength)}…` : text,
      missed
    }
  }

  private parts(direction: Line["direction"], line: string): Parts {
    try {
      const message: unknown = JSON.parse(line)
      if (!Predicate.isObject(message) || Array.isArray(message)) return this.junk(line)
      return {
        ...this.identify(direction, Envelope.classify(message)),
        text: JSON.stringify(this.show(message, "")) ?? ""
      }
    } catch {
      return this.junk(line)
    }
  }

  private identify(direction: Line["direction"], envelope: Envelope.Envelope): Omit<Parts, "text"> {
    switch (envelope._tag) {
      case "ServerRequest":
        return this.request(direction, envelope.id, envelope.method)
      case "Notification":
        return { kind: "notification", method: WireText.nameOf(envelope.method) }
      case "Response":
        return { kind: "response", ...this.answered(direction, envelope.id) }
      case "Failure":
        return { kind: "error", ...this.answered(direction, envelope.id) }
      case "Junk":
        return { kind: "junk" }
    }
  }

  private oversized(direction: Line["direction"], { bytes, head }: OversizedLine): Parts {
    const { id, method } = Envelope.identify(head)
    const text = `<${bytes} bytes>`
    if (method === undefined) {
      return id === undefined ? { kind: "junk", text } : { kind: "response", ...this.answered(direction, id), text }
    }
    return id === undefined
      ? { kind: "notification", method: WireText.nameOf(method), text }
      : { ...this.request(direction, id, method), text }
  }

  private request(direction: Line["direction"], id: Envelope.RequestId, method: string): Omit<Parts, "text"> {
    const asked = this.asked[direction]
    const name = WireText.nameOf(method)
    if (asked.size < MAX_REQUESTS) asked.set(id, name)
    return { kind: "request", id: shownId(id), method: name }
  }

  private answered(direction: Line["direction"], id: Envelope.RequestId | null): Pick<Line, "id" | "method"> {
    const asked = this.asked[direction === "sent" ? "received" : "sent"]
    const method = asked.get(id)
    asked.delete(id)
    return { id: id === null ? undefined : shownId(id), method }
  }

  private junk(line: string): Parts {
    return { kind: "junk", text: this.isFull ? String(this.show(line, "")) : `<${line.length} characters>` }
  }
}

const shownId = (id: Envelope.RequestId): Envelope.RequestId => typeof id === "string" ? WireText.nameOf(id) : id
