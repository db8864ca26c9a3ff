/**
 * Exports what the agent does to OpenTelemetry: spans of the run, its requests, its
 * turn, its tools and who allowed them, and metrics. The collector is one of its own;
 * with OTEL_EXPORTER_OTLP_ENDPOINT it is yours.
 */
import { Approvals, Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Config, Console, Effect, Layer, Option } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp } from "effect/observability"
import { Collector, type Span } from "./collector.ts"
import { runExample } from "./support.ts"

const work = Effect.gen(function*() {
  const codex = yield* Codex
  const thread = yield* codex.startThread({
    approvalMode: "ask",
    approvals: { policy: Approvals.acceptCommands(["echo hello"]) }
  })
  yield* thread.run("Try to echo hello.")
}).pipe(Effect.withSpan("work"))

/** Exports spans, metrics and logs as long as it is provided; what is left when it ends is exported then. */
const exporter = (baseUrl: string) =>
  Otlp.layerJson({ baseUrl, resource: { serviceName: "my-service" } }).pipe(Layer.provide(FetchHttpClient.layer))

const valueOf = (span: Span, name: string) => {
  const value = span.attributes.find(({ key }) => key === name)?.value
  return value === undefined ? undefined : Object.values(value)[0]
}

/** A span and what is below it, a line each. */
const show = (spans: ReadonlyArray<Span>, span: Span, indent = ""): ReadonlyArray<string> => [
  `${indent}${span.name}${
    ["codex.approval.decision", "process.exit.code", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"]
      .flatMap((name) => {
        const value = valueOf(span, name)
        return value === undefined ? [] : [` ${name}=${String(value)}`]
      })
      .join("")
  }`,
  ...spans.filter(({ parentSpanId }) => parentSpanId === span.spanId).flatMap((child) =>
    show(spans, child, `${indent}  `)
  )
]

const program = Effect.gen(function*() {
  const endpoint = yield* Config.option(Config.NonEmptyString("OTEL_EXPORTER_OTLP_ENDPOINT"))
  if (Option.isSome(endpoint)) return yield* Effect.provide(work, exporter(endpoint.value))
  const collector = yield* Collector
  yield* Effect.provide(work, exporter(collector.url))
  const spans = collector.spans()
  for (const span of spans.filter(({ name }) => name === "work")) {
    yield* Console.log(show(spans, span).join("\n"))
  }
  yield* Console.log(collector.metrics().filter((name) => name.startsWith("codex_")).join("\n"))
}).pipe(Effect.provide(Collector.layer))

runExample(program, {
  model: {
    respond: ({ toolOutput }) =>
      toolOutput("echo") === undefined
        ? OfflineModel.functionCall({
          name: "exec_command",
          callId: "echo",
          arguments: { cmd: "echo hello", sandbox_permissions: "require_escalated", justification: "To try it" }
        })
        : OfflineModel.text("It says hello.")
  }
})
