/**
 * A program with an agent, as a process of its own that ends in the way its argument
 * says; see `orphans.test.ts`. It tells `ready` once the agent runs.
 */
import { Codex } from "@effect-codex/core"
import { NodeCodex } from "@effect-codex/node"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { existsSync, writeSync } from "node:fs"
import { until } from "../../packages/node/test/support/FakeExecutable.ts"

/** Not in an effect, which would catch what is thrown. */
const later = (action: () => void) => Effect.andThen(Effect.sync(() => void setTimeout(action, 1)), Effect.never)

/** What the program does with the agent, by the way it is to end. */
const uses: Record<string, Effect.Effect<unknown, string>> = {
  success: Effect.void,
  failure: Effect.fail("failed"),
  defect: Effect.die("died"),
  "process.exit": later(() => process.exit(3)),
  "an uncaught error": later((): never => {
    throw new Error("Nobody catches this")
  }),
  "an unhandled rejection": later(() => void Promise.reject(new Error("Nobody handles this"))),
  signal: Effect.never
}

const program = Effect.gen(function*() {
  const running = yield* Deferred.make<void>()
  const way = yield* Config.String("HOST_WAY")
  const codexHome = Option.getOrUndefined(yield* Config.option(Config.NonEmptyString("HOST_CODEX_HOME")))
  const command = Option.getOrUndefined(yield* Config.option(Config.NonEmptyString("HOST_COMMAND_RUNS")))
  const layer = NodeCodex.layer({
    codexPath: yield* Config.String("HOST_CODEX"),
    codexHome,
    shutdownGrace: "300 millis"
  })
  const agent = Effect.gen(function*() {
    const codex = yield* Codex
    if (command !== undefined) {
      const thread = yield* codex.startThread({ sandbox: "fullAccess" })
      yield* Effect.forkScoped(thread.run("Run the command"))
      yield* until(() => existsSync(command))
    }
    writeSync(1, "ready\n")
    yield* Deferred.succeed(running, undefined)
    return yield* uses[way] ?? Effect.never
  }).pipe(Effect.scoped)
  const fiber = yield* Effect.forkChild(Effect.provide(agent, layer))
  if (way === "interruption") yield* Effect.andThen(Deferred.await(running), Fiber.interrupt(fiber))
  else yield* Fiber.join(fiber)
})

if (process.env["HOST_RUNTIME"] === "runMain") NodeRuntime.runMain(program, { disableErrorReporting: true })
else Effect.runFork(program)
