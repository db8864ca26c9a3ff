import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import { UnexpectedBundle } from "./errors.ts"
import { hoist } from "./passes.ts"

const FULL_BUNDLE = "codex_app_server_protocol.schemas.json"

/** The protocol's definitions as the binary itself describes them. */
export const protocolDefinitions = Effect.fnUntraced(
  function*(binary: string, options: { readonly experimental: boolean }) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const out = yield* fs.makeTempDirectoryScoped({ prefix: "codex-schema-" })
    const args = ["app-server", "generate-json-schema", ...(options.experimental ? ["--experimental"] : [])]
    const handle = yield* ChildProcess.make(binary, [...args, "--out", out], { stdout: "ignore", stderr: "inherit" })
    const code = yield* handle.exitCode
    if (code !== 0) return yield* new UnexpectedBundle({ reason: `${args.join(" ")} ended with code ${code}` })
    const bundle: unknown = JSON.parse(yield* fs.readFileString(path.join(out, FULL_BUNDLE)))
    return yield* hoist(bundle)
  },
  Effect.scoped
)
