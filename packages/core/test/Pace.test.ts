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
  pace.wake(reader)
  return { pace, reader, turn, isIdle: () => tasks.length === 0 }
}

describe("Pace", () => {
  it("wakes a reader in the next turn of the event loop when no bytes come", () => {
    const { isIdle, reader, turn } = setUp()
    assert.isFalse(reader.isOpen())
    turn()
    assert.isTrue(reader.isOpen())
    assert.isTrue(isIdle())
  })

  it("lets a reader sleep as long as bytes keep coming", () => {
    const { pace, reader, turn } = setUp()
    for (let round = 0; round < 5; round++) {
      pace.flow()
      turn()
      assert.isFalse(reader.isOpen())
    }
    turn()
    assert.isTrue(reader.isOpen())
  })

  it("wakes a reader after sixteen turns of the event loop all the same", () => {
    const { pace, reader, turn } = setUp()
    for (let round = 0; round < 15; round++) {
      pace.flow()
      turn()
      assert.isFalse(reader.isOpen())
    }
    pace.flow()
    turn()
    assert.isTrue(reader.isOpen())
  })

  it("wakes every reader as soon as one of them is in a hurry", () => {
    const { pace, reader, turn } = setUp()
    const other = Latch.makeUnsafe(false)
    pace.wake(other)
    pace.flow()
    pace.hurry()
    turn()
    assert.isTrue(reader.isOpen() && other.isOpen())
  })

  it("starts anew once the readers are awake", () => {
    const { pace, reader, turn } = setUp()
    pace.hurry()
    turn()
    reader.closeUnsafe()
    pace.wake(reader)
    pace.flow()
    turn()
    assert.isFalse(reader.isOpen())
    turn()
    assert.isTrue(reader.isOpen())
  })
})
