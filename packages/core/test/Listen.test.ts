import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { type ConnectionError, TransportError } from "../src/CodexError.ts"
import { connect } from "./support/ScriptedServer.ts"

const changed = (watchId: string, ...changedPaths: ReadonlyArray<string>) => ({
  method: "fs/changed",
  params: { watchId, changedPaths }
})

/** A listener to changes that keeps what it is told. */
const changes = () => {
  const paths: Array<string> = []
  return {
    paths,
    event: ({ params }: { readonly params: { readonly changedPaths: ReadonlyArray<string> } }) => {
      paths.push(...params.changedPaths)
    },
    unreadable: () => {
      paths.push("(unreadable)")
    },
    closed: () => {}
  }
}

/** A listener to anything that keeps how the connection ended. */
const ending = () => {
  const ends: Array<ConnectionError> = []
  return {
    ends,
    event: () => {},
    unreadable: () => {},
    closed: (error: ConnectionError) => {
      ends.push(error)
    }
  }
}

describe("listening to one thing", () => {
  it.effect("tells every listener of its name, on the reader, until its scope closes", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const scope = yield* Scope.make()
      const [one, two, other] = [changes(), changes(), changes()]
      yield* client.listen("fs/changed", "a", one)
      yield* Scope.provide(client.listen("fs/changed", "a", two), scope)
      yield* client.listen("fs/changed", "b", other)
      yield* server.push(changed("a", "/1"), changed("b", "/2"), changed("c", "/3"))
      yield* server.barrier
      yield* Scope.close(scope, Exit.void)
      yield* server.push(changed("a", "/4"))
      yield* server.barrier
      assert.deepStrictEqual([one.paths, two.paths, other.paths], [["/1", "/4"], ["/1"], ["/2"]])
    }))

  it.effect("tells whoever listens of what cannot be read, and nobody else", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const [one, other] = [changes(), changes()]
      yield* client.listen("fs/changed", "a", one)
      yield* client.listen("fs/changed", "b", other)
      yield* server.push(
        { method: "fs/changed", params: { watchId: "a", changedPaths: 1 } },
        { method: "fs/changed", params: { watchId: 1, changedPaths: [] } },
        { method: "fs/changed" },
        changed("a", "/1")
      )
      yield* server.barrier
      assert.deepStrictEqual([one.paths, other.paths], [["(unreadable)", "/1"], []])
    }))

  it.effect("tells the end of the connection, also to who comes later", () =>
    Effect.gen(function*() {
      const { client, server } = yield* connect()
      const gone = new TransportError({ operation: "read", description: "Gone" })
      const [before, left, after] = [ending(), ending(), ending()]
      const scope = yield* Scope.make()
      yield* client.listen("process/exited", "a", before)
      yield* Scope.provide(client.listen("fs/changed", "a", left), scope)
      yield* Scope.close(scope, Exit.void)
      yield* server.end(gone)
      yield* client.closed
      yield* client.listen("command/exec/outputDelta", "a", after)
      assert.deepStrictEqual([before.ends, left.ends, after.ends], [[gone], [], [gone]])
    }))
})
