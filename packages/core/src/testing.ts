/**
 * What tests of programs that use Codex need, with no process and no network.
 *
 * @since 0.1.0
 */
export { AgentFailure, type AgentTurn, type Decision, type Script, type Usage } from "./testing/agentTurn.ts"
export { type Received, Refusal } from "./testing/fakeConnection.ts"
export {
  type FaultOptions,
  type Options as TestAppServerOptions,
  type ServerOptions,
  TestAppServer
} from "./testing/TestAppServer.ts"
export * as Transcript from "./testing/Transcript.ts"
