/** From the envelope of a notification to the typed event, by the registry alone. */
import type { ServerNotificationMethod } from "@effect-codex/generated"
import { ServerNotifications, UnknownMember } from "@effect-codex/generated"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { DecodeError } from "../CodexError.ts"
import type { CodexEvent, DecodeFailure, ServerNotification, TurnEvent, UnknownNotification } from "../Notification.ts"
import type { Envelope } from "./envelope.ts"
import * as Payload from "./payload.ts"

type NotificationEnvelope = Extract<Envelope, { readonly _tag: "Notification" }>

type Decode<M extends ServerNotificationMethod> = (
  envelope: NotificationEnvelope
) => ServerNotification<M> | DecodeFailure

const unknownMember = Schema.decodeUnknownSync(UnknownMember)

const isKnown = (method: string): method is ServerNotificationMethod => Object.hasOwn(ServerNotifications, method)

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

const makeDecode = <M extends ServerNotificationMethod>(method: M): Decode<M> => {
  const { params, threadId, turnId } = ServerNotifications[method]
  const check = Payload.incoming(params)
  return (envelope) => {
    const exit = check(envelope.params)
    if (Exit.isSuccess(exit)) {
      return {
        method,
        params: exit.value,
        threadId: idAt(envelope.params, threadId),
        turnId: idAt(envelope.params, turnId),
        emittedAtMs: envelope.emittedAtMs
      }
    }
    return decodeFailure(
      new DecodeError({ method, payload: "notification", issues: Payload.issuesOfCause(exit.cause) }),
      {
        threadId: idAt(envelope.params, threadId),
        turnId: idAt(envelope.params, turnId),
        emittedAtMs: envelope.emittedAtMs
      }
    )
  }
}

const decoders = new Map<string, Decode<ServerNotificationMethod>>()

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
  return decoder(envelope)
}

/** Whether the event can belong to a turn: an unknown notification's turn is not known. */
export const isTurnEvent = (event: TurnEvent | UnknownNotification): event is TurnEvent =>
  event.method === "client/decodeFailure" || isKnown(event.method)

/** Whether the event is a notification of the method. */
export const isOf =
  <M extends ServerNotificationMethod>(method: M) =>
  (event: CodexEvent): event is Extract<CodexEvent, { readonly method: M }> => event.method === method
