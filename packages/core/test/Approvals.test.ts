import { Approvals, type AppServerClient, Codex, CodexTools, type ServerRequests } from "@effect-codex/core"
import { TestAppServer } from "@effect-codex/core/testing"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Tool, Toolkit } from "effect/ai"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as LayerMap from "effect/LayerMap"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as ApprovalMode from "../src/ApprovalMode.ts"

const origin = { threadId: "A", turnId: "T", itemId: "item", reason: null }

const command = (line: string | null, fields: Partial<Approvals.CommandApproval> = {}): Approvals.CommandApproval => ({
  _tag: "Command",
  ...origin,
  command: line,
  cwd: "/project",
  network: null,
  additionalPermissions: null,
  mayHidePermissions: false,
  ...fields
})

const host = (name: string, fields: Partial<Approvals.CommandApproval> = {}) =>
  command(null, { network: { host: name, protocol: "https" }, ...fields })

const files = (paths: ReadonlyArray<string>, grantRoot: string | null = null): Approvals.FileChangeApproval => ({
  _tag: "FileChange",
  ...origin,
  paths,
  grantRoot
})

/** What a policy says, by name; undefined where it leaves it to the next. */
const says = <E, R>(policy: Approvals.Policy<E, R>, request: Approvals.ApprovalRequest) =>
  Effect.map(policy(request), (decision) =>
    Option.match(decision, {
      onNone: () => undefined,
      onSome: (decision) => decision._tag === "Accept" ? `Accept ${decision.scope}` : decision._tag
    }))

const check = <E, R>(
  policy: Approvals.Policy<E, R>,
  cases: ReadonlyArray<readonly [Approvals.ApprovalRequest, string | undefined]>
) =>
  Effect.forEach(
    cases,
    ([request, expected]) =>
      Effect.map(says(policy, request), (said) => assert.strictEqual(said, expected, JSON.stringify(request)))
  )

describe("acceptCommands", () => {
  it.effect("accepts one plain command by its first words", () =>
    check(Approvals.acceptCommands(["git status", ["npm", "run test"], "  ls  "]), [
      [command("git status --short"), "Accept once"],
      [command("/bin/bash -lc 'git status'"), "Accept once"],
      [command("npm 'run test'"), "Accept once"],
      [command("ls -l"), "Accept once"],
      [command("git stat"), undefined],
      [command("git"), undefined],
      [command("git status; rm x"), undefined],
      [command("npm run test"), undefined],
      [command(null), undefined],
      [files(["/project/a"]), undefined]
    ]))

  it.effect("does not accept a host or further permissions with it", () =>
    check(Approvals.acceptCommands(["git"]), [
      [command("git status", { network: { host: "example.com", protocol: "https" } }), undefined],
      [command("git status", { additionalPermissions: { network: { enabled: true } } }), undefined],
      [command("git status", { mayHidePermissions: true }), undefined]
    ]))

  it.effect("accepts for the session where it is told to", () =>
    check(Approvals.acceptCommands(["git"], { scope: "session" }), [[command("git"), "Accept session"]]))

  it.effect("accepts nothing by no words", () =>
    check(Approvals.acceptCommands(["", "  ", []]), [[command("git"), undefined], [command("''"), undefined]]))
})

describe("declineCommands", () => {
  it.effect("declines a line in which any command begins with the words", () =>
    check(Approvals.declineCommands([" rm ", ["git", "push"]]), [
      [command("rm x"), "Decline"],
      [command("ls && rm x"), "Decline"],
      [command("/bin/bash -lc 'ls; git push'"), "Decline"],
      [command("git status"), undefined],
      [command(null), undefined]
    ]))
})

describe("acceptPaths", () => {
  it.effect("accepts changes of known files that all lie there", () =>
    check(Approvals.acceptPaths(["/project", "/tmp/out/"]), [
      [files(["/project/a", "/project/b/c", "/tmp/out/d"]), "Accept once"],
      [files(["/project"]), "Accept once"],
      [files(["/project/..a"]), "Accept once"],
      [files(["/project/a", "/etc/passwd"]), undefined],
      [files(["/project/../etc/passwd"]), undefined],
      [files(["/project/.."]), undefined],
      [files(["/projects/a"]), undefined],
      [files(["a"]), undefined],
      [files(["./a"]), undefined],
      [files([]), undefined],
      [files(["/project/a"], "/project"), "Accept once"],
      [files(["/project/a"], "/"), undefined],
      [files(["/project/a"], "/etc"), undefined],
      [command("ls"), undefined]
    ]))

  it.effect("accepts nothing by a folder that is not absolute", () =>
    check(Approvals.acceptPaths(["project", ".", ""]), [[files(["/project/a"]), undefined], [
      files(["project/a"]),
      undefined
    ]]))
})

describe("declinePaths", () => {
  it.effect("declines a change of any file that lies there, and what cannot be told", () =>
    check(Approvals.declinePaths(["/project/secret"]), [
      [files(["/project/a", "/project/secret/b"]), "Decline"],
      [files(["/project/x/../secret/b"]), "Decline"],
      [files(["/project/a"], "/project/secret"), "Decline"],
      [files(["/project/a"], "/project"), "Decline"],
      [files([]), "Decline"],
      [files(["secret/b"]), "Decline"],
      [files(["/project/a"]), undefined],
      [files(["/project/secrets"]), undefined],
      [command("ls"), undefined]
    ]))
})

describe("acceptHosts and declineHosts", () => {
  it.effect("know hosts by name and by what they lie below", () =>
    Effect.gen(function*() {
      const hosts = ["example.com", "*.example.org", "Trailing.example."]
      for (
        const [policy, said] of [
          [Approvals.acceptHosts(hosts), "Accept once"],
          [Approvals.acceptHosts(hosts, { scope: "session" }), "Accept session"],
          [Approvals.declineHosts(hosts), "Decline"]
        ] as const
      ) {
        yield* check(policy, [
          [host("example.com"), said],
          [host("EXAMPLE.com."), said],
          [host("trailing.example"), said],
          [host("a.b.example.org"), said],
          [host("example.org"), undefined],
          [host("evilexample.org"), undefined],
          [host("www.example.com"), undefined],
          [host("example.com.evil"), undefined],
          [command("curl example.com"), undefined],
          [files(["/project/a"]), undefined]
        ])
      }
      const more = { additionalPermissions: { network: { enabled: true } } }
      yield* check(Approvals.acceptHosts(hosts), [[host("example.com", more), undefined]])
      yield* check(Approvals.declineHosts(hosts), [[host("example.com", more), "Decline"]])
    }))
})

describe("policies together", () => {
  it.effect("are asked in order, and only until one decides", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const policy = Approvals.firstMatch(
        Approvals.declineCommands(["rm"]),
        Approvals.acceptCommands(["git", "rm"]),
        Approvals.ask((request) => Effect.as(Effect.sync(() => asked.push(request.itemId)), Approvals.cancel)),
        Approvals.acceptAll
      )
      yield* check(policy, [
        [command("rm x"), "Decline"],
        [command("git status"), "Accept once"],
        [command("ls"), "Cancel"]
      ])
      assert.deepStrictEqual(asked, ["item"])
      yield* check(Approvals.firstMatch(), [[command("ls"), undefined]])
      yield* check(Approvals.declineAll, [[command("ls"), "Decline"], [files([]), "Decline"]])
      yield* check(Approvals.acceptAll, [[command("ls"), "Accept once"]])
    }))
})

describe("approval modes", () => {
  it("are the protocol's fields", () => {
    assert.deepStrictEqual(ApprovalMode.fields.autoReview, {
      approvalPolicy: "on-request",
      approvalsReviewer: "auto_review"
    })
    assert.deepStrictEqual(ApprovalMode.fields.denyAll, { approvalPolicy: "never" })
    assert.deepStrictEqual(ApprovalMode.fields.ask, { approvalPolicy: "on-request", approvalsReviewer: "user" })
  })
})

class Person extends Context.Service<Person, { readonly ask: Effect.Effect<boolean, Away> }>()("test/Person") {}
class Rules extends Context.Service<Rules, { readonly allows: boolean }>()("test/Rules") {}
class Away extends Schema.TaggedError<Away>()("Away", {}) {}
class Broken extends Schema.TaggedError<Broken>()("Broken", {}) {}

describe("types", () => {
  const byPerson = Approvals.ask(() =>
    Effect.map(Effect.flatMap(Person, ({ ask }) => ask), (yes) => yes ? Approvals.accept : Approvals.decline)
  )
  const byRules: Approvals.Policy<Broken, Rules> = () =>
    Effect.flatMap(Rules, ({ allows }) => allows ? Effect.succeedNone : Effect.fail(new Broken()))

  it("policies carry their errors and what they need", () => {
    expectTypeOf(byPerson).toEqualTypeOf<Approvals.Policy<Away, Person>>()
    expectTypeOf(Approvals.orElse(byRules, byPerson)).toEqualTypeOf<Approvals.Policy<Broken | Away, Rules | Person>>()
    expectTypeOf(Approvals.firstMatch(byRules, byPerson)).toEqualTypeOf<
      Approvals.Policy<Broken | Away, Rules | Person>
    >()
    expectTypeOf(Approvals.firstMatch()).toEqualTypeOf<Approvals.Policy>()
    expectTypeOf(Approvals.acceptAll).toEqualTypeOf<Approvals.Policy>()
    expectTypeOf(Approvals.layer({ policy: byPerson })).toEqualTypeOf<
      Layer.Layer<Approvals.Approvals, never, Person>
    >()
    expectTypeOf(Approvals.layer({})).toEqualTypeOf<Layer.Layer<Approvals.Approvals>>()
    // Handlers fail as they like.
    expectTypeOf(Approvals.layer({
      policy: () => Effect.fail(new Away()),
      handlers: {
        "currentTime/read": () => Effect.fail(new Broken()),
        "item/tool/requestUserInput": () => Effect.fail(new Away())
      }
    })).toEqualTypeOf<Layer.Layer<Approvals.Approvals>>()
    expectTypeOf(Approvals.make({ policy: byPerson })).toEqualTypeOf<
      Effect.Effect<Approvals.Service, never, Person>
    >()
  })

  it("a policy and handlers may need different services", () => {
    const options = Approvals.options({
      policy: byPerson,
      handlers: {
        "currentTime/read": ({ threadId }) => Effect.as(Rules, { currentTimeAt: threadId.length }),
        "item/tool/requestUserInput": () => Effect.fail(new Broken())
      }
    })
    expectTypeOf(options).toEqualTypeOf<Approvals.Options<Away | Broken, Person | Rules>>()
    expectTypeOf(Approvals.layer(options)).toEqualTypeOf<Layer.Layer<Approvals.Approvals, never, Person | Rules>>()
    expectTypeOf(Approvals.options({})).toEqualTypeOf<Approvals.Options>()
    expectTypeOf(Approvals.options({ policy: Approvals.acceptAll })).toEqualTypeOf<Approvals.Options>()
    const given: Approvals.Options<Away, Person> = {}
    expectTypeOf(Approvals.options(given)).toEqualTypeOf<Approvals.Options<Away, Person>>()
    // @ts-expect-error: no such method
    Approvals.options({ handlers: { "currentTime/write": () => Effect.succeed({ currentTimeAt: 1 }) } })
  })

  it("what a thread's policy, handlers and tools need is what starting it needs", () => {
    const Kit = Toolkit.make(Tool.make("lookup", { dependencies: [Rules] }))
    const start = (codex: Codex["Service"]) => ({
      bare: codex.startThread(),
      policy: codex.startThread({ approvals: { policy: byPerson } }),
      resumed: codex.resumeThread("A", { approvals: { policy: byPerson } }),
      handlers: codex.startThread({
        approvals: {
          handlers: { "currentTime/read": () => Effect.as(Rules, { currentTimeAt: 1 }) }
        }
      }),
      tools: codex.startThread({ tools: CodexTools.fromToolkit(Kit) }),
      both: codex.startThread({ approvals: { policy: byPerson }, tools: CodexTools.fromToolkit(Kit) }),
      all: Effect.all([codex.startThread({ sandbox: "readOnly" }), codex.resumeThread("A"), codex.forkThread("A")])
    })
    type Started = ReturnType<typeof start>
    type Needs<Name extends keyof Started> = Effect.Services<Started[Name]>
    type KitNeeds = Tool.HandlersFor<typeof Kit.tools> | Rules
    expectTypeOf<Needs<"bare">>().toEqualTypeOf<never>()
    expectTypeOf<Needs<"policy">>().toEqualTypeOf<Person>()
    expectTypeOf<Needs<"resumed">>().toEqualTypeOf<Person>()
    expectTypeOf<Needs<"all">>().toEqualTypeOf<never>()
    expectTypeOf<Needs<"handlers">>().toEqualTypeOf<Rules>()
    expectTypeOf<Needs<"tools">>().toExtend<KitNeeds>()
    expectTypeOf<KitNeeds>().toExtend<Needs<"tools">>()
    expectTypeOf<Needs<"both">>().toExtend<KitNeeds | Person>()
    expectTypeOf<KitNeeds | Person>().toExtend<Needs<"both">>()
  })

  it("what nobody needs is needed nowhere", () => {
    class Servers extends LayerMap.Service<Servers>()("Servers", {
      lookup: (cwd: string) => TestAppServer.layer({ cwd })
    }) {}
    expectTypeOf<Layer.Services<typeof Servers.layer>>().toEqualTypeOf<never>()
  })

  it("a handler is bound to the params and the result of its method", () => {
    expectTypeOf<ServerRequests.Handler<"currentTime/read">>().parameter(0).toEqualTypeOf<
      { readonly threadId: string }
    >()
    expectTypeOf<AppServerClient["Service"]["decisions"]>().toEqualTypeOf<Codex["Service"]["decisions"]>()
    assert.isDefined(Codex)
  })
})
