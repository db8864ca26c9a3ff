/**
 * The Codex agent on Node: the app-server as a scoped process.
 *
 * @since 0.1.0
 */
export { CodexLive } from "./NodeCodex.ts"
export * as NodeCodex from "./NodeCodex.ts"
