/**
 * How many requests may be unanswered at once. The server refuses work when its
 * own queue is full, and stops answering for good when far too much comes at
 * once, so the window halves when a request is refused and grows by one each time
 * a whole window of requests has been answered.
 *
 * Everything here is synchronous. Whoever waits longest is next, and to come, to go and to be let in cost the same however
 * many wait.
 */

export interface Admission {
  /** Lets the guest in when there is a place, now or later. */
  readonly enter: (guest: Guest) => void
  /** The guest no longer waits. */
  readonly withdraw: (guest: Guest) => void
  /** Gives a place back, and says whether the server was full. */
  readonly leave: (place: Place, isRefused: boolean) => void
  /** How many places there are at the moment. */
  readonly window: () => number
}

/**
 * A place is as old as the window it was given in: the number of times that the window had shrunk. Refusals of requests
 * from before say nothing new.
 */
export type Place = number

/** Who waits for a place. */
export interface Guest {
  readonly admit: (place: Place) => void
}

/** Is told how the figures change. */
export interface Meter {
  readonly window: (by: number) => void
  readonly queued: (by: number) => void
}

export const make = (
  maxInFlight: number,
  meter: Meter = { window: () => {}, queued: () => {} }
): Admission => {
  let window = maxInFlight
  let taken = 0
  let answered = 0
  let epoch: Place = 0
  const waiting = new Set<Guest>()
  // Goes on where it was, for to begin anew is to step over all that has gone.
  let line = waiting.values()
  let isLetting = false

  const first = () => {
    let next = line.next()
    if (next.done === true) {
      line = waiting.values()
      next = line.next()
    }
    return next.value
  }

  // A loop, since whoever is let in may be gone again before it returns.
  const letIn = (): void => {
    if (isLetting) return
    isLetting = true
    try {
      while (waiting.size > 0 && taken < window) {
        const next = first()
        if (next === undefined) break
        waiting.delete(next)
        meter.queued(-1)
        taken++
        next.admit(epoch)
      }
    } finally {
      isLetting = false
    }
  }

  const shrink = (): void => {
    const next = Math.max(1, window >> 1)
    meter.window(next - window)
    window = next
    answered = 0
    epoch++
  }

  const grow = (): void => {
    if (window === maxInFlight || ++answered < window) return
    window++
    meter.window(1)
    answered = 0
  }

  meter.window(window)

  return {
    window: () => window,
    enter: (guest) => {
      if (taken < window && waiting.size === 0) {
        taken++
        return guest.admit(epoch)
      }
      meter.queued(1)
      waiting.add(guest)
    },
    withdraw: (guest) => {
      if (waiting.delete(guest)) meter.queued(-1)
    },
    leave: (place, isRefused) => {
      taken--
      if (!isRefused) grow()
      else if (place === epoch) shrink()
      letIn()
    }
  }
}
