import { AppServerClient, Codex, Transport } from "@effect-codex/core"
import { OfflineCodex, OfflineModel } from "@effect-codex/node/testing"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Framer } from "../../packages/core/src/internal/framer.ts"
import { reading } from "../../packages/core/test/support/deltas.ts"
import { spoken } from "./support.ts"

/** A transport of which the lines are read along. */
const watched = () => {
  const framer = new Framer(1_000_000)
  const { lines, note } = reading()
  const layer = Layer.effect(
    Transport,
    Effect.map(Transport, (transport) =>
      Transport.of({
        ...transport,
        incoming: Stream.tap(transport.incoming, (chunk) => Effect.sync(() => framer.push(chunk, note)))
      }))
  )
  return { layer, lines }
}

it.live("deltas of the real app-server are known by what they have in common, each from the second of its text on", () =>
  Effect.gen(function*() {
    const { layer, lines } = watched()
    const said = ["Three ", "deltas,\n", "\"quoted\" ", "漢字 😀"]
    const thought = { item_id: "rs", output_index: 0, summary_index: 0 }
    const thinking = [
      { type: "response.output_item.added", output_index: 0, item: { id: "rs", type: "reasoning", summary: [] } },
      { type: "response.reasoning_summary_part.added", ...thought },
      ...["First ", "one ", "thinks"].map((delta) => ({
        type: "response.reasoning_summary_text.delta",
        ...thought,
        delta
      })),
      {
        type: "response.output_item.done",
        output_index: 0,
        item: { id: "rs", type: "reasoning", summary: [{ type: "summary_text", text: "First one thinks" }] }
      }
    ]
    const events = yield* Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      return yield* Stream.runCollect(thread.stream("Go"))
    }).pipe(
      Effect.provide(
        Codex.layer.pipe(
          Layer.provide(AppServerClient.layer()),
          Layer.provide(layer),
          Layer.provide(OfflineCodex.layerTransport({
            model: { respond: () => [...thinking.map(OfflineModel.event), OfflineModel.text(said)] }
          }))
        )
      )
    )
    assert.strictEqual(spoken(events), said.join(""))
    const tally: Record<string, string> = {}
    for (const { envelope, isKnown, read } of lines) {
      if (read !== undefined) assert.deepStrictEqual(read, envelope)
      if (envelope._tag !== "Notification" || !/delta$/i.test(envelope.method)) continue
      tally[envelope.method] = `${tally[envelope.method] ?? ""}${isKnown ? "known " : "parsed "}`
    }
    assert.deepStrictEqual(tally, {
      "item/reasoning/summaryTextDelta": "parsed known known ",
      "item/agentMessage/delta": "parsed known known known "
    })
  }))
