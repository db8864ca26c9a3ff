/**
 * Skills: instructions in `SKILL.md` files that the agent reads when they fit.
 *
 * @since 0.1.0
 */
import type { SkillsListEntry } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import type { ConnectionError, RequestError } from "./CodexError.ts"

/**
 * Options of `codex.skills.list`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListOptions {
  /** The directories to look from; the server's own when left out. */
  readonly cwds?: ReadonlyArray<string> | undefined
  /** Reads the files again instead of what is remembered of them. */
  readonly reload?: boolean | undefined
}

/**
 * A skill, by its name or by the path of its `SKILL.md`.
 *
 * @since 0.1.0
 * @category models
 */
export type SkillRef = { readonly name: string } | { readonly path: string }

/**
 * The skills of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Skills {
  /** The skills that there are, by directory. Mirrors `skills/list`. */
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<SkillsListEntry>, RequestError>
  /** Switches a skill on or off for good, and tells what holds then. Mirrors `skills/config/write`. */
  readonly setEnabled: (skill: SkillRef, enabled: boolean) => Effect.Effect<boolean, RequestError>
  /**
   * Has the server look for skills below these absolute paths too, as long as it
   * runs; they take the place of those set before. Mirrors `skills/extraRoots/set`.
   */
  readonly setExtraRoots: (paths: ReadonlyArray<string>) => Effect.Effect<void, RequestError>
  /** Tells that skills have changed, and that `list` is worth another look, while the stream runs. */
  readonly changes: Stream.Stream<void, ConnectionError>
}

/**
 * The skills behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Skills => ({
  list: Effect.fn("Skills.list")(function*(options?: ListOptions) {
    const { data } = yield* client.request("skills/list", { cwds: options?.cwds, forceReload: options?.reload })
    return data
  }),
  setEnabled: Effect.fn("Skills.setEnabled")(function*(skill: SkillRef, enabled: boolean) {
    const { effectiveEnabled } = yield* client.request(
      "skills/config/write",
      "name" in skill ? { name: skill.name, enabled } : { path: skill.path, enabled }
    )
    return effectiveEnabled
  }),
  setExtraRoots: Effect.fn("Skills.setExtraRoots")(function*(paths: ReadonlyArray<string>) {
    yield* client.request("skills/extraRoots/set", { extraRoots: paths })
  }),
  changes: Stream.map(client.on("skills/changed"), () => undefined)
})
