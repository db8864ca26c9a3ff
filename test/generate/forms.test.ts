import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Definitions, propertiesOf, reachable } from "../../packages/node/src/protocol/jsonSchema.ts"
import { differing } from "../../scripts/generate/directions.ts"
import { checkInlineUnions, checkNames, formOf, numbers, openUnions } from "../../scripts/generate/forms.ts"
import { forbidSiblingKeys, rolesOf, shapeOf } from "../../scripts/generate/unions.ts"

const ref = (name: string) => ({ $ref: `#/$defs/${name}` })
const string = { type: "string" }
const tagged = (tag: string, fields: object = {}) => ({
  type: "object",
  properties: { type: { type: "string", enum: [tag] }, ...fields },
  required: ["type", ...Object.keys(fields)]
})
const keyed = (key: string) => ({
  type: "object",
  properties: { [key]: string },
  required: [key],
  additionalProperties: false
})

const definitions: Definitions = {
  Kind: { type: "string", enum: ["a", "b"] },
  Item: { anyOf: [tagged("text", { text: string }), tagged("image", { kind: ref("Kind") })] },
  Policy: { anyOf: [{ type: "string", enum: ["never"] }, keyed("granular"), { type: ["string", "object"] }] },
  Id: { anyOf: [string, { type: "integer", format: "int64" }] },
  Holder: { type: "object", properties: { item: { anyOf: [ref("Item"), { type: "null" }] } } },
  Plain: { type: "object", properties: { text: string }, required: ["text"] },
  Empty: { type: "object" }
}

const form = (name: string, direction: "in" | "out", all = definitions) =>
  formOf(name, {
    definitions: all,
    roles: rolesOf(all),
    direction,
    resolve: (_) => _,
    mark: (key, _property, optional) => optional && direction === "out" ? `${key}?` : key
  })

describe("shapeOf", () => {
  it("finds what decides", () => {
    const shape = (name: string) => shapeOf(definitions, definitions[name] ?? {})
    assert.deepStrictEqual(shape("Item"), { kind: "tagged", tag: "type", known: ["image", "text"] })
    assert.deepStrictEqual(shape("Policy"), { kind: "keyed", strings: ["never"], known: ["granular"] })
    assert.deepStrictEqual(shape("Id"), { kind: "untagged" })
    assert.strictEqual(shape("Kind"), undefined)
    assert.strictEqual(shapeOf(definitions, { anyOf: [ref("Item"), { type: "null" }] }), undefined)
  })
})

describe("formOf", () => {
  it("opens an incoming enum and closes an outgoing one", () => {
    const closed = { type: "string", enum: ["a", "b"] }
    assert.deepStrictEqual(form("Kind", "in"), { anyOf: [closed, ref("UnknownMember")] })
    assert.deepStrictEqual(form("Kind", "out"), closed)
  })

  it("gives an incoming union a last variant, and leaves its tags closed", () => {
    const variants = [
      { ...tagged("text", { text: string }), additionalProperties: false },
      { ...tagged("image", { kind: ref("Kind") }), additionalProperties: false }
    ]
    assert.deepStrictEqual(form("Item", "in"), { anyOf: [{ anyOf: variants }, ref("UnknownItem")] })
    assert.deepStrictEqual(form("Item", "out"), { anyOf: variants })
  })

  it("replaces the catch-all of an externally tagged union, which would hide bad data", () => {
    assert.deepStrictEqual(form("Policy", "in"), {
      anyOf: [{ type: "string", enum: ["never"] }, ref("UnknownMember"), keyed("granular"), ref("UnknownPolicy")]
    })
    assert.deepStrictEqual(form("Policy", "out"), { anyOf: [{ type: "string", enum: ["never"] }, keyed("granular")] })
  })

  it("takes anything in an incoming empty object, and nothing in an outgoing one", () => {
    assert.deepStrictEqual(form("Empty", "in"), { type: "object", additionalProperties: true })
    assert.deepStrictEqual(form("Empty", "out"), { type: "object", additionalProperties: false })
  })
})

describe("numbers", () => {
  it("widens incoming integers and bounds outgoing ones by their format", () => {
    const node = { type: ["integer", "null"], format: "uint16", minimum: 1 }
    assert.deepStrictEqual(numbers(node, "in"), { type: ["number", "null"], format: "uint16" })
    assert.deepStrictEqual(numbers(node, "out"), { ...node, minimum: 1, maximum: 65_535 })
    assert.deepStrictEqual(numbers({ type: "integer", format: "int64" }, "out"), { type: "integer", format: "int64" })
  })
})

describe("directions", () => {
  it("follow references, and spread what differs to whatever refers to it", () => {
    assert.deepStrictEqual([...reachable(definitions, ["Holder"])].sort(), ["Holder", "Item", "Kind"])
    const different = differing(definitions, (name, direction) => form(name, direction))
    assert.deepStrictEqual([...different].sort(), ["Empty", "Holder", "Id", "Item", "Kind", "Policy"])
  })
})

describe("roles", () => {
  const shared: Definitions = {
    Type: { type: "string", enum: ["string"] },
    Number: { type: "string", enum: ["number"] },
    Text: {
      type: "object",
      properties: { type: ref("Type"), format: string },
      required: ["type"],
      additionalProperties: false
    },
    Choice: {
      type: "object",
      properties: { type: ref("Type"), enum: { type: "array", items: string } },
      required: ["type", "enum"],
      additionalProperties: false
    },
    Choices: { anyOf: [ref("Choice")] },
    Count: { type: "object", properties: { type: ref("Number") }, required: ["type"], additionalProperties: false },
    Primitive: { anyOf: [ref("Choices"), ref("Text"), ref("Count")] }
  }

  it("keep tags closed and inner unions from taking what belongs to their siblings", () => {
    const roles = rolesOf(shared)
    assert.deepStrictEqual([...roles.tags].sort(), ["Number", "Type"])
    assert.deepStrictEqual([...roles.branches], ["Choices"])
    assert.deepStrictEqual(form("Type", "in", shared), { type: "string", enum: ["string"] })
    assert.deepStrictEqual(form("Choices", "in", shared), { anyOf: [ref("Choice")] })
    assert.deepStrictEqual([...openUnions(shared, roles, Object.keys(shared)).keys()], ["Primitive"])
  })

  it("forbid a struct the fields of siblings that share its tag", () => {
    const properties = (name: string) => propertiesOf(forbidSiblingKeys(shared)[name] ?? {})
    assert.deepStrictEqual(properties("Text").enum, false)
    assert.deepStrictEqual(properties("Choice").format, false)
    assert.notProperty(properties("Count"), "enum")
  })
})

describe("checks", () => {
  it.effect("refuse a union without a name for its unknown variant", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(checkInlineUnions({
        A: { type: "object", properties: { item: { anyOf: [tagged("a"), tagged("b")] } } }
      }))
      assert.strictEqual(error.definition, "A")
      yield* checkInlineUnions(definitions)
    }))

  it.effect("refuse a name for two things", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(checkNames([["XParam", "one"], ["XParam", "other"]]))
      assert.include(error.message, "both one and other")
      assert.strictEqual((yield* Effect.flip(checkNames([["x-y", "one"]])))._tag, "NameCollision")
    }))
})
