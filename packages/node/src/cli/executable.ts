/** Executables of codex, as a command line names them. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Binary from "../internal/binary.ts"
import * as Errand from "../internal/errand.ts"
import * as SpawnError from "../internal/spawnError.ts"
import { failed, fromCodexError, INSTALL_ADVICE } from "./failure.ts"

/** The executable that is started for this name; the pinned one where there is none. */
export const locate = (codexPath: string | undefined) => Effect.mapError(Binary.locate(codexPath), fromCodexError)

const PATIENCE = Duration.seconds(30)

/** The version that an executable says it is. */
export const version = Effect.fnUntraced(
  function*(executable: string) {
    const cannot = (why: string) => failed(`${executable} is no codex: --version ${why}`, INSTALL_ADVICE)
    const child = yield* Errand.start(executable, ["--version"], { stderr: "ignore" }).pipe(
      SpawnError.told(executable),
      Effect.mapError(fromCodexError)
    )
    const said = yield* child.stdout.pipe(
      Stream.decodeText,
      Stream.mkString,
      Effect.orElseSucceed(() => ""),
      Effect.timeoutOrElse({ duration: PATIENCE, orElse: () => Effect.fail(cannot("does not end")) })
    )
    const found = /\d+\.\d+\.\d+\S*/.exec(said)?.[0]
    return found === undefined ? yield* cannot("tells no version") : found
  },
  Effect.scoped
)
