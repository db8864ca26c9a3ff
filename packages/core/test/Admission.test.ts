import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Admission from "../src/internal/admission.ts"

/** A request that is out until it leaves, or waits until it gives up. */
class Request implements Admission.Guest {
  readonly id: number
  private readonly admission: Admission.Admission
  private readonly log: Array<number>
  private place: Admission.Place | undefined

  constructor(admission: Admission.Admission, log: Array<number>, id: number) {
    this.admission = admission
    this.log = log
    this.id = id
    admission.enter(this)
  }

  admit(place: Admission.Place) {
    this.log.push(this.id)
    this.place = place
  }

  end(isRefused: boolean) {
    if (this.place === undefined) this.admission.withdraw(this)
    else this.admission.leave(this.place, isRefused)
  }

  answer() {
    this.end(false)
  }

  refuse() {
    this.end(true)
  }
}

const requests = (admission: Admission.Admission, log: Array<number>, count: number) =>
  Array.from({ length: count }, (_, id) => new Request(admission, log, id))

const Places = Schema.Literals([1, 2, 3, 5])

const Step = Schema.Union([
  Schema.Literal("enter"),
  Schema.Struct({ end: Schema.Literals([0, 1, 2, 3, 5, 8, 13]), isRefused: Schema.Boolean })
])

describe("admission", () => {
  it("lets no more requests out than there are places, the longest waiting first", () => {
    const log: Array<number> = []
    const admission = Admission.make(2)
    const all = requests(admission, log, 5)
    assert.deepStrictEqual(log, [0, 1])
    all[1]?.answer()
    assert.deepStrictEqual(log, [0, 1, 2])
    all[3]?.answer()
    all[0]?.answer()
    assert.deepStrictEqual(log, [0, 1, 2, 4])
  })

  it("halves the window once for all the requests that were out when one was refused", () => {
    const log: Array<number> = []
    const admission = Admission.make(8)
    for (const request of requests(admission, log, 8)) request.refuse()
    assert.strictEqual(admission.window(), 4)
    const next = requests(admission, log, 8)
    assert.strictEqual(log.length, 12)
    next[0]?.refuse()
    assert.strictEqual(admission.window(), 2)
    // Three are still out, of before.
    assert.strictEqual(log.length, 12)
    next[1]?.refuse()
    next[2]?.answer()
    assert.deepStrictEqual([admission.window(), log.length], [2, 13])
  })

  it("never closes, and opens again with each window of answers", () => {
    const log: Array<number> = []
    const admission = Admission.make(3)
    for (let round = 0; round < 5; round++) new Request(admission, log, round).refuse()
    assert.strictEqual(admission.window(), 1)
    for (let answers = 0; answers < 3; answers++) new Request(admission, log, answers).answer()
    assert.strictEqual(admission.window(), 3)
    log.length = 0
    requests(admission, log, 9)
    assert.strictEqual(log.length, 3)
  })

  it("lets ten thousand in and out that leave at once, without a deeper stack for each", () => {
    const admission = Admission.make(1)
    let out = 0
    const passing: ReadonlyArray<Admission.Guest> = Array.from({ length: 10_000 }, () => ({
      admit: (place) => {
        out++
        admission.leave(place, false)
      }
    }))
    const log: Array<number> = []
    const first = new Request(admission, log, 0)
    for (const guest of passing) admission.enter(guest)
    first.answer()
    assert.strictEqual(out, passing.length)
  })

  it("tells how many wait and how many places there are", () => {
    let window = 0
    let queued = 0
    const admission = Admission.make(2, {
      window: (by) => {
        window += by
      },
      queued: (by) => {
        queued += by
      }
    })
    const all = requests(admission, [], 5)
    assert.deepStrictEqual([window, queued], [2, 3])
    all[4]?.answer()
    all[0]?.answer()
    assert.deepStrictEqual([window, queued], [2, 1])
    all[1]?.refuse()
    assert.deepStrictEqual([window, queued], [1, 1])
    all[2]?.answer()
    assert.deepStrictEqual([window, queued], [2, 0])
  })

  it.prop(
    "keeps the order and the window, whatever comes, goes and is refused",
    [Places, Schema.Array(Step)],
    ([max, steps]) => {
      const log: Array<number> = []
      const admission = Admission.make(max)
      const here: Array<Request> = []
      const isOut = (request: Request) => log.includes(request.id)
      for (const [id, step] of steps.entries()) {
        if (step === "enter") here.push(new Request(admission, log, id))
        else here.splice(step.end % Math.max(1, here.length), 1)[0]?.end(step.isRefused)
        // More may be out than there are places when the window has just shrunk, but nobody waits for a place that is free.
        const out = here.filter(isOut).length
        assert.isAtMost(out, max)
        assert.isTrue(out >= admission.window() || here.every(isOut))
        assert.deepStrictEqual(log, log.toSorted((a, b) => a - b))
      }
    },
    { arbitrary: { runs: 500 } }
  )
})
