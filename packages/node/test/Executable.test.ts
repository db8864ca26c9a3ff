import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as Executable from "../src/cli/executable.ts"
import * as Bundle from "../src/protocol/bundle.ts"
import * as Fake from "./support/FakeExecutable.ts"

type Asking = Effect.Effect<unknown, string, NodeServices.NodeServices>

layer(NodeServices.layer)("an executable that is asked and does not end", (it) => {
  const stubborn = Fake.script(`process.on("SIGTERM", () => record("SIGTERM"))
    record("asked")
    setInterval(() => {}, 1000)`)

  const questions: ReadonlyArray<readonly [what: string, patience: Duration.Input, ask: (path: string) => Asking]> = [
    [
      "its version",
      "30 seconds",
      (path) => Effect.mapError(Executable.version(path), ({ description }) => description)
    ],
    [
      "its protocol",
      "1 minute",
      (path) => Effect.mapError(Bundle.protocolDefinitions(path, { experimental: true }), ({ message }) => message)
    ]
  ]

  it.effect.each(questions)("for %s is given up, and killed", ([, patience, ask]) =>
    Effect.gen(function*() {
      const fake = yield* stubborn
      const asking = yield* Effect.forkChild(Effect.flip(ask(fake.path)), { startImmediately: true })
      yield* fake.awaitRecord("asked")
      yield* TestClock.adjust(patience)
      yield* fake.awaitRecord("SIGTERM")
      assert.include(yield* Fiber.join(asking), "does not end")
      yield* fake.awaitGone()
    }))
})
