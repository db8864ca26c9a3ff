import { Codex, Input } from "@effect-codex/core"
import { type ModelRequest, OfflineCodex } from "@effect-codex/node/testing"
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { asked, failure, itemsOf, live } from "./support.ts"

/** A PNG of one pixel. */
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
const pngUrl = `data:image/png;base64,${png}`

const Parts = Schema.Array(Schema.Struct({
  type: Schema.String,
  text: Schema.optionalKey(Schema.String),
  image_url: Schema.optionalKey(Schema.String),
  detail: Schema.optionalKey(Schema.String)
}))
const decodeParts = Schema.decodeUnknownSync(Parts)

/** The parts of the user messages of a request, one array per message; the first message is the environment. */
const userParts = (request: ModelRequest): ReadonlyArray<typeof Parts.Type> =>
  request.input.filter((entry) => entry.role === "user").map((entry) => decodeParts(entry.content)).slice(1)

const isImage = (part: (typeof Parts.Type)[number]) => part.type === "input_image"

layer(OfflineCodex.layer().pipe(Layer.provideMerge(NodeServices.layer)), live)("input", (it) => {
  const ask = (input: Input.TurnInput, cwd?: string) =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread({ cwd })
      const result = yield* thread.run(input)
      assert.strictEqual(result.status, "completed")
      const request = yield* asked(thread.id)
      return { result, request, parts: userParts(request) }
    })

  const inDirectory = <A, E, R>(
    use: (directory: string, fs: FileSystem.FileSystem, path: Path.Path) => Effect.Effect<A, E, R>
  ) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      return yield* use(yield* fs.makeTempDirectoryScoped({ prefix: "codex-input-" }), fs, path)
    })

  it.effect("of several texts arrives in one message", () =>
    Effect.gen(function*() {
      const { parts, result } = yield* ask(["One", Input.text("Two")])
      assert.deepStrictEqual(parts, [[{ type: "input_text", text: "One" }, { type: "input_text", text: "Two" }]])
      const [message] = itemsOf(result.items, "userMessage")
      assert.deepStrictEqual(message?.content.map((part) => part.type), ["text", "text"])
    }))

  it.effect("keeps what JSON and lines have to escape", () =>
    Effect.gen(function*() {
      const text = "a \"quote\", a \\, a tab\t, lines\r\n\u2028\u2029 and 🦀 \u0007 é"
      const { request, result } = yield* ask(text)
      assert.strictEqual(request.text, text)
      const [message] = itemsOf(result.items, "userMessage")
      assert.deepStrictEqual(message?.content.map((part) => part.type === "text" ? part.text : null), [text])
    }))

  it.effect("may be large", () =>
    Effect.gen(function*() {
      const text = "0123456789abcdef".repeat(40_000)
      const { request } = yield* ask(text)
      assert.strictEqual(request.text.length, text.length)
      assert.isTrue(request.text === text)
    }))

  it.effect("of an image arrives as that image", () =>
    Effect.gen(function*() {
      const { parts, request } = yield* ask(["What is this?", Input.image(pngUrl)])
      assert.strictEqual(request.text, "What is this?")
      const images = parts.flat().filter(isImage)
      assert.deepStrictEqual(images.map((part) => part.image_url), [pngUrl])
    }))

  it.effect("of an image says how closely to look, which the server may not support", () =>
    Effect.gen(function*() {
      const { parts, request } = yield* ask(Input.image(new URL(pngUrl), { detail: "low" }))
      assert.deepStrictEqual(parts.flat().filter(isImage), [])
      assert.include(request.text, "detail 'low' is not supported")
    }))

  it.effect("of a remote image is refused", () =>
    Effect.gen(function*() {
      const codex = yield* Codex
      const thread = yield* codex.startThread()
      const error = yield* failure(
        thread.run(["Look", Input.image("https://user:hunter2@example.com/secret.png")]),
        "InvalidRequest"
      )
      assert.strictEqual(error.method, "turn/start")
      assert.include(error.message, "remote image URLs are not supported")
      assert.notInclude(error.message, "hunter2")
      // Nothing has started: the thread takes its first turn.
      const result = yield* thread.run("Never mind")
      assert.strictEqual(result.status, "completed")
      assert.strictEqual((yield* asked(thread.id)).text, "Never mind")
    }))

  it.effect("of an image file arrives with its name and content", () =>
    inDirectory((directory, fs, path) =>
      Effect.gen(function*() {
        const file = path.join(directory, "pixel.png")
        yield* fs.writeFile(file, Buffer.from(png, "base64"))
        const { parts, request } = yield* ask(["Look at this", Input.localImage(file)])
        assert.include(request.text, "Look at this")
        assert.include(request.text, file)
        const images = parts.flat().filter(isImage)
        assert.strictEqual(images.length, 1)
        assert.match(images[0]?.image_url ?? "", /^data:image\/png;base64,/)
      })
    ))

  it.effect("of an image file is found from the app-server's directory, wherever the thread is", () =>
    inDirectory((directory, fs, path) =>
      Effect.gen(function*() {
        yield* fs.writeFile(path.join(directory, "pixel.png"), Buffer.from(png, "base64"))
        const thread = path.join(directory, "thread")
        yield* fs.makeDirectory(thread)
        const { parts } = yield* ask(Input.localImage("pixel.png"), thread).pipe(
          Effect.provide(OfflineCodex.layer({ codex: { cwd: directory } }))
        )
        assert.strictEqual(parts.flat().filter(isImage).length, 1)
      })
    ))

  it.effect("of an image file that is not there tells the model so", () =>
    inDirectory((directory, _, path) =>
      Effect.gen(function*() {
        const { parts, request } = yield* ask(Input.localImage(path.join(directory, "none.png")))
        assert.include(request.text, "could not read the local image")
        assert.strictEqual(parts.flat().filter(isImage).length, 0)
      })
    ))

  it.effect("of a skill brings the skill's instructions", () =>
    inDirectory((directory, fs, path) =>
      Effect.gen(function*() {
        const skill = path.join(directory, ".agents", "skills", "demo")
        yield* fs.makeDirectory(skill, { recursive: true })
        const file = path.join(skill, "SKILL.md")
        yield* fs.writeFileString(file, "---\nname: demo\ndescription: A demo.\n---\nAlways answer in haiku.\n")
        const { parts, result } = yield* ask(["Do it", Input.skill({ name: "demo", path: file })], directory)
        const texts = parts.flat().map((part) => part.text ?? "")
        assert.include(texts, "Do it")
        const brought = texts.find((text) => text.startsWith("<skill>")) ?? assert.fail("The skill did not arrive")
        assert.include(brought, "<name>demo</name>")
        assert.include(brought, "Always answer in haiku.")
        const [message] = itemsOf(result.items, "userMessage")
        assert.deepStrictEqual(message?.content.map((part) => part.type), ["text", "skill"])
      })
    ))

  it.effect("of a mention stays with the user's message", () =>
    Effect.gen(function*() {
      const notes = { name: "notes", path: "/tmp/notes.md" }
      const { parts, result } = yield* ask(["See", Input.mention(notes)])
      assert.deepStrictEqual(parts, [[{ type: "input_text", text: "See" }]])
      const [message] = itemsOf(result.items, "userMessage")
      assert.deepStrictEqual(message?.content.at(1), { type: "mention", ...notes })
    }))

  it.effect("of somebody else is the output of a tool to the model, and no message of the user", () =>
    Effect.gen(function*() {
      const text = Input.externalMessage({ toolName: "inbox", content: "You have mail" })
      const { parts, request, result } = yield* ask(text)
      assert.deepStrictEqual(parts, [])
      assert.deepInclude(request.input.at(-1), { type: "function_call_output", name: "inbox", output: "You have mail" })
      assert.deepStrictEqual(itemsOf(result.items, "userMessage"), [])
      assert.deepInclude(itemsOf(result.items, "functionCallOutput")[0], { name: "inbox", output: "You have mail" })
      const content = [{ type: "input_text", text: "Look" }, { type: "input_image", image_url: pngUrl }] as const
      const { request: next } = yield* ask(Input.externalMessage({ toolName: "inbox", namespace: "mail", content }))
      assert.deepInclude(next.input.at(-1), { name: "inbox", namespace: "mail", output: content })
    }))

  it.effect("of somebody else that names no tool is refused", () =>
    Effect.gen(function*() {
      const error = yield* failure(ask(Input.externalMessage({ toolName: "", content: "Hello" })), "InvalidRequest")
      assert.include(error.message, "name")
    }))
})
