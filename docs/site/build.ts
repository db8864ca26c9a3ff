/**
 * Builds the documentation site into `docs/site/dist`: the pages of `docs`, the README, the examples, the tests that the
 * guarantees name, and the reference from the doc comments. It fails where a public symbol has no doc comment, and where a
 * link leads nowhere.
 *
 *     npm run docs
 *     npm run docs -- --serve    # and shows it
 *     npm run docs:check         # the doc comments alone
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpStaticServer from "effect/http/HttpStaticServer"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import { undocumented } from "./comments.ts"
import { deadLinks } from "./links.ts"
import { convert, write } from "./reference.ts"
import { stage } from "./stage.ts"

class Faulty extends Schema.TaggedError<Faulty>()("Faulty", {
  what: Schema.String,
  faults: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return [`${this.what}: ${this.faults.length}`, ...this.faults].join("\n  ")
  }
}

const none = (what: string, faults: ReadonlyArray<string>) =>
  faults.length === 0 ? Effect.void : Effect.fail(new Faulty({ what, faults }))

const show = (folder: string, port: number) =>
  HttpStaticServer.layer({ root: folder }).pipe(
    HttpRouter.serve,
    Layer.provide(NodeHttpServer.layer(() => createServer(), { port, host: "127.0.0.1" })),
    Layer.launch
  )

const docs = Command.make("docs", {
  check: Flag.Boolean("check").pipe(
    Flag.withDescription("Only looks whether every public symbol has a doc comment, and its links lead somewhere"),
    Flag.withDefault(false)
  ),
  serve: Flag.Boolean("serve").pipe(Flag.withDescription("Shows the site when it is built"), Flag.withDefault(false)),
  port: Flag.Int("port").pipe(Flag.withDescription("Where it is shown"), Flag.withDefault(4000))
}, ({ check, port, serve }) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(import.meta.dirname, "../..")
    const out = path.join(import.meta.dirname, "dist")
    const staged = yield* stage(root, yield* fs.makeTempDirectoryScoped({ prefix: "effect-codex-docs-" }))
    const reference = yield* convert(root, staged)
    yield* none("Warnings", reference.warnings())
    const { missing, symbols } = undocumented(reference.project)
    yield* none("Public symbols without a doc comment or @since", missing)
    yield* Console.log(`${symbols} public symbols, each with a doc comment`)
    if (check) return
    yield* write(reference, out)
    yield* none("Warnings", reference.warnings())
    const { dead, links, pages } = yield* deadLinks(out)
    yield* none("Links that lead nowhere", dead)
    yield* Console.log(`${path.relative(root, out)}/index.html: ${pages} pages, ${links} links between them`)
    if (serve) return yield* show(out, port)
  }).pipe(Effect.scoped))

docs.pipe(Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
