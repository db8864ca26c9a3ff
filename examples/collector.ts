/** What stands for an OpenTelemetry collector where there is none: it takes OTLP over HTTP as JSON, and keeps it. */
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

const Attribute = Schema.Struct({ key: Schema.String, value: Schema.Record(Schema.String, Schema.Json) })

const Span = Schema.Struct({
  name: Schema.String,
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optional(Schema.String),
  startTimeUnixNano: Schema.String,
  attributes: Schema.Array(Attribute),
  // 1 is fine, 2 an error; what was interrupted has none.
  status: Schema.Struct({ code: Schema.optional(Schema.Int) })
})

/** A span as it was exported. */
export type Span = typeof Span.Type

const Traces = Schema.Struct({
  resourceSpans: Schema.Array(Schema.Struct({
    scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) }))
  }))
})

const Metrics = Schema.Struct({
  resourceMetrics: Schema.Array(Schema.Struct({
    scopeMetrics: Schema.Array(Schema.Struct({ metrics: Schema.Array(Schema.Struct({ name: Schema.String })) }))
  }))
})

export class Collector extends Context.Service<Collector, {
  /** Where to export to. */
  readonly url: string
  /** Every span so far, in the order they began. */
  readonly spans: () => ReadonlyArray<Span>
  /** The names of the metrics so far. */
  readonly metrics: () => ReadonlyArray<string>
  /** Every body so far, as it came. */
  readonly bodies: ReadonlyArray<string>
}>()("examples/Collector") {
  static readonly layer = Layer.unwrap(Effect.sync(() => {
    const spans: Array<Span> = []
    const metrics = new Set<string>()
    const bodies: Array<string> = []

    const take = <A>(path: `/${string}`, schema: Schema.Codec<A, unknown>, keep: (data: A) => void) =>
      HttpRouter.add(
        "POST",
        path,
        Effect.gen(function*() {
          const request = yield* HttpServerRequest.HttpServerRequest
          const text = yield* request.text
          bodies.push(text)
          keep(yield* Schema.decodeEffect(Schema.fromJsonString(schema))(text))
          return HttpServerResponse.jsonUnsafe({})
        })
      )

    const routes = Layer.mergeAll(
      take(
        "/v1/traces",
        Traces,
        ({ resourceSpans }) =>
          spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)))
      ),
      take("/v1/metrics", Metrics, ({ resourceMetrics }) => {
        for (const { scopeMetrics } of resourceMetrics) {
          for (const { metrics: some } of scopeMetrics) for (const { name } of some) metrics.add(name)
        }
      }),
      take("/v1/logs", Schema.Json, () => {})
    )

    return Layer.effect(
      Collector,
      HttpServer.addressFormattedWith((url) =>
        Effect.succeed({
          url,
          bodies,
          spans: () => [...spans].sort((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano))),
          metrics: () => [...metrics].sort()
        })
      )
    ).pipe(
      Layer.provideMerge(HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })),
      Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
    )
  }))
}
