/**
 * What tests need to run the real app-server without an account or a network.
 *
 * @since 0.1.0
 */
export * as OfflineCodex from "./testing/OfflineCodex.ts"
export * as OfflineHome from "./testing/OfflineHome.ts"
export {
  type Handler,
  type ModelRequest,
  OfflineModel,
  type Options as OfflineModelOptions,
  type Outcome
} from "./testing/OfflineModel.ts"
export type { Gate, HttpReply, Part, Pause, Reply } from "./testing/Reply.ts"
