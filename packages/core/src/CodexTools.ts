/**
 * An `effect/ai` toolkit as tools of the agent.
 *
 * @since 0.1.0
 */
import type {
  DynamicToolCallOutputContentItemParam,
  DynamicToolCallParams,
  DynamicToolCallResponse,
  DynamicToolSpec
} from "@effect-codex/generated"
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { formatIssues } from "./CodexError.ts"
import { objectOf } from "./internal/jsonSchema.ts"
import * as Log from "./internal/log.ts"
import * as OwnFailure from "./internal/ownFailure.ts"
import * as Payload from "./internal/payload.ts"

/**
 * Tools that the agent may call, and what answers its calls.
 *
 * @since 0.1.0
 * @category models
 */
export interface CodexTools<R = never> {
  /** The tools as the protocol takes them. */
  readonly specs: ReadonlyArray<DynamicToolSpec>
  /** How long a call may take, as it was given: a thread that is given the tools looks at it. */
  readonly timeout?: Duration.Input | undefined
  /** Answers a call. Whatever goes wrong is told to the model, as a call without success. */
  readonly call: (params: DynamicToolCallParams) => Effect.Effect<DynamicToolCallResponse, never, R>
}

/**
 * Options of `fromToolkit`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How long a call may take; then it is interrupted and the model is told. Default: 60
   * seconds. A thread refuses tools with a timeout that is none, as `InvalidParams`.
   */
  readonly timeout?: Duration.Input | undefined
}

/**
 * The tools of a toolkit. The JSON schema of a tool comes from its parameters, and
 * its arguments are decoded by them. A success is encoded by the tool's schema (or
 * its `toModelOutput`); a typed failure, arguments that do not fit, a defect, an
 * interruption within the handler and a call that takes too long become a call without
 * success, with a text that the model can use. So does a call of a tool that needs
 * approval, as there is nobody to ask. A call is interrupted when its turn ends. Tools
 * that a provider defines are left out: the server knows none of them. Throws a
 * `TypeError` for a tool whose parameters are no object, as a union: the model's API
 * takes none.
 *
 * ```ts
 * import { Codex, CodexTools } from "@effect-codex/core"
 * import { Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 *
 * const Kit = Toolkit.make(Tool.make("weather", {
 *   description: "The weather in a city, in degrees Celsius",
 *   parameters: Schema.Struct({ city: Schema.String }),
 *   success: Schema.Struct({ degrees: Schema.Finite })
 * }))
 *
 * const program = Effect.gen(function*() {
 *   const codex = yield* Codex
 *   const thread = yield* codex.startThread({ tools: CodexTools.fromToolkit(Kit, { timeout: "10 seconds" }) })
 *   return yield* thread.run("How warm is it in Rome?")
 * }).pipe(Effect.provide(Kit.toLayer({ weather: () => Effect.succeed({ degrees: 21 }) })))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromToolkit = <Tools extends Record<string, Tool.Any>>(
  toolkit: Toolkit.Toolkit<Tools>,
  options: Options = {}
): CodexTools<Tool.HandlersFor<Tools> | Tool.HandlerServices<Tools[keyof Tools]>> => {
  const timeout = Option.getOrElse(Duration.fromInput(options.timeout ?? defaultTimeout), () => defaultTimeout)
  return {
    timeout: options.timeout,
    specs: Object.values(toolkit.tools).filter((tool) => !Tool.isProviderDefined(tool)).map((tool) => ({
      type: "function",
      name: tool.name,
      description: Tool.getDescription(tool) ?? "",
      inputSchema: inputOf(tool)
    })),
    call: ({ arguments: args, callId, tool: name }) =>
      isToolOf(toolkit, name)
        ? callTool(toolkit, name, args, callId, timeout)
        : Effect.succeed(failure(`There is no tool ${name} on this thread.`))
  }
}

const defaultTimeout = Duration.seconds(60)

const callTool = <Tools extends Record<string, Tool.Any>, Name extends Extract<keyof Tools, string>>(
  toolkit: Toolkit.Toolkit<Tools>,
  name: Name,
  args: unknown,
  callId: string,
  timeout: Duration.Duration
): Effect.Effect<
  DynamicToolCallResponse,
  never,
  Tool.HandlersFor<Tools> | Tool.HandlerServices<Tools[Name]>
> => {
  const needsApproval = toolkit.tools[name]?.needsApproval
  if (needsApproval !== undefined && needsApproval !== false) {
    return Effect.succeed(failure(`${name} needs an approval that cannot be asked for here.`))
  }
  const tool = toolkit.tools[name]
  const form = jsonForm(tool?.parametersSchema)
  const read = form === undefined ? Exit.succeed(args) : Schema.decodeUnknownExit(form, { errors: "all" })(args)
  if (Exit.isFailure(read) || !takes(toolkit, name, read.value)) {
    const issues = Exit.isFailure(read) ? `: ${formatIssues(Payload.issuesOfCause(read.cause))}` : "."
    return Effect.succeed(failure(`The arguments of ${name} do not match its schema${issues}`))
  }
  const parameters = read.value
  return Effect.gen(function*() {
    const { handle } = yield* toolkit
    const results = yield* handle(name, parameters, callId)
    const last = yield* Stream.runLast(Stream.filter(results, (result) => !result.preliminary))
    return Option.match(last, {
      onNone: () => failure(`${name} gave no result.`),
      onSome: (result): DynamicToolCallResponse => ({
        success: !result.isFailure,
        contentItems: result.modelOutput === undefined
          ? [text(toText(toJson(tool, result.isFailure, result.encodedResult)))]
          : result.modelOutput.map(contentItem)
      })
    })
  }).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.succeed(failure(`${name} did not finish within ${Duration.format(timeout)}.`))
    }),
    Effect.catch((error) => Effect.succeed(failure(`${name} failed: ${reasonOf(error)}`))),
    Effect.catchCause((cause) =>
      // Within the handler: nobody is told of a call that is itself interrupted.
      Cause.hasInterruptsOnly(cause)
        ? Effect.succeed(failure(`${name} was interrupted.`))
        : Log.warning(`The tool ${name} died`).pipe(
          Effect.andThen(OwnFailure.logPlace(`The tool ${name}`, cause)),
          Effect.as(failure(`${name} failed unexpectedly.`))
        )
    )
  )
}

const isToolOf = <Tools extends Record<string, Tool.Any>>(
  toolkit: Toolkit.Toolkit<Tools>,
  name: string
): name is Extract<keyof Tools, string> =>
  Object.hasOwn(toolkit.tools, name) && !Tool.isProviderDefined(toolkit.tools[name])

/** What a Schema encodes to, as JSON and back: that is what the model is told of, and it need not be JSON itself. */
const jsonForm = (schema: unknown) => Schema.isSchema(schema) ? Schema.toCodecJson(Schema.toEncoded(schema)) : undefined

/** The result that a tool has encoded, as JSON; without a result there is none. */
const toJson = (tool: Tool.Any | undefined, isFailure: boolean, result: unknown): unknown => {
  const schema = tool === undefined ? undefined : isFailure ? Tool.failureResultSchema(tool) : tool.successSchema
  const form = jsonForm(schema)
  return form === undefined || result === undefined ? result : Schema.encodeUnknownSync(form)(result)
}

/** Whether the arguments have the shape that the tool's parameters are decoded from. */
const takes = <Tools extends Record<string, Tool.Any>, Name extends keyof Tools>(
  toolkit: Toolkit.Toolkit<Tools>,
  name: Name,
  args: unknown
): args is Tool.ParametersEncoded<Tools[Name]> => {
  const schema = toolkit.tools[name]?.parametersSchema
  return !Schema.isSchema(schema) || Schema.is(Schema.toEncoded(schema))(args)
}

const text = (text: string): DynamicToolCallOutputContentItemParam => ({ type: "inputText", text })

const failure = (reason: string): DynamicToolCallResponse => ({ success: false, contentItems: [text(reason)] })

const toText = (result: unknown): string => typeof result === "string" ? result : JSON.stringify(result) ?? ""

/** What a failure says of itself, or else what it consists of. */
const reasonOf = (error: unknown): string => {
  if (Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message !== "") {
    return error.message
  }
  return toText(error)
}

const contentItem = (part: Prompt.ToolModelOutputPart): DynamicToolCallOutputContentItemParam => {
  if (part.type === "text") return text(part.text)
  const kind = part.mediaType.split("/")[0]
  if (kind !== "image" && kind !== "audio") {
    return text(`[${part.mediaType}${part.fileName === undefined ? "" : ` ${part.fileName}`} omitted]`)
  }
  const url = typeof part.data === "string"
    ? part.data.startsWith("data:") ? part.data : `data:${part.mediaType};base64,${part.data}`
    : part.data instanceof URL
    ? part.data.href
    : `data:${part.mediaType};base64,${Base64.encode(part.data)}`
  return kind === "image" ? { type: "inputImage", imageUrl: url } : { type: "inputAudio", audioUrl: url }
}

const inputOf = (tool: Tool.Any): Schema.Json => {
  const schema = objectOf(Tool.getJsonSchema(tool))
  if (schema === undefined) throw new TypeError(`The parameters of the tool ${tool.name} are no object`)
  return jsonOf(schema)
}

/** A JSON Schema is JSON, but its type does not say so. */
const jsonOf = Schema.decodeUnknownSync(Schema.Json)
