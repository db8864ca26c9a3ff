/** A tracer that keeps every span, so that a test sees them as a tree. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** How a span ended. */
export type Status = "ok" | "interrupted" | `failed: ${string}` | "open"

/** A span with the spans below it, in the order they began. */
export interface SpanNode {
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly status: Status
  readonly attributes: Readonly<Record<string, unknown>>
  readonly children: ReadonlyArray<SpanNode>
}

export interface Recorder {
  readonly tracer: Tracer.Tracer
  readonly layer: Layer.Layer<never>
  /** Every span so far, in the order they began. */
  readonly spans: ReadonlyArray<Tracer.NativeSpan>
  /** The spans without a parent among them. */
  readonly roots: () => ReadonlyArray<SpanNode>
  /** The first span of the name. */
  readonly find: (name: string) => Tracer.NativeSpan
  /** The same with what is below it. */
  readonly tree: (name: string) => SpanNode
}

const statusOf = (status: Tracer.SpanStatus): Status => {
  if (status._tag === "Started") return "open"
  const { exit }: { readonly exit: Exit.Exit<unknown, unknown> } = status
  if (exit._tag === "Success") return "ok"
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  return `failed: ${Option.match(Cause.findErrorOption(exit.cause), { onNone: () => "a defect", onSome: tagOf })}`
}

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : "an error"

export const recorder = (): Recorder => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const nodeOf = (span: Tracer.NativeSpan): SpanNode => ({
    name: span.name,
    kind: span.kind,
    status: statusOf(span.status),
    attributes: Object.fromEntries(span.attributes),
    children: spans.filter(({ parent }) => Option.exists(parent, ({ spanId }) => spanId === span.spanId)).map(nodeOf)
  })
  const find = (name: string): Tracer.NativeSpan => {
    const span = spans.find((span) => span.name === name)
    if (span === undefined) throw new Error(`No span ${name} among ${spans.map(({ name }) => name).join(", ")}`)
    return span
  }
  return {
    tracer,
    layer: Layer.succeed(Tracer.Tracer, tracer),
    spans,
    roots: () => spans.filter(({ parent }) => Option.isNone(parent)).map(nodeOf),
    find,
    tree: (name) => nodeOf(find(name))
  }
}

/** The tree as lines: the name, the end where it is not `ok`, and these attributes. */
export const outline = (
  node: SpanNode,
  attributes: ReadonlyArray<string> = [],
  indent = ""
): ReadonlyArray<string> => [
  [
    `${indent}${node.name}`,
    ...(node.status === "ok" ? [] : [`(${node.status})`]),
    ...attributes.flatMap((key) => key in node.attributes ? [`${key}=${String(node.attributes[key])}`] : [])
  ].join(" "),
  ...node.children.flatMap((child) => outline(child, attributes, `${indent}  `))
]

/** Runs the effect below a span of the name, on the tracer. */
export const under = (recorder: Recorder, name: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.withSpan(name), Effect.withTracer(recorder.tracer))
