/**
 * Every method of the client, called on the real app-server: with which params, and what it answers there without an
 * account and without a network. `test/real/protocol.test.ts` runs the table; the coverage scorecard is made of it.
 */
import type { RequestError } from "@effect-codex/core"
import type { ClientRequestMethod, ClientRequestParams, ClientRequestResults } from "@effect-codex/generated"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { manifestOf, type WorldService } from "./world.ts"

// ============================================================================
// Form
// ============================================================================

/** The arguments of a request behind its method. */
export type Args<M extends ClientRequestMethod> = undefined extends ClientRequestParams[M]
  ? [params?: ClientRequestParams[M]]
  : [params: ClientRequestParams[M]]

/** The errors that a request of the table may end with: what the server answers. */
export type Refusal = Exclude<
  RequestError["_tag"],
  "AppServerExited" | "TransportError" | "DecodeError" | "ExperimentalApiRequired" | "RetryLimitExceeded"
>

/** What a request comes to. */
export type Expectation<M extends ClientRequestMethod> =
  | { readonly _tag: "Result"; readonly check: (result: ClientRequestResults[M], world: WorldService) => void }
  | { readonly _tag: "Error"; readonly error: Refusal; readonly message: RegExp }

/** One method: what comes before, what is sent, and what comes of it. */
export interface Case<M extends ClientRequestMethod> {
  readonly args: (world: WorldService) => Effect.Effect<Args<M>, RequestError, Scope.Scope>
  readonly expect: Expectation<M>
  /** What it does reaches too far for the other cases: it has a world of its own. */
  readonly alone: boolean
}

type Check<M extends ClientRequestMethod> = (result: ClientRequestResults[M], world: WorldService) => void

const answers = <M extends ClientRequestMethod>(
  args: (world: WorldService) => Args<M>,
  check: Check<M> = () => {}
): Case<M> => ({
  args: (world) => Effect.sync(() => args(world)),
  expect: { _tag: "Result", check },
  alone: false
})

const answersAfter = <M extends ClientRequestMethod, A>(
  arrange: (world: WorldService) => Effect.Effect<A, RequestError, Scope.Scope>,
  args: (arranged: A, world: WorldService) => Args<M>,
  check: Check<M> = () => {}
): Case<M> => ({
  args: (world) => Effect.map(arrange(world), (arranged) => args(arranged, world)),
  expect: { _tag: "Result", check },
  alone: false
})

const refuses = <M extends ClientRequestMethod>(
  error: Refusal,
  message: RegExp,
  args: (world: WorldService) => Args<M>
): Case<M> => ({
  args: (world) => Effect.sync(() => args(world)),
  expect: { _tag: "Error", error, message },
  alone: false
})

const alone = <M extends ClientRequestMethod>(self: Case<M>): Case<M> => ({ ...self, alone: true })

// ============================================================================
// What cases share
// ============================================================================

const nothing = (): [] => []
const empty = (): [{}] => [{}]
const thread = ({ threadId }: WorldService): [{ threadId: string }] => [{ threadId }]
const threadOf = (threadId: string): [{ threadId: string }] => [{ threadId }]

/** What is refused without an account, which no test has. */
const accountOnly = /codex account authentication required/
const remoteControlOnly = /remote control requires ChatGPT authentication/
const noVerification = /User verification is not available/
const catalogueOnly = /chatgpt authentication required for remote plugin catalog/

const text = (value: string) => ({ type: "text" as const, text: value })
const size = { cols: 80, rows: 24 }
/** "hi" in base64. */
const hi = "aGk="

let counter = 0
const unique = (name: string): string => `${name}-${counter++}`

/** A `cat` under `command/exec`, which runs until the case has ended. Its terminal wants no sandbox. */
const command = (world: WorldService) =>
  Effect.gen(function*() {
    const processId = unique("command")
    const { request } = world.client
    yield* Effect.addFinalizer(() => Effect.ignore(request("command/exec/terminate", { processId })))
    yield* Effect.forkScoped(
      request("command/exec", {
        command: ["cat"],
        processId,
        tty: true,
        size,
        sandboxPolicy: { type: "dangerFullAccess" },
        disableTimeout: true
      }),
      { startImmediately: true }
    )
    return processId
  })

/** A `cat` under `process/spawn`, which is killed when the case has ended. */
const process = (world: WorldService) =>
  Effect.gen(function*() {
    const processHandle = unique("process")
    const { request } = world.client.experimental
    yield* request("process/spawn", { command: ["cat"], cwd: world.folder, processHandle, tty: true, size })
    yield* Effect.addFinalizer(() => Effect.ignore(request("process/kill", { processHandle })))
    return processHandle
  })

const project = (world: WorldService) =>
  Effect.map(
    world.client.experimental.request("project/create", {
      idempotencyKey: unique("project"),
      name: "A project",
      roots: [{ path: `${world.folder}/${unique("root")}` }]
    }),
    (created) => created.project.id
  )

const section = (world: WorldService) =>
  Effect.map(
    world.client.request("threadSection/create", { name: unique("Section") }),
    (created) => created.section.id
  )

/** A message that waits behind a turn that does not end. */
const queued = (world: WorldService) =>
  Effect.gen(function*() {
    const { threadId, turnId } = yield* world.busyThread
    const added = yield* world.client.experimental.request("thread/queue/add", {
      threadId,
      clientUserMessageId: unique("message"),
      input: [text("Later")]
    })
    return { threadId, turnId, queuedSubmissionId: added.queuedSubmission.id }
  })

const archived = (world: WorldService) =>
  Effect.gen(function*() {
    const { threadId } = yield* world.newHistory
    yield* world.client.request("thread/archive", { threadId })
    return threadId
  })

/** A marketplace that is there, and a plugin of it. */
const shop = ({ client, folder }: WorldService) =>
  Effect.as(
    client.request("marketplace/add", { source: `${folder}/shop` }),
    { pluginName: "hello", marketplacePath: manifestOf(`${folder}/shop`) }
  )

/** A plugin that is installed. */
const bought = (world: WorldService) =>
  Effect.flatMap(shop(world), (plugin) => world.client.request("plugin/install", plugin))

const attachment = { attachmentType: "note", identityKey: "one" }

// ============================================================================
// Table
// ============================================================================

/** The cases, by method; they run in this order. */
export const cases: { readonly [M in ClientRequestMethod]: Case<M> } = {
  // Account -----------------------------------------------------------------
  "account/read": answers(empty, ({ account }) => assert.isNull(account ?? null)),
  "account/login/cancel": answersAfter(
    (world) => world.client.request("account/login/start", { type: "chatgpt" }),
    (login) => [{ loginId: "loginId" in login && typeof login.loginId === "string" ? login.loginId : "" }],
    ({ status }) => assert.strictEqual(status, "canceled")
  ),
  "account/rateLimits/read": refuses("InvalidRequest", accountOnly, nothing),
  "account/rateLimitResetCredit/consume": refuses("InvalidRequest", accountOnly, () => [{ idempotencyKey: "once" }]),
  "account/usage/read": refuses("InvalidRequest", accountOnly, nothing),
  "account/workspaceMessages/read": refuses("InvalidRequest", accountOnly, nothing),
  "account/sendAddCreditsNudgeEmail": refuses("InvalidRequest", accountOnly, () => [{ creditType: "credits" }]),
  "account/securitySetup/read": answers(nothing, ({ notice }) => assert.isNull(notice ?? null)),
  "account/gatewayOAuth/read": answers(nothing, ({ required }) => assert.isFalse(required)),
  "account/gatewayOAuth/login": refuses("InvalidRequest", /does not use gateway OAuth/, nothing),
  "account/gatewayOAuth/cancel": answers(nothing),
  "account/bedrock/checkGovCloudRequirements": answers(empty),
  "account/bedrock/discover": answers(empty),
  "account/bedrock/setup": refuses("InvalidRequest", /failed to load credentials for AWS profile/, () => [
    { type: "profile", profile: "no-such-profile", region: "us-east-1" }
  ]),
  "account/gcp/setup": refuses("InvalidRequest", /Cannot read the Google Cloud credential file/, ({ folder }) => [
    { projectId: "no-such-project", credentialFile: `${folder}/no-such-file` }
  ]),
  "accountSession/list": answers(empty, ({ sessions }) => assert.deepStrictEqual(sessions, [])),
  "accountSession/switch": refuses("InvalidRequest", /requires a managed ChatGPT login/, () => [
    { accountId: "nobody", sessionId: "none" }
  ]),

  // Configuration -----------------------------------------------------------
  "config/read": answers(() => [{ includeLayers: true }], ({ config, layers }) => {
    assert.strictEqual(config.model, "gpt-5.4")
    assert.isAbove(layers?.length ?? 0, 0)
  }),
  "config/value/write": answers(
    () => [{ keyPath: "model_verbosity", mergeStrategy: "replace", value: "low" }],
    ({ status }) => assert.strictEqual(status, "ok")
  ),
  "config/batchWrite": answers(
    () => [{ edits: [{ keyPath: "tui.notifications", mergeStrategy: "upsert", value: false }] }],
    ({ filePath }, { home }) => assert.strictEqual(filePath, `${home}/config.toml`)
  ),
  "configRequirements/read": answers(nothing, ({ requirements }) => assert.isNull(requirements ?? null)),
  "experimentalFeature/list": answers(empty, ({ data }) => assert.isAbove(data.length, 0)),
  "experimentalFeature/enablement/set": answers(
    () => [{ enablement: { apps: false } }],
    ({ enablement }) => assert.isObject(enablement)
  ),
  "permissionProfile/list": answers(empty, ({ data }) => assert.include(data.map(({ id }) => id), ":workspace")),
  "collaborationMode/list": answers(empty, ({ data }) => assert.include(data.map(({ mode }) => mode), "plan")),
  "model/list": answers(empty, ({ data }) => assert.isAbove(data.length, 0)),
  "modelProvider/list": answers(
    empty,
    ({ defaultProviderId }) => assert.strictEqual(defaultProviderId, "offline")
  ),
  "modelProvider/capabilities/read": answers(empty),
  "modelProvider/config/write": answers(
    () => [{ settings: { type: "customGateway", name: "Elsewhere", baseUrl: "http://127.0.0.1:9/v1" } }],
    ({ provider }) => assert.strictEqual(provider.id, "elsewhere")
  ),
  "memory/status": answers(() => [{}], ({ v2ConsolidatedThreads }) => assert.strictEqual(v2ConsolidatedThreads, 0)),
  "memory/reset": alone(answers(nothing)),
  "externalAgentConfig/detect": answers(
    ({ folder }) => [{ cwds: [folder], includeHome: false }],
    ({ items }) => assert.isArray(items)
  ),
  "externalAgentConfig/import": answersAfter(
    () => Effect.void,
    (_, { folder }) => [{ migrationItems: [{ itemType: "AGENTS_MD", description: "Instructions", cwd: folder }] }],
    ({ importId }) => assert.isAbove(importId.length, 0)
  ),
  "externalAgentConfig/import/readHistories": answers(nothing),
  "externalAgentConfig/import/recordHistory": answers(
    () => [{ providerId: "somebody", itemTypeResults: [] }],
    ({ importId }) => assert.isAbove(importId.length, 0)
  ),

  // Skills, hooks, plugins, apps -----------------------------------------------
  "skills/list": answers(({ folder }) => [{ cwds: [folder] }], ({ data }, { folder }) => {
    assert.deepStrictEqual(data.map(({ cwd }) => cwd), [folder])
  }),
  "skills/config/write": answers(
    () => [{ name: "no-such-skill", enabled: false }],
    ({ effectiveEnabled }) => assert.isFalse(effectiveEnabled)
  ),
  "skills/extraRoots/set": answers(({ folder }) => [{ extraRoots: [folder] }]),
  "hooks/list": answers(({ folder }) => [{ cwds: [folder] }], ({ data }) => assert.strictEqual(data.length, 1)),
  "marketplace/add": answers(
    ({ folder }) => [{ source: `${folder}/shop` }],
    ({ marketplaceName }) => assert.strictEqual(marketplaceName, "shop")
  ),
  "marketplace/upgrade": answers(empty, ({ errors }) => assert.deepStrictEqual(errors, [])),
  "plugin/list": answersAfter(shop, empty, ({ marketplaces }) => {
    assert.deepStrictEqual(
      marketplaces.find(({ name }) => name === "shop")?.plugins.map(({ id }) => id),
      ["hello@shop"]
    )
  }),
  "plugin/read": answersAfter(
    shop,
    (plugin) => [plugin],
    ({ plugin }) => assert.deepStrictEqual(plugin.skills.map(({ name }) => name), ["hello:greet"])
  ),
  "plugin/search": answers(() => [{ searchTerm: "anything" }], ({ data }) => assert.isArray(data)),
  "plugin/install": answersAfter(
    shop,
    (plugin) => [plugin],
    ({ appsNeedingAuth }) => assert.deepStrictEqual(appsNeedingAuth, [])
  ),
  "plugin/installed": answersAfter(bought, empty, ({ marketplaces }) => {
    assert.deepStrictEqual(
      marketplaces.flatMap(({ plugins }) => plugins.map(({ id, installed }) => ({ id, installed }))),
      [{ id: "hello@shop", installed: true }]
    )
  }),
  "plugin/reconcile": answers(empty, ({ failedRemotePluginIds }) => assert.deepStrictEqual(failedRemotePluginIds, [])),
  "plugin/uninstall": answersAfter(bought, () => [{ pluginId: "hello@shop" }]),
  "marketplace/remove": answersAfter(
    shop,
    () => [{ marketplaceName: "shop" }],
    ({ marketplaceName }) => assert.strictEqual(marketplaceName, "shop")
  ),
  "plugin/skill/read": refuses("InvalidRequest", catalogueOnly, () => [
    { remoteMarketplaceName: "none", remotePluginId: "none", skillName: "none" }
  ]),
  "plugin/share/list": refuses("InvalidRequest", catalogueOnly, empty),
  "plugin/share/checkout": refuses("InvalidRequest", catalogueOnly, () => [{ remotePluginId: "none" }]),
  "plugin/share/delete": refuses("InvalidRequest", catalogueOnly, () => [{ remotePluginId: "none" }]),
  "plugin/share/save": refuses("InvalidRequest", catalogueOnly, ({ folder }) => [{ pluginPath: folder }]),
  "plugin/share/updateTargets": refuses("InvalidRequest", catalogueOnly, () => [
    { remotePluginId: "none", discoverability: "PRIVATE", shareTargets: [] }
  ]),
  "app/list": answers(empty, ({ data }) => assert.deepStrictEqual(data, [])),
  "app/installed": answers(empty, ({ apps }) => assert.deepStrictEqual(apps, [])),
  "app/read": answers(
    () => [{ appIds: ["none"] }],
    ({ missingAppIds }) => assert.deepStrictEqual(missingAppIds, ["none"])
  ),

  // MCP servers -----------------------------------------------------------------
  "mcpServerStatus/list": answers(empty, ({ data }) => {
    const [fake] = data
    assert.strictEqual(fake?.name, "fake")
    assert.hasAllKeys(fake?.tools, ["ask", "echo", "fail"])
  }),
  "mcpServer/tool/call": answers(
    ({ threadId }) => [{ server: "fake", tool: "echo", threadId, arguments: { say: "hi" } }],
    ({ structuredContent }) => assert.deepStrictEqual(structuredContent, { said: "hi" })
  ),
  "mcpServer/resource/read": answers(
    () => [{ server: "fake", uri: "fake://greeting" }],
    ({ contents }) => assert.deepInclude(contents[0], { text: "Hello from a resource" })
  ),
  "mcpServer/oauth/login": refuses("InvalidRequest", /OAuth login is only supported for streamable HTTP/, () => [
    { name: "fake" }
  ]),
  "mcpServer/event/stream/start": refuses("InvalidRequest", /only supported for hosted apps/, ({ threadId }) => [
    { server: "fake", name: "events", arguments: {}, subscriptionId: "one", threadId }
  ]),
  "mcpServer/event/stream/stop": answers(() => [{ subscriptionId: "none" }]),
  "config/mcpServer/reload": answers(nothing),

  // Threads ------------------------------------------------------------------------
  "thread/start": answers(
    ({ folder }) => [{ cwd: folder }],
    ({ cwd }, { folder }) => assert.strictEqual(cwd, folder)
  ),
  "thread/read": answers(
    ({ threadId }) => [{ threadId, includeTurns: true }],
    (result, { turnId }) => assert.deepStrictEqual(result.thread.turns.map(({ id }) => id), [turnId])
  ),
  "thread/list": answers(empty, ({ data }, { threadId }) => assert.include(data.map(({ id }) => id), threadId)),
  "thread/loaded/list": answers(empty, ({ data }, { threadId }) => assert.include(data, threadId)),
  "thread/search": answers(
    () => [{ searchTerm: "Hello" }],
    ({ data }, { threadId }) => assert.include(data.map((found) => found.thread.id), threadId)
  ),
  "thread/searchOccurrences": answers(
    ({ threadId }) => [{ threadId, searchTerm: "Hello" }],
    ({ data }, { turnId }) => assert.include(data.map((found) => found.turnId), turnId)
  ),
  "thread/turns/list": answers(
    thread,
    ({ data }, { turnId }) => assert.deepStrictEqual(data.map(({ id }) => id), [turnId])
  ),
  "thread/items/list": answers(thread, ({ data }) => {
    assert.deepStrictEqual(data.map(({ item }) => item.type).sort(), ["agentMessage", "userMessage"])
  }),
  "thread/items/read": answers(
    ({ itemId, threadId, turnId }) => [{ threadId, turnId, itemIds: [itemId] }],
    ({ data }) => assert.deepStrictEqual(data.map(({ item }) => item.type), ["agentMessage"])
  ),
  "thread/timeline/list": answers(thread, ({ data }, { turnId }) => {
    const started = data.find((entry) => entry.type === "turnStarted")
    assert.deepInclude(started, { turnId })
  }),
  "thread/fork": answers(
    thread,
    (fork, { threadId }) => assert.strictEqual(fork.thread.forkedFromId, threadId)
  ),
  "thread/resume": answers(thread, (resumed, { threadId }) => assert.strictEqual(resumed.thread.id, threadId)),
  "thread/unsubscribe": answersAfter(
    (world) => world.newThread,
    threadOf,
    ({ status }) => assert.strictEqual(status, "unsubscribed")
  ),
  "thread/archive": answersAfter((world) => Effect.map(world.newHistory, ({ threadId }) => threadId), threadOf),
  "thread/unarchive": answersAfter(archived, threadOf),
  "thread/delete": answersAfter((world) => Effect.map(world.newHistory, ({ threadId }) => threadId), threadOf),
  "thread/revert": answersAfter(
    (world) => world.newHistory,
    ({ threadId, turnId }) => [{ threadId, beforeTurnId: turnId }]
  ),
  "thread/name/set": answers(({ threadId }) => [{ threadId, name: "A name" }]),
  "thread/metadata/update": answersAfter(
    project,
    (projectId, { threadId }) => [{ threadId, projectId, gitInfo: { branch: "main" } }],
    (updated) => assert.strictEqual(updated.thread.gitInfo?.branch, "main")
  ),
  "thread/settings/update": answersAfter(
    (world) => world.newThread,
    (threadId) => [{ threadId, effort: "low" }]
  ),
  "thread/compact/start": answersAfter(
    (world) => world.newHistory,
    ({ threadId }) => threadOf(threadId)
  ),
  "thread/inject_items": answersAfter((world) => world.newThread, (threadId) => [
    { threadId, items: [{ type: "message", role: "user", content: [{ type: "input_text", text: "By the way" }] }] }
  ]),
  "thread/shellCommand": answersAfter((world) => world.newThread, (threadId) => [{ threadId, command: "true" }]),
  "thread/memory/read": answers(thread, ({ summary }) => assert.isNull(summary ?? null)),
  "thread/memoryMode/set": answers(({ threadId }) => [{ threadId, mode: "disabled" }]),
  "thread/readState/update": answersAfter(
    (world) =>
      Effect.map(
        world.client.request("thread/read", { threadId: world.threadId }),
        ({ readState }) => readState?.revision ?? ""
      ),
    (expectedRevision, { threadId }) => [{ threadId, expectedRevision, operation: { type: "read" } }]
  ),
  "thread/goal/set": answersAfter(
    (world) => world.newHistory,
    ({ threadId }) => [{ threadId, objective: "Be good", status: "paused" }],
    ({ goal }) => assert.strictEqual(goal.objective, "Be good")
  ),
  "thread/goal/get": answersAfter(
    (world) =>
      Effect.gen(function*() {
        const { threadId } = yield* world.newHistory
        yield* world.client.request("thread/goal/set", { threadId, objective: "Be good", status: "paused" })
        return threadId
      }),
    threadOf,
    ({ goal }) => assert.strictEqual(goal?.status, "paused")
  ),
  "thread/goal/clear": answersAfter(
    (world) =>
      Effect.gen(function*() {
        const { threadId } = yield* world.newHistory
        yield* world.client.request("thread/goal/set", { threadId, objective: "Be good", status: "paused" })
        return threadId
      }),
    threadOf,
    ({ cleared }) => assert.isTrue(cleared)
  ),
  "thread/attachment/add": answers(
    ({ threadId }) => [{ threadId, ...attachment, payload: { a: 1 } }],
    ({ outcome }) => assert.strictEqual(outcome, "created")
  ),
  "thread/attachment/list": answers(thread, ({ data }) => assert.isArray(data)),
  "thread/attachmentOwner/list": answers(() => [attachment], ({ data }) => assert.isArray(data)),
  "thread/attachment/remove": answers(({ threadId }) => [{ threadId, ...attachment }]),
  "thread/backgroundTerminals/list": answers(thread, ({ data }) => assert.deepStrictEqual(data, [])),
  "thread/backgroundTerminals/clean": answers(thread),
  "thread/backgroundTerminals/terminate": answers(
    ({ threadId }) => [{ threadId, processId: "999999" }],
    ({ terminated }) => assert.isFalse(terminated)
  ),
  "thread/increment_elicitation": answersAfter(
    (world) => world.newThread,
    threadOf,
    ({ count, paused }) => assert.deepStrictEqual({ count, paused }, { count: 1, paused: true })
  ),
  "thread/decrement_elicitation": answersAfter(
    (world) =>
      Effect.gen(function*() {
        const threadId = yield* world.newThread
        yield* world.client.experimental.request("thread/increment_elicitation", { threadId })
        return threadId
      }),
    threadOf,
    ({ count, paused }) => assert.deepStrictEqual({ count, paused }, { count: 0, paused: false })
  ),
  "thread/approveGuardianDeniedAction": refuses("InvalidRequest", /invalid Guardian denial event/, ({ threadId }) => [
    { threadId, event: {} }
  ]),
  "thread/guardianReview": refuses("InvalidRequest", /expected a completed plaintext exec_command/, thread),
  "thread/prediction/request": refuses("MethodNotFound", /not implemented yet/, ({ threadId, turnId }) => [
    { threadId, sourceTurnId: turnId }
  ]),
  "thread/prepareApprovedPlan": answersAfter(
    (world) => world.newHistory,
    ({ threadId }) => [{ threadId, markdown: "# A plan" }]
  ),
  "thread/sample": answersAfter(
    (world) => world.newHistory,
    ({ threadId, turnId }) => [{ threadId, expectedTurnId: turnId, prompt: "And?" }]
  ),
  "thread/sample/cancel": answers(() => [{ requestId: 999_999 }]),

  // The queue of a thread ----------------------------------------------------------
  "thread/queue/add": answersAfter(
    (world) => world.busyThread,
    ({ threadId }) => [{ threadId, clientUserMessageId: "one", input: [text("Later")] }],
    ({ queuedSubmission }) => assert.strictEqual(queuedSubmission.clientUserMessageId, "one")
  ),
  "thread/queue/list": answersAfter(
    queued,
    ({ threadId }) => threadOf(threadId),
    ({ data }) => assert.strictEqual(data.length, 1)
  ),
  "thread/queue/update": answersAfter(
    queued,
    ({ queuedSubmissionId, threadId }) => [{ threadId, queuedSubmissionId, input: [text("Much later")] }]
  ),
  "thread/queue/reorder": answersAfter(
    queued,
    ({ queuedSubmissionId, threadId }) => [{ threadId, queuedSubmissionIds: [queuedSubmissionId] }]
  ),
  "thread/queue/start": answersAfter(
    (world) =>
      Effect.gen(function*() {
        const waiting = yield* queued(world)
        yield* world.client.request("turn/interrupt", { threadId: waiting.threadId, turnId: waiting.turnId })
        return waiting
      }),
    ({ queuedSubmissionId, threadId }) => [{ threadId, queuedSubmissionId }],
    ({ turn }) => assert.strictEqual(turn.status, "inProgress")
  ),
  "thread/queue/delete": answersAfter(
    queued,
    ({ queuedSubmissionId, threadId }) => [{ threadId, queuedSubmissionId }],
    ({ deleted }) => assert.isTrue(deleted)
  ),

  // Sections and projects -----------------------------------------------------------
  "threadSection/create": answers(
    () => [{ name: "A section" }],
    ({ section: created }) => assert.strictEqual(created.name, "A section")
  ),
  "threadSection/list": answersAfter(
    section,
    empty,
    ({ data }) => assert.isAbove(data.length, 0)
  ),
  "threadSection/update": answersAfter(
    section,
    (sectionId) => [{ sectionId, name: "Another name" }],
    ({ section: updated }) => assert.strictEqual(updated.name, "Another name")
  ),
  "threadSection/delete": answersAfter(section, (sectionId) => [{ sectionId }]),
  "thread/section/move": answersAfter(
    section,
    (sectionId, { threadId }) => [{ threadId, sectionId }]
  ),
  "project/create": answers(
    ({ folder }) => [{ idempotencyKey: "first", name: "A project", roots: [{ path: folder }] }],
    (created) => assert.strictEqual(created.project.name, "A project")
  ),
  "project/import": answers(
    (
      { folder }
    ) => [{ idempotencyKey: "second", name: "A project from elsewhere", roots: [{ path: `${folder}/sub` }] }],
    (created) => assert.strictEqual(created.project.name, "A project from elsewhere")
  ),
  "project/list": answersAfter(project, empty, ({ data }) => assert.isAbove(data.length, 0)),
  "project/read": answersAfter(
    project,
    (projectId) => [{ projectId }],
    (found) => assert.strictEqual(found.project.name, "A project")
  ),
  "project/update": answersAfter(
    project,
    (projectId) => [{ projectId, name: "Another name" }],
    (updated) => assert.strictEqual(updated.project.name, "Another name")
  ),
  "project/move": answersAfter(project, (projectId) => [{ projectId }]),
  "project/delete": answersAfter(project, (projectId) => [{ projectId }]),

  // Turns -------------------------------------------------------------------------
  "turn/start": answersAfter(
    (world) => world.newThread,
    (threadId) => [{ threadId, input: [text("Hello")] }],
    ({ turn }) => assert.strictEqual(turn.status, "inProgress")
  ),
  "turn/steer": answersAfter(
    (world) => world.busyThread,
    ({ threadId, turnId }) => [{ threadId, expectedTurnId: turnId, input: [text("Faster")] }]
  ),
  "turn/interrupt": answersAfter(
    (world) => world.busyThread,
    ({ threadId, turnId }) => [{ threadId, turnId }]
  ),
  "turn/settings/update": answersAfter(
    // Only of a model that the server knows.
    (world) => world.busyThreadOn("gpt-5.5"),
    ({ threadId, turnId }) => [{ threadId, turnId, effort: "low" }],
    ({ status }) => assert.strictEqual(status, "applied")
  ),
  "review/start": answersAfter(
    (world) => world.newHistory,
    ({ threadId }) => [{ threadId, target: { type: "custom", instructions: "Look at it" } }],
    ({ turn }) => assert.strictEqual(turn.status, "inProgress")
  ),

  // Realtime --------------------------------------------------------------------------
  "thread/realtime/listVoices": answers(empty, ({ voices }) => assert.isAbove(voices.v1.length, 0)),
  "thread/realtime/start": answersAfter(
    (world) => world.newThread,
    (threadId) => [{ threadId, outputModality: "text" }]
  ),
  "thread/realtime/appendText": answers(({ threadId }) => [{ threadId, text: "Hello" }]),
  "thread/realtime/appendSpeech": answers(({ threadId }) => [{ threadId, text: "Hello" }]),
  "thread/realtime/appendAudio": answers(({ threadId }) => [
    { threadId, audio: { data: "AAAA", numChannels: 1, sampleRate: 24_000 } }
  ]),
  "thread/realtime/stop": answers(thread),

  // Commands and processes --------------------------------------------------------------
  "command/exec": answers(
    () => [{ command: ["echo", "hi"] }],
    ({ exitCode, stdout }) => assert.deepStrictEqual({ exitCode, stdout }, { exitCode: 0, stdout: "hi\n" })
  ),
  "command/exec/write": answersAfter(command, (processId) => [{ processId, deltaBase64: hi }]),
  "command/exec/resize": answersAfter(command, (processId) => [{ processId, size: { cols: 100, rows: 30 } }]),
  "command/exec/terminate": answersAfter(command, (processId) => [{ processId }]),
  "process/spawn": answers(({ folder }) => [
    { command: ["echo", "hi"], cwd: folder, processHandle: "echo", streamStdoutStderr: true }
  ]),
  "process/writeStdin": answersAfter(process, (processHandle) => [{ processHandle, deltaBase64: hi }]),
  "process/resizePty": answersAfter(process, (processHandle) => [{ processHandle, size: { cols: 100, rows: 30 } }]),
  "process/kill": answersAfter(process, (processHandle) => [{ processHandle }]),
  "environment/add": answers(() => [
    { environmentId: "elsewhere", execServerUrl: "ws://127.0.0.1:9", connectTimeoutMs: 500 }
  ]),
  "environment/info": answers(() => [{ environmentId: "local" }]),
  "environment/status": answers(
    () => [{ environmentId: "local" }],
    ({ status }) => assert.strictEqual(status, "ready")
  ),

  // Files ---------------------------------------------------------------------------------
  "fs/readFile": answers(
    ({ folder }) => [{ path: `${folder}/a.txt` }],
    ({ dataBase64 }) => assert.strictEqual(atob(dataBase64), "Hello from a file\n")
  ),
  "fs/watch": answers(({ folder }) => [{ path: folder, watchId: "watched" }]),
  "fs/writeFile": answers(({ folder }) => [{ path: `${folder}/written.txt`, dataBase64: hi }]),
  "fs/copy": answers(({ folder }) => [{ sourcePath: `${folder}/a.txt`, destinationPath: `${folder}/copied.txt` }]),
  "fs/createDirectory": answers(({ folder }) => [{ path: `${folder}/made` }]),
  "fs/getMetadata": answers(({ folder }) => [{ path: `${folder}/a.txt` }], ({ isFile }) => assert.isTrue(isFile)),
  "fs/readDirectory": answers(
    ({ folder }) => [{ path: folder }],
    ({ entries }) => assert.include(entries.map(({ fileName }) => fileName), "a.txt")
  ),
  "fs/remove": answersAfter(
    ({ client, folder }) => client.request("fs/writeFile", { path: `${folder}/doomed.txt`, dataBase64: hi }),
    (_, { folder }) => [{ path: `${folder}/doomed.txt` }]
  ),
  "fs/unwatch": answersAfter(
    ({ client, folder }) => client.request("fs/watch", { path: folder, watchId: "unwatched" }),
    () => [{ watchId: "unwatched" }]
  ),
  "fuzzyFileSearch": answers(
    ({ folder }) => [{ query: "a.txt", roots: [folder] }],
    ({ files }) => assert.strictEqual(files[0]?.path, "a.txt")
  ),
  "fuzzyFileSearch/sessionStart": answers(({ folder }) => [{ roots: [folder], sessionId: "started" }]),
  "fuzzyFileSearch/sessionUpdate": answersAfter(
    ({ client, folder }) =>
      client.experimental.request("fuzzyFileSearch/sessionStart", { roots: [folder], sessionId: "updated" }),
    () => [{ query: "a.txt", sessionId: "updated" }]
  ),
  "fuzzyFileSearch/sessionStop": answersAfter(
    ({ client, folder }) =>
      client.experimental.request("fuzzyFileSearch/sessionStart", { roots: [folder], sessionId: "stopped" }),
    () => [{ sessionId: "stopped" }]
  ),

  // The rest ----------------------------------------------------------------------------------
  "initialize": refuses(
    "InvalidRequest",
    /Already initialized/,
    () => [{ clientInfo: { name: "again", version: "1" } }]
  ),
  "mock/experimentalMethod": answers(() => [{ value: "hi" }], ({ echoed }) => assert.strictEqual(echoed, "hi")),
  "server/diagnostics": answers(empty, ({ gauges }) => assert.isAbove(gauges.length, 0)),
  "rollout/compress": alone(answers(nothing)),
  "feedback/save": answers(
    ({ folder }) => [{ classification: "bug", savePath: `${folder}/feedback.zip`, includeLogs: false }],
    ({ savedPath }, { folder }) => assert.strictEqual(savedPath, `${folder}/feedback.zip`)
  ),
  "feedback/upload": refuses("InvalidRequest", /disabled/, () => [{ classification: "bug", includeLogs: false }]),
  "remoteControl/status/read": answers(nothing, ({ status }) => assert.strictEqual(status, "disabled")),
  "remoteControl/enable": refuses("InvalidRequest", remoteControlOnly, nothing),
  "remoteControl/disable": refuses("InvalidRequest", remoteControlOnly, nothing),
  "remoteControl/pairing/start": refuses("InvalidRequest", /requires remote control to be enabled/, empty),
  "remoteControl/pairing/status": refuses("InvalidRequest", /requires remote control to be enabled/, () => [
    { pairingCode: "none" }
  ]),
  "remoteControl/client/list": refuses("InvalidRequest", remoteControlOnly, () => [{ environmentId: "none" }]),
  "remoteControl/client/revoke": refuses("InvalidRequest", remoteControlOnly, () => [
    { environmentId: "none", clientId: "none" }
  ]),
  "userVerification/status": answers(
    empty,
    ({ unavailableReason }) => assert.strictEqual(unavailableReason, "providerUnavailable")
  ),
  "userVerification/enroll": refuses("InternalError", noVerification, empty),
  "userVerification/verify": refuses("InternalError", noVerification, () => [
    { challenge: "AAAA", title: "Is it you?", description: "A test" }
  ]),
  "userVerification/cancel": answers(() => [{ requestId: 999_999 }]),
  "userVerification/delete": refuses("InternalError", noVerification, empty),
  "windowsSandbox/readiness": answers(nothing, ({ status }) => assert.strictEqual(status, "notConfigured")),
  "windowsSandbox/setupStart": answers(() => [{ mode: "unelevated" }], ({ started }) => assert.isTrue(started)),

  // Last, since others answer differently to somebody with a login --------------------------------
  "account/login/start": answers(
    () => [{ type: "apiKey", apiKey: "sk-not-a-real-key" }],
    (result) => assert.strictEqual(result.type, "apiKey")
  ),
  "account/logout": answers(nothing)
}
