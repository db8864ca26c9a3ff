import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
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
          yield* Scope.provide(Groups.track(Effect.succeed({ pid: 2 ** 30 })), scope)
          return scope
        }))
      assert.strictEqual(process.listenerCount("exit"), before + 1)
      for (const scope of scopes) {
        assert.strictEqual(process.listenerCount("exit"), before + 1)
        yield* Scope.close(scope, Exit.void)
      }
      assert.strictEqual(process.listenerCount("exit"), before)
      yield* Effect.exit(Effect.scoped(Groups.track(Effect.fail("not started"))))
      assert.strictEqual(process.listenerCount("exit"), before)
    }))
})
