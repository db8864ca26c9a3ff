/**
 * Drive the Codex agent from Effect.
 *
 * @since 0.1.0
 */
export type { ApprovalMode } from "./ApprovalMode.ts"
export * as Approvals from "./Approvals.ts"
export type * as Apps from "./Apps.ts"
export {
  AppServerClient,
  type BufferLimits,
  type Capabilities,
  type ClientInfo,
  type GoalEnd,
  type GoalOutcome,
  type HandshakeError,
  type OpenGoal,
  type OpenTurn,
  type OpenTurnOptions,
  type Options as AppServerClientOptions,
  type TurnStartMethod
} from "./AppServerClient.ts"
export type { Budget } from "./Budget.ts"
export { Codex, type Metadata, type ThreadFilter, type ThreadPageOptions } from "./Codex.ts"
export {
  AppServerExited,
  AppServerSpawnError,
  BudgetExceeded,
  CodexError,
  type ConnectionError,
  DecodeError,
  ExperimentalApiRequired,
  InternalError,
  InvalidOptions,
  InvalidParams,
  InvalidRequest,
  MethodNotFound,
  OutputDecodeError,
  OutputLagged,
  ParseError,
  PayloadIssue,
  type RequestError,
  RequestTimeout,
  type ResponseError,
  RestartCause,
  RetryLimitExceeded,
  RpcError,
  ServerOverloaded,
  StaleTurn,
  SupervisorGaveUp,
  TransportError,
  TurnFailed,
  TurnInterrupted,
  TurnLagged,
  TurnStalled,
  UnsupportedOutputSchema,
  UnsupportedRuntime
} from "./CodexError.ts"
export * as CodexMetrics from "./CodexMetrics.ts"
export * as CodexTools from "./CodexTools.ts"
export type * as Commands from "./Commands.ts"
export type * as Configuration from "./Configuration.ts"
export type * as Feedback from "./Feedback.ts"
export type * as Files from "./Files.ts"
export type * as FuzzyFileSearch from "./FuzzyFileSearch.ts"
export type { Goal, GoalFailure, GoalHandle, GoalOptions, GoalResult, Goals, GoalSetOptions } from "./Goal.ts"
export type * as Hooks from "./Hooks.ts"
export * as Input from "./Input.ts"
export type { BrowserLogin, DeviceCodeLogin, PendingLogin } from "./Login.ts"
export type * as McpServers from "./McpServers.ts"
export type {
  ChildEvent,
  CodexEvent,
  DecodeFailure,
  Lagged,
  Notification,
  Restarted,
  ServerNotification,
  TurnEvent,
  UnknownNotification
} from "./Notification.ts"
export type * as Plugins from "./Plugins.ts"
export type * as Providers from "./Providers.ts"
export * as RetryPolicy from "./RetryPolicy.ts"
export { retryOnOverload } from "./RetryPolicy.ts"
export type { ReviewHandle, ReviewResult } from "./Review.ts"
export type {
  BudgetError,
  OutputError,
  OutputOptions,
  OutputResult,
  RunError,
  RunOptions,
  WithoutBudget
} from "./Run.ts"
export type { RunResult } from "./RunResult.ts"
export type { Sandbox } from "./Sandbox.ts"
export type * as ServerRequests from "./ServerRequests.ts"
export type * as Skills from "./Skills.ts"
export * as StructuredOutput from "./StructuredOutput.ts"
export * as Supervisor from "./Supervisor.ts"
export type {
  FamilyOptions,
  ForkThreadOptions,
  ResumeThreadOptions,
  ScopedThreadOptions,
  StartThreadOptions,
  Thread,
  ThreadMetadataOptions,
  ThreadOptions,
  TurnOptions,
  WithoutChildren
} from "./Thread.ts"
export type { ItemsOptions, PastItem, PastTurn, SearchOptions, TurnsOptions } from "./ThreadHistory.ts"
export type { QueueAddOptions, ThreadQueue } from "./ThreadQueue.ts"
export { Transport } from "./Transport.ts"
export type { TurnHandle } from "./TurnHandle.ts"
export type * as Usage from "./Usage.ts"
export * as WireTap from "./WireTap.ts"
