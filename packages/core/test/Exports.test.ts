import * as Core from "@effect-codex/core"
import * as Redaction from "@effect-codex/core/redaction"
import * as Testing from "@effect-codex/core/testing"
import * as Types from "@effect-codex/core/types"
import * as Generated from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"

describe("what the package exports", () => {
  it("at its root is curated", () => {
    assert.deepStrictEqual(Object.keys(Core).sort(), [
      "AppServerClient",
      "AppServerExited",
      "AppServerSpawnError",
      "Approvals",
      "BudgetExceeded",
      "Codex",
      "CodexError",
      "CodexMetrics",
      "CodexTools",
      "DecodeError",
      "ExperimentalApiRequired",
      "Input",
      "InternalError",
      "InvalidOptions",
      "InvalidParams",
      "InvalidRequest",
      "MethodNotFound",
      "OutputDecodeError",
      "OutputLagged",
      "ParseError",
      "PayloadIssue",
      "RequestTimeout",
      "RestartCause",
      "RetryLimitExceeded",
      "RetryPolicy",
      "RpcError",
      "ServerOverloaded",
      "StaleTurn",
      "StructuredOutput",
      "Supervisor",
      "SupervisorGaveUp",
      "Transport",
      "TransportError",
      "TurnFailed",
      "TurnInterrupted",
      "TurnLagged",
      "TurnStalled",
      "UnsupportedOutputSchema",
      "UnsupportedRuntime",
      "WireTap",
      "retryOnOverload"
    ])
  })

  it("at its root has no models of the protocol", () => {
    assert.deepStrictEqual(Object.keys(Core).filter((name) => Object.hasOwn(Generated, name)), [])
  })

  it("under redaction is curated", () => {
    assert.deepStrictEqual(Object.keys(Redaction), ["redactSecrets"])
  })

  it("under testing is curated", () => {
    assert.deepStrictEqual(Object.keys(Testing).sort(), ["AgentFailure", "Refusal", "TestAppServer", "Transcript"])
  })

  it("under types are models of the protocol", () => {
    assert.deepStrictEqual(Object.keys(Types).sort(), [
      "Account",
      "AccountLoginCompletedNotification",
      "AppInfo",
      "ApprovalsReviewer",
      "AppsReadResponse",
      "AskForApproval",
      "CancelLoginAccountResponse",
      "CancelLoginAccountStatus",
      "CodexErrorInfo",
      "ConfigReadResponse",
      "ConfigRequirements",
      "ConfigWarningNotification",
      "ConfigWriteResponse",
      "ExperimentalFeature",
      "FeedbackSaveResponse",
      "FeedbackUploadResponse",
      "GetAccountRateLimitsResponse",
      "GetAccountResponse",
      "GetAccountTokenUsageResponse",
      "HooksListEntry",
      "InitializeResponse",
      "InstalledApp",
      "MarketplaceAddResponse",
      "MarketplaceUpgradeResponse",
      "McpServerOauthLoginCompletedNotification",
      "McpServerStatus",
      "McpServerStatusUpdatedNotification",
      "McpServerToolCallResponse",
      "Model",
      "ModelListResponse",
      "ModelProviderCapabilitiesReadResponse",
      "ModelProviderListResponse",
      "ModelProviderSummary",
      "PermissionProfileSummary",
      "Personality",
      "PlanType",
      "PluginDetail",
      "PluginInstallResponse",
      "PluginInstalledResponse",
      "PluginListResponse",
      "PluginReconcileResponse",
      "PluginSearchResult",
      "RateLimitSnapshot",
      "ReasoningEffort",
      "ReasoningSummary",
      "ResourceContent",
      "ReviewTarget",
      "SandboxMode",
      "SandboxPolicy",
      "SkillsListEntry",
      "SortDirection",
      "Thread",
      "ThreadArchiveResponse",
      "ThreadCompactStartResponse",
      "ThreadItem",
      "ThreadListCwdFilter",
      "ThreadListResponse",
      "ThreadReadResponse",
      "ThreadSetNameResponse",
      "ThreadSortKey",
      "ThreadSource",
      "ThreadSourceKind",
      "ThreadStartSource",
      "ThreadStatus",
      "ThreadTokenUsage",
      "ThreadTokenUsageUpdatedNotification",
      "Turn",
      "TurnCompletedNotification",
      "TurnError",
      "TurnInterruptResponse",
      "TurnStatus",
      "TurnSteerResponse",
      "UserInput"
    ])
    for (const name of Object.keys(Types)) assert.isTrue(Object.hasOwn(Generated, name), name)
  })
})
