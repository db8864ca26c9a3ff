import type { ThreadItem } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import { finalResponse } from "../src/RunResult.ts"

const message = (text: string, phase?: "final_answer" | "commentary" | null): ThreadItem => ({
  type: "agentMessage",
  id: `msg-${text}`,
  text,
  ...(phase === undefined ? {} : { phase })
})

const compaction: ThreadItem = { type: "contextCompaction", id: "c" }

describe("RunResult.finalResponse", () => {
  it("is null where the agent said nothing", () => {
    assert.isNull(finalResponse([]))
    assert.isNull(finalResponse([compaction]))
  })

  it("is the last message without a phase", () => {
    assert.strictEqual(finalResponse([message("a"), message("b", null), compaction]), "b")
  })

  it("is the last final answer, whatever comes without a phase", () => {
    assert.strictEqual(finalResponse([message("a", "final_answer"), message("b")]), "a")
    assert.strictEqual(finalResponse([message("a", "final_answer"), message("b", "final_answer"), message("c")]), "b")
  })

  it("is never commentary", () => {
    assert.isNull(finalResponse([message("a", "commentary")]))
    assert.strictEqual(finalResponse([message("a"), message("b", "commentary")]), "a")
  })

  it("keeps an empty answer", () => {
    assert.strictEqual(finalResponse([message("")]), "")
    assert.strictEqual(finalResponse([message("a"), message("", "final_answer")]), "")
    assert.strictEqual(finalResponse([message("a", "final_answer"), message("", "final_answer")]), "")
  })
})
