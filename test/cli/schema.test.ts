import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Binary from "../../packages/node/src/internal/binary.ts"
import { FULL_BUNDLE } from "../../packages/node/src/protocol/bundle.ts"
import { diff } from "../../packages/node/src/protocol/diff.ts"
import { Cli } from "./support.ts"

const object = (properties: object, required: ReadonlyArray<string> = []) => ({ type: "object", properties, required })
const ref = (name: string) => ({ $ref: `#/$defs/${name}` })
const request = (method: string, params: string) =>
  object({ method: { type: "string", enum: [method] }, params: ref(params) }, ["method", "params"])
const text = { type: "string" }
const number = { type: "integer", format: "int64" }

const before = {
  ClientRequest: { oneOf: [request("a/start", "AParams"), request("a/old", "OldParams")] },
  ServerRequest: { oneOf: [request("a/ask", "AskParams")] },
  ServerNotification: { oneOf: [request("a/told", "ToldNotification")] },
  ClientNotification: { oneOf: [] },
  AParams: object({ name: text, size: number, title: text, kind: { type: "string", enum: ["x", "y"] } }, ["name"]),
  OldParams: object({}),
  AResponse: object({ item: ref("Item"), note: text, gone: text }, ["item", "note"]),
  AskParams: object({ question: text }),
  AskResponse: object({ answer: text, more: text }),
  ToldNotification: object({ item: ref("Item"), count: number }),
  Item: {
    oneOf: [
      object({ type: { type: "string", enum: ["text"] }, text }, ["type", "text"]),
      object({ type: { type: "string", enum: ["image"] }, url: text }, ["type", "url"])
    ]
  }
}

const after = {
  ...before,
  ClientRequest: { oneOf: [request("a/start", "AParams"), request("a/new", "NewParams")] },
  OldParams: undefined,
  NewParams: object({}),
  AParams: object({
    name: { ...text, description: "The docs alone have changed" },
    size: text,
    title: { type: ["string", "null"] },
    kind: { type: "string", enum: ["x", "z"] },
    must: text
  }, ["name", "title", "must"]),
  AResponse: object({ item: ref("Item"), note: text, fresh: text }, ["item"]),
  AskResponse: object({ answer: text, more: text, must: text }, ["must"]),
  ToldNotification: object({ item: ref("Item"), count: { anyOf: [number, { type: "null" }] } }),
  Item: {
    oneOf: [
      object({ type: { type: "string", enum: ["text"] }, text, bold: { type: "boolean" } }, ["type", "text", "bold"]),
      object({ type: { type: "string", enum: ["sound"] }, url: text }, ["type", "url"])
    ]
  }
}

const defined = <A>(record: Record<string, A | undefined>): Record<string, A> =>
  Object.fromEntries(Object.entries(record).flatMap(([key, value]) => value === undefined ? [] : [[key, value]]))

const lines = (a: Parameters<typeof diff>[0], b: Parameters<typeof diff>[1]) =>
  diff(a, b).map(({ at, breaking, change, detail, kind }) =>
    `${breaking ? "!" : " "} ${change} ${kind} ${at}${detail === undefined ? "" : `: ${detail}`}`
  )

layer(Cli.layer(), { excludeTestServices: true, timeout: "120 seconds" })("effect-codex schema diff", (it) => {
  it.effect("tells what a change of the protocol means for a client", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(lines(before, defined<Record<string, unknown>>(after)), [
        "! removed method a/old",
        "  added method a/new",
        "! removed variant AParams.kind \"y\"",
        "  added variant AParams.kind \"z\"",
        "! added field AParams.must: required",
        "! changed field AParams.size: integer (int64) -> string",
        "! changed field AParams.title: optional -> required",
        "  added variant AParams.title null",
        "  added field AResponse.fresh",
        "! removed field AResponse.gone",
        "! changed field AResponse.note: required -> optional",
        "! added field AskResponse.must: required",
        "! removed variant Item \"image\"",
        "  added variant Item \"sound\"",
        "  added field Item \"text\".bold: required",
        "  added type NewParams",
        "  removed type OldParams",
        "! added variant ToldNotification.count null"
      ])
    }))

  it.effect("compares executables, directories and versions that are installed", () =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const same = yield* cli.run(["schema", "diff", "pinned", yield* Binary.pinned()])
      assert.deepStrictEqual(same, {
        exitCode: 0,
        stdout: "codex 0.169.0 -> codex 0.169.0\nThe same protocol.\n",
        stderr: ""
      })

      const folder = yield* fs.makeTempDirectoryScoped({ prefix: "cli-schema-" })
      const write = (name: string, definitions: object) =>
        fs.makeDirectory(path.join(folder, name)).pipe(
          Effect.andThen(
            fs.writeFileString(
              path.join(folder, name, FULL_BUNDLE),
              JSON.stringify({ definitions: { v2: definitions } }).replaceAll("#/$defs/", "#/definitions/v2/")
            )
          )
        )
      yield* write("old", before)
      yield* write("new", defined(after))
      const changed = yield* cli.run(["schema", "diff", "old", "new"], { cwd: folder })
      assert.strictEqual(changed.exitCode, 1, changed.stderr)
      assert.include(changed.stdout, "\nBreaking (")
      assert.include(changed.stdout, "\n  - method a/old\n")
      assert.include(changed.stdout, "\n  ~ field AParams.size: integer (int64) -> string\n")
      assert.include(changed.stdout, "\n  + method a/new\n")

      const json = yield* cli.run(["schema", "diff", "old", "new", "--json", "--fail-on", "never"], { cwd: folder })
      assert.strictEqual(json.exitCode, 0)
      assert.deepInclude(JSON.parse(json.stdout), { old: "old", new: "new" })
      assert.deepInclude(JSON.parse(json.stdout).breaking, {
        change: "removed",
        kind: "method",
        at: "a/old",
        breaking: true
      })

      const stable = yield* cli.run(["schema", "diff", "--stable", "0.169.0", "pinned", "--fail-on", "breaking"])
      assert.strictEqual(stable.exitCode, 0, stable.stderr)
    }).pipe(Effect.scoped), 120_000)

  it.effect.each([
    { args: [".", "pinned"], exitCode: 2, says: /^effect-codex: \.: there is no .*schemas\.json in \.\n$/ },
    {
      args: ["0.1.0", "pinned"],
      exitCode: 2,
      says: /^effect-codex: @openai\/codex 0\.1\.0 is not installed here\n  .*npm install.*\n$/
    },
    {
      args: ["pinned", "./nothing"],
      exitCode: 1,
      says: /^effect-codex: There is no executable at \.\/nothing\n  Install .*\n$/
    },
    { args: ["pinned", ""], exitCode: 1, says: /^effect-codex: The path of codex is empty\n  Install .*\n$/ },
    { args: ["pinned"], exitCode: 2, says: /^effect-codex: Missing required argument: new\n/ }
  ])("says what is wrong with $args", ({ args, exitCode, says }) =>
    Effect.gen(function*() {
      const cli = yield* Cli
      const outcome = yield* cli.run(["schema", "diff", ...args])
      assert.match(outcome.stderr, says)
      assert.deepStrictEqual([outcome.exitCode, outcome.stdout], [exitCode, ""])
    }), 120_000)
})
