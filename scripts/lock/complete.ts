/**
 * The packages of other platforms. npm leaves an optional dependency out of the lock file when the registry it asks has no
 * such package (a mirror may hold one platform only), and `npm ci` then refuses the lock file everywhere. An entry without
 * a checksum is enough for it: it is read only where the platform fits, and the package is then fetched by its name.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Entry = Schema.StructWithRest(
  Schema.Struct({
    version: Schema.optionalKey(Schema.String),
    license: Schema.optionalKey(Schema.String),
    dev: Schema.optionalKey(Schema.Boolean),
    optionalDependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)
type Entry = typeof Entry.Type

/** What is read of a lock file; everything else in it is kept. */
export const LockFile = Schema.StructWithRest(
  Schema.Struct({ packages: Schema.Record(Schema.String, Entry) }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)
export type LockFile = typeof LockFile.Type

export class UnknownPlatform extends Schema.TaggedError<UnknownPlatform>()("UnknownPlatform", {
  packageName: Schema.String
}) {
  override get message(): string {
    return `${this.packageName} is an optional dependency that the registry lacks, and its name tells no platform`
  }
}

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"]
const processors = ["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"]

/** The conditions under which a package of this name is installed. */
const platformOf = Effect.fnUntraced(function*(packageName: string) {
  const words = packageName.split(/[/-]/)
  const os = systems.find((_) => words.includes(_))
  const cpu = processors.find((_) => words.includes(_))
  if (os === undefined || cpu === undefined) return yield* new UnknownPlatform({ packageName })
  const libc = words.some((_) => _.startsWith("musl"))
    ? "musl"
    : words.some((_) => /^(gnu|glibc)/.test(_))
    ? "glibc"
    : undefined
  return { cpu: [cpu], ...(libc === undefined ? {} : { libc: [libc] }), os: [os] }
})

/** Where Node would look for `name` from the package at `location`, the nearest place first. */
const placesOf = (location: string, name: string): ReadonlyArray<string> => {
  const parts = location === "" ? [] : location.split("/node_modules/").map((_, at, all) => all.slice(0, at + 1))
  return [...parts.toReversed().map((_) => `${_.join("/node_modules/")}/node_modules/${name}`), `node_modules/${name}`]
}

/** Adds an entry for each optional dependency that has none, and corrects those whose version is out of date. */
export const complete = Effect.fn("complete")(function*(lock: LockFile) {
  const packages: Record<string, Entry> = { ...lock.packages }
  const added: Array<string> = []
  for (const [location, parent] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
      const found = placesOf(location, name).find((place) => packages[place] !== undefined)
      if (found !== undefined && (packages[found]?.integrity !== undefined || packages[found]?.version === version)) {
        continue
      }
      // Beside its parent, where that is not at the root.
      const place = found ?? `${location.slice(0, location.lastIndexOf("node_modules/"))}node_modules/${name}`
      const { cpu, os, ...libc } = yield* platformOf(name)
      // In the order that npm writes, so that its next run changes nothing.
      packages[place] = {
        version,
        cpu,
        ...(parent.dev === undefined ? {} : { dev: parent.dev }),
        ...libc,
        ...(parent.license === undefined ? {} : { license: parent.license }),
        optional: true,
        os
      }
      added.push(name)
    }
  }
  const sorted = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en"))
  return { added, lock: { ...lock, packages: Object.fromEntries(sorted) } }
})
