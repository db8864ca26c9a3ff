/**
 * What a user gives the agent: text, images, skills and mentions. A plain string
 * is text.
 *
 * @since 0.1.0
 */
import type { UserInputParam } from "@effect-codex/generated"

/**
 * One piece of input.
 *
 * @since 0.1.0
 * @category models
 */
export type InputItem = UserInputParam

/**
 * What `run`, `turn`, `stream` and `steer` take: a text, one piece of input or
 * several.
 *
 * @since 0.1.0
 * @category models
 */
export type Input = string | InputItem | ReadonlyArray<string | InputItem>

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
  url: String(url),
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
