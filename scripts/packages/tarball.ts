/** What is in a package as it is published. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { run } from "../command.ts"

export class BadContents extends Schema.TaggedError<BadContents>()("BadContents", {
  packageName: Schema.String,
  faults: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return [`What ${this.packageName} would publish is not right:`, ...this.faults].join("\n  ")
  }
}

const Packed = Schema.Struct({
  name: Schema.String,
  filename: Schema.String,
  size: Schema.Int,
  unpackedSize: Schema.Int,
  files: Schema.Array(Schema.Struct({ path: Schema.String }))
})

/** An array, or since npm 12 a record by name. */
const decodePacked = Schema.decodeUnknownEffect(Schema.fromJsonString(
  Schema.Union([Schema.Array(Packed), Schema.Record(Schema.String, Packed)])
))

const decodeManifest = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Struct({
  exports: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Record(Schema.String, Schema.String)])),
  bin: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
})))

const decodeMap = Schema.decodeUnknownEffect(
  Schema.fromJsonString(Schema.Struct({ sources: Schema.Array(Schema.String) }))
)

const required = ["LICENSE", "README.md", "package.json"]
const forbidden = /(^|\/)(test|tests)\/|\.test\.|\.tsbuildinfo$|(^|\/)\.|tsconfig/

/** Packs the package in `folder` into `destination`. Fails where something is in it that should not be, or is not that should. */
export const pack = Effect.fn("pack")(function*(folder: string, destination: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const output = yield* run(folder, "npm", "pack", "--json", "--pack-destination", destination)
  const packed = Object.values(yield* decodePacked(output.slice(output.search(/^[[{]/m))))[0]
  if (packed === undefined) return yield* new BadContents({ packageName: folder, faults: ["nothing"] })
  const files = new Set(packed.files.map((file) => path.normalize(file.path)))
  const faults: Array<string> = []
  const need = (file: string, why: string) => {
    if (!files.has(path.normalize(file))) faults.push(`${file} is not there: ${why}`)
  }

  const manifest = yield* decodeManifest(yield* fs.readFileString(path.join(folder, "package.json")))
  for (const file of required) need(file, "every package has it")
  for (const [subpath, target] of Object.entries(manifest.exports)) {
    for (const file of typeof target === "string" ? [target] : Object.values(target)) {
      need(file, `${subpath} leads to it`)
    }
  }
  for (const file of Object.values(manifest.bin ?? {})) need(file, "it is an executable of the package")
  for (const file of files) {
    if (forbidden.test(file)) faults.push(`${file} is there`)
    if (!file.endsWith(".map")) continue
    const { sources } = yield* decodeMap(yield* fs.readFileString(path.join(folder, file)))
    for (const source of sources) need(path.join(path.dirname(file), source), `${file} names it; \`dist\` may be old`)
  }
  if (faults.length > 0) return yield* new BadContents({ packageName: packed.name, faults })
  return { ...packed, file: path.join(destination, packed.filename) }
})
