import type { BudgetExceeded, OutputDecodeError, RunResult, Thread, UnsupportedOutputSchema } from "@effect-codex/core"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import { TestClock } from "effect/testing"
import { make } from "../src/StructuredOutput.ts"

const answered = (finalResponse: string | null): RunResult => ({
  threadId: "A",
  turnId: "T",
  status: "completed",
  finalResponse,
  items: [],
  usage: null,
  startedAt: null,
  completedAt: null,
  durationMs: null
})

interface Tree {
  readonly name: string
  readonly children: ReadonlyArray<Tree>
}
const Tree: Schema.Codec<Tree> = Schema.Struct({
  name: Schema.String,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
})

class Point extends Schema.Class<Point>("Point")({ x: Schema.Finite, y: Schema.optional(Schema.Finite) }) {}

class Named extends Schema.Class<Named>("my app/~Item%")({ a: Schema.String }) {}

const supported = {
  named: Schema.Struct({ a: Schema.Array(Named), b: Named }),
  optional: Schema.Struct({ a: Schema.optionalKey(Schema.String), b: Schema.optional(Schema.NullOr(Schema.Int)) }),
  nested: Schema.Struct({ a: Schema.Struct({ b: Schema.Array(Schema.Struct({ c: Schema.Boolean })) }) }),
  union: Schema.Struct({
    a: Schema.Union([
      Schema.Struct({ kind: Schema.Literal("one"), value: Schema.String }),
      Schema.Struct({ kind: Schema.Literal("two"), value: Schema.optionalKey(Schema.Finite) })
    ])
  }),
  literals: Schema.Struct({ a: Schema.Literals(["x", "y", 1]) }),
  record: Schema.Struct({ a: Schema.Record(Schema.String, Schema.Finite) }),
  tuple: Schema.Struct({ a: Schema.Tuple([Schema.String, Schema.Finite]) }),
  date: Schema.Struct({ a: Schema.Date, b: Schema.DateFromString }),
  option: Schema.Struct({ a: Schema.Option(Schema.String) }),
  recursive: Tree,
  class: Point
}

const unsupported: ReadonlyArray<readonly [string, Schema.Codec<unknown, unknown>, string]> = [
  ["a string", Schema.String, ""],
  ["a list", Schema.Array(Schema.String), ""],
  ["a choice", Schema.Union([Schema.Struct({ a: Schema.String }), Schema.Struct({ b: Schema.String })]), ""],
  ["anything", Schema.Unknown, ""],
  ["a part that is anything", Schema.Struct({ a: Schema.Struct({ b: Schema.Unknown }) }), "a.b"],
  ["JSON", Schema.Struct({ a: Schema.Json }), "a"],
  ["an optional that is anything", Schema.Struct({ a: Schema.optional(Schema.Unknown) }), "a"],
  ["a list of anything", Schema.Struct({ a: Schema.Array(Schema.Unknown) }), "a[]"],
  ["a choice with anything", Schema.Struct({ a: Schema.Union([Schema.Finite, Schema.ObjectKeyword]) }), "a[]"],
  ["a record of anything", Schema.Struct({ a: Schema.Record(Schema.String, Schema.Unknown) }), "a[].1"],
  ["what has no JSON", Schema.Struct({ a: Schema.instanceOf(Map) }), "a"],
  ["nothing", Schema.Struct({ a: Schema.Never }), "a"]
]

/** Every object of a JSON schema. */
const objects = (schema: unknown): ReadonlyArray<Record<string, unknown>> => {
  if (Array.isArray(schema)) return schema.flatMap(objects)
  if (!Predicate.isObject(schema)) return []
  const record: Record<string, unknown> = { ...schema }
  return [...(record.type === "object" ? [record] : []), ...Object.values(record).flatMap(objects)]
}

const keys = (value: unknown): ReadonlyArray<string> => Predicate.isObject(value) ? Object.keys(value) : []

describe("the JSON schema", () => {
  it.effect.each(Object.entries(supported))(
    "of %s is strict: every object closed, every key required",
    ([, schema]) =>
      Effect.gen(function*() {
        const { jsonSchema } = yield* make<unknown, unknown>(schema)
        const found = objects(jsonSchema)
        assert.isAbove(found.length, 0)
        for (const object of found) {
          assert.strictEqual(object.additionalProperties, false)
          assert.deepStrictEqual(object.required, keys(object.properties))
        }
      })
  )

  it.effect("has the definitions that something refers to, and no others", () =>
    Effect.gen(function*() {
      const definitionsOf = <A, I>(schema: Schema.Codec<A, I>) =>
        Effect.map(make(schema), ({ jsonSchema }) =>
          Predicate.hasProperty(jsonSchema, "$defs") && Predicate.isObject(jsonSchema.$defs)
            ? Object.keys(jsonSchema.$defs)
            : [])
      class Report extends Schema.Class<Report>("Report")({ point: Point, tree: Tree }) {}
      const report = yield* make(Report)
      const [tree, ...others] = yield* definitionsOf(Report)
      assert.deepStrictEqual(others, [])
      assert.include(JSON.stringify(report.jsonSchema), `"$ref":"#/$defs/${tree}"`)
      assert.deepStrictEqual(yield* definitionsOf(Point), [])
    }))

  it.effect("makes what is optional nullable, which comes back as absent", () =>
    Effect.gen(function*() {
      const { decode, jsonSchema } = yield* make(supported.optional)
      assert.include(JSON.stringify(jsonSchema), `"a":{"anyOf":[{"type":"string"},{"type":"null"}`)
      const absent = yield* decode(answered(`{"a":null,"b":null}`))
      assert.isUndefined(absent.a)
      assert.deepStrictEqual(yield* decode(answered(`{"a":"x","b":2}`)), { a: "x", b: 2 })
    }))

  it.effect.each(unsupported)("of %s is refused, with the place", ([, schema, path]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(make(schema))
      assert.strictEqual(error._tag, "UnsupportedOutputSchema")
      assert.strictEqual(error.path, path)
      assert.notStrictEqual(error.description, "")
    }))

  it.effect.each([Schema.String, Schema.Array(Schema.String), Schema.Struct({})])(
    "is an object with fields, or it is said how to make it one",
    (schema) => Effect.map(Effect.flip(make(schema)), (error) => assert.include(error.description, "field of a Struct"))
  )
})

describe("the answer", () => {
  it.effect("is decoded to the Schema's own types", () =>
    Effect.gen(function*() {
      const { decode } = yield* make(Schema.Struct({ at: Schema.DateFromString, point: Point, tree: Tree }))
      const at = "2026-01-02T00:00:00.000Z"
      const tree = { name: "a", children: [{ name: "b", children: [] }] }
      const output = yield* decode(answered(JSON.stringify({ at, point: { x: 1, y: null }, tree })))
      assert.deepStrictEqual(output.at, new Date(at))
      assert.isTrue(output.point instanceof Point)
      assert.deepStrictEqual(output.tree, tree)
    }))

  const City = Schema.Struct({ name: Schema.String, size: Schema.Int })
  const misfits: ReadonlyArray<readonly [string | null, ReadonlyArray<string>]> = [
    [null, [""]],
    ["", [""]],
    ["Rome", [""]],
    ["```json\n{}\n```", [""]],
    ["[]", [""]],
    [`{"name":"Rome"}`, ["size"]],
    [`{"name":5,"size":"many"}`, ["name", "size"]]
  ]
  it.effect.each(misfits)(
    "%j does not fit: the error has the raw text and every place, the complaint too",
    ([raw, paths]) =>
      Effect.gen(function*() {
        const { complaint, decode } = yield* make(City)
        const result = answered(raw)
        const error = yield* Effect.flip(decode(result))
        assert.strictEqual(error._tag, "OutputDecodeError")
        assert.strictEqual(error.raw, raw)
        assert.deepStrictEqual(error.result, result)
        assert.deepStrictEqual(error.issues.map(({ path }) => path), paths)
        for (const path of paths) assert.include(complaint(error), path)
        assert.notInclude(error.message, "many")
      })
  )
})

describe("an answer whose Schema takes time to decode", () => {
  const Slow = (known: string) =>
    Schema.Struct({
      city: Schema.String.pipe(
        Schema.decode({
          decode: SchemaGetter.transformEffect((city: string) =>
            Effect.andThen(
              Effect.sleep("1 second"),
              city === known
                ? Effect.succeed(city)
                : Effect.fail(new SchemaIssue.InvalidValue(undefined, { message: "Expected a city that is known" }))
            )
          ),
          encode: SchemaGetter.passthrough()
        })
      )
    })

  it.effect("is waited for", () =>
    Effect.gen(function*() {
      const { decode } = yield* make(Slow("Rome"))
      const decoding = yield* Effect.forkChild(decode(answered(`{"city":"Rome"}`)), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(decoding), { city: "Rome" })
    }))

  it.effect("tells the model what does not fit", () =>
    Effect.gen(function*() {
      const { complaint, decode } = yield* make(Slow("Rome"))
      const decoding = yield* Effect.forkChild(Effect.flip(decode(answered(`{"city":"Atlantis"}`))), {
        startImmediately: true
      })
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(decoding)
      assert.deepStrictEqual(error.issues.map(({ path }) => path), ["city"])
      assert.include(complaint(error), "city")
    }))

  it.effect("and that throws is a defect, not an answer to be repaired", () =>
    Effect.gen(function*() {
      const broken = Schema.Struct({
        city: Schema.String.pipe(Schema.decode({
          decode: SchemaGetter.transform((): string => {
            throw new Error("broken")
          }),
          encode: SchemaGetter.passthrough()
        }))
      })
      const { decode } = yield* make(broken)
      const exit = yield* Effect.exit(decode(answered(`{"city":"Rome"}`)))
      assert.isTrue(Exit.hasDies(exit))
    }))
})

describe("types", () => {
  it("a run with an output has it typed, and what else it may fail with", () => {
    const City = Schema.Struct({ name: Schema.String })
    const runs = ({ run }: Thread) => ({
      plain: run("Hi"),
      output: run("Hi", { output: City }),
      budget: run("Hi", { budget: { tokens: 1 } })
    })
    type Runs = ReturnType<typeof runs>
    expectTypeOf<Effect.Success<Runs["plain"]>>().toEqualTypeOf<RunResult>()
    expectTypeOf<Effect.Success<Runs["output"]>["output"]>().toEqualTypeOf<{ readonly name: string }>()
    type Extra<Name extends keyof Runs> = Exclude<Effect.Error<Runs[Name]>, Effect.Error<Runs["plain"]>>
    expectTypeOf<Extra<"output">>().toEqualTypeOf<OutputDecodeError | UnsupportedOutputSchema>()
    expectTypeOf<BudgetExceeded>().toExtend<Extra<"budget">>()
    expectTypeOf<Effect.Services<Runs["output"]>>().toEqualTypeOf<never>()
    assert.isFunction(runs)
  })
})
