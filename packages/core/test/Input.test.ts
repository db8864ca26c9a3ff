import { Input } from "@effect-codex/core"
import { UserInputParam } from "@effect-codex/generated"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

describe("Input.toTurnFields", () => {
  it("are the pieces of a user's input, or the output of the tool that an external message comes by", () => {
    assert.deepStrictEqual(Input.toTurnFields("Hello"), { input: [{ type: "text", text: "Hello" }] })
    assert.deepStrictEqual(Input.toTurnFields([]), { input: [] })
    assert.deepStrictEqual(
      Input.toTurnFields(Input.externalMessage({ toolName: "inbox", namespace: "mail", content: "Hello" })),
      { input: [], toolOutput: { name: "inbox", namespace: "mail", output: "Hello" } }
    )
  })
})

describe("Input.toItems", () => {
  it("takes a string for text, an empty one too", () => {
    assert.deepStrictEqual(Input.toItems("Hello"), [{ type: "text", text: "Hello" }])
    assert.deepStrictEqual(Input.toItems(""), [{ type: "text", text: "" }])
  })

  it("takes one piece", () => {
    const mention = Input.mention({ name: "app", path: "app://x" })
    assert.deepStrictEqual(Input.toItems(mention), [{ type: "mention", name: "app", path: "app://x" }])
  })

  it("takes several pieces in their order, strings among them", () => {
    assert.deepStrictEqual(Input.toItems(["Look at", Input.localImage("/a.png"), Input.text("please")]), [
      { type: "text", text: "Look at" },
      { type: "localImage", path: "/a.png", detail: undefined },
      { type: "text", text: "please" }
    ])
    assert.deepStrictEqual(Input.toItems([]), [])
  })

  it("makes pieces that the protocol accepts", () => {
    const check = Schema.encodeUnknownSync(UserInputParam, { onExcessProperty: "error" })
    const items = Input.toItems([
      "text",
      Input.image(new URL("https://example.org/a.png"), { detail: "high" }),
      Input.image("data:image/png;base64,AAAA"),
      Input.localImage("/a.png", { detail: "low" }),
      Input.skill({ name: "demo", path: "/skills/demo/SKILL.md" }),
      Input.mention({ name: "file", path: "/a.ts" })
    ])
    for (const item of items) assert.deepStrictEqual(check(item), item)
    assert.deepInclude(items[1], { type: "image", url: "https://example.org/a.png", detail: "high" })
  })
})
