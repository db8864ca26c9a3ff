/** `npm run generate`: writes `packages/generated/src` from the pinned binary. With `--check` it only compares. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import { protocolDefinitions } from "../packages/node/src/protocol/bundle.ts"
import { pinnedBinary } from "./generate/binary.ts"
import { checkDrift, writeFiles } from "./generate/drift.ts"
import { generateFiles, OUTPUT } from "./generate/files.ts"

const generate = Command.make("generate", {
  check: Flag.Boolean("check").pipe(Flag.withDescription("Fail when the files on disk differ"), Flag.withDefault(false))
}, ({ check }) =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const { binary, version } = yield* pinnedBinary
    const { files, summary } = yield* generateFiles({
      version,
      experimental: yield* protocolDefinitions(binary, { experimental: true }),
      stable: yield* protocolDefinitions(binary, { experimental: false })
    })
    const directory = path.resolve(import.meta.dirname, "..", OUTPUT)
    yield* check ? checkDrift(directory, files) : writeFiles(directory, files)
    yield* Console.log(
      `${OUTPUT} ${
        check ? "is up to date" : "written"
      }: @openai/codex ${version}, ${summary.definitions} definitions ` +
        `as ${summary.schemas} Schemas, ${summary.clientRequests} client requests, ${summary.serverRequests} server ` +
        `requests, ${summary.notifications} notifications`
    )
  }))

generate.pipe(Command.run({ version: "0.0.0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
