/** From the protocol's units to Effect's, and back. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** No date is as far away as a wrong number of milliseconds can be. */
export const fromMillis = (millis: number | null | undefined): DateTime.Utc | null =>
  millis === null || millis === undefined ? null : Option.getOrNull(DateTime.make(millis))

/** The same for seconds. */
export const fromSeconds = (seconds: number | null | undefined): DateTime.Utc | null =>
  seconds === null || seconds === undefined ? null : fromMillis(seconds * 1000)

/** A duration in whatever unit `of` reads. */
export const durationOf = (
  amount: number | null | undefined,
  of: (amount: number) => Duration.Duration
): Duration.Duration | null => amount === null || amount === undefined ? null : of(amount)

/** A duration as whole seconds of the wire, rounded up. */
export const wholeSeconds = (duration: Duration.Duration | undefined): number | undefined =>
  duration === undefined ? undefined : Math.ceil(Duration.toSeconds(duration))
