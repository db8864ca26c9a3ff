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

/**
 * The sandbox as a thread takes it.
 *
 * @since 0.1.0
 * @category conversions
 */
export const modes: Readonly<Record<Sandbox, SandboxModeParam>> = {
  readOnly: "read-only",
  workspaceWrite: "workspace-write",
  fullAccess: "danger-full-access"
}

/**
 * The sandbox as a turn takes it.
 *
 * @since 0.1.0
 * @category conversions
 */
export const policies: Readonly<Record<Sandbox, SandboxPolicyParam>> = {
  readOnly: { type: "readOnly" },
  workspaceWrite: { type: "workspaceWrite" },
  fullAccess: { type: "dangerFullAccess" }
}
