/** `Open.ts`: the little that generated Schemas need at run time. */
export const prelude = `import type * as Brand from "effect/Brand"
import * as Schema from "effect/Schema"

/**
 * A string where the protocol has an enum or a tag, and this package does not know the member. It keeps its value: at run
 * time it is any string, and it can be used as one.
 *
 * The pattern and the brand are for the compiler alone. Without the pattern (that is, with \`string & Brand\`) comparing
 * with a known member would not narrow an unknown one away; and the brand keeps the value out of what a caller sends.
 * To compare with a member that only a later version knows, widen to \`string\` first.
 */
export type UnknownMember = \`unknown \${string}\` & Brand.Brand<"UnknownMember">

/** Schema of {@link UnknownMember}. It takes any string, so it only ever stands behind the known members. */
export const UnknownMember: Schema.Codec<UnknownMember> = Schema.make<Schema.Codec<UnknownMember>>(
  Schema.String.annotate({ identifier: "UnknownMember" }).ast
)

const isJson = Schema.is(Schema.Json)

/**
 * Schema of any JSON value. It says what \`Schema.Json\` says, as a check: Effect's compiler gives up on a declaration, and
 * on everything that holds one.
 */
export const json: Schema.Codec<Schema.Json> = Schema.make<Schema.Codec<Schema.Json>>(
  Schema.Unknown.check(Schema.makeFilter(isJson, { expected: "JSON value" })).ast
)

/** A whole object whose \`Tag\` names no variant this package knows. */
export type UnknownVariant<Tag extends string> =
  & { readonly [Key in Tag]: UnknownMember }
  & { readonly [key: string]: Schema.Json }

/**
 * A whole object none of whose keys names a variant this package knows; \`Object.entries\` reads it. It has no index
 * signature, so that \`"known" in value\` narrows to exactly the known variant.
 */
export type UnknownKeyed = Brand.Brand<"UnknownKeyed">

/** Puts off building a Schema until something reads it: importing a thousand of them then costs a closure each. */
export const lazy = <T>(build: () => Schema.Codec<T>): Schema.Codec<T> => {
  const self = Schema.make<Schema.Codec<T>>(Schema.Unknown.ast)
  Object.defineProperty(self, "ast", {
    configurable: true,
    enumerable: true,
    get() {
      const value = build().ast
      Object.defineProperty(self, "ast", { value, enumerable: true })
      return value
    }
  })
  return self
}

/** Schema of an object whose tag is a string, but none of \`known\`. A known tag never ends here, however bad the rest. */
export const unknownVariant = <Tag extends string>(
  identifier: string,
  tag: Tag,
  known: ReadonlyArray<string>
): Schema.Codec<UnknownVariant<Tag>> => {
  const tags = new Set(known)
  const unknownTag = Schema.String.check(
    Schema.makeFilter((value) => !tags.has(value), { expected: \`an unknown \${JSON.stringify(tag)}\` })
  )
  return Schema.make<Schema.Codec<UnknownVariant<Tag>>>(
    Schema.StructWithRest(Schema.Struct({ [tag]: unknownTag }), [Schema.Record(Schema.String, json)])
      .annotate({ identifier }).ast
  )
}

/** Schema of an object with none of the \`known\` keys. A known key never ends here, however bad its value. */
export const unknownKeyed = (identifier: string, known: ReadonlyArray<string>): Schema.Codec<UnknownKeyed> =>
  Schema.make<Schema.Codec<UnknownKeyed>>(
    Schema.Record(Schema.String, json).check(
      Schema.makeFilter((value) => {
        const keys = Object.keys(value)
        return keys.length > 0 && !known.some((key) => Object.hasOwn(value, key))
      }, { expected: "an unknown variant" })
    ).annotate({ identifier }).ast
  )
`
