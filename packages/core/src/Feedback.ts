/**
 * Feedback for the makers of the agent.
 *
 * @since 0.1.0
 */
import type { FeedbackSaveResponse, FeedbackUploadResponse } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import type { AppServerClient } from "./AppServerClient.ts"
import type { RequestError } from "./CodexError.ts"

/**
 * What feedback says.
 *
 * @since 0.1.0
 * @category models
 */
export interface FeedbackOptions {
  /** What kind it is, as `bug` or `good_result`. */
  readonly classification: string
  /** What there is to say. */
  readonly reason?: string | undefined
  /** The thread that it is about. */
  readonly threadId?: string | undefined
  /** Sends logs along. They hold what was said and done. Default: false. */
  readonly includeLogs?: boolean | undefined
  /** Further files to send along with the logs. */
  readonly extraLogFiles?: ReadonlyArray<string> | undefined
  /** Marks, by name. */
  readonly tags?: { readonly [name: string]: string } | undefined
}

/**
 * Feedback through the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Feedback {
  /** Sends it over the network. Has no deadline. Mirrors `feedback/upload`. */
  readonly upload: (options: FeedbackOptions) => Effect.Effect<FeedbackUploadResponse, RequestError>
  /** Writes what would be sent to a file on the server's machine. Mirrors `feedback/save`. */
  readonly save: (path: string, options: FeedbackOptions) => Effect.Effect<FeedbackSaveResponse, RequestError>
}

const paramsOf = (options: FeedbackOptions) => ({
  classification: options.classification,
  reason: options.reason,
  threadId: options.threadId,
  includeLogs: options.includeLogs ?? false,
  extraLogFiles: options.extraLogFiles,
  tags: options.tags
})

/**
 * Feedback behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Feedback => ({
  upload: Effect.fn("Feedback.upload")((options: FeedbackOptions) =>
    client.request("feedback/upload", paramsOf(options))
  ),
  save: Effect.fn("Feedback.save")((path: string, options: FeedbackOptions) =>
    client.request("feedback/save", { ...paramsOf(options), savePath: path })
  )
})
