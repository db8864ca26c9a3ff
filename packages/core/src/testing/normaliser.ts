/**
 * Makes what crosses the wire the same each time the same happens: ids, times and
 * places become placeholders in the order they are first seen in, and secrets are
 * taken out. Normalising what is normalised already changes nothing.
 */
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Base64 from "../internal/base64.ts"
import { isSecretField, isSecretSetting, redactQuery } from "../internal/secretField.ts"
import { redactSecrets } from "../Redaction.ts"

/** Who wrote a message. */
export type Side = "client" | "server"

/** A message of the wire, as JSON. */
export interface Message {
  readonly [key: string]: Schema.Json
}

/** What is known before the first message. */
export interface Options {
  /** Further secrets, by their values. */
  readonly secrets: ReadonlyArray<string>
  /** Directories by the placeholders that stand for them. */
  readonly paths: Readonly<Record<string, string>>
  /** Whether further directories are found in the messages. */
  readonly findsPaths: boolean
}

export const isMessage = (value: unknown): value is Message => Predicate.isObject(value) && !Array.isArray(value)

const isList = (value: Schema.Json): value is ReadonlyArray<Schema.Json> => Array.isArray(value)

// =============================================================================
// Secrets and times
// =============================================================================

const REDACTED = "…"

/** Shorter values that are found, and not given, would turn ordinary words into gaps. */
const MIN_SECRET = 6

/** So many secrets that are found are remembered by their values. */
const MAX_SECRETS = 1024

/** What the agent says, and asks tools, is played back as it was: times in it are not those of the wire. */
const said: ReadonlySet<string> = new Set(["arguments", "delta", "structuredContent", "text"])

/** What a command prints counts with what the program says, which may say it back. */
const isOutput = (method: Schema.Json | undefined): boolean =>
  typeof method === "string" && method.endsWith("/outputDelta")

/** Whose times are left as they are: nobody's, those of what the agent says, or all below something that it has said. */
type Times = "none" | "said" | "all"

const timeKey = /(?:At|_at|AtMs|_at_ms)$|^(?:durationMs|duration_ms|elapsedMs|timeUsedSeconds)$/

const timestamp = /\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?/g
const EPOCH = "1970-01-01T00:00:00Z"

/** Where a thread's rollout is stored: by day. */
const dayFolder = /(?<=[/\\]sessions[/\\])\d{4}([/\\])\d\d[/\\]\d\d(?=[/\\])/g

/** A port that the system has chosen. */
const ephemeralPort = /(?<=(?:127\.0\.0\.1|localhost|\[::1\]):)(?:3[3-9]|[45]\d|6[0-5])\d{3}\b/g

// =============================================================================
// Names
// =============================================================================

const uuid = /(?<![0-9a-fA-F])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9a-fA-F-])/g

/** An id of a kind, as `msg_0a1b…`: long enough to be random. */
const random = /(?<![0-9A-Za-z_-])([a-z]{2,8})_(?=[A-Za-z]*\d)[0-9A-Za-z]{16,}(?![0-9A-Za-z_-])/g

const uuidOf: { readonly [S in Side]: (n: number) => string } = {
  client: (n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
  server: (n) => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`
}

const randomOf = (side: Side, kind: string, n: number): string =>
  `${kind}_${side === "client" ? "c" : "s"}${String(n).padStart(15, "0")}`

/** The placeholders of ids that the client has made, alone or within a text. */
const clientIds = /00000000-0000-4000-8000-\d{12}|(?<![0-9A-Za-z_-])[a-z]{2,8}_c\d{15}(?![0-9A-Za-z_-])/

const CODEX_HOME = "/codex-home"
const directory = (n: number): string => `/directory-${n}`

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** One path or what is below it, but no other path that only begins the same. */
const pathLike = (source: string): string => `(?<![\\w.-])${source}(?![\\w-]|\\.\\w)`
const occurrences = (path: string): RegExp => new RegExp(pathLike(escape(path)), "g")

/** What may stand for something that this run has not told yet. */
const unbound = new RegExp(`${clientIds.source}|${pathLike("/directory-\\d+")}`, "g")

const absolute = /(?:\/[^/]|[A-Za-z]:[\\/])/
const isAbsolute = (path: string): boolean => path.search(absolute) === 0

export class Normaliser {
  private secrets: ReadonlyArray<string> = []
  private readonly given: number
  private readonly names = new Map<string, string>()
  private readonly counts = new Map<string, number>()
  private readonly requestIds = new Map<string | number, number>()
  private requests = 0
  private directories: Array<{ readonly pattern: RegExp; readonly path: string; readonly placeholder: string }> = []
  private directoryCount = 0
  private readonly findsPaths: boolean

  constructor(options: Options) {
    this.findsPaths = options.findsPaths
    for (const secret of options.secrets) this.hide(secret)
    this.given = this.secrets.length
    for (const [placeholder, path] of Object.entries(options.paths)) this.place(path, placeholder)
  }

  /** A message with placeholders; members of the envelope that say nothing to the program are left out. */
  message(side: Side, message: Message): Message {
    const { emittedAtMs, error, id, method, params, result } = message
    const body = {
      ...(method === undefined ? {} : { method }),
      ...(params === undefined ? {} : { params }),
      ...(result === undefined ? {} : { result }),
      ...(error === undefined ? {} : { error }),
      ...(emittedAtMs === undefined ? {} : { emittedAtMs })
    }
    const named = this.nameIn(side, this.bareIn(body, "", side === "client" || isOutput(method) ? "none" : "said"), "")
    return {
      ...(id === undefined ? {} : { id: this.requestId(side, id, method !== undefined) }),
      ...(isMessage(named) ? named : {})
    }
  }

  /** The same for a text of the server that came in the pieces of a method. */
  whole(method: string, text: string): string {
    return this.nameText("server", isOutput(method) ? this.bareText(text) : this.withoutSecrets(text))
  }

  /** The same for a text that is no message. */
  text(side: Side, text: string): string {
    return this.nameText(side, this.bareText(text))
  }

  /** Without secrets and times, but with ids and places as they are: a message of the client. */
  bare(value: Schema.Json): Schema.Json {
    return this.bareIn(value, "", "none")
  }

  /** The client's requests are numbered in the order they are sent in. */
  private requestId(side: Side, id: Schema.Json, isRequest: boolean): Schema.Json {
    if (typeof id !== "number" && typeof id !== "string") return id
    if (side === "client") {
      if (!isRequest) return id
      this.requestIds.set(id, ++this.requests)
      return this.requests
    }
    if (isRequest) return id
    const known = this.requestIds.get(id)
    this.requestIds.delete(id)
    return known ?? id
  }

  private found(secret: string): void {
    if (secret.length >= MIN_SECRET && this.secrets.length - this.given < MAX_SECRETS) this.hide(secret)
  }

  private hide(secret: string): void {
    if (secret === "" || this.secrets.includes(secret)) return
    // One that begins with another one goes first, or its end would stay.
    this.secrets = [...this.secrets, secret].sort((a, b) => b.length - a.length)
  }

  private bareIn(value: Schema.Json, key: string, times: Times): Schema.Json {
    if (typeof value === "string") {
      if (isSecretField(key)) return this.hidden(value)
      if (Base64.isField(key)) return Base64.rewrite(value, (text) => this.withoutSecrets(text))
      return times === "all" ? this.withoutSecrets(value) : this.bareText(value)
    }
    if (typeof value === "number") return times !== "all" && timeKey.test(key) ? 0 : value
    if (isList(value)) return value.map((element) => this.bareIn(element, key, times))
    if (!isMessage(value)) return value
    // What the user has said is told again.
    const within = times === "said" && value["type"] === "userMessage" ? "none" : times
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [
        name,
        isSecretSetting(value, name)
          ? this.hidden(member)
          : this.bareIn(member, name, within === "said" && said.has(name) ? "all" : within)
      ])
    )
  }

  /** What is secret, whatever it is. */
  private hidden(value: Schema.Json): Schema.Json {
    if (isList(value)) return value.map((element) => this.hidden(element))
    if (isMessage(value)) {
      return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, this.hidden(member)]))
    }
    if (typeof value !== "string" || value === "") return value
    this.found(value)
    return REDACTED
  }

  private withoutSecrets(text: string): string {
    let bare = text
    for (const secret of this.secrets) bare = bare.replaceAll(secret, REDACTED)
    return redactQuery(redactSecrets(bare, REDACTED), REDACTED)
  }

  private bareText(text: string): string {
    return this.withoutSecrets(text)
      .replace(timestamp, EPOCH)
      .replace(dayFolder, "0000$100$100")
      .replace(ephemeralPort, "0")
  }

  private nameIn(side: Side, value: Schema.Json, key: string): Schema.Json {
    if (typeof value === "string") {
      if (this.findsPaths && key === "codexHome") this.place(value, CODEX_HOME)
      else if (this.findsPaths && key === "cwd") this.place(value)
      // The server draws the numbers of its processes.
      else if (key === "processId" && /^\d+$/.test(value)) return this.name(side, "process", `process ${value}`, String)
      return this.nameText(side, value)
    }
    if (isList(value)) return value.map((element) => this.nameIn(side, element, key))
    if (!isMessage(value)) return value
    // The place that a payload is about is known before what is in it.
    if (this.findsPaths && typeof value["cwd"] === "string") this.place(value["cwd"])
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [this.nameText(side, name), this.nameIn(side, member, name)])
    )
  }

  private nameText(side: Side, text: string): string {
    let named = text
    for (const { path, pattern, placeholder } of this.directories) {
      if (named.includes(path)) named = named.replace(pattern, () => placeholder)
    }
    return named
      .replace(uuid, (id) => this.name(side, "uuid", id.toLowerCase(), uuidOf[side]))
      .replace(random, (id, kind: string) => this.name(side, kind, id, (n) => randomOf(side, kind, n)))
  }

  /** An id keeps the name of the side that it came from first. */
  private name(side: Side, kind: string, id: string, placeholder: (n: number) => string): string {
    const known = this.names.get(id)
    if (known !== undefined) return known
    const counter = `${side}/${kind}`
    const n = (this.counts.get(counter) ?? 0) + 1
    this.counts.set(counter, n)
    const name = placeholder(n)
    this.names.set(id, name)
    return name
  }

  private place(path: string, placeholder?: string): void {
    if (!isAbsolute(path) || this.directories.some((known) => path.search(known.pattern) !== -1)) return
    this.directories.push({
      pattern: occurrences(path),
      path,
      placeholder: placeholder ?? directory(++this.directoryCount)
    })
    // What is below another one goes first.
    this.directories.sort((a, b) => b.path.length - a.path.length)
  }
}

// =============================================================================
// Matching
// =============================================================================

/** What stands, in this run, for the ids and places that the client had brought along when it was recorded. */
export class Bindings {
  private readonly values: Map<string, string>

  constructor(paths: Readonly<Record<string, string>>) {
    this.values = new Map(Object.entries(paths))
  }

  /**
   * Compares what was recorded with what comes, and binds the placeholders of the
   * client in it. Gives the path of the first difference.
   */
  match(recorded: Schema.Json, actual: Schema.Json): string | undefined {
    const found = new Map<string, string>()
    const difference = this.compare(recorded, actual, "", found)
    if (difference === undefined) { for (const [name, value] of found) this.values.set(name, value) }
    return difference
  }

  /** What was recorded of the server, with this run's ids and places of the client. */
  apply(recorded: Schema.Json): Schema.Json {
    if (this.values.size === 0) return recorded
    if (typeof recorded === "string") return this.applyText(recorded)
    if (isList(recorded)) return recorded.map((element) => this.apply(element))
    return isMessage(recorded)
      ? Object.fromEntries(
        Object.entries(recorded).map(([name, member]) => [this.applyText(name), this.apply(member)])
      )
      : recorded
  }

  private applyText(text: string): string {
    let applied = text
    for (const [name, value] of this.values) {
      if (!applied.includes(name)) continue
      applied = name.startsWith("/") ? applied.replace(occurrences(name), () => value) : applied.replaceAll(name, value)
    }
    return applied
  }

  private compare(
    recorded: Schema.Json,
    actual: Schema.Json | undefined,
    path: string,
    found: Map<string, string>
  ): string | undefined {
    const here = path === "" ? "(all)" : path
    if (typeof recorded === "string") {
      return typeof actual === "string" && this.sameText(recorded, actual, found) ? undefined : here
    }
    if (isList(recorded)) {
      if (actual === undefined || !isList(actual) || actual.length !== recorded.length) return here
      for (const [index, element] of recorded.entries()) {
        const difference = this.compare(element, actual[index], `${path}[${index}]`, found)
        if (difference !== undefined) return difference
      }
      return undefined
    }
    if (isMessage(recorded)) {
      if (!isMessage(actual)) return here
      const seen = new Set<string>()
      for (const [recordedName, member] of Object.entries(recorded)) {
        const name = this.applyText(recordedName)
        seen.add(name)
        const difference = this.compare(member, actual[name], path === "" ? name : `${path}.${name}`, found)
        if (difference !== undefined) return difference
      }
      const added = Object.keys(actual).find((name) => !seen.has(name))
      return added === undefined ? undefined : path === "" ? added : `${path}.${added}`
    }
    return recorded === actual ? undefined : here
  }

  private sameText(recorded: string, actual: string, found: Map<string, string>): boolean {
    if (recorded === actual) return true
    const valueOf = (name: string): string | undefined => found.get(name) ?? this.values.get(name)
    let expected = this.applyText(recorded)
    for (const [name, value] of found) {
      if (name.startsWith("/")) expected = expected.replace(occurrences(name), () => value)
    }
    const names: Array<string> = []
    const pattern = expected.split(unbound)
    const placeholders = expected.match(unbound) ?? []
    let source = escape(pattern[0] ?? "")
    for (const [index, name] of placeholders.entries()) {
      const value = valueOf(name)
      if (value === undefined) {
        names.push(name)
        source += name.startsWith("/") ? `(${absolute.source}[^]*?)` : "([0-9A-Za-z_-]+)"
      } else {
        source += escape(value)
      }
      source += escape(pattern[index + 1] ?? "")
    }
    const match = new RegExp(`^${source}$`).exec(actual)
    if (match === null) return false
    const bound = new Map<string, string>()
    for (const [index, name] of names.entries()) {
      const value = match[index + 1] ?? ""
      if ((bound.get(name) ?? value) !== value) return false
      bound.set(name, value)
    }
    for (const [name, value] of bound) found.set(name, value)
    return true
  }
}
