/** The process around a program: its signals and its exit code. */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { ExitCode } from "./failure.ts"

/** What a shell tells of a process that this signal has ended. */
const codes = { SIGINT: ExitCode.interrupted, SIGTERM: ExitCode.terminated, SIGHUP: ExitCode.hungUp }

type Signal = keyof typeof codes

const signals: ReadonlyArray<Signal> = ["SIGINT", "SIGTERM", "SIGHUP"]

/**
 * Runs a program that gives the exit code of its process. The first signal interrupts it, so that it ends what it has
 * begun; the second one ends the process at once, and the app-server is killed with it.
 */
export const runMain: (program: Effect.Effect<ExitCode>) => void = (program) => {
  let received: Signal | undefined
  const main = Runtime.makeRunMain(({ fiber, teardown }) => {
    const onSignal = (signal: Signal) => {
      if (received !== undefined) process.exit(codes[signal])
      received = signal
      fiber.interruptUnsafe(fiber.id)
    }
    for (const signal of signals) process.on(signal, onSignal)
    fiber.addObserver((exit) => {
      for (const signal of signals) process.off(signal, onSignal)
      teardown(exit, (code) => {
        // What still waits for input must not keep a process that has failed or is to end.
        if (code !== 0 || received !== undefined) process.exit(code)
      })
    })
  })
  main(program, {
    teardown: (exit, onExit) =>
      onExit(
        received === undefined
          ? Exit.isSuccess(exit) && typeof exit.value === "number" ? exit.value : ExitCode.failed
          : codes[received]
      )
  })
}
