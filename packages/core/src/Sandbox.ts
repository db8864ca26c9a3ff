/**
 * What the agent's commands may touch.
 *
 * @since 0.1.0
 */
import type { SandboxModeParam, SandboxPolicyParam } from "@effect-codex/generated"

/**
 * - `"readOnly"`: commands read, and change nothing;
 * - `"workspaceWrite"`: commands may change files below the working directory;
 * - `"fullAccess"`: no sandbox.
 *
 * @since 0.1.0
 * @category models
 */
export type Sandbox = "readOnly" | "workspaceWrite" | "fullAccess"

const modes: Record<Sandbox, SandboxModeParam> = {
  readOnly: "read-only",
  workspaceWrite: "workspace-write",
  fullAccess: "danger-full-access"
}

const policies: Record<Sandbox, SandboxPolicyParam> = {
  readOnly: { type: "readOnly" },
  workspaceWrite: { type: "workspaceWrite" },
  fullAccess: { type: "dangerFullAccess" }
}

/**
 * The sandbox as a thread takes it.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toMode = (sandbox: Sandbox | undefined): SandboxModeParam | undefined =>
  sandbox === undefined ? undefined : modes[sandbox]

/**
 * The sandbox as a turn takes it.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toPolicy = (sandbox: Sandbox | undefined): SandboxPolicyParam | undefined =>
  sandbox === undefined ? undefined : policies[sandbox]
