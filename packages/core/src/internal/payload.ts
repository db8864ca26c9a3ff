/** Checks payloads and says where they do not fit, without saying what they hold. */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import type { PayloadIssue } from "../CodexError.ts"

/** More than this many places say nothing new. */
const MAX_ISSUES = 16

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const formatPath = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, key) => typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`,
    ""
  )

/** The places where a payload does not fit, from the failure of decoding or encoding it. */
export const issues = (error: Schema.SchemaError): ReadonlyArray<PayloadIssue> => {
  const seen = new Set<string>()
  const found: Array<PayloadIssue> = []
  for (const issue of format(error.issue).issues) {
    const path = formatPath((issue.path ?? []).map((segment) => typeof segment === "object" ? segment.key : segment))
    const key = `${path}\n${issue.message}`
    if (seen.has(key)) continue
    seen.add(key)
    found.push({ path, expected: issue.message })
    if (found.length === MAX_ISSUES) break
  }
  return found
}

/** The places where a payload does not fit; none when it was something else that failed. */
export const issuesOfCause = (cause: Cause.Cause<Schema.SchemaError>): ReadonlyArray<PayloadIssue> =>
  Option.match(Cause.findErrorOption(cause), { onNone: () => [], onSome: issues })

/** A decoder or checker of one payload. */
export type Check<A> = (payload: unknown) => Exit.Exit<A, Schema.SchemaError>

/** Decodes what the server sent; unknown fields are left out. */
export const incoming = <A>(schema: Schema.Codec<A>): Check<A> => Schema.decodeUnknownExit(schema)

/** A payload that does not fit, with the places where it does not. */
export class Misfit {
  readonly issues: ReadonlyArray<PayloadIssue>
  constructor(issues: ReadonlyArray<PayloadIssue>) {
    this.issues = issues
  }
}

/**
 * How many payloads of one Schema are worth a compiled decoder, which takes ten milliseconds to make and saves up to ten
 * microseconds each time.
 */
const MANY = 1_000

/**
 * The same for payloads that may come by the hundred thousand: from the thousandth on by a decoder that is compiled from
 * the Schema, with the same outcome. Where code must not be made at run time, it stays as it was.
 */
export const incomingMany = <A>(schema: Schema.Codec<A>): (payload: unknown) => A | Misfit => {
  const check = incoming(schema)
  const explain = (payload: unknown): A | Misfit => {
    const exit = check(payload)
    return Exit.isSuccess(exit) ? exit.value : new Misfit(issuesOfCause(exit.cause))
  }
  let decode = explain
  let count = 0
  return (payload) => {
    if (++count === MANY) {
      SchemaJITCompiler.enable(schema.ast)
      const compiled = SchemaParser.decodeUnknownSync(schema)
      decode = (payload) => {
        try {
          return compiled(payload)
        } catch {
          return explain(payload)
        }
      }
    }
    return decode(payload)
  }
}

/** Checks what is about to be sent: closed, so that a misspelt field is an error and not silence. */
export const outgoing = <A>(schema: Schema.Codec<A>): Check<unknown> =>
  Schema.encodeUnknownExit(schema, { onExcessProperty: "error", errors: "all" })
