/**
 * What tests of programs that use Codex need, with no process and no network.
 *
 * @since 0.1.0
 */
export * as Transcript from "./testing/Transcript.ts"
