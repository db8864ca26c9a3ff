/** What the compiler infers: method -> params, result, errors, and what a call requires. Checked by `tsc`, not at run time. */
import type {
  Approvals,
  AppServerClient,
  AppServerExited,
  BudgetExceeded,
  Codex,
  CodexError,
  CodexTools,
  Configuration,
  ConnectionError,
  InvalidRequest,
  Notification,
  OutputDecodeError,
  OutputResult,
  RequestError,
  RequestTimeout,
  RunResult,
  Thread,
  TransportError,
  TurnFailed,
  TurnHandle,
  TurnInterrupted,
  TurnLagged,
  TurnStalled
} from "@effect-codex/core"
import type {
  BudgetError,
  ChildEvent,
  FamilyOptions,
  OutputError,
  RunError,
  RunOptions,
  TurnEvent,
  TurnOptions
} from "@effect-codex/core"
import { TestAppServer } from "@effect-codex/core/testing"
import type { ConfigReadResponse, McpServerToolCallResponse, Thread as ThreadModel } from "@effect-codex/core/types"
import type { ServerNotificationMethod, ServerNotificationParams } from "@effect-codex/generated"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { describe, expectTypeOf, it } from "vitest"

type Client = AppServerClient["Service"]
type Agent = Codex["Service"]

/** Code that is compiled and never run. */
const compiled = (_code: (client: Client, codex: Agent, thread: Thread) => void) => {}

class Database {
  readonly _tag = "Database"
}

class Clerk {
  readonly _tag = "Clerk"
}

class Desk {
  readonly _tag = "Desk"
}

describe("requests", () => {
  it("know the result of their method, fail with RequestError, and require nothing", () => {
    compiled((client) => {
      const read = client.request("thread/read", { threadId: "t" })
      expectTypeOf<Effect.Success<typeof read>["thread"]>().toEqualTypeOf<ThreadModel>()
      expectTypeOf<Effect.Error<typeof read>>().toEqualTypeOf<RequestError>()
      expectTypeOf<Effect.Services<typeof read>>().toEqualTypeOf<never>()
      expectTypeOf(client.request("config/read", {})).toEqualTypeOf<Effect.Effect<ConfigReadResponse, RequestError>>()
    })
  })

  it("take the params of their method, and none where there are none", () => {
    compiled((client) => {
      void client.request("account/logout")
      void client.request("account/rateLimits/read")
      void client.request("account/rateLimits/read", { excludeResetCreditDetails: true })
      // @ts-expect-error the method has params
      void client.request("thread/read")
      // @ts-expect-error threadId is a string
      void client.request("thread/read", { threadId: 7 })
      // @ts-expect-error there is no such field
      void client.request("thread/read", { threadId: "t", includeTruns: true })
      // @ts-expect-error there is no such enum member
      void client.request("thread/start", { sandbox: "no-sandbox" })
      // @ts-expect-error there is no such method
      void client.request("thread/rewind", { threadId: "t" })
    })
  })

  it("are stable unless one asks for the experimental ones", () => {
    compiled((client) => {
      // @ts-expect-error the method is experimental
      void client.request("memory/status", {})
      // @ts-expect-error the field is experimental
      void client.request("thread/start", { dynamicTools: [] })
      void client.experimental.request("memory/status", {})
      void client.experimental.request("thread/start", { dynamicTools: [] })
      const status = client.experimental.request("memory/status", {})
      expectTypeOf<Effect.Error<typeof status>>().toEqualTypeOf<RequestError>()
    })
  })

  it("can be told apart by what they fail with", () => {
    expectTypeOf<Extract<RequestError, { readonly _tag: "InvalidRequest" }>>().toEqualTypeOf<InvalidRequest>()
    expectTypeOf<Extract<RequestError, { readonly _tag: "RequestTimeout" }>>().toEqualTypeOf<RequestTimeout>()
    expectTypeOf<AppServerExited | TransportError>().toExtend<ConnectionError>()
    expectTypeOf<ConnectionError>().toExtend<RequestError>()
    expectTypeOf<RequestError>().toExtend<CodexError>()
    expectTypeOf<RunError | OutputError | BudgetError>().toExtend<CodexError>()
    expectTypeOf<RequestTimeout["timeout"]>().toEqualTypeOf<Duration.Duration>()
  })

  it("that start a turn want a scope", () => {
    compiled((client) => {
      const opened = client.openTurn("turn/start", { threadId: "t", input: [] })
      expectTypeOf<Effect.Services<typeof opened>>().toEqualTypeOf<Scope.Scope>()
      expectTypeOf<Effect.Error<typeof opened>>().toEqualTypeOf<RequestError>()
      // @ts-expect-error it starts no turn
      void client.openTurn("thread/read", { threadId: "t" })
    })
  })
})

describe("notifications", () => {
  it("know the params of their method", () => {
    compiled((client) => {
      const completed = client.on("turn/completed")
      expectTypeOf<Stream.Success<typeof completed>>().toEqualTypeOf<Notification<"turn/completed">>()
      expectTypeOf<Stream.Error<typeof completed>>().toEqualTypeOf<ConnectionError>()
      expectTypeOf<Stream.Services<typeof completed>>().toEqualTypeOf<never>()
      // @ts-expect-error there is no such notification
      void client.on("turn/paused")
    })
  })

  it("narrow by their method, all of them", () => {
    expectTypeOf<Notification<"turn/started">["params"]>().toEqualTypeOf<ServerNotificationParams["turn/started"]>()
    expectTypeOf<Notification<ServerNotificationMethod>["method"]>().toEqualTypeOf<ServerNotificationMethod>()
  })
})

describe("the agent", () => {
  it("gives threads, and requires what the approvals of a thread do", () => {
    compiled((_client, codex) => {
      expectTypeOf(codex.startThread()).toEqualTypeOf<Effect.Effect<Thread, RequestError>>()
      const started = (policy: Approvals.Policy<never, Database>) => codex.startThread({ approvals: { policy } })
      expectTypeOf<Effect.Services<ReturnType<typeof started>>>().toEqualTypeOf<Database>()
      const resumed = (policy: Approvals.Policy<never, Database>) => codex.resumeThread("t", { approvals: { policy } })
      expectTypeOf<Effect.Services<ReturnType<typeof resumed>>>().toEqualTypeOf<Database>()
    })
  })

  it("requires services that can be provided one after the other", () => {
    compiled((_client, codex) => {
      type Policy = Approvals.Policy<never, Database | Clerk>
      const started = (policy: Policy) => codex.startThread({ approvals: { policy } })
      expectTypeOf<Exclude<Effect.Services<ReturnType<typeof started>>, Clerk>>().toEqualTypeOf<Database>()
      const held = (policy: Policy, tools: CodexTools.CodexTools<Desk>) =>
        codex.thread({ approvals: { policy }, tools })
      expectTypeOf<Exclude<Effect.Services<ReturnType<typeof held>>, Scope.Scope | Desk | Clerk>>()
        .toEqualTypeOf<Database>()
      const layer = (policy: Policy) => TestAppServer.layer({ approvals: { policy } })
      expectTypeOf<Exclude<Layer.Services<ReturnType<typeof layer>>, Clerk>>().toEqualTypeOf<Database>()
    })
  })

  it("has namespaces for the rest", () => {
    compiled((_client, codex) => {
      expectTypeOf<Agent["config"]>().toEqualTypeOf<Configuration.Configuration>()
      expectTypeOf(codex.config.read()).toEqualTypeOf<Effect.Effect<ConfigReadResponse, RequestError>>()
      expectTypeOf(codex.mcp.callTool("s", "t", { threadId: "t" })).toEqualTypeOf<
        Effect.Effect<McpServerToolCallResponse, RequestError>
      >()
      const login = codex.mcp.login("s", { timeout: "5 minutes" })
      expectTypeOf<Effect.Services<typeof login>>().toEqualTypeOf<Scope.Scope>()
      expectTypeOf<Effect.Success<typeof login>["authorizationUrl"]>().toEqualTypeOf<URL>()
      // @ts-expect-error a field of the wire is no option
      void codex.mcp.login("s", { timeoutSecs: 5 })
      // @ts-expect-error a thread has to be named
      void codex.mcp.callTool("s", "t", {})
    })
  })
})

describe("turns", () => {
  it("come to a result or fail, by what the run was asked for", () => {
    compiled((_client, _codex, thread) => {
      const output = Schema.Struct({ city: Schema.String, at: Schema.FiniteFromString })
      const budget = { tokens: 1000 }
      expectTypeOf(thread.run("Hi")).toEqualTypeOf<Effect.Effect<RunResult, RunError>>()
      expectTypeOf(thread.run("Hi", { budget })).toEqualTypeOf<Effect.Effect<RunResult, RunError | BudgetError>>()
      expectTypeOf(thread.run("Hi", { output })).toEqualTypeOf<
        Effect.Effect<OutputResult<{ readonly city: string; readonly at: number }>, RunError | OutputError>
      >()
      const options: RunOptions = {}
      expectTypeOf(thread.run("Hi", options)).toEqualTypeOf<Effect.Effect<RunResult, RunError | BudgetError>>()
      const mayBeGiven = (options?: RunOptions) => thread.run("Hi", options)
      expectTypeOf(mayBeGiven()).toEqualTypeOf<Effect.Effect<RunResult, RunError | BudgetError>>()
      const mayHaveOne: { readonly budget?: typeof budget | undefined } = {}
      expectTypeOf(thread.run("Hi", mayHaveOne)).toEqualTypeOf<Effect.Effect<RunResult, RunError | BudgetError>>()
      const withOutput = thread.run("Hi", { output, ...mayHaveOne })
      expectTypeOf<Effect.Error<typeof withOutput>>().toEqualTypeOf<RunError | OutputError | BudgetError>()
      const turn: TurnOptions = {}
      expectTypeOf(thread.run("Hi", turn)).toEqualTypeOf<Effect.Effect<RunResult, RunError>>()
    })
  })

  it("carry what there was by then in their errors, as results do", () => {
    type Carrying = BudgetExceeded | OutputDecodeError | TurnFailed | TurnInterrupted | TurnStalled
    expectTypeOf<Carrying["result"]>().toExtend<RunResult>()
    expectTypeOf<RunResult>().toExtend<Carrying["result"]>()
  })

  it("are handles within a scope, whose streams and results say what can go wrong", () => {
    compiled((_client, _codex, thread) => {
      expectTypeOf(thread.turn("Hi")).toEqualTypeOf<Effect.Effect<TurnHandle, RequestError, Scope.Scope>>()
      expectTypeOf<Stream.Error<TurnHandle["events"]>>().toEqualTypeOf<ConnectionError | TurnLagged>()
      expectTypeOf<Effect.Success<TurnHandle["result"]>>().toEqualTypeOf<RunResult>()
      expectTypeOf<TurnFailed | TurnInterrupted>().toExtend<Effect.Error<TurnHandle["result"]>>()
      const family = { model: "m", includeChildren: Math.random() > 0.5 }
      expectTypeOf(thread.turn("Hi", family))
        .toEqualTypeOf<Effect.Effect<TurnHandle<TurnEvent | ChildEvent>, RequestError, Scope.Scope>>()
      const mayHaveChildren = (options?: FamilyOptions) => thread.turn("Hi", options)
      expectTypeOf(mayHaveChildren())
        .toEqualTypeOf<Effect.Effect<TurnHandle<TurnEvent | ChildEvent>, RequestError, Scope.Scope>>()
      const events = (options?: FamilyOptions) => thread.stream("Hi", options)
      expectTypeOf<Stream.Success<ReturnType<typeof events>>>().toEqualTypeOf<TurnEvent | ChildEvent>()
      const bare = (options?: TurnOptions) => thread.stream("Hi", options)
      expectTypeOf<Stream.Success<ReturnType<typeof bare>>>().toEqualTypeOf<TurnEvent>()
      const streamed = thread.stream("Hi")
      expectTypeOf<Stream.Services<typeof streamed>>().toEqualTypeOf<never>()
      expectTypeOf<TurnFailed | TurnInterrupted | TurnLagged>().toExtend<Stream.Error<typeof streamed>>()
    })
  })
})

describe("answers to the server", () => {
  it("have the type of their method", () => {
    type Handlers = NonNullable<Approvals.Options["handlers"]>
    type Elicitation = NonNullable<Handlers["mcpServer/elicitation/request"]>
    expectTypeOf<Effect.Success<ReturnType<Elicitation>>["action"]>().toEqualTypeOf<"accept" | "decline" | "cancel">()
    type ToolCall = NonNullable<Handlers["item/tool/call"]>
    expectTypeOf<Parameters<ToolCall>[0]["tool"]>().toEqualTypeOf<string>()
    // Which errors they have matters to nobody: the server is told the tag.
    expectTypeOf<Effect.Error<ReturnType<Elicitation>>>().toBeUnknown()
  })
})
