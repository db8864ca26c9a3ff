/**
 * `npm run bump -- VERSION`: pins another version of the runtime. It sets the version in every manifest, brings the lock
 * file in line, installs it, says what differs in the protocol, and generates the Schemas and the scorecard from it.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { run } from "./command.ts"
import { pinnedBinary } from "./generate/binary.ts"
import { relock } from "./lock/relock.ts"

class NotAVersion extends Schema.TaggedError<NotAVersion>()("NotAVersion", { version: Schema.String }) {
  override get message(): string {
    return `${this.version} is no exact version; the runtime is pinned to one, as 0.169.0`
  }
}

const manifests = ["package.json", "packages/node/package.json"]
const pin = /(?<="@openai\/codex": ")[^"]+(?=")/

const source = ["--conditions=@effect-codex/source"]

const bump = Command.make("bump", {
  version: Argument.String("version").pipe(Argument.withDescription("The version of @openai/codex"))
}, ({ version }) =>
  Effect.gen(function*() {
    if (!/^\d+\.\d+\.\d+$/.test(version)) return yield* new NotAVersion({ version })
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = path.resolve(import.meta.dirname, "..")
    const step = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) => Effect.andThen(Console.log(what), effect)

    const { binary, version: before } = yield* pinnedBinary
    const old = yield* fs.makeTempDirectoryScoped({ prefix: "effect-codex-bump-" })
    yield* run(root, binary, "app-server", "generate-json-schema", "--experimental", "--out", old)

    for (const manifest of manifests.map((file) => path.join(root, file))) {
      yield* fs.writeFileString(manifest, (yield* fs.readFileString(manifest)).replace(pin, version))
    }
    yield* step("package-lock.json", relock(root))
    // The lock file is complete already; npm, beside what is installed, would take things out of it.
    yield* step("node_modules", run(root, "npm", "install", "--no-save", "--no-audit", "--no-fund"))
    const diff = ["packages/node/src/cli.ts", "schema", "diff", old, "pinned", "--fail-on", "never"]
    yield* Console.log((yield* run(root, process.execPath, ...source, ...diff)).replace(old, before))

    yield* step("packages/generated/src", run(root, process.execPath, ...source, "scripts/generate.ts"))
    yield* step("docs/protocol-coverage.md", run(root, process.execPath, ...source, "scripts/protocol-coverage.ts"))
    yield* Console.log("Now `npm run check` names what no longer fits, and `npm test` what behaves otherwise.")
  }).pipe(Effect.scoped)).pipe(Command.withDescription("Pins another version of the runtime"))

bump.pipe(Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
