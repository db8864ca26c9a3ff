import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"

/** The scorecard on disk is not what the sources say. */
export class StaleScorecard extends Schema.TaggedError<StaleScorecard>()("StaleScorecard", { file: Schema.String }) {
  override get message(): string {
    return `${this.file} is not up to date; run \`npm run coverage:protocol\``
  }
}

/** A table says that a test sees something, and the test does not name it. */
export class UnprovenClaim extends Schema.TaggedError<UnprovenClaim>()("UnprovenClaim", {
  method: Schema.String,
  file: Schema.String
}) {
  override get message(): string {
    return `${this.file} does not name ${this.method}`
  }
}

/** Fails unless the file holds exactly this. */
export const checkFile = Effect.fnUntraced(function*(file: string, content: string) {
  const fs = yield* FileSystem.FileSystem
  const actual = (yield* fs.exists(file)) ? yield* fs.readFileString(file) : ""
  if (actual !== content) return yield* new StaleScorecard({ file })
})
