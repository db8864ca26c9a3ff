/** From the envelope of a notification to the typed event, by the registry alone. */
import type { ServerNotificationMethod } from "@effect-codex/generated"
import { ServerNotifications, UnknownMember } from "@effect-codex/generated"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { DecodeError } from "../CodexError.ts"
import type { CodexEvent, DecodeFailure, ServerNotification, TurnEvent, UnknownNotification } from "../Notification.ts"
import type { Envelope } from "./envelope.ts"
import * as Payload from "./payload.ts"

/** What a notification is before it is decoded. */
export type NotificationEnvelope = Extract<Envelope, { readonly _tag: "Notification" }>

type Decode<M extends ServerNotificationMethod> = (
  envelope: NotificationEnvelope
) => ServerNotification<M> | DecodeFailure

const unknownMember = Schema.decodeUnknownSync(UnknownMember)

/** Whether the registry has the method. */
export const isKnown = (method: string): method is ServerNotificationMethod =>
  Object.hasOwn(ServerNotifications, method)

/** Reads the string at `path`, the place that the registry names for an id. */
export const idAt = (payload: unknown, path: ReadonlyArray<string> | undefined): string | undefined => {
  if (path === undefined) return undefined
  let value = payload
  for (const key of path) {
    if (!Predicate.hasProperty(value, key)) return undefined
    value = value[key]
  }
  return typeof value === "string" ? value : undefined
}

/** The same for one path and many payloads. Most ids stand at the top. */
const idReader = (path: ReadonlyArray<string> | undefined): (payload: unknown) => string | undefined => {
  if (path === undefined) return () => undefined
  const [key, ...others] = path
  if (key === undefined || others.length > 0) return (payload) => idAt(payload, path)
  return (payload) => {
    const id = isRecord(payload) ? payload[key] : undefined
    return typeof id === "string" ? id : undefined
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

const makeDecode = <M extends ServerNotificationMethod>(method: M): Decode<M> => {
  const { params, threadId, turnId } = ServerNotifications[method]
  const decode = Payload.incomingMany(params)
  const threadIdOf = idReader(threadId)
  const turnIdOf = idReader(turnId)
  return (envelope) => {
    const params = decode(envelope.params)
    const threadId = threadIdOf(envelope.params)
    const turnId = turnIdOf(envelope.params)
    const { emittedAtMs } = envelope
    return params instanceof Payload.Misfit
      ? decodeFailure(new DecodeError({ method, payload: "notification", issues: params.issues }), {
        threadId,
        turnId,
        emittedAtMs
      })
      : { method, params, threadId, turnId, emittedAtMs }
  }
}

const decoders = new Map<string, Decode<ServerNotificationMethod>>()
/** The latest one: most notifications are of the same method as the one before, and to compare costs less than to hash. */
let lastMethod: string | undefined
let lastDecoder: Decode<ServerNotificationMethod> | undefined

/** The event for a message that could not be read. */
export const decodeFailure = (
  error: DecodeError,
  origin?: Omit<DecodeFailure, "method" | "params">
): DecodeFailure => ({
  method: "client/decodeFailure",
  params: { error },
  threadId: origin?.threadId,
  turnId: origin?.turnId,
  emittedAtMs: origin?.emittedAtMs
})

/** Decodes a notification by the Schema of its method; never fails. */
export const decode = (envelope: NotificationEnvelope): TurnEvent | UnknownNotification => {
  const { method } = envelope
  if (method === lastMethod && lastDecoder !== undefined) return lastDecoder(envelope)
  let decoder = decoders.get(method)
  if (decoder === undefined) {
    if (!isKnown(method)) {
      return {
        method: unknownMember(method),
        params: envelope.params,
        threadId: undefined,
        turnId: undefined,
        emittedAtMs: envelope.emittedAtMs
      }
    }
    decoder = makeDecode(method)
    decoders.set(method, decoder)
  }
  lastMethod = method
  lastDecoder = decoder
  return decoder(envelope)
}

/** Whether the event can belong to a turn: an unknown notification's turn is not known. */
export const isTurnEvent = (event: TurnEvent | UnknownNotification): event is TurnEvent =>
  event.turnId !== undefined || event.method === "client/decodeFailure" || isKnown(event.method)

/** Whether the event is a notification of the method. */
export const isOf =
  <M extends ServerNotificationMethod>(method: M) =>
  (event: CodexEvent): event is Extract<CodexEvent, { readonly method: M }> => event.method === method
