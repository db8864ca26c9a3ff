import * as Schema from "effect/Schema"
import type { UnexpectedBundle } from "../../packages/node/src/protocol/bundle.ts"

/** The pinned runtime's native binary, or its version, could not be found. */
export class BinaryNotFound extends Schema.TaggedError<BinaryNotFound>()("BinaryNotFound", {
  packageName: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.packageName}: ${this.reason}`
  }
}

/** A definition has a shape for which no form of it would be both open and exact. */
export class UnsupportedDefinition extends Schema.TaggedError<UnsupportedDefinition>()("UnsupportedDefinition", {
  definition: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.definition}: ${this.reason}`
  }
}

/** Two things would be written under one name. */
export class NameCollision extends Schema.TaggedError<NameCollision>()("NameCollision", {
  name: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.name}: ${this.reason}`
  }
}

/** A method has no result definition, or an exception about it is not needed or not true. */
export class ResultMappingError extends Schema.TaggedError<ResultMappingError>()("ResultMappingError", {
  method: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.method}: ${this.reason}`
  }
}

/** The files on disk are not what the pinned binary generates. */
export class Drift extends Schema.TaggedError<Drift>()("Drift", {
  files: Schema.Array(Schema.Struct({ file: Schema.String, problem: Schema.String }))
}) {
  override get message(): string {
    return ["Generated files drift; run `npm run generate`:", ...this.files.map((_) => `  ${_.file}: ${_.problem}`)]
      .join("\n")
  }
}

/** Why there is nothing to write. */
export type GenerateError = UnexpectedBundle | UnsupportedDefinition | NameCollision | ResultMappingError
