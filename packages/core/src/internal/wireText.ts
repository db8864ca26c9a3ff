/**
 * What of a message on the wire may be shown. Without its content, what is left are its
 * shape and what names things: strings are kept where a field is known to name
 * something, and only where they look like a name.
 */
import * as Predicate from "effect/Predicate"
import { redactSecrets } from "../Redaction.ts"
import * as Base64 from "./base64.ts"
import { isSecretField, isSecretSetting, redactQuery } from "./secretField.ts"

const REDACTED = "<redacted>"

/** Fields whose values name things. */
const naming =
  /(?:^|[a-z_])[iI]ds?$|^(?:method|type|kind|status|phase|mode|role|model|modelProvider|effort|reasoningEffort|serviceTier|approvalPolicy|approvalsReviewer|sandbox|decision|action|scope|itemsView|tool|server|namespace|version|cliVersion|userAgent|platformFamily|platformOs|codexErrorInfo|traceparent|tracestate)$/

/** Fields that may hold anything, names of fields and numbers included. */
const freeForm =
  /^(?:arguments|config|value|env|outputSchema|inputSchema|requestedSchema|structuredContent|_meta|metadata)$/

const looksLikeName = /^[\w.:@/+~-]{1,100}$/
const looksLikeField = /^[A-Za-z_$][\w$-]{0,63}$/

/** A name of the wire, unless it looks like something else. */
export const nameOf = (text: string): string =>
  looksLikeName.test(text) && redactSecrets(text) === text ? text : `<${text.length} characters>`

/** Shows what is left of a value under a field. */
export type Show = (value: unknown, field: string) => unknown

const walk = (value: unknown, field: string, text: (text: string, field: string) => string, show: Show): unknown => {
  if (typeof value === "string") return text(value, field)
  if (Array.isArray(value)) return value.map((element) => show(element, field))
  return value
}

/** Names and the shape of the message, but no content. */
export const shapeOf: Show = (value, field) => {
  if (isSecretField(field) && value !== null) return REDACTED
  if (freeForm.test(field) && value !== null && value !== undefined) return `<${kindOf(value)}>`
  if (Predicate.isObject(value) && !Array.isArray(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [
        looksLikeField.test(name) ? name : `<${name.length} characters>`,
        shapeOf(member, name)
      ])
    )
  }
  return walk(
    value,
    field,
    (text) => naming.test(field) ? nameOf(text) : `<${text.length} characters>`,
    shapeOf
  )
}

const kindOf = (value: unknown): string => Array.isArray(value) ? "array" : typeof value

/** Everything but secrets: by their shape, their field or their value. */
export const everythingOf = (secrets: ReadonlyArray<string>): Show => {
  const longestFirst = [...secrets].sort((a, b) => b.length - a.length)
  const clean = (text: string): string => {
    let cleaned = text
    for (const secret of longestFirst) cleaned = cleaned.replaceAll(secret, REDACTED)
    return redactQuery(redactSecrets(cleaned, REDACTED), REDACTED)
  }
  const show: Show = (value, field) => {
    if (isSecretField(field) && value !== null) return REDACTED
    if (Predicate.isObject(value) && !Array.isArray(value)) {
      const setting: { readonly [name: string]: unknown } = { ...value }
      return Object.fromEntries(
        Object.entries(value).map(([name, member]) => [
          clean(name),
          isSecretSetting(setting, name) ? REDACTED : show(member, name)
        ])
      )
    }
    return walk(value, field, (text) => Base64.isField(field) ? Base64.rewrite(text, clean) : clean(text), show)
  }
  return show
}
