/**
 * When readers are woken. Waking one costs more than several events do, and with a thousand turns at once a chunk has
 * hardly one event for each: as long as bytes keep coming, readers sleep a little, until there is a good deal to read.
 *
 * At first they sleep for one turn of the event loop, then twice as long each time that bytes have come without a pause,
 * and half as long when they have not. So what comes first is not kept waiting, and V8, which decides from the first
 * objects that some code makes where it puts all later ones, sees that events are soon gone.
 */
import type * as Latch from "effect/Latch"
import type { SchedulerDispatcher } from "effect/Scheduler"

/** After so many turns of the event loop at most readers are woken although more keeps coming: two megabytes' worth. */
const MAX_PATIENCE = 16

/** The same however many sleep: eight megabytes' worth. */
const MAX_PATIENCE_OF_MANY = 64

/** Of more readers than this for each turn there are too few events yet for each of them. */
const READERS_PER_TURN = 32

export class Pace {
  private readonly dispatcher: SchedulerDispatcher
  private sleepers: Array<Latch.Latch> = []
  /** Whether bytes have come since the last look. */
  private isFlowing = false
  /** How many looks sleepers wait. */
  private patience = 1
  /** How many of them are left. */
  private left = 0

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
    this.left = this.patience
    this.dispatcher.scheduleTask(this.look, 0)
  }

  /** Some reader should not wait for more. */
  hurry(): void {
    this.left = 0
  }

  /** Once in a turn of the event loop. */
  private readonly look = (): void => {
    if (this.isFlowing && --this.left > 0) {
      this.isFlowing = false
      return this.dispatcher.scheduleTask(this.look, 0)
    }
    const { sleepers } = this
    this.patience = this.isFlowing
      ? Math.min(this.patience * 2, maxPatienceOf(sleepers.length))
      : Math.max(this.patience >> 1, 1)
    this.sleepers = []
    for (const sleeper of sleepers) sleeper.openUnsafe()
  }
}

const maxPatienceOf = (sleepers: number): number =>
  Math.min(Math.max(MAX_PATIENCE, Math.floor(sleepers / READERS_PER_TURN)), MAX_PATIENCE_OF_MANY)
