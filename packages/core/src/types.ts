/**
 * The protocol's models that users meet: what threads, turns, items, models and
 * accounts look like. The whole protocol is in `@effect-codex/generated`.
 *
 * @since 0.1.0
 */
export {
  Account,
  CodexErrorInfo,
  GetAccountResponse,
  Model,
  ReviewTarget,
  Thread,
  ThreadItem,
  ThreadListResponse,
  ThreadStatus,
  ThreadTokenUsage,
  Turn,
  TurnError,
  TurnStatus,
  UserInput
} from "@effect-codex/generated"
