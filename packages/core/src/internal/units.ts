/** From the protocol's units to Effect's. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/** No date is as far away as a wrong number of milliseconds can be. */
export const fromMillis = (millis: number | null | undefined): DateTime.Utc | null =>
  millis === null || millis === undefined ? null : Option.getOrNull(DateTime.make(millis))

/** The same for seconds. */
export const fromSeconds = (seconds: number | null | undefined): DateTime.Utc | null =>
  seconds === null || seconds === undefined ? null : fromMillis(seconds * 1000)
