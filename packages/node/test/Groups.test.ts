import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Descendants from "../src/internal/descendants.ts"
import * as Groups from "../src/internal/groups.ts"

describe("the groups of processes", () => {
  it("are killed by a signal, and on Windows by following the tree", () => {
    assert.deepStrictEqual(Groups.killing(42, "linux"), { _tag: "Signal", pid: -42, signal: "SIGKILL" })
    assert.deepStrictEqual(Groups.killing(42, "darwin"), { _tag: "Signal", pid: -42, signal: "SIGKILL" })
    assert.deepStrictEqual(Groups.killing(42, "win32", "D:\\Windows"), {
      _tag: "Command",
      command: "D:\\Windows\\System32\\taskkill.exe",
      args: ["/PID", "42", "/T", "/F"]
    })
    const missing = Groups.killing(42, "win32", undefined)
    assert.strictEqual(missing._tag === "Command" && missing.command, "C:\\Windows\\System32\\taskkill.exe")
  })

  it.effect("share one listener, which goes with the last of them", () =>
    Effect.gen(function*() {
      const before = process.listenerCount("exit")
      const scopes = yield* Effect.forEach([1, 2, 3], () =>
        Effect.gen(function*() {
          const scope = yield* Scope.make()
          // No process has such an id.
          yield* Scope.provide(Groups.track(Duration.zero, () => Effect.succeed({ pid: 2 ** 30 })), scope)
          return scope
        }))
      assert.strictEqual(process.listenerCount("exit"), before + 1)
      for (const scope of scopes) {
        assert.strictEqual(process.listenerCount("exit"), before + 1)
        yield* Scope.close(scope, Exit.void)
      }
      assert.strictEqual(process.listenerCount("exit"), before)
      yield* Effect.exit(Effect.scoped(Groups.track(Duration.zero, () => Effect.fail("not started"))))
      assert.strictEqual(process.listenerCount("exit"), before)
    }))
})

describe("the descendants of a process", () => {
  const entry = (pid: number, parent: number, marked = false): Descendants.Entry => ({ pid, parent, marked })

  it("are those that come from it or are marked, and all that come from them", () => {
    const entries = [
      entry(1, 0),
      entry(10, 1),
      entry(14, 13),
      entry(11, 10),
      entry(12, 11),
      entry(13, 1, true),
      entry(20, 1),
      entry(21, 20)
    ]
    assert.sameMembers([...Descendants.among(entries, 10)], [11, 12, 13, 14])
    assert.sameMembers([...Descendants.among(entries, undefined)], [13, 14])
    assert.deepStrictEqual(Descendants.among([entry(process.pid, 10), entry(12, process.pid)], 10), [12])
  })

  it("are read from ps, without those that have ended", () => {
    const output = "    1     0 Ss\n  4242     1 S+\n  4243  4242 Z\n\n"
    assert.deepStrictEqual(Descendants.fromPs(output), [entry(1, 0), entry(4242, 1)])
  })
})
