import { assert, describe, it } from "@effect/vitest"
import * as Latch from "effect/Latch"
import { Pace } from "../src/internal/pace.ts"

/** A pace with a reader that has just got something to read, and an event loop that turns when it is told to. */
const setUp = () => {
  let tasks: Array<() => void> = []
  const turn = () => {
    const due = tasks
    tasks = []
    for (const task of due) task()
  }
  const pace = new Pace({ scheduleTask: (task) => tasks.push(task), flush: turn })
  const reader = Latch.makeUnsafe(false)
  const wake = () => {
    reader.closeUnsafe()
    pace.wake(reader)
  }
  wake()
  /** How many turns the reader sleeps while bytes keep coming. */
  const sleepInFlow = () => {
    let turns = 0
    while (!reader.isOpen()) {
      pace.flow()
      turn()
      turns++
    }
    wake()
    return turns
  }
  return { pace, reader, turn, wake, sleepInFlow, isIdle: () => tasks.length === 0 }
}

describe("Pace", () => {
  it("wakes a reader in the next turn of the event loop when no bytes come", () => {
    const { isIdle, reader, turn } = setUp()
    assert.isFalse(reader.isOpen())
    turn()
    assert.isTrue(reader.isOpen())
    assert.isTrue(isIdle())
  })

  it("lets readers sleep longer and longer as long as bytes keep coming, sixteen turns of the event loop at most", () => {
    const { sleepInFlow } = setUp()
    assert.deepStrictEqual(Array.from({ length: 7 }, sleepInFlow), [1, 2, 4, 8, 16, 16, 16])
  })

  it.each([[1, 16], [512, 16], [640, 20], [1_000, 31], [5_000, 64]])(
    "lets %i readers sleep for %i turns at most, so that there is something to read for each",
    (readers, turns) => {
      const { pace, sleepInFlow } = setUp()
      const others = Array.from({ length: readers - 1 }, () => Latch.makeUnsafe(false))
      const slept = Array.from({ length: 10 }, () => {
        for (const other of others) pace.wake(other)
        return sleepInFlow()
      })
      assert.deepStrictEqual(slept.slice(-2), [turns, turns])
    }
  )

  it("wakes a reader as soon as no bytes come, and lets it sleep half as long the next time", () => {
    const { pace, reader, sleepInFlow, turn, wake } = setUp()
    for (let time = 0; time < 5; time++) sleepInFlow()
    pace.flow()
    turn()
    assert.isFalse(reader.isOpen())
    turn()
    assert.isTrue(reader.isOpen())
    wake()
    assert.strictEqual(sleepInFlow(), 8)
  })

  it("lets a reader sleep for one turn at least", () => {
    const { sleepInFlow, turn, wake } = setUp()
    for (let time = 0; time < 3; time++) {
      turn()
      wake()
    }
    assert.strictEqual(sleepInFlow(), 1)
  })

  it("wakes every reader as soon as one of them is in a hurry", () => {
    const { pace, reader, sleepInFlow, turn } = setUp()
    for (let time = 0; time < 3; time++) sleepInFlow()
    const other = Latch.makeUnsafe(false)
    pace.wake(other)
    pace.flow()
    pace.hurry()
    turn()
    assert.isTrue(reader.isOpen() && other.isOpen())
  })

  it("starts anew once the readers are awake", () => {
    const { pace, reader, sleepInFlow, turn, wake } = setUp()
    for (let time = 0; time < 3; time++) sleepInFlow()
    pace.hurry()
    turn()
    assert.isTrue(reader.isOpen())
    wake()
    assert.strictEqual(sleepInFlow(), 4)
  })
})
