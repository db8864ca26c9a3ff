/** From JSON Schema to TypeScript source: Effect's own importer and code generator, and a layout for what they print. */
import * as Effect from "effect/Effect"
import type * as JsonSchema from "effect/JsonSchema"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import { UnexpectedBundle } from "../../packages/node/src/protocol/bundle.ts"
import type { Definitions } from "../../packages/node/src/protocol/jsonSchema.ts"
import { isNode, refTo } from "../../packages/node/src/protocol/jsonSchema.ts"
import type { Direction } from "./directions.ts"
import type { Mark } from "./forms.ts"

interface MarkedProperty {
  readonly key: string
  readonly doc: string | undefined
  /** Optional where a caller sends it: `undefined` then means absent. */
  readonly lenient: boolean
}

/**
 * The code generator prints neither docs of properties nor `Schema.optional`. Properties therefore pass through it under
 * names that carry a number, and {@link layout} puts back what the number stands for.
 */
export interface Marks {
  readonly mark: (direction: Direction) => Mark
  readonly get: (id: number) => MarkedProperty | undefined
}

const describe = (property: unknown): string | undefined => {
  if (!isNode(property)) return undefined
  const fallback = property.default
  const scalar = typeof fallback === "string" || typeof fallback === "number" || typeof fallback === "boolean"
  const lines = [
    ...(typeof property.description === "string" ? [property.description] : []),
    ...(scalar ? [`Left out, it is \`${JSON.stringify(fallback)}\`.`] : [])
  ]
  return lines.length === 0 ? undefined : lines.join("\n\n")
}

/** A table of marked properties. */
export const makeMarks = (): Marks => {
  const table: Array<MarkedProperty> = []
  return {
    mark: (direction) => (key, property, optional) => {
      table.push({ key, doc: describe(property), lenient: direction === "out" && optional })
      return `§${table.length - 1}§${key}`
    },
    get: (id) => table[id]
  }
}

/** A doc comment of `text`, indented by `indent`. */
export const docComment = (text: string, indent = ""): string => {
  const lines = text.replaceAll("*/", "*\\/").split("\n").map((line) => line.trimEnd())
  return lines.length === 1
    ? `${indent}/** ${lines[0]} */\n`
    : `${indent}/**\n${lines.map((line) => `${indent} *${line === "" ? "" : ` ${line}`}\n`).join("")}${indent} */\n`
}

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/
const MARKED = /(readonly )?"§(\d+)§(?:[^"\\]|\\.)*"(\?)?: (Schema\.optionalKey\()?/y
const QUOTED = /"(?:[^"\\]|\\.)*"/y

/** One property a line, with its doc comment, its own name, and `Schema.optional` where a caller may say `undefined`. */
export const layout = (code: string, marks: Marks): string => {
  const stack: Array<boolean> = []
  let out = ""
  let index = 0
  const indent = () => "  ".repeat(stack.filter((multiline) => multiline).length)
  const property = (): boolean => {
    MARKED.lastIndex = index
    const match = MARKED.exec(code)
    if (match === null) return false
    const [text, readonly, id, optional, wrapped] = match
    const marked = marks.get(Number(id))
    if (marked === undefined) return false
    const key = IDENTIFIER.test(marked.key) ? marked.key : JSON.stringify(marked.key)
    const doc = marked.doc === undefined || readonly === undefined ? "" : docComment(marked.doc, indent())
    out += `\n${doc}${indent()}${readonly ?? ""}${key}${optional ?? ""}: `
    if (readonly !== undefined && marked.lenient) out += "undefined | "
    if (wrapped !== undefined) out += marked.lenient ? "Schema.optional(" : wrapped
    if (wrapped !== undefined) stack.push(false)
    index += text.length
    return true
  }
  while (index < code.length) {
    const char = code.charAt(index)
    if (char === "\"") {
      QUOTED.lastIndex = index
      const text = QUOTED.exec(code)?.[0] ?? char
      out += text
      index += text.length
    } else if (char === "{") {
      MARKED.lastIndex = index + 2
      stack.push(MARKED.test(code))
      out += char
      index += 1
      if (stack.at(-1) === true) {
        index += 1
        property()
      }
    } else if (char === "(" || char === "[") {
      stack.push(false)
      out += char
      index += 1
    } else if (char === ")" || char === "]") {
      stack.pop()
      out += char
      index += 1
    } else if (char === "}") {
      const multiline = stack.pop() === true
      out = multiline ? `${out.trimEnd()}\n${indent()}}` : `${out}}`
      index += 1
    } else if (char === "," && stack.at(-1) === true) {
      out += char
      index += 2
      property()
    } else {
      out += char
      index += 1
    }
  }
  return out
}

/** Source of one schema. */
export interface Code {
  readonly runtime: string
  readonly type: string
}

// The importer writes what the default message says anyway.
const EXPECTED = /\.annotate\(\{ "expected": "[^"]*" \}\)/g

// The prelude has a form of it that can be compiled.
const JSON_VALUE = /\bSchema\.Json\b/g

// A name would take the place of the members in the message about a value that is none of them.
const NAMED_LITERALS = /^(Schema\.Literals?\((?:[^()"]|"(?:[^"\\]|\\.)*")*\))\.annotate\(\{ "identifier": "\w+" \}\)$/

/** The source of every definition, by name. */
export const codeOf = Effect.fnUntraced(function*(definitions: Definitions, marks: Marks) {
  const names = Object.keys(definitions)
  const [first, ...others] = names.map((name) => refTo(name))
  if (first === undefined) return yield* new UnexpectedBundle({ reason: "there are no definitions" })
  const document: JsonSchema.MultiDocument<"draft-2020-12"> = {
    dialect: "draft-2020-12",
    schemas: [first, ...others],
    definitions
  }
  const [head, ...tail] = SchemaRepresentation.fromJsonSchemaMultiDocument(document)
  const { artifacts, references } = SchemaRepresentation.toCodeDocument(
    SchemaRepresentation.toRepresentations([head.ast, ...tail.map((schema) => schema.ast)])
  )
  if (artifacts.length > 0) {
    return yield* new UnexpectedBundle({ reason: `needs ${artifacts.length} auxiliary declarations` })
  }
  const code = new Map<string, Code>()
  const all = [
    ...references.nonRecursives.map(({ $ref, code }) => [$ref, code] as const),
    ...Object.entries(references.recursives)
  ]
  for (const [name, { runtime, Type }] of all) {
    code.set(name, {
      runtime: layout(runtime.replace(EXPECTED, "").replace(JSON_VALUE, "json").replace(NAMED_LITERALS, "$1"), marks),
      type: layout(Type, marks)
    })
  }
  const missing = names.find((name) => !code.has(name))
  if (missing !== undefined) return yield* new UnexpectedBundle({ reason: `${missing} was not generated` })
  return code
})
