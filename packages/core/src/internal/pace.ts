/**
 * When readers are woken. Waking one costs more than several events do, and with a thousand turns at once a chunk has
 * hardly one event for each: as long as bytes keep coming, readers sleep until there is a good deal to read.
 */
import type * as Latch from "effect/Latch"
import type { SchedulerDispatcher } from "effect/Scheduler"

/** After so many bytes readers are woken although more keeps coming: some milliseconds' worth. */
const ENOUGH = 1024 * 1024

export class Pace {
  private readonly dispatcher: SchedulerDispatcher
  private sleepers: Array<Latch.Latch> = []
  /** Bytes that came since the first of them had something to read. */
  private bytes = 0
  /** How many of them had come by the last look. */
  private seen = 0

  constructor(dispatcher: SchedulerDispatcher) {
    this.dispatcher = dispatcher
  }

  /** Bytes have come, and more may follow. */
  took(bytes: number): void {
    if (this.sleepers.length > 0) this.bytes += bytes
  }

  /** The reader has something to read. */
  wake(sleeper: Latch.Latch): void {
    if (this.sleepers.push(sleeper) === 1) this.dispatcher.scheduleTask(this.look, 0)
  }

  /** Some reader should not wait for more. */
  hurry(): void {
    this.bytes = ENOUGH
  }

  /** Once in a turn of the event loop. */
  private readonly look = (): void => {
    if (this.bytes !== this.seen && this.bytes < ENOUGH) {
      this.seen = this.bytes
      return this.dispatcher.scheduleTask(this.look, 0)
    }
    const { sleepers } = this
    this.sleepers = []
    this.bytes = 0
    this.seen = 0
    for (const sleeper of sleepers) sleeper.openUnsafe()
  }
}
