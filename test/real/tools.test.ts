import { Codex, CodexTools } from "@effect-codex/core"
import { OfflineCodex } from "@effect-codex/node/testing"
import { assert, layer } from "@effect/vitest"
import { Tool, Toolkit } from "effect/ai"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { agent } from "./agent.ts"
import { asked, askedCount, failure, itemsOf, live } from "./support.ts"

const SECRET = "s3nt1nel"

class NoSuchCity extends Schema.TaggedError<NoSuchCity>()("NoSuchCity", { city: Schema.String }) {
  override get message(): string {
    return `There is no city ${this.city}`
  }
}

const Weather = Tool.make("weather", {
  description: "The weather in a city",
  parameters: Schema.Struct({ city: Schema.String, day: Schema.optionalKey(Schema.Int) }),
  success: Schema.Struct({ degrees: Schema.Finite, since: Schema.DateFromString }),
  failure: NoSuchCity
})

const Kit = Toolkit.make(Weather)

type Answer = Effect.Effect<{ readonly degrees: number; readonly since: Date }, NoSuchCity>

/** What the tool does in a test. */
class Forecast extends Context.Service<Forecast, {
  readonly of: (request: { readonly city: string; readonly day?: number }) => Answer
}>()("test/Forecast") {}

const handlers = Kit.toLayer(Effect.gen(function*() {
  const forecast = yield* Forecast
  return { weather: (request) => forecast.of(request) }
}))

/** A thread whose tool does this. */
const threadWith = (of: Forecast["Service"]["of"], options?: CodexTools.Options) =>
  Effect.flatMap(Codex, (codex) => codex.startThread({ tools: CodexTools.fromToolkit(Kit, options) })).pipe(
    Effect.provide(handlers),
    Effect.provideService(Forecast, { of })
  )

const sunny: Answer = Effect.succeed({ degrees: 21, since: new Date(0) })

layer(OfflineCodex.layer({ model: agent, codex: { experimental: true } }), live)("the tools of a thread", (it) => {
  it.effect("are offered to the model by the schema of their parameters", () =>
    Effect.gen(function*() {
      const thread = yield* threadWith(() => sunny)
      yield* thread.run("Hello")
      const { tools } = yield* asked(thread.id)
      const tool = tools.find(({ name }) => name === "weather")
      assert.strictEqual(tool?.description, "The weather in a city")
      assert.deepInclude(tool?.parameters, { type: "object", required: ["city"] })
      assert.include(JSON.stringify(tool?.parameters), "\"city\":{\"type\":\"string\"}")
    }))

  it.effect("are objects to the model, whatever the Schema of their parameters is called", () =>
    Effect.gen(function*() {
      class City extends Schema.Class<City>("City")({ city: Schema.String }) {}
      const kit = Toolkit.make(
        Tool.make("described", { parameters: City }),
        Tool.make("empty", { parameters: Schema.Struct({}) })
      )
      const codex = yield* Codex
      const thread = yield* codex.startThread({ tools: CodexTools.fromToolkit(kit) }).pipe(
        Effect.provide(kit.toLayer({ described: () => Effect.void, empty: () => Effect.void }))
      )
      const result = yield* thread.run("a call empty: {}")
      assert.deepInclude(itemsOf(result.items, "dynamicToolCall")[0], { tool: "empty", success: true })
      const { tools } = yield* asked(thread.id)
      const parametersOf = (name: string) => tools.find((tool) => tool.name === name)?.parameters
      assert.deepInclude(parametersOf("described"), {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"]
      })
      assert.deepInclude(parametersOf("empty"), { type: "object", properties: {} })
    }))

  it.effect("may answer with half a character", () =>
    Effect.gen(function*() {
      const city = "\u{1f600}".slice(0, 1)
      const thread = yield* threadWith(() => Effect.fail(new NoSuchCity({ city })))
      const result = yield* thread.run(`a call weather: {"city":"Rome","day":2}`)
      const [call] = itemsOf(result.items, "dynamicToolCall")
      assert.include(JSON.stringify(call), "There is no city \ufffd")
    }))

  it.effect("are given decoded arguments, and their result is encoded for the model", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const thread = yield* threadWith((request) => Effect.andThen(Effect.sync(() => seen.push(request)), sunny))
      const result = yield* thread.run(`a call weather: {"city":"Rome","day":2}`)
      assert.deepStrictEqual(seen, [{ city: "Rome", day: 2 }])
      const [call] = itemsOf(result.items, "dynamicToolCall")
      assert.deepInclude(call, { tool: "weather", status: "completed", success: true })
      assert.strictEqual(
        (yield* asked(thread.id, 2)).toolOutput("a"),
        `{"degrees":21,"since":"1970-01-01T00:00:00.000Z"}`
      )
    }))

  const failing: ReadonlyArray<readonly [string, Answer, string, RegExp]> = [
    ["fail", Effect.fail(new NoSuchCity({ city: "Atlantis" })), `{"city":"Atlantis"}`, /There is no city Atlantis/],
    ["die", Effect.die(new Error(SECRET)), `{"city":"Rome"}`, /weather failed unexpectedly/],
    ["are interrupted from within", Effect.interrupt, `{"city":"Rome"}`, /weather was interrupted/],
    ["are given other arguments", sunny, `{"city":5}`, /do not match its schema.*city/],
    ["are given no arguments", sunny, `{}`, /do not match its schema.*city/]
  ]
  it.effect.each(failing)(
    "tell the model why they %s, and the turn goes on",
    ([, answer, args, said]) =>
      Effect.gen(function*() {
        const thread = yield* threadWith(() => answer)
        const result = yield* thread.run(`a call weather: ${args}`)
        const [call] = itemsOf(result.items, "dynamicToolCall")
        assert.deepInclude(call, { status: "failed", success: false })
        const output = JSON.stringify((yield* asked(thread.id, 2)).toolOutput("a"))
        assert.match(output, said)
        assert.notInclude(output, SECRET)
        assert.strictEqual(result.finalResponse, "Done: a")
      })
  )

  it.effect("tell the model that they took too long, and are interrupted then", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const thread = yield* threadWith(
        () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined)),
        { timeout: "20 millis" }
      )
      const result = yield* thread.run(`a call weather: {"city":"Rome"}`)
      yield* Deferred.await(interrupted)
      assert.match(JSON.stringify((yield* asked(thread.id, 2)).toolOutput("a")), /did not finish within 20ms/)
      assert.strictEqual(result.finalResponse, "Done: a")
    }))

  it.effect("are interrupted when their turn is", () =>
    Effect.gen(function*() {
      const called = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const thread = yield* threadWith(() =>
        Deferred.succeed(called, undefined).pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
        )
      )
      const turn = yield* thread.turn(`a call weather: {"city":"Rome"}`)
      yield* Deferred.await(called)
      yield* turn.interrupt
      yield* Deferred.await(interrupted)
      yield* failure(turn.result, "TurnInterrupted")
      assert.strictEqual((yield* thread.run("Hello")).finalResponse, "Answer to: Hello")
    }))

  it.effect("may run a turn of another thread, while a third goes on", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const helper = yield* codex.startThread()
      const thread = yield* threadWith(({ city }) =>
        helper.run(`Where is ${city}?`).pipe(
          Effect.map(({ finalResponse }) => ({ degrees: finalResponse?.length ?? 0, since: new Date(0) })),
          Effect.mapError(() => new NoSuchCity({ city }))
        )
      )
      yield* thread.run(`a call weather: {"city":"Rome"}`)
      assert.include(
        JSON.stringify((yield* asked(thread.id, 2)).toolOutput("a")),
        `${"Answer to: Where is Rome?".length}`
      )
    }))

  it.effect("are each thread's own, at once", () =>
    Effect.gen(function*() {
      const gates = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const [one, two] = yield* Effect.all([
        threadWith(() =>
          Effect.andThen(
            Deferred.succeed(gates[0], undefined),
            Effect.as(Deferred.await(gates[1]), { degrees: 1, since: new Date(0) })
          )
        ),
        threadWith(() =>
          Effect.andThen(
            Deferred.succeed(gates[1], undefined),
            Effect.as(Deferred.await(gates[0]), { degrees: 2, since: new Date(0) })
          )
        )
      ])
      // Each waits for the other to be called.
      yield* Effect.all([one.run(`a call weather: {"city":"A"}`), two.run(`b call weather: {"city":"B"}`)], {
        concurrency: "unbounded"
      })
      assert.match(JSON.stringify((yield* asked(one.id, 2)).toolOutput("a")), /degrees\D+1,/)
      assert.match(JSON.stringify((yield* asked(two.id, 2)).toolOutput("b")), /degrees\D+2,/)
    }))

  it.effect("are still known to a thread that is resumed, which is given what answers them", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* threadWith(() => sunny)
      yield* thread.run("Hello")
      const resumed = yield* codex.resumeThread(thread.id, { tools: CodexTools.fromToolkit(Kit) }).pipe(
        Effect.provide(handlers),
        Effect.provideService(Forecast, { of: () => Effect.succeed({ degrees: 3, since: new Date(0) }) })
      )
      yield* resumed.run(`a call weather: {"city":"Rome"}`)
      assert.match(JSON.stringify((yield* asked(thread.id, 3)).toolOutput("a")), /degrees\D+3,/)
    }))
})

layer(OfflineCodex.layer({ model: agent }), live)("without the experimental API", (it) => {
  it.effect("a thread with tools is refused before anything is sent, and others are not", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const error = yield* failure(threadWith(() => sunny), "ExperimentalApiRequired")
      assert.deepStrictEqual([error.method, error.fields], ["thread/start", ["dynamicTools"]])
      const thread = yield* codex.startThread()
      yield* thread.run("Hello")
      assert.strictEqual(yield* askedCount(thread.id), 1)
    }))
})
