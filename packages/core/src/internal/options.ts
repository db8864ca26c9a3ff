/** The options of a client with their defaults, checked. */
import { ClientRequests } from "@effect-codex/generated"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Options } from "../AppServerClient.ts"
import { InvalidOptions, type InvalidParams, type PayloadIssue } from "../CodexError.ts"
import * as RetryPolicy from "../RetryPolicy.ts"
import { isIndispensable } from "./methodTraits.ts"
import { unsent } from "./responseError.ts"

const MEBIBYTE = 1024 * 1024

/** What is no number is no duration either, though Effect takes it for none at all. */
const fromInput = (input: Duration.Input): Option.Option<Duration.Duration> =>
  Number.isNaN(input) ? Option.none() : Duration.fromInput(input)

/** Reads options one by one and keeps what is wrong with them. */
export class OptionReader {
  readonly issues: Array<PayloadIssue> = []

  duration(path: string, input: Duration.Input | undefined, fallback: Duration.Duration): Duration.Duration {
    const read = input === undefined ? Option.some(fallback) : fromInput(input)
    if (Option.isSome(read) && Duration.isPositive(read.value)) return read.value
    this.issues.push({ path, expected: "Expected a duration above zero" })
    return fallback
  }

  count(path: string, input: number | undefined, fallback: number): number {
    const read = input ?? fallback
    if (Number.isSafeInteger(read) && read > 0) return read
    this.issues.push({ path, expected: "Expected an integer above zero" })
    return fallback
  }

  /** A limit may be zero, and infinite, but not something that is no number. */
  limit(path: string, input: number | undefined, fallback: number): number {
    const read = input ?? fallback
    if (read >= 0) return read
    this.issues.push({ path, expected: "Expected a number that is not below zero" })
    return fallback
  }

  /** The same of a duration. */
  limitOfTime(path: string, input: Duration.Input | undefined): Duration.Duration {
    const read = input === undefined ? Option.some(Duration.infinity) : fromInput(input)
    if (Option.isSome(read) && !Duration.isNegative(read.value)) return read.value
    this.issues.push({ path, expected: "Expected a duration that is not below zero" })
    return Duration.infinity
  }

  /** The same where the server knows no way to leave the limit out. */
  finiteTime(path: string, input: Duration.Input | undefined): Duration.Duration | undefined {
    if (input === undefined) return undefined
    const read = fromInput(input)
    if (Option.isSome(read) && Duration.isFinite(read.value) && !Duration.isNegative(read.value)) return read.value
    this.issues.push({ path, expected: "Expected a finite duration that is not below zero" })
    return undefined
  }

  /** What one of some names stands for. */
  choice<Name extends string, A>(
    path: string,
    input: Name | undefined,
    choices: Readonly<Record<Name, A>>
  ): A | undefined {
    if (input === undefined) return undefined
    if (Object.hasOwn(choices, input)) return choices[input]
    const names = Object.keys(choices).map((name) => JSON.stringify(name))
    this.issues.push({ path, expected: `Expected ${names.join(" | ")}` })
    return undefined
  }

  /** Fails when anything was wrong. */
  get check(): Effect.Effect<void, InvalidOptions> {
    return Effect.suspend(() =>
      this.issues.length === 0 ? Effect.void : Effect.fail(new InvalidOptions({ issues: this.issues }))
    )
  }
}

/** What a request is made of, read from options: it is not sent when anything is wrong with them. */
export const readParams = <A>(method: string, from: (read: OptionReader) => A): Effect.Effect<A, InvalidParams> =>
  Effect.suspend(() => {
    const read = new OptionReader()
    const params = from(read)
    return read.issues.length === 0 ? Effect.succeed(params) : Effect.fail(unsent(method, read.issues))
  })

export const resolve = Effect.fnUntraced(function*(options: Options) {
  const read = new OptionReader()
  const requestTimeout = read.duration("requestTimeout", options.requestTimeout, Duration.seconds(60))
  const deadlines = new Map<string, Duration.Duration>([
    ["initialize", read.duration("handshakeTimeout", options.handshakeTimeout, Duration.seconds(30))]
  ])
  for (const [method, input] of Object.entries(options.requestTimeouts ?? {})) {
    if (!Object.hasOwn(ClientRequests, method)) {
      read.issues.push({ path: `requestTimeouts.${method}`, expected: "Expected a method of the protocol" })
    }
    deadlines.set(method, read.duration(`requestTimeouts.${method}`, input, requestTimeout))
  }
  for (const [index, method] of options.capabilities?.optOutNotificationMethods?.entries() ?? []) {
    if (!isIndispensable(method)) continue
    read.issues.push({
      path: `capabilities.optOutNotificationMethods.${index}`,
      expected: `Expected a notification that can be done without, which ${method} is not`
    })
  }
  const resolved = {
    capabilities: options.capabilities ?? {},
    clientInfo: options.clientInfo ?? { name: "effect_codex", title: "effect-codex", version: "0.1.0" },
    experimental: options.experimental ?? false,
    strict: options.strict ?? false,
    requestTimeout,
    timeoutOf: (method: string): Duration.Duration => deadlines.get(method) ?? requestTimeout,
    /** Whether the method was given a deadline of its own. */
    isTimed: (method: string): boolean => deadlines.has(method),
    retry: options.retry ?? RetryPolicy.overload,
    turnIdleTimeout: read.duration("turnIdleTimeout", options.turnIdleTimeout, Duration.minutes(5)),
    maxInFlight: read.count("maxInFlight", options.maxInFlight, 112),
    maxLineBytes: read.count("maxLineBytes", options.maxLineBytes, 32 * MEBIBYTE),
    turnBuffer: {
      events: read.count("turnBuffer.events", options.turnBuffer?.events, 16_384),
      bytes: read.count("turnBuffer.bytes", options.turnBuffer?.bytes, 16 * MEBIBYTE)
    },
    hubBuffer: { events: 4_096, bytes: 16 * MEBIBYTE }
  }
  yield* read.check
  return resolved
})

/** The options as they hold. */
export type Settings = Effect.Success<ReturnType<typeof resolve>>
