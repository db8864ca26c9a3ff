/**
 * Who decides when the agent asks for more than its sandbox allows.
 *
 * @since 0.1.0
 */
import type { ApprovalsReviewerParam, AskForApprovalParam } from "@effect-codex/generated"

/**
 * - `"autoReview"`: the server's reviewing agent decides;
 * - `"denyAll"`: nothing is asked and nothing is granted;
 * - `"ask"`: this client is asked; it declines unless the program says otherwise.
 *
 * @since 0.1.0
 * @category models
 */
export type ApprovalMode = "autoReview" | "denyAll" | "ask"

/**
 * The fields of the protocol that say it.
 *
 * @since 0.1.0
 * @category models
 */
export interface ApprovalFields {
  readonly approvalPolicy?: AskForApprovalParam
  readonly approvalsReviewer?: ApprovalsReviewerParam
}

/**
 * The protocol's fields for a mode.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fields: Readonly<Record<ApprovalMode, ApprovalFields>> = {
  autoReview: { approvalPolicy: "on-request", approvalsReviewer: "auto_review" },
  denyAll: { approvalPolicy: "never" },
  ask: { approvalPolicy: "on-request", approvalsReviewer: "user" }
}
