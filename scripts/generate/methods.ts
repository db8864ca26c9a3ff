/** The protocol's methods, and what belongs to each: params, result, stability, and where its ids stand. */
import * as Effect from "effect/Effect"
import { UnexpectedBundle } from "../../packages/node/src/protocol/bundle.ts"
import type { Definitions, Node } from "../../packages/node/src/protocol/jsonSchema.ts"
import {
  branchesOf,
  isNode,
  isNull,
  nullable,
  propertiesOf,
  refName,
  stringsOf
} from "../../packages/node/src/protocol/jsonSchema.ts"
import { ResultMappingError } from "./errors.ts"
import { enumOf } from "./passes.ts"

/** Definitions that unite the methods of one direction. */
export const CLIENT_REQUEST = "ClientRequest"
/** See {@link CLIENT_REQUEST}. */
export const SERVER_REQUEST = "ServerRequest"
/** See {@link CLIENT_REQUEST}. */
export const SERVER_NOTIFICATION = "ServerNotification"
/** See {@link CLIENT_REQUEST}. */
export const CLIENT_NOTIFICATION = "ClientNotification"

/** A method as the protocol's own union describes it. */
export interface Method {
  readonly method: string
  /** The definition of the params; `undefined` when the method takes none. */
  readonly params: string | undefined
  /** Whether the params may be left out although they have a definition. */
  readonly optional: boolean
  readonly description: string | undefined
}

/** A method that is answered. */
export interface RequestMethod extends Method {
  readonly result: string
}

/** A JSON path, from the params down. */
export type JsonPath = ReadonlyArray<string>

/** Reads the methods of one union of the protocol. */
export const methodsOf = Effect.fnUntraced(function*(definitions: Definitions, union: string) {
  const node = definitions[union]
  const branches = node === undefined ? undefined : branchesOf(node)
  if (branches === undefined) return yield* new UnexpectedBundle({ reason: `${union} is no union` })
  const methods: Array<Method> = []
  for (const branch of branches) {
    const properties = propertiesOf(branch)
    const [method] = isNode(properties.method) ? enumOf(properties.method) ?? [] : []
    const params = properties.params
    if (method === undefined) return yield* new UnexpectedBundle({ reason: `${union} has a member without a method` })
    const absent = params === undefined || isNode(params) && isNull(params)
    const optional = nullable(params)
    const name = refName(optional ?? params)
    if (!absent && name === undefined) {
      return yield* new UnexpectedBundle({ reason: `the params of ${method} are no definition` })
    }
    methods.push({
      method,
      params: name,
      optional: optional !== undefined,
      description: typeof branch.description === "string" ? branch.description : undefined
    })
  }
  return methods.sort((a, b) => a.method < b.method ? -1 : 1)
})

/**
 * Methods whose result is not named after their params: those without params, and a few whose names differ. An entry
 * that is not needed fails the generation, so the table cannot go stale.
 */
export const RESULT_EXCEPTIONS: Readonly<Record<string, string>> = {
  "account/gatewayOAuth/cancel": "GatewayOAuthCancelResponse",
  "account/logout": "LogoutAccountResponse",
  "account/securitySetup/read": "GetAccountSecuritySetupResponse",
  "account/workspaceMessages/read": "GetWorkspaceMessagesResponse",
  "accountSession/list": "AccountSessionsResponse",
  "config/batchWrite": "ConfigWriteResponse",
  "config/mcpServer/reload": "McpServerRefreshResponse",
  "config/value/write": "ConfigWriteResponse",
  "configRequirements/read": "ConfigRequirementsReadResponse",
  "externalAgentConfig/import/readHistories": "ExternalAgentConfigImportHistoriesReadResponse",
  "memory/reset": "MemoryResetResponse",
  "remoteControl/status/read": "RemoteControlStatusReadResponse",
  "rollout/compress": "RolloutCompressResponse",
  "windowsSandbox/readiness": "WindowsSandboxReadinessResponse"
}

/** The JSON-RPC envelope, which is named like a result and is none. */
const NO_RESULTS: ReadonlySet<string> = new Set(["JSONRPCResponse"])

const byName = (definitions: Definitions, method: Method): string | undefined => {
  if (method.params === undefined || !method.params.endsWith("Params")) return undefined
  const result = method.params.replace(/Params$/, "Response")
  return definitions[result] === undefined ? undefined : result
}

/** Finds the result of each method: by name, or in the table of exceptions. */
export const withResults = Effect.fnUntraced(function*(
  definitions: Definitions,
  methods: ReadonlyArray<Method>,
  exceptions: Readonly<Record<string, string>>
) {
  const requests: Array<RequestMethod> = []
  for (const method of methods) {
    const found = byName(definitions, method)
    const exception = exceptions[method.method]
    if (found !== undefined && exception !== undefined) {
      return yield* new ResultMappingError({
        method: method.method,
        reason: `the exception is not needed: ${found} follows from the params`
      })
    }
    const result = found ?? exception
    if (result === undefined) {
      return yield* new ResultMappingError({
        method: method.method,
        reason: `no result: ${method.params ?? "it has no params"}, and no exception names one`
      })
    }
    if (definitions[result] === undefined) {
      return yield* new ResultMappingError({ method: method.method, reason: `the exception's ${result} is not there` })
    }
    requests.push({ ...method, result })
  }
  const stale = Object.keys(exceptions).find((name) => !methods.some(({ method }) => method === name))
  if (stale !== undefined) {
    return yield* new ResultMappingError({ method: stale, reason: "there is an exception for it, but no such method" })
  }
  return requests
})

/** A result nobody asks for is a method whose mapping went astray. */
export const checkUnusedResults = Effect.fnUntraced(
  function*(definitions: Definitions, requests: ReadonlyArray<RequestMethod>) {
    const used = new Set(requests.map(({ result }) => result))
    const unused = Object.keys(definitions).filter((name) =>
      name.endsWith("Response") && !NO_RESULTS.has(name) && !used.has(name)
    )
    const [first] = unused
    if (first !== undefined) {
      return yield* new ResultMappingError({ method: first, reason: "is the result of no method" })
    }
  }
)

/** Methods from before threads had their name: what holds the thread id there. */
export const LEGACY_THREAD_IDS: Readonly<Record<string, string>> = {
  applyPatchApproval: "conversationId",
  execCommandApproval: "conversationId"
}

const isId = (definitions: Definitions, property: unknown): boolean => {
  const inner = nullable(property) ?? property
  if (!isNode(inner)) return false
  const name = refName(inner)
  const target = name === undefined ? inner : definitions[name]
  return target !== undefined && (target.type === "string" || stringsOf(target.type).includes("string"))
}

const idIn = (definitions: Definitions, struct: Node, noun: "thread" | "turn"): JsonPath | undefined => {
  const properties = propertiesOf(struct)
  if (isId(definitions, properties[`${noun}Id`])) return [`${noun}Id`]
  const whole = noun === "thread" ? "Thread" : "Turn"
  const target = definitions[whole]
  return refName(properties[noun]) === whole && target !== undefined && isId(definitions, propertiesOf(target).id)
    ? [noun, "id"]
    : undefined
}

/** Where the params of a method hold the id of the thread or turn it belongs to, read off the payload's shape. */
export const idPath = Effect.fnUntraced(
  function*(definitions: Definitions, method: Method, noun: "thread" | "turn") {
    const node = method.params === undefined ? undefined : definitions[method.params]
    if (node === undefined) return undefined
    const legacy = noun === "thread" ? LEGACY_THREAD_IDS[method.method] : undefined
    if (legacy !== undefined) {
      if (isId(definitions, propertiesOf(node)[legacy])) return [legacy]
      return yield* new UnexpectedBundle({ reason: `${method.method} no longer has a ${legacy}` })
    }
    const paths = (branchesOf(node) ?? [node]).map((struct) => idIn(definitions, struct, noun))
    const [first, ...others] = paths
    if (others.some((path) => path?.join(".") !== first?.join("."))) {
      return yield* new UnexpectedBundle({ reason: `the variants of ${method.method} disagree about its ${noun} id` })
    }
    return first
  }
)

/** The params' fields that only exist with the experimental API. */
export const experimentalFields = (
  method: Method,
  definitions: Definitions,
  stable: Definitions
): ReadonlyArray<string> => {
  const node = method.params === undefined ? undefined : definitions[method.params]
  const before = method.params === undefined ? undefined : stable[method.params]
  if (node === undefined || before === undefined) return []
  return Object.keys(propertiesOf(node)).filter((key) => !Object.hasOwn(propertiesOf(before), key)).sort()
}
