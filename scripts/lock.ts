/**
 * `npm run lock`: brings `package-lock.json` in line with the manifests, after a dependency of one of them was changed.
 *
 * npm resolves in an empty directory, since beside a `node_modules` it would lock what is installed there. What it leaves
 * out is added: see `scripts/lock/complete.ts`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import { relock } from "./lock/relock.ts"

const lock = Effect.gen(function*() {
  const path = yield* Path.Path
  const { added, packages } = yield* relock(path.resolve(import.meta.dirname, ".."))
  yield* Console.log(`package-lock.json: ${packages} packages, ${added.length} of them added for other platforms`)
})

lock.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
