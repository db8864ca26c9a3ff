/** The files of `packages/generated/src`, as text. */
import * as Effect from "effect/Effect"
import { type Definitions, type Node, reachable } from "../../packages/node/src/protocol/jsonSchema.ts"
import { codeOf, docComment, makeMarks } from "./code.ts"
import type { Direction } from "./directions.ts"
import { differing } from "./directions.ts"
import type { GenerateError } from "./errors.ts"
import { checkInlineUnions, checkNames, formOf, openUnions, UNKNOWN_MEMBER, unknownName } from "./forms.ts"
import type { JsonPath, Method, RequestMethod } from "./methods.ts"
import {
  checkUnusedResults,
  CLIENT_NOTIFICATION,
  CLIENT_REQUEST,
  experimentalFields,
  idPath,
  methodsOf,
  RESULT_EXCEPTIONS,
  SERVER_NOTIFICATION,
  SERVER_REQUEST,
  withResults
} from "./methods.ts"
import { correctNames, MISNAMED, normalize } from "./passes.ts"
import { prelude } from "./prelude.ts"
import { forbidSiblingKeys, rolesOf } from "./unions.ts"

/** What is generated from. */
export interface Input {
  readonly version: string
  readonly experimental: Definitions
  readonly stable: Definitions
}

/** Where the generated files stand, from the repository's root. */
export const OUTPUT = "packages/generated/src"

const NAMES_OF_REGISTRIES = [
  "ClientNotificationMethod",
  "ClientNotifications",
  "ClientRequestDefinition",
  "ClientRequestMethod",
  "ClientRequestParams",
  "ClientRequestResults",
  "ClientRequests",
  "ExperimentalClientRequestMethod",
  "JsonPath",
  "ServerNotificationDefinition",
  "ServerNotificationMethod",
  "ServerNotificationParams",
  "ServerNotifications",
  "ServerRequestDefinition",
  "ServerRequestMethod",
  "ServerRequestParams",
  "ServerRequestResults",
  "ServerRequests",
  "Stability",
  "StableClientRequestMethod",
  "UnknownKeyed",
  "UnknownMember",
  "UnknownVariant"
]

const quote = (text: string): string => JSON.stringify(text)
const list = (items: ReadonlyArray<string>): string => `[${items.map(quote).join(", ")}]`
const path = (value: JsonPath | undefined): string => value === undefined ? "undefined" : list(value)

/** What was written. */
interface Generated {
  readonly files: Readonly<Record<string, string>>
  readonly summary: {
    readonly definitions: number
    readonly schemas: number
    readonly split: ReadonlyArray<string>
    readonly clientRequests: number
    readonly serverRequests: number
    readonly notifications: number
  }
}

/** Reads the protocol and writes the files, by name. */
export const generateFiles = Effect.fnUntraced(function*(input: Input): Effect.fn.Return<Generated, GenerateError> {
  const definitions = forbidSiblingKeys(yield* correctNames(normalize(input.experimental), MISNAMED))
  const stable = yield* correctNames(normalize(input.stable), MISNAMED, { partial: true })
  yield* checkInlineUnions(definitions)

  const clientMethods = yield* methodsOf(definitions, CLIENT_REQUEST)
  const serverMethods = yield* methodsOf(definitions, SERVER_REQUEST)
  const notifications = yield* methodsOf(definitions, SERVER_NOTIFICATION)
  const clientNotifications = yield* methodsOf(definitions, CLIENT_NOTIFICATION)
  const clientRequests = yield* withResults(definitions, clientMethods, RESULT_EXCEPTIONS)
  const serverRequests = yield* withResults(definitions, serverMethods, {})
  yield* checkUnusedResults(definitions, [...clientRequests, ...serverRequests])
  const stableMethods = new Set(
    [
      ...(yield* methodsOf(stable, CLIENT_REQUEST)),
      ...(yield* methodsOf(stable, SERVER_REQUEST)),
      ...(yield* methodsOf(stable, SERVER_NOTIFICATION))
    ].map(({ method }) => method)
  )

  const outgoing = reachable(definitions, [CLIENT_REQUEST, CLIENT_NOTIFICATION, ...serverRequests.map((_) => _.result)])
  const received = reachable(definitions, [
    SERVER_REQUEST,
    SERVER_NOTIFICATION,
    ...clientRequests.map((_) => _.result)
  ])
  const isOpen = (name: string) => received.has(name) || !outgoing.has(name)
  const incoming = Object.keys(definitions).filter(isOpen)
  const roles = rolesOf(definitions)
  const unions = openUnions(definitions, roles, incoming)

  const different = differing(definitions, (name, direction) =>
    formOf(name, {
      definitions,
      roles,
      direction,
      resolve: (ref) => ref,
      mark: (key, _property, optional) => direction === "out" && optional ? `${key}?` : key
    }))
  const split = new Set(incoming.filter((name) => outgoing.has(name) && different.has(name)))
  const nameOf = (name: string, direction: Direction) => direction === "out" && split.has(name) ? `${name}Param` : name

  const forms = [
    ...incoming.map((name) => ({ name, direction: "in" as const })),
    ...[...outgoing].filter((name) => !isOpen(name) || split.has(name)).map((name) => ({
      name,
      direction: "out" as const
    }))
  ]
  yield* checkNames([
    ...forms.map(({ name, direction }) => [nameOf(name, direction), `the definition ${name}`] as const),
    ...[...unions.keys()].map((name) => [unknownName(name), `the unknown variant of ${name}`] as const),
    ...NAMES_OF_REGISTRIES.map((name) => [name, "a name of the registries"] as const)
  ])

  const marks = makeMarks()
  const documents: Record<string, Node> = { [UNKNOWN_MEMBER]: { type: "string" } }
  for (const name of unions.keys()) documents[unknownName(name)] = { type: "object", additionalProperties: true }
  for (const { name, direction } of forms) {
    documents[nameOf(name, direction)] = formOf(name, {
      definitions,
      roles,
      direction,
      resolve: (ref) => nameOf(ref, direction),
      mark: marks.mark(direction)
    })
  }
  const code = yield* codeOf(documents, marks)

  const uses = new Map<string, Array<string>>()
  const use = (name: string | undefined, text: string) => {
    if (name !== undefined) uses.set(name, [...uses.get(name) ?? [], text])
  }
  for (const request of [...clientRequests, ...serverRequests]) {
    use(request.params, `Params of \`${request.method}\`.`)
    use(request.result, `Result of \`${request.method}\`.`)
  }
  for (const notification of notifications) {
    use(notification.params, `Params of the notification \`${notification.method}\`.`)
  }

  const documentation = (name: string, direction: Direction): string => {
    const description = definitions[name]?.description
    return [
      ...(typeof description === "string" ? [description] : []),
      ...uses.get(name) ?? [],
      ...(direction === "out" && split.has(name) ? [`What a caller sends where {@link ${name}} is received.`] : [])
    ].join("\n\n")
  }

  const blocks = new Map<string, string>()
  for (const { name, direction } of forms) {
    const identifier = nameOf(name, direction)
    const { runtime, type } = code.get(identifier) ?? { runtime: "", type: "" }
    const doc = documentation(name, direction)
    const comment = docComment(doc === "" ? `\`${name}\` of the protocol.` : doc)
    blocks.set(
      identifier,
      `${comment}export type ${identifier} = ${type}\n` +
        `${comment}export const ${identifier}: Schema.Codec<${identifier}> = /* @__PURE__ */ lazy(() => ${runtime})\n`
    )
  }
  for (const [name, shape] of unions) {
    const identifier = unknownName(name)
    const comment = docComment(`A {@link ${name}} this package does not know, whole.`)
    const [type, runtime] = shape.kind === "tagged"
      ? [
        `UnknownVariant<${quote(shape.tag)}>`,
        `unknownVariant(${quote(identifier)}, ${quote(shape.tag)}, ${list(shape.known)})`
      ]
      : ["UnknownKeyed", `unknownKeyed(${quote(identifier)}, ${list(shape.known)})`]
    blocks.set(
      identifier,
      `${comment}export type ${identifier} = ${type}\n` +
        `${comment}export const ${identifier}: Schema.Codec<${identifier}> = /* @__PURE__ */ lazy(() => ${runtime})\n`
    )
  }
  const sortedBlocks = [...blocks].sort(([a], [b]) => a < b ? -1 : 1).map(([, block]) => block)

  const header = `// Generated by \`npm run generate\` from @openai/codex ${input.version}. Do not edit.\n\n`
  const stability = (method: string) => stableMethods.has(method) ? "stable" : "experimental"
  const methodDoc = (method: Method) => method.description === undefined ? "" : docComment(method.description, "  ")

  const paramsType = (method: Method, direction: Direction): string => {
    if (method.params === undefined) return "undefined"
    const name = `Schemas.${nameOf(method.params, direction)}`
    return method.optional ? `${name} | null | undefined` : name
  }
  const paramsSchema = (method: Method, direction: Direction): string => {
    if (method.params === undefined) return "Schema.Undefined"
    const name = `Schemas.${nameOf(method.params, direction)}`
    return method.optional ? `/* @__PURE__ */ lazy(() => Schema.NullishOr(${name}))` : name
  }

  const typeMap = (name: string, doc: string, methods: ReadonlyArray<Method>, type: (method: Method) => string) =>
    `${docComment(doc)}export interface ${name} {\n` +
    methods.map((method) => `${methodDoc(method)}  readonly ${quote(method.method)}: ${type(method)}\n`).join("") +
    "}\n"
  const resultMap = (name: string, doc: string, methods: ReadonlyArray<RequestMethod>, direction: Direction) =>
    `${docComment(doc)}export interface ${name} {\n` +
    methods.map((_) => `  readonly ${quote(_.method)}: Schemas.${nameOf(_.result, direction)}\n`).join("") +
    "}\n"
  const registry = (
    name: string,
    of: string,
    definition: string,
    doc: string,
    methods: ReadonlyArray<Method>,
    fields: (method: Method) => ReadonlyArray<string>
  ) =>
    `${docComment(doc)}export const ${name}: { readonly [M in ${of}]: ${definition}<M> } = {\n` +
    methods.map((method) =>
      `  ${quote(method.method)}: {\n    ${[`method: ${quote(method.method)}`, ...fields(method)].join(",\n    ")}\n  }`
    ).join(",\n") + "\n}\n"
  const resultOf = (requests: ReadonlyArray<RequestMethod>) => {
    const byMethod = new Map(requests.map((request) => [request.method, request.result]))
    return (method: Method) => byMethod.get(method.method) ?? ""
  }
  const idFields = Effect.fnUntraced(function*(methods: ReadonlyArray<Method>) {
    const fields = new Map<string, ReadonlyArray<string>>()
    for (const method of methods) {
      fields.set(method.method, [
        `threadId: ${path(yield* idPath(definitions, method, "thread"))}`,
        `turnId: ${path(yield* idPath(definitions, method, "turn"))}`
      ])
    }
    return (method: Method) => fields.get(method.method) ?? []
  })
  const notificationIds = yield* idFields(notifications)
  const serverRequestIds = yield* idFields(serverRequests)
  const clientResult = resultOf(clientRequests)
  const serverResult = resultOf(serverRequests)
  const experimentalMethods = clientRequests.filter(({ method }) => !stableMethods.has(method)).map((_) => _.method)

  const idDocs = `  ${docComment("Where the params hold the thread's id, from the shape of the payload.").trim()}
  readonly threadId: JsonPath | undefined
  ${docComment("Where the params hold the turn's id, from the shape of the payload.").trim()}
  readonly turnId: JsonPath | undefined
`

  const files: Record<string, string> = {
    "Open.ts": header + prelude,
    "schemas.ts": `${header}import * as Schema from "effect/Schema"
import { json, lazy, unknownKeyed, UnknownMember, unknownVariant } from "./Open.ts"
import type { UnknownKeyed, UnknownVariant } from "./Open.ts"

${sortedBlocks.join("\n")}`,
    "Registry.ts": `${header}/** Whether a method needs the experimental API. */
export type Stability = "stable" | "experimental"

/** The keys from the params down to a value. */
export type JsonPath = ReadonlyArray<string>
`,
    "ClientRequests.ts": `${header}import * as Schema from "effect/Schema"
import { lazy } from "./Open.ts"
import type { Stability } from "./Registry.ts"
import * as Schemas from "./schemas.ts"

${typeMap("ClientRequestParams", "The params of each client request.", clientRequests, (_) => paramsType(_, "out"))}
${resultMap("ClientRequestResults", "The result of each client request.", clientRequests, "in")}
/** A method the client calls. */
export type ClientRequestMethod = keyof ClientRequestParams

/** A method that only exists with the experimental API. */
export type ExperimentalClientRequestMethod =
${experimentalMethods.map((method) => `  | ${quote(method)}\n`).join("")}
/** A method that exists without the experimental API. */
export type StableClientRequestMethod = Exclude<ClientRequestMethod, ExperimentalClientRequestMethod>

${
      typeMap(
        "StableClientRequestParams",
        "The params of each client request that exists without the experimental API, without the fields that do not.",
        clientRequests.filter(({ method }) => stableMethods.has(method)),
        (method) => {
          const fields = experimentalFields(method, definitions, stable)
          return fields.length === 0
            ? paramsType(method, "out")
            : `Omit<${paramsType(method, "out")}, ${fields.map(quote).join(" | ")}>`
        }
      )
    }
/** What is known of a client request. */
export interface ClientRequestDefinition<M extends ClientRequestMethod> {
  readonly method: M
  /** Closed: what a caller sends. \`undefined\` means that the request has no \`params\`. */
  readonly params: Schema.Codec<ClientRequestParams[M]>
  /** Open: what the app-server answers. */
  readonly result: Schema.Codec<ClientRequestResults[M]>
  readonly stability: Stability
  /** Fields of the params that only exist with the experimental API. */
  readonly experimentalFields: ReadonlyArray<string>
}

${
      registry(
        "ClientRequests",
        "ClientRequestMethod",
        "ClientRequestDefinition",
        "Every client request, by method.",
        clientRequests,
        (method) => [
          `params: ${paramsSchema(method, "out")}`,
          `result: Schemas.${nameOf(clientResult(method), "in")}`,
          `stability: ${quote(stability(method.method))}`,
          `experimentalFields: ${list(experimentalFields(method, definitions, stable))}`
        ]
      )
    }`,
    "ServerRequests.ts": `${header}import type * as Schema from "effect/Schema"
import type { JsonPath, Stability } from "./Registry.ts"
import * as Schemas from "./schemas.ts"

${typeMap("ServerRequestParams", "The params of each server request.", serverRequests, (_) => paramsType(_, "in"))}
${resultMap("ServerRequestResults", "What each server request is answered with.", serverRequests, "out")}
/** A method the app-server calls. */
export type ServerRequestMethod = keyof ServerRequestParams

/** What is known of a server request. */
export interface ServerRequestDefinition<M extends ServerRequestMethod> {
  readonly method: M
  /** Open: what the app-server asks. */
  readonly params: Schema.Codec<ServerRequestParams[M]>
  /** Closed: what it is answered. */
  readonly result: Schema.Codec<ServerRequestResults[M]>
  readonly stability: Stability
${idDocs}}

${
      registry(
        "ServerRequests",
        "ServerRequestMethod",
        "ServerRequestDefinition",
        "Every server request, by method.",
        serverRequests,
        (method) => [
          `params: ${paramsSchema(method, "in")}`,
          `result: Schemas.${nameOf(serverResult(method), "out")}`,
          `stability: ${quote(stability(method.method))}`,
          ...serverRequestIds(method)
        ]
      )
    }`,
    "ServerNotifications.ts": `${header}import type * as Schema from "effect/Schema"
import type { JsonPath, Stability } from "./Registry.ts"
import * as Schemas from "./schemas.ts"

${
      typeMap("ServerNotificationParams", "The params of each server notification.", notifications, (_) =>
        paramsType(_, "in"))
    }
/** A notification the app-server sends. */
export type ServerNotificationMethod = keyof ServerNotificationParams

/** What is known of a server notification. */
export interface ServerNotificationDefinition<M extends ServerNotificationMethod> {
  readonly method: M
  /** Open: what the app-server sends. */
  readonly params: Schema.Codec<ServerNotificationParams[M]>
  readonly stability: Stability
${idDocs}}

${
      registry(
        "ServerNotifications",
        "ServerNotificationMethod",
        "ServerNotificationDefinition",
        "Every server notification, by method.",
        notifications,
        (method) => [
          `params: ${paramsSchema(method, "in")}`,
          `stability: ${quote(stability(method.method))}`,
          ...notificationIds(method)
        ]
      )
    }`,
    "ClientNotifications.ts": `${header}/** A notification the client sends. None has params. */
export type ClientNotificationMethod = ${clientNotifications.map((_) => quote(_.method)).join(" | ")}

/** Every client notification, by method. */
export const ClientNotifications: { readonly [M in ClientNotificationMethod]: { readonly method: M } } = {
${clientNotifications.map((_) => `  ${quote(_.method)}: { method: ${quote(_.method)} }`).join(",\n")}
}
`,
    "version.ts": `${header}/** The version of the runtime this package was generated from. */
export const codexVersion = ${quote(input.version)}
`,
    "index.ts": `${header}export * from "./ClientNotifications.ts"
export * from "./ClientRequests.ts"
export { UnknownMember } from "./Open.ts"
export type { UnknownKeyed, UnknownVariant } from "./Open.ts"
export * from "./Registry.ts"
export * from "./schemas.ts"
export * from "./ServerNotifications.ts"
export * from "./ServerRequests.ts"
export * from "./version.ts"
`
  }
  return {
    files,
    summary: {
      definitions: Object.keys(definitions).length,
      schemas: blocks.size,
      split: [...split].sort(),
      clientRequests: clientRequests.length,
      serverRequests: serverRequests.length,
      notifications: notifications.length
    }
  }
})
