/**
 * Who says yes when the agent asks for more than its sandbox allows. Without any
 * of this, the answer is no.
 *
 * @since 0.1.0
 */
import type {
  AdditionalPermissionProfile,
  CommandExecutionRequestApprovalParams,
  FileChangeRequestApprovalParams,
  NetworkApprovalContext,
  PermissionsRequestApprovalParams,
  RequestPermissionProfile,
  ServerRequestMethod,
  ServerRequestParams,
  ServerRequestResults
} from "@effect-codex/generated"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Tracer from "effect/Tracer"
import type * as Types from "effect/Types"
import * as ShellWords from "./internal/shellWords.ts"
import * as ServerRequests from "./ServerRequests.ts"

// =============================================================================
// Requests
// =============================================================================

interface Origin {
  /** The thread that asks. */
  readonly threadId: string
  /** The turn that asks; null for the legacy methods, which do not name it. */
  readonly turnId: string | null
  /** The item that waits for the answer. */
  readonly itemId: string
  /** Why the agent asks, in its own words. */
  readonly reason: string | null
}

/**
 * The agent wants to run a command outside its sandbox, or to reach a host.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommandApproval extends Origin {
  readonly _tag: "Command"
  /** The command line; null where the server sends none. */
  readonly command: string | null
  /** Where it would run. */
  readonly cwd: string | null
  /** The host it wants to reach, when that is what is asked. */
  readonly network: NetworkApprovalContext | null
  /** What it would be allowed beside running, when it asks for more. */
  readonly additionalPermissions: AdditionalPermissionProfile | null
  /**
   * Whether it may ask for more without saying so: the server tells only clients with
   * `experimental: true` of further permissions (`features.exec_permission_approvals`).
   * True for commands that a rule of the server asks about, too.
   */
  readonly mayHidePermissions: boolean
  /** The request as it came; absent for the legacy method. */
  readonly params?: CommandExecutionRequestApprovalParams
}

/**
 * The agent wants to change files.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileChangeApproval extends Origin {
  readonly _tag: "FileChange"
  /** The files, as far as the turn's events have named them. */
  readonly paths: ReadonlyArray<string>
  /** The folder it asks to write to from now on, when it does. */
  readonly grantRoot: string | null
  /** The request as it came; absent for the legacy method. */
  readonly params?: FileChangeRequestApprovalParams
}

/**
 * The agent wants further permissions for the turn or the session.
 *
 * @since 0.1.0
 * @category models
 */
export interface PermissionsApproval extends Origin {
  readonly _tag: "Permissions"
  /** What it wants to be allowed. */
  readonly permissions: RequestPermissionProfile
  /** Where it works. */
  readonly cwd: string
  /** The request as it came. */
  readonly params: PermissionsRequestApprovalParams
}

/**
 * What the agent asks permission for.
 *
 * @since 0.1.0
 * @category models
 */
export type ApprovalRequest = CommandApproval | FileChangeApproval | PermissionsApproval

// =============================================================================
// Decisions
// =============================================================================

/**
 * An answer. `Accept` holds once, or for the session where it says so; `Cancel`
 * declines and ends the turn.
 *
 * @since 0.1.0
 * @category models
 */
export type Decision =
  | { readonly _tag: "Accept"; readonly scope: "once" | "session" }
  | { readonly _tag: "Decline" }
  | { readonly _tag: "Cancel" }

/**
 * Yes, this once.
 *
 * @since 0.1.0
 * @category decisions
 */
export const accept: Decision = { _tag: "Accept", scope: "once" }

/**
 * Yes, and the same for the rest of the session.
 *
 * @since 0.1.0
 * @category decisions
 */
export const acceptForSession: Decision = { _tag: "Accept", scope: "session" }

/**
 * No; the agent goes on without it.
 *
 * @since 0.1.0
 * @category decisions
 */
export const decline: Decision = { _tag: "Decline" }

/**
 * No, and the turn ends.
 *
 * @since 0.1.0
 * @category decisions
 */
export const cancel: Decision = { _tag: "Cancel" }

/**
 * What was decided, and how.
 *
 * @since 0.1.0
 * @category models
 */
export interface DecisionRecord {
  /** When it was decided. */
  readonly at: DateTime.Utc
  /** What was asked. */
  readonly request: ApprovalRequest
  /**
   * What was answered, which may be less than what a policy decided (permissions
   * that cannot be told to the server are not granted); null when the question was
   * settled elsewhere, its turn ended first, or a handler failed.
   */
  readonly decision: Decision | null
  /**
   * Who answered: the policy or handler of the thread (its own, or of a thread that it
   * works for as an agent), the layer's, nobody (hence declined), or one that failed
   * (hence declined).
   */
  readonly by: "thread" | "layer" | "default" | "failure"
}

// =============================================================================
// Policies
// =============================================================================

/**
 * Decides on a request, or leaves it to the next policy. A policy that fails or
 * dies, or gives no Effect, declines.
 *
 * @since 0.1.0
 * @category models
 */
export type Policy<E = never, R = never> = (
  request: ApprovalRequest
) => Effect.Effect<Option.Option<Decision>, E, R>

const decideIf = (decision: Decision, matches: (request: ApprovalRequest) => boolean): Policy => (request) =>
  Effect.succeed(matches(request) ? Option.some(decision) : Option.none())

/** A command prefix: words, or a line of them. */
type Prefix = string | ReadonlyArray<string>

const wordsOf = (prefix: Prefix): ReadonlyArray<string> =>
  typeof prefix === "string" ? prefix.split(/\s+/).filter((word) => word !== "") : prefix

interface AcceptOptions {
  /** Whether a yes holds once or for the session. Default: once. */
  readonly scope?: "once" | "session" | undefined
}

const accepted = (options: AcceptOptions | undefined): Decision =>
  options?.scope === "session" ? acceptForSession : accept

/**
 * Accepts a command that begins with these words and is nothing but that one
 * command: a line that chains, redirects, substitutes or expands anything is left
 * to the next policy, and so is one that asks for a host or for further
 * permissions, or that may do so without saying it (`mayHidePermissions`).
 *
 * @since 0.1.0
 * @category policies
 */
export const acceptCommands = (prefixes: ReadonlyArray<Prefix>, options?: AcceptOptions): Policy => {
  const wanted = prefixes.map(wordsOf)
  return decideIf(accepted(options), (request) => {
    if (request._tag !== "Command" || request.command === null) return false
    if (request.network !== null || request.additionalPermissions !== null) return false
    if (request.mayHidePermissions) return false
    const words = ShellWords.parse(request.command)
    return words !== undefined && wanted.some((prefix) => ShellWords.startsWith(words, prefix))
  })
}

/**
 * Declines a command line in which any command begins with these words. A line
 * may be written so that this does not see it: decline by default, accept by
 * exception.
 *
 * @since 0.1.0
 * @category policies
 */
export const declineCommands = (prefixes: ReadonlyArray<Prefix>): Policy => {
  const wanted = prefixes.map(wordsOf)
  return decideIf(decline, (request) =>
    request._tag === "Command" && request.command !== null &&
    ShellWords.segments(request.command).some((words) => wanted.some((prefix) => ShellWords.startsWith(words, prefix))))
}

const isWithin = (path: Path.Path, root: string, file: string): boolean => {
  if (!path.isAbsolute(root) || !path.isAbsolute(file)) return false
  const relative = path.relative(path.normalize(root), path.normalize(file))
  return relative !== ".." && !relative.startsWith("../")
}

const byPath = (
  decision: Decision,
  matches: (request: FileChangeApproval, path: Path.Path) => boolean
): Policy =>
(request) =>
  Path.Path.useSync((path) =>
    request._tag === "FileChange" && matches(request, path) ? Option.some(decision) : Option.none()
  ).pipe(Effect.provide(Path.layer))

/**
 * Accepts file changes when every file is known and lies in one of these folders
 * (absolute paths, compared by name: links are not followed). A request to write
 * to a folder from now on is left to the next policy unless that folder lies
 * there too.
 *
 * @since 0.1.0
 * @category policies
 */
export const acceptPaths = (folders: ReadonlyArray<string>, options?: AcceptOptions): Policy =>
  byPath(accepted(options), (request, path) => {
    const inside = (file: string) => folders.some((folder) => isWithin(path, folder, file))
    return request.paths.length > 0 && request.paths.every(inside) &&
      (request.grantRoot === null || inside(request.grantRoot))
  })

/**
 * Declines file changes when any of the files lies in one of these folders
 * (absolute paths, compared by name), and when it cannot be told where they lie.
 *
 * @since 0.1.0
 * @category policies
 */
export const declinePaths = (folders: ReadonlyArray<string>): Policy =>
  byPath(decline, (request, path) => {
    const files = request.grantRoot === null ? request.paths : [...request.paths, request.grantRoot]
    return files.length === 0 || files.some((file) =>
      !path.isAbsolute(file) || folders.some((folder) =>
        isWithin(path, folder, file) ||
        // Whoever may write to a folder may write to what it holds.
        (file === request.grantRoot && isWithin(path, file, folder))
      )
    )
  })

const matchesHost = (host: string, patterns: ReadonlyArray<string>): boolean => {
  const name = host.toLowerCase().replace(/\.$/, "")
  return patterns.some((pattern) => {
    const wanted = pattern.toLowerCase().replace(/\.$/, "")
    return wanted.startsWith("*.") ? name.endsWith(wanted.slice(1)) : name === wanted
  })
}

const asksFor = (request: ApprovalRequest, hosts: ReadonlyArray<string>): request is CommandApproval =>
  request._tag === "Command" && request.network !== null && matchesHost(request.network.host, hosts)

/**
 * Accepts reaching one of these hosts; `*.example.com` stands for every host
 * below `example.com`. A request that asks for further permissions beside the host
 * is left to the next policy.
 *
 * @since 0.1.0
 * @category policies
 */
export const acceptHosts = (hosts: ReadonlyArray<string>, options?: AcceptOptions): Policy =>
  decideIf(accepted(options), (request) => asksFor(request, hosts) && request.additionalPermissions === null)

/**
 * Declines reaching one of these hosts; `*.example.com` stands for every host
 * below `example.com`.
 *
 * @since 0.1.0
 * @category policies
 */
export const declineHosts = (hosts: ReadonlyArray<string>): Policy =>
  decideIf(decline, (request) => asksFor(request, hosts))

/**
 * Lets the program decide: a person, another service, a rule of its own. For as
 * long as it takes, the rest of the connection goes on.
 *
 * @since 0.1.0
 * @category policies
 */
export const ask = <E = never, R = never>(
  decide: (request: ApprovalRequest) => Effect.Effect<Decision, E, R>
): Policy<E, R> =>
(request) => Effect.asSome(decide(request))

/**
 * Accepts whatever is asked.
 *
 * @since 0.1.0
 * @category policies
 */
export const acceptAll: Policy = decideIf(accept, () => true)

/**
 * Declines whatever is asked.
 *
 * @since 0.1.0
 * @category policies
 */
export const declineAll: Policy = decideIf(decline, () => true)

/**
 * Asks the other policy where this one does not decide.
 *
 * @since 0.1.0
 * @category combinators
 */
export const orElse: {
  <E2, R2>(that: Policy<E2, R2>): <E, R>(self: Policy<E, R>) => Policy<E | E2, R | R2>
  <E, R, E2, R2>(self: Policy<E, R>, that: Policy<E2, R2>): Policy<E | E2, R | R2>
} = dual(
  2,
  <E, R, E2, R2>(self: Policy<E, R>, that: Policy<E2, R2>): Policy<E | E2, R | R2> => (request) =>
    Effect.flatMap(
      self(request),
      Option.match({
        onNone: () => that(request),
        onSome: (decision) => Effect.succeedSome(decision)
      })
    )
)

/**
 * The policies in order: the first that decides does. When none does, the request
 * is declined.
 *
 * @since 0.1.0
 * @category combinators
 */
export function firstMatch<Policies extends ReadonlyArray<Policy<unknown, unknown>>>(
  ...policies: Policies
): Policy<Effect.Error<ReturnType<Policies[number]>>, Effect.Services<ReturnType<Policies[number]>>>
export function firstMatch<E, R>(...policies: ReadonlyArray<Policy<E, R>>): Policy<E, R> {
  return policies.reduce<Policy<E, R>>((first, next) => orElse(first, next), () => Effect.succeedNone)
}

// =============================================================================
// Service
// =============================================================================

/**
 * What answers the server: a policy for what the agent asks permission for, and
 * handlers for single methods of the protocol, which go first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E = never, R = never> {
  /** Decides on commands, file changes, hosts and permissions. */
  readonly policy?: Policy<E, R> | undefined
  /** Answers methods of the protocol, as `item/tool/requestUserInput`. */
  readonly handlers?: ServerRequests.Handlers<unknown, R> | undefined
}

/** What a policy or any of the handlers comes to. */
type AnswersOf<O extends Options<unknown, unknown>> = ReturnType<
  Extract<
    O["policy"] | (O["handlers"] extends infer H ? H[keyof H] : never),
    (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, unknown>
  >
>

/**
 * The same options, which need what the policy and every handler needs. Without it TypeScript takes what the first of
 * them needs for all of it, and refuses the others.
 *
 * **Example** (A policy and a handler with services of their own)
 *
 * ```ts
 * import { Approvals } from "@effect-codex/core"
 * import { Context, Effect } from "effect"
 *
 * class Rules extends Context.Service<Rules, { readonly policy: Approvals.Policy }>()("Rules") {}
 * class Operator extends Context.Service<Operator, { readonly now: Effect.Effect<number> }>()("Operator") {}
 *
 * const Live = Approvals.layer(Approvals.options({
 *   policy: (request) => Rules.use(({ policy }) => policy(request)),
 *   handlers: {
 *     "currentTime/read": () => Operator.use(({ now }) => Effect.map(now, (currentTimeAt) => ({ currentTimeAt })))
 *   }
 * }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export function options<const O extends Options<unknown, unknown>>(
  options: O
): Options<Effect.Error<AnswersOf<O>>, Effect.Services<AnswersOf<O>>>
export function options<E, R>(options: Options<E, R>): Options<E, R> {
  return options
}

/**
 * The same with everything it needs, ready to be asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Decides on commands, file changes, hosts and permissions. */
  readonly policy: Policy<unknown> | undefined
  /** Whether there is a handler for a method of the protocol. */
  readonly handles: (method: ServerRequestMethod) => boolean
  /** The answer to a method of the protocol, where there is a handler for it. */
  readonly answer: <M extends ServerRequestMethod>(
    method: M,
    params: ServerRequestParams[M]
  ) => Effect.Effect<ServerRequestResults[M], unknown> | undefined
}

/**
 * What answers the server on the threads of a connection that have no answers of
 * their own. Where it is not provided, everything is declined.
 *
 * ```ts
 * import { Approvals } from "@effect-codex/core"
 * import { NodeCodex } from "@effect-codex/node"
 *
 * const Live = NodeCodex.layer({
 *   approvals: {
 *     policy: Approvals.firstMatch(
 *       Approvals.acceptCommands(["git status", "npm test"]),
 *       Approvals.acceptPaths(["/srv/project/docs"])
 *     )
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class Approvals extends Context.Service<Approvals, Service>()("@effect-codex/core/Approvals") {}

// `Types.NoInfer` and not the compiler's own: that one keeps a union together where `Exclude` would take it apart, and
// services could not be provided one after the other.

/**
 * Closes over the services that the policy and the handlers need.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E = never, R = never>(options: Options<E, R>): Effect.Effect<Service, never, Types.NoInfer<R>> =>
  Effect.contextWith((context: Context.Context<R>) => {
    const { handlers, policy } = options
    return Effect.succeed<Service>({
      policy: policy === undefined ? undefined : (request) => within(policy(request), context),
      handles: (method) => handlers !== undefined && ServerRequests.get(handlers, method) !== undefined,
      answer: (method, params) => {
        const handler = handlers === undefined ? undefined : ServerRequests.get(handlers, method)
        return handler === undefined ? undefined : within(handler(params), context)
      }
    })
  })

/**
 * With the services of where the answers were made, but below the span of the request that is answered. As a span of
 * others: what answers must not write into it, as a `Toolkit` does with the arguments of a tool.
 */
const within = <A, E, R>(effect: Effect.Effect<A, E, R>, context: Context.Context<R>): Effect.Effect<A, E> =>
  Effect.contextWith((current: Context.Context<never>) =>
    Effect.provideContext(
      effect,
      Option.match(Context.getOption(current, Tracer.ParentSpan), {
        onNone: () => context,
        onSome: (span) => Context.add(context, Tracer.ParentSpan, Tracer.externalSpan(span))
      })
    )
  )

/**
 * Provides the answers.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E = never, R = never>(options: Options<E, R>): Layer.Layer<Approvals, never, Types.NoInfer<R>> =>
  Layer.effect(Approvals, make(options))
