/**
 * When readers are woken. Waking one costs more than several events do, and with a thousand turns at once a chunk has
 * hardly one event for each: as long as bytes keep coming, readers sleep a little, until there is a good deal to read.
 */
import type * as Latch from "effect/Latch"
import type { SchedulerDispatcher } from "effect/Scheduler"

/** After so many turns of the event loop readers are woken although more keeps coming: a megabyte's worth at most. */
const PATIENCE = 16

export class Pace {
  private readonly dispatcher: SchedulerDispatcher
  private sleepers: Array<Latch.Latch> = []
  /** Whether bytes have come since the last look. */
  private isFlowing = false
  /** How many more looks the sleepers wait. */
  private patience = 0

  constructor(dispatcher: SchedulerDispatcher) {
    this.dispatcher = dispatcher
  }

  /** Bytes have come, and more may follow. */
  flow(): void {
    this.isFlowing = true
  }

  /** The reader has something to read. */
  wake(sleeper: Latch.Latch): void {
    if (this.sleepers.push(sleeper) > 1) return
    this.isFlowing = false
    this.patience = PATIENCE
    this.dispatcher.scheduleTask(this.look, 0)
  }

  /** Some reader should not wait for more. */
  hurry(): void {
    this.patience = 0
  }

  /** Once in a turn of the event loop. */
  private readonly look = (): void => {
    if (this.isFlowing && --this.patience > 0) {
      this.isFlowing = false
      return this.dispatcher.scheduleTask(this.look, 0)
    }
    const { sleepers } = this
    this.sleepers = []
    for (const sleeper of sleepers) sleeper.openUnsafe()
  }
}
