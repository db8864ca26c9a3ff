/**
 * Answers in the shape of a Schema. `thread.run` does all of it with its option
 * `output`; a turn that is streamed, steered or interrupted is given the format, and
 * its result is read with it.
 *
 * **Example** (Streaming an answer in a shape)
 *
 * ```ts
 * import { StructuredOutput, type Thread } from "@effect-codex/core"
 * import { Console, Effect, Schema, Stream } from "effect"
 *
 * const City = Schema.Struct({ name: Schema.String, inhabitants: Schema.Int })
 *
 * const describe = Effect.fn("describe")(function*(thread: Thread) {
 *   const { decode, jsonSchema } = yield* StructuredOutput.make(City)
 *   const turn = yield* thread.turn("Rome?", { params: { outputSchema: jsonSchema } })
 *   yield* Stream.runForEach(turn.text, (text) => Console.log(text))
 *   return yield* decode(yield* turn.result)
 * }, Effect.scoped)
 * ```
 *
 * @since 0.1.0
 */
import * as OpenAiStructuredOutput from "effect/ai/OpenAiStructuredOutput"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { formatIssues, OutputDecodeError, UnsupportedOutputSchema } from "./CodexError.ts"
import { definitionOf, fields, withoutUnused } from "./internal/jsonSchema.ts"
import * as Payload from "./internal/payload.ts"
import type { RunResult } from "./RunResult.ts"

/**
 * A Schema as the model is given it, and how the answer is read back.
 *
 * @since 0.1.0
 * @category models
 */
export interface OutputFormat<A> {
  /** The strict JSON schema: every object closed, every key required, what is optional nullable. */
  readonly jsonSchema: Schema.Json
  /** Reads the agent's answer. Fails with `OutputDecodeError`, which holds the raw text. */
  readonly decode: (result: RunResult) => Effect.Effect<A, OutputDecodeError>
  /** What to tell the model about an answer that could not be read. */
  readonly complaint: (error: OutputDecodeError) => string
}

/**
 * Derives the strict JSON schema of a Schema. Fails with `UnsupportedOutputSchema`,
 * naming the place, where the model could not be held to it: a root that is no
 * object, or a part without a shape, as `Schema.Unknown` and `Schema.Json`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function*<A, I>(
  schema: Schema.Codec<A, I>
): Effect.fn.Return<OutputFormat<A>, UnsupportedOutputSchema> {
  const { codec, jsonSchema } = yield* Effect.try({
    try: () => OpenAiStructuredOutput.toCodecOpenAI(schema),
    catch: (cause) => new UnsupportedOutputSchema({ path: "", description: describe(cause) })
  })
  const shapeless = findShapeless(jsonSchema, "", Predicate.isObject(jsonSchema.$defs) ? fields(jsonSchema.$defs) : {})
  if (shapeless !== undefined) {
    return yield* new UnsupportedOutputSchema({
      path: shapeless,
      description: "the model cannot be held to a value of any shape; give it a Schema of its own"
    })
  }
  const check = Schema.decodeUnknownEffect(codec, { errors: "all" })
  return {
    jsonSchema: jsonOf(withoutUnused(jsonSchema)),
    decode: (result) => {
      const failed = (issues: OutputDecodeError["issues"]) =>
        new OutputDecodeError({
          threadId: result.threadId,
          turnId: result.turnId,
          raw: result.finalResponse,
          issues,
          result
        })
      if (result.finalResponse === null) {
        return Effect.fail(failed([{ path: "", expected: "Expected an answer, got none" }]))
      }
      const parsed = parseJson(result.finalResponse)
      if (Exit.isFailure(parsed)) return Effect.fail(failed([{ path: "", expected: "Expected JSON" }]))
      return Effect.mapError(check(parsed.value), (error) => failed(Payload.issues(error)))
    },
    complaint: (error) =>
      `Your answer does not have the required form: ${formatIssues(error.issues)}. ` +
      "Answer again, with nothing but JSON in that form."
  }
})

const describe = (cause: unknown): string => {
  const words = cause instanceof Error ? cause.message.replace(/^OpenAiStructuredOutput: /, "") : String(cause)
  return words.startsWith("Root JSON Schema")
    ? "the answer has to be an object with fields; what is something else can be the field of a Struct"
    : words
}

/** The first place that says nothing of what is expected there, or that leaves an object open. */
const findShapeless = (
  schema: unknown,
  path: string,
  definitions: Record<string, unknown>,
  visited: Set<string> = new Set()
): string | undefined => {
  if (!Predicate.isObject(schema)) return path
  const { $ref, additionalProperties, anyOf, const: constant, enum: members, items, properties, type } = fields(schema)
  if (typeof $ref === "string") {
    if (visited.has($ref)) return undefined
    return findShapeless(definitions[definitionOf($ref)], path, definitions, visited.add($ref))
  }
  const shaped = type !== undefined || anyOf !== undefined || members !== undefined || constant !== undefined
  if (!shaped || (type === "object" && additionalProperties !== false)) return path
  const parts: Array<readonly [unknown, string]> = []
  if (Predicate.isObject(properties)) {
    for (const [key, value] of Object.entries(properties)) parts.push([value, path === "" ? key : `${path}.${key}`])
  }
  if (Array.isArray(anyOf)) { for (const member of anyOf) parts.push([member, path]) }
  if (items !== undefined) parts.push([items, `${path}[]`])
  for (const [part, at] of parts) {
    const found = findShapeless(part, at, definitions, visited)
    if (found !== undefined) return found
  }
  return undefined
}

const parseJson = Schema.decodeUnknownExit(Schema.fromJsonString(Schema.Unknown))

const jsonOf = Schema.decodeUnknownSync(Schema.Json)
