/**
 * Limits for a run.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

/**
 * What a run may take. When it takes more, the turn is interrupted and the run
 * fails with `BudgetExceeded`, which carries what there was by then. A turn that
 * has completed all the same, with the response that passed the limit, is a result.
 *
 * @since 0.1.0
 * @category models
 */
export interface Budget {
  /** How long the run may take, from its start, repairs included. Looked at once the server has taken the turn. */
  readonly wallTime?: Duration.Input | undefined
  /** How many tokens the run may use, input and output of all its model requests together. */
  readonly tokens?: number | undefined
  /** How many tools the agent may call: commands, file changes, MCP and dynamic tools, searches, images, agents. */
  readonly toolCalls?: number | undefined
}
