/** A model that does what it is told: the tests of what the agent asks for say it in the prompt. */
import { OfflineModel, type OfflineModelOptions } from "@effect-codex/node/testing"
import * as Schema from "effect/Schema"

const argumentsOf = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json)))

/**
 * Calls what the prompt names, once, and then says that it is done. A prompt is a
 * name for the call, a verb and what to do: `a run: echo hi` (outside of the
 * sandbox), `b patch: *** Add File: x`, `c call weather: {"city":"Rome"}`. Any
 * other prompt is answered.
 */
export const agent: OfflineModelOptions = {
  respond: (request) => {
    const [, callId, verb, name, body] = /^(\S+) (run|patch|call) ?(\w*): ([^]*)$/.exec(request.text) ?? []
    if (callId === undefined || body === undefined) return OfflineModel.text(`Answer to: ${request.text}`)
    if (request.toolOutput(callId) !== undefined) return OfflineModel.text(`Done: ${callId}`)
    switch (verb) {
      case "run":
        return OfflineModel.functionCall({
          name: "exec_command",
          callId,
          arguments: { cmd: body, sandbox_permissions: "require_escalated", justification: "It has to be" }
        })
      case "patch":
        return OfflineModel.functionCall({
          name: "exec_command",
          callId,
          arguments: { cmd: `apply_patch <<'EOF'\n*** Begin Patch\n${body}\n*** End Patch\nEOF\n` }
        })
      default:
        return OfflineModel.functionCall({ name: name ?? "", callId, arguments: argumentsOf(body) })
    }
  }
}
