/**
 * What a user gives the agent: text, images, skills and mentions. A plain string
 * is text. What somebody else says is an external message.
 *
 * @since 0.1.0
 */
import type { TurnStartParams, TurnToolOutput, UserInputParam } from "@effect-codex/generated"

/**
 * One piece of input.
 *
 * @since 0.1.0
 * @category models
 */
export type InputItem = UserInputParam

/**
 * What a user says to the agent: a text, one piece of input or several.
 *
 * @since 0.1.0
 * @category models
 */
export type Input = string | InputItem | ReadonlyArray<string | InputItem>

/**
 * What somebody else says to the agent: another agent, a tool, an application. It has
 * the authority of a tool's output, below what users and developers say, and permits
 * nothing. It is the whole input of its turn.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExternalMessage {
  /** What tells it from the input of a user. */
  readonly type: "externalMessage"
  /** The tool that brings it, as the model sees it. */
  readonly toolName: string
  /** The namespace of the tool. */
  readonly namespace?: string | undefined
  /** A text, or the pieces that the output of a tool may have. */
  readonly content: TurnToolOutput["output"]
}

/**
 * What `run`, `turn` and `stream` take: the input of a user, or an external message.
 *
 * @since 0.1.0
 * @category models
 */
export type TurnInput = Input | ExternalMessage

/**
 * How closely the model looks at an image.
 *
 * @since 0.1.0
 * @category models
 */
export type ImageDetail = NonNullable<Extract<InputItem, { readonly type: "localImage" }>["detail"]>

/**
 * Text.
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (text: string): InputItem => ({ type: "text", text })

/**
 * An image by its URL; a `data:` URL holds the image itself.
 *
 * @since 0.1.0
 * @category constructors
 */
export const image = (url: string | URL, options?: { readonly detail?: ImageDetail | undefined }): InputItem => ({
  type: "image",
  url: url instanceof URL ? url.href : url,
  detail: options?.detail
})

/**
 * An image file on the machine the app-server runs on. A relative path is relative to
 * the working directory of the app-server, and not to that of the thread.
 *
 * @since 0.1.0
 * @category constructors
 */
export const localImage = (path: string, options?: { readonly detail?: ImageDetail | undefined }): InputItem => ({
  type: "localImage",
  path,
  detail: options?.detail
})

/**
 * A skill by its name and the path of its `SKILL.md`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const skill = (options: { readonly name: string; readonly path: string }): InputItem => ({
  type: "skill",
  name: options.name,
  path: options.path
})

/**
 * A mention of something that has a path, such as an app or a file.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mention = (options: { readonly name: string; readonly path: string }): InputItem => ({
  type: "mention",
  name: options.name,
  path: options.path
})

/**
 * A message of somebody who is not the user, as the output of a tool that nobody has
 * called. Give it to `run`, `turn` or `stream`, which fail with `InvalidRequest` when
 * the tool has no name.
 *
 * ```ts
 * import { Input, type Thread } from "@effect-codex/core"
 *
 * const forward = (thread: Thread, mail: string) =>
 *   thread.run(Input.externalMessage({ toolName: "inbox", content: mail }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const externalMessage = (message: Omit<ExternalMessage, "type">): ExternalMessage => ({
  type: "externalMessage",
  toolName: message.toolName,
  namespace: message.namespace,
  content: message.content
})

/**
 * The fields of `turn/start` that an input is.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toTurnFields = (input: TurnInput): Pick<TurnStartParams, "input" | "toolOutput"> =>
  isExternal(input)
    ? { input: [], toolOutput: { name: input.toolName, namespace: input.namespace, output: input.content } }
    : { input: toItems(input) }

/**
 * The pieces of an input, as the protocol takes them.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toItems = (input: Input): ReadonlyArray<InputItem> => {
  if (typeof input === "string") return [text(input)]
  if (!isArray(input)) return [input]
  return input.map((item) => typeof item === "string" ? text(item) : item)
}

const isArray = (input: Input): input is ReadonlyArray<string | InputItem> => Array.isArray(input)

const isExternal = (input: TurnInput): input is ExternalMessage =>
  typeof input === "object" && "type" in input && input.type === "externalMessage"
