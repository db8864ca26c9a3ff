import { Codex, CodexTools } from "@effect-codex/core"
import { TestAppServer } from "@effect-codex/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Prompt, Tool, Toolkit } from "effect/ai"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import { fork } from "./support/observe.ts"

const SECRET = "s3nt1nel"

const call = (tool: string, args: Schema.Json) => ({
  threadId: "A",
  turnId: "T",
  callId: "call",
  tool,
  arguments: args
})

const said = (text: string) => [{ type: "inputText" as const, text }]

class Missing extends Schema.TaggedError<Missing>()("Missing", { name: Schema.String }) {
  override get message(): string {
    return `There is no ${this.name}`
  }
}

const Lookup = Tool.make("lookup", {
  description: "Looks something up",
  parameters: Schema.Struct({ name: Schema.String, at: Schema.optionalKey(Schema.DateFromString) }),
  success: Schema.Struct({ found: Schema.DateFromString }),
  failure: Schema.Union([Missing, Schema.Struct({ code: Schema.Int })])
})

/** The tool with this for a handler. */
const lookup = (
  handler: (params: typeof Lookup.parametersSchema.Type) => Effect.Effect<
    { readonly found: Date },
    Missing | { readonly code: number }
  >,
  options?: CodexTools.Options
) => {
  const kit = Toolkit.make(Lookup)
  return (args: Schema.Json, tool = "lookup") =>
    CodexTools.fromToolkit(kit, options).call(call(tool, args)).pipe(Effect.provide(kit.toLayer({ lookup: handler })))
}

const found = Effect.succeed({ found: new Date(0) })

describe("fromToolkit", () => {
  it("describes each tool by the JSON schema of its encoded parameters", () => {
    const { specs } = CodexTools.fromToolkit(Toolkit.make(Lookup, Tool.make("ping")))
    assert.deepStrictEqual(specs.map((spec) => [spec.type, spec.name]), [["function", "lookup"], ["function", "ping"]])
    assert.deepInclude(specs[0], { description: "Looks something up" })
    assert.include(JSON.stringify(specs[0]), `"required":["name"]`)
    assert.include(JSON.stringify(specs[0]), `"name":{"type":"string"}`)
    assert.deepInclude(specs[1], { description: "" })
  })

  it("describes parameters as an object, whatever their Schema is called, with what it refers to", () => {
    const inputOf = (parameters: Schema.Codec<unknown>) =>
      CodexTools.fromToolkit(Toolkit.make(Tool.make("tool", { parameters }))).specs.map((spec) =>
        spec.type === "function" ? spec.inputSchema : assert.fail()
      )
    class City extends Schema.Class<City>("City")({ name: Schema.String }) {}
    const city = {
      type: "object",
      properties: { name: { type: "string" } },
      required: ["name"],
      additionalProperties: true
    }
    assert.deepStrictEqual(inputOf(City), [city])
    const named = Schema.Struct({ name: Schema.String }).annotate({ identifier: "a/city ~ b", description: "One" })
    assert.deepStrictEqual(inputOf(named), [{ ...city, description: "One" }])
    assert.deepStrictEqual(inputOf(Schema.Struct({ city: named })), [{
      type: "object",
      properties: { city: { $ref: "#/$defs/a~1city%20~0%20b" } },
      required: ["city"],
      additionalProperties: true,
      $defs: { "a/city ~ b": { ...city, description: "One" } }
    }])
    interface Tree {
      readonly children: ReadonlyArray<Tree>
    }
    const Tree: Schema.Codec<Tree> = Schema.Struct({
      children: Schema.Array(Schema.suspend(() => Tree))
    }).annotate({ identifier: "Tree" })
    const tree = {
      type: "object",
      properties: { children: { type: "array", items: { $ref: "#/$defs/Tree" } } },
      required: ["children"],
      additionalProperties: true
    }
    const rooted = [{ ...tree, $defs: { Tree: tree } }]
    assert.deepStrictEqual(inputOf(Tree), rooted)
    assert.deepStrictEqual(inputOf(Schema.suspend(() => Tree).annotate({ identifier: "Forest" })), rooted)
  })

  it("describes a struct without fields as an object without properties", () => {
    const empty = { type: "object", properties: {}, additionalProperties: false }
    const parameters = Schema.Struct({})
    const none = parameters.annotate({ identifier: "None", description: "None" })
    const { specs } = CodexTools.fromToolkit(
      Toolkit.make(Tool.make("empty", { parameters }), Tool.make("none", { parameters: none }))
    )
    assert.deepStrictEqual(specs.map((spec) => spec.type === "function" ? spec.inputSchema : assert.fail()), [
      empty,
      { ...empty, description: "None" }
    ])
  })

  it("describes what takes anything as any object", () => {
    const { specs } = CodexTools.fromToolkit(
      Toolkit.make(Tool.dynamic("raw"), Tool.make("anything", { parameters: Schema.Unknown }))
    )
    const any = { type: "object", properties: {}, additionalProperties: true }
    assert.deepStrictEqual(specs.map((spec) => spec.type === "function" ? spec.inputSchema : assert.fail()), [any, any])
  })

  it("does not take parameters that are no object", () => {
    const { Int, NullOr, Struct, Union } = Schema
    for (const parameters of [Union([Struct({ a: Int }), Struct({ b: Int })]), NullOr(Struct({})), Int]) {
      const kit = Toolkit.make(Tool.make("odd", { parameters }))
      assert.throws(() => CodexTools.fromToolkit(kit), TypeError, "The parameters of the tool odd are no object")
    }
    const raw = Toolkit.make(
      Tool.dynamic("raw", { parameters: { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/a" } } } })
    )
    assert.throws(() => CodexTools.fromToolkit(raw), TypeError, "The parameters of the tool raw are no object")
  })

  it.effect("leaves out what a provider defines, which the server would refuse", () =>
    Effect.gen(function*() {
      const Search = Tool.providerDefined({
        id: "openai.web_search",
        customName: "WebSearch",
        providerName: "web_search",
        args: Schema.Struct({}),
        success: Schema.String
      })
      const kit = Toolkit.make(Lookup, Search({}))
      const tools = CodexTools.fromToolkit(kit)
      assert.deepStrictEqual(tools.specs.map(({ name }) => name), ["lookup"])
      const answer = yield* tools.call(call("WebSearch", {})).pipe(
        Effect.provide(kit.toLayer({ lookup: () => found }))
      )
      assert.deepStrictEqual(answer, {
        success: false,
        contentItems: said("There is no tool WebSearch on this thread.")
      })
    }))

  it.effect("decodes the arguments and encodes the result", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const run = lookup((params) => Effect.andThen(Effect.sync(() => seen.push(params)), found))
      assert.deepStrictEqual(yield* run({ name: "a", at: "2026-01-02T00:00:00.000Z" }), {
        success: true,
        contentItems: said(`{"found":"1970-01-01T00:00:00.000Z"}`)
      })
      assert.deepStrictEqual(seen, [{ name: "a", at: new Date("2026-01-02T00:00:00.000Z") }])
    }))

  it.effect("takes and gives what is no JSON in the form that the model is told of", () =>
    Effect.gen(function*() {
      const Value = Schema.Struct({
        date: Schema.Date,
        big: Schema.BigInt,
        url: Schema.URL,
        option: Schema.Option(Schema.Finite),
        none: Schema.UndefinedOr(Schema.String),
        map: Schema.ReadonlyMap(Schema.String, Schema.Finite)
      })
      const kit = Toolkit.make(Tool.make("echo", { parameters: Value, success: Value }))
      const seen: Array<typeof Value.Type> = []
      const tools = CodexTools.fromToolkit(kit)
      const given = {
        date: "2026-01-02T00:00:00.000Z",
        big: "12345678901234567890",
        url: "http://localhost/",
        option: yield* Schema.encodeEffect(Schema.toCodecJson(Schema.Option(Schema.Finite)))(Option.some(1)),
        none: null,
        map: [["a", 1]]
      }
      const { contentItems, success } = yield* tools.call(call("echo", given)).pipe(
        Effect.provide(kit.toLayer({ echo: (value) => Effect.sync(() => (seen.push(value), value)) }))
      )
      assert.isTrue(success)
      assert.deepStrictEqual(seen, [{
        date: new Date("2026-01-02T00:00:00.000Z"),
        big: 12345678901234567890n,
        url: new URL("http://localhost/"),
        option: Option.some(1),
        none: undefined,
        map: new Map([["a", 1]])
      }])
      assert.deepStrictEqual(contentItems, said(JSON.stringify(given)))
    }))

  it.effect("tells the model of a typed failure by its message, or by what it holds", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* lookup(() => Effect.fail(new Missing({ name: "a" })))({ name: "a" }), {
        success: false,
        contentItems: said("lookup failed: There is no a")
      })
      assert.deepStrictEqual(yield* lookup(() => Effect.fail({ code: 5 }))({ name: "a" }), {
        success: false,
        contentItems: said(`lookup failed: {"code":5}`)
      })
    }))

  it.effect("tells the model where arguments do not fit, and does not call", () =>
    Effect.gen(function*() {
      let calls = 0
      const run = lookup(() => {
        calls++
        return found
      })
      for (const args of [null, 5, "{}", [], {}, { name: 5 }, { name: "a", at: 5 }]) {
        const { contentItems, success } = yield* run(args)
        assert.isFalse(success)
        assert.match(JSON.stringify(contentItems), /do not match its schema: .+/)
      }
      const { contentItems, success } = yield* run({ name: "a", at: SECRET })
      assert.isFalse(success)
      assert.match(JSON.stringify(contentItems), /lookup failed: /)
      assert.strictEqual(calls, 0)
    }))

  it.effect("says no more of a defect than that there was one", () =>
    Effect.gen(function*() {
      const answer = { success: false, contentItems: said("lookup failed unexpectedly.") }
      assert.deepStrictEqual(yield* lookup(() => Effect.die(new Error(SECRET)))({ name: "a" }), answer)
      assert.deepStrictEqual(
        yield* lookup(() => {
          throw new Error(SECRET)
        })({ name: "a" }),
        answer
      )
    }))

  it.effect("tells the model of a handler that is interrupted, or that has waited for what is", () =>
    Effect.gen(function*() {
      const never = yield* fork(Effect.never)
      yield* Fiber.interrupt(never)
      for (const timeout of ["1 minute", "Infinity"] as const) {
        for (const handler of [() => Effect.interrupt, () => Fiber.join(never)]) {
          assert.deepStrictEqual(yield* lookup(handler, { timeout })({ name: "a" }), {
            success: false,
            contentItems: said("lookup was interrupted.")
          })
        }
        // What a handler has died of goes first.
        const both = () => Effect.ensuring(Effect.interrupt, Effect.die(new Error(SECRET)))
        assert.deepStrictEqual(yield* lookup(both, { timeout })({ name: "a" }), {
          success: false,
          contentItems: said("lookup failed unexpectedly.")
        })
      }
    }))

  it.effect("tells the model of a handler that gives no Effect", () =>
    Effect.gen(function*() {
      // As from a program that nobody has type-checked.
      assert.deepStrictEqual(yield* lookup((): typeof found => JSON.parse("{}"))({ name: "a" }), {
        success: false,
        contentItems: said("lookup failed unexpectedly.")
      })
    }))

  it.effect("with a timeout that is none is refused by the thread that is given it", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const server = yield* TestAppServer
      const kit = Toolkit.make(Tool.make("ping"))
      // The last as from a file, where nothing has checked it.
      for (const timeout of [Number.NaN, "-1 seconds", JSON.parse("\"soon\"")]) {
        const error = yield* Effect.flip(
          codex.startThread({ tools: CodexTools.fromToolkit(kit, { timeout }) }).pipe(
            Effect.provide(kit.toLayer({ ping: () => Effect.void }))
          )
        )
        if (error._tag !== "InvalidParams") return assert.fail(error._tag)
        assert.deepStrictEqual([error.sent, error.issues.map(({ path }) => path)], [false, ["tools.timeout"]])
      }
      assert.deepStrictEqual(yield* server.requests("thread/start"), [])
    }).pipe(Effect.provide(TestAppServer.layer({ client: { experimental: true } }))))

  it.effect("tells the program where it died, and not what was said", () =>
    Effect.gen(function*() {
      const logged: Array<string> = []
      const logger = Logger.make<unknown, void>(({ message }) => {
        logged.push(String(message))
      })
      yield* lookup(() => Effect.die(new TypeError(SECRET)))({ name: "a" }).pipe(
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(References.MinimumLogLevel, "Debug")
      )
      assert.match(logged.join("\n"), /lookup failed\n {2}with TypeError\n +at .*CodexTools\.test/)
      assert.notInclude(logged.join("\n"), SECRET)
    }))

  it.effect("interrupts a call that takes too long, 60 seconds unless told otherwise", () =>
    Effect.gen(function*() {
      for (
        const [options, wait, name] of [[{}, "60 seconds", "1m"], [
          { timeout: "2 seconds" },
          "2 seconds",
          "2s"
        ]] as const
      ) {
        const interrupted = yield* Deferred.make<void>()
        const fiber = yield* fork(
          lookup(() => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined)), options)({
            name: "a"
          })
        )
        yield* TestClock.adjust(wait)
        assert.deepStrictEqual(yield* Fiber.join(fiber), {
          success: false,
          contentItems: said(`lookup did not finish within ${name}.`)
        })
        yield* Deferred.await(interrupted)
      }
    }))

  it.effect("interrupts the handler when the call is", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const fiber = yield* fork(
        lookup(() =>
          Deferred.succeed(begun, undefined).pipe(
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
          )
        )({ name: "a" })
      )
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(interrupted)
    }))

  it.effect("knows no other tools, whatever they are named", () =>
    Effect.gen(function*() {
      const run = lookup(() => found)
      for (const tool of ["other", "constructor", "__proto__", "toString", ""]) {
        assert.deepStrictEqual(yield* run({ name: "a" }, tool), {
          success: false,
          contentItems: said(`There is no tool ${tool} on this thread.`)
        })
      }
    }))

  it.effect("does not run a tool that needs approval, as there is nobody to ask", () =>
    Effect.gen(function*() {
      let calls = 0
      for (const needsApproval of [true, () => Effect.succeed(false), false]) {
        const kit = Toolkit.make(Tool.make("risky", { needsApproval }))
        const { success } = yield* CodexTools.fromToolkit(kit).call(call("risky", {})).pipe(
          Effect.provide(kit.toLayer({
            risky: () =>
              Effect.sync(() => {
                calls++
              })
          }))
        )
        assert.strictEqual(success, needsApproval === false)
      }
      assert.strictEqual(calls, 1)
    }))

  it.effect("gives the model what the tool makes of its result: texts, images, sounds", () =>
    Effect.gen(function*() {
      const kit = Toolkit.make(Tool.make("show", {
        success: Schema.String,
        toModelOutput: (result) => [
          Prompt.makePart("text", { text: result }),
          Prompt.makePart("file", { mediaType: "image/png", data: new Uint8Array([1, 2, 3]) }),
          Prompt.makePart("file", { mediaType: "image/png", data: "AQID" }),
          Prompt.makePart("file", { mediaType: "image/png", data: "data:image/png;base64,AQID" }),
          Prompt.makePart("file", { mediaType: "image/png", data: new URL("https://example.com/a.png") }),
          Prompt.makePart("file", { mediaType: "audio/wav", data: "AQID" }),
          Prompt.makePart("file", { mediaType: "application/pdf", data: "AQID", fileName: "a.pdf" })
        ]
      }))
      const answer = yield* CodexTools.fromToolkit(kit).call(call("show", {})).pipe(
        Effect.provide(kit.toLayer({ show: () => Effect.succeed("shown") }))
      )
      const image = { type: "inputImage" as const, imageUrl: "data:image/png;base64,AQID" }
      assert.deepStrictEqual(answer, {
        success: true,
        contentItems: [
          ...said("shown"),
          image,
          image,
          image,
          { type: "inputImage", imageUrl: "https://example.com/a.png" },
          { type: "inputAudio", audioUrl: "data:audio/wav;base64,AQID" },
          ...said("[application/pdf a.pdf omitted]")
        ]
      })
    }))

  it.effect("gives a tool without a result an empty text", () =>
    Effect.gen(function*() {
      const kit = Toolkit.make(Tool.make("ping"))
      const answer = yield* CodexTools.fromToolkit(kit).call(call("ping", {})).pipe(
        Effect.provide(kit.toLayer({ ping: () => Effect.void }))
      )
      assert.isTrue(answer.success)
    }))
})
