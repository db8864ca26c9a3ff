/** What the server asks, as it writes it, and a client with somebody who answers. */
import { Approvals, type AppServerClient, type AppServerClientOptions, Transport } from "@effect-codex/core"
import type { ServerRequestMethod, ServerRequestResults } from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import { make } from "../../src/AppServerClient.ts"
import { until } from "./observe.ts"
import { type Message, type ScriptedServer, start } from "./ScriptedServer.ts"

/** A client over a scripted server, with these answers for the whole connection. */
export const connectWith = <E = never, R = never>(answers: Approvals.Options<E, R>, options?: AppServerClientOptions) =>
  Effect.gen(function*() {
    const server = yield* start()
    const service = yield* Approvals.make(answers)
    const client: AppServerClient["Service"] = yield* make(options).pipe(
      Effect.provideService(Transport, server.transport),
      Effect.provideService(Approvals.Approvals, service)
    )
    return { client, server }
  })

/** A command that waits for approval. */
export const command = (threadId: string, turnId: string, itemId: string, fields: object = {}) => ({
  threadId,
  turnId,
  itemId,
  startedAtMs: 1,
  command: "/bin/bash -lc 'git status'",
  cwd: "/project",
  ...fields
})

/** The params of every method that the server may call, on thread `A` and turn `T` where it names them. */
export const params: { readonly [M in ServerRequestMethod]: object } = {
  "item/commandExecution/requestApproval": command("A", "T", "call"),
  "item/fileChange/requestApproval": { threadId: "A", turnId: "T", itemId: "patch", startedAtMs: 1 },
  "item/permissions/requestApproval": {
    threadId: "A",
    turnId: "T",
    itemId: "permissions",
    startedAtMs: 1,
    cwd: "/project",
    permissions: { network: { enabled: true }, fileSystem: { read: null, write: ["/project"] } }
  },
  "item/tool/requestUserInput": {
    threadId: "A",
    turnId: "T",
    itemId: "input",
    isBlocking: true,
    questions: [{ id: "q", header: "Which", question: "Which one?", options: [{ label: "a", description: "A" }] }]
  },
  "item/tool/call": { threadId: "A", turnId: "T", callId: "call", tool: "lookup", arguments: { city: "Rome" } },
  "mcpServer/elicitation/request": {
    threadId: "A",
    turnId: "T",
    serverName: "mcp",
    mode: "form",
    message: "Who are you?",
    requestedSchema: { type: "object", properties: {} }
  },
  "account/chatgptAuthTokens/refresh": { reason: "unauthorized", previousAccountId: null },
  "attestation/generate": {},
  "currentTime/read": { threadId: "A" },
  "applyPatchApproval": {
    conversationId: "A",
    callId: "patch",
    fileChanges: { "/project/a": { type: "add", content: "" } }
  },
  "execCommandApproval": {
    conversationId: "A",
    callId: "call",
    command: ["git", "status", "a b"],
    cwd: "/project",
    parsedCmd: []
  }
}

/** An answer to every method. */
export const results: { readonly [M in ServerRequestMethod]: ServerRequestResults[M] } = {
  "item/commandExecution/requestApproval": { decision: "accept" },
  "item/fileChange/requestApproval": { decision: "acceptForSession" },
  "item/permissions/requestApproval": { permissions: { network: { enabled: true } }, scope: "session" },
  "item/tool/requestUserInput": { answers: { q: { answers: ["a"] } } },
  "item/tool/call": { success: true, contentItems: [{ type: "inputText", text: "sunny" }] },
  "mcpServer/elicitation/request": { action: "accept", content: { name: "me" } },
  "account/chatgptAuthTokens/refresh": { accessToken: "token", chatgptAccountId: "account", chatgptPlanType: "plus" },
  "attestation/generate": { token: "attested" },
  "currentTime/read": { currentTimeAt: 12 },
  "applyPatchApproval": { decision: "approved" },
  "execCommandApproval": { decision: "approved_for_session" }
}

/** The messages of the client that answer requests with numbers for ids. */
export const answersIn = (server: ScriptedServer, id: number | string): ReadonlyArray<Message> =>
  server.sent.filter((message) => message.method === undefined && message.id === id)

/** Writes something that the client refuses, and waits for that: by then it has read everything before. */
export const caughtUp = (server: ScriptedServer, marker: string): Effect.Effect<void> =>
  server.push({ id: marker, method: "test/marker", params: {} }).pipe(
    Effect.andThen(until(() => answersIn(server, marker).length > 0))
  )
