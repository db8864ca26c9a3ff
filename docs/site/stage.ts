/**
 * The pages as the site has them. They keep their places, so that their links to each other hold; a source file that a page
 * links to becomes a page itself.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"

/** What the site is made of besides the reference. */
export interface Staged {
  readonly readme: string
  /** The pages below the README, in the order in which they are to be read. */
  readonly documents: ReadonlyArray<string>
}

/** The order of reading; a page that is not named comes after those that are. */
const order = [
  "getting-started",
  "guide",
  "cli",
  "faq",
  "cli",
  "guarantees",
  "performance",
  "app-server",
  "protocol-coverage"
]

const rank = (name: string): number => {
  const at = order.indexOf(name)
  return at === -1 ? order.length : at
}

const titleOf = (markdown: string, fallback: string): string => /^# (.+)$/m.exec(markdown)?.[1] ?? fallback

const withFrontMatter = (title: string, children: ReadonlyArray<string>, markdown: string): string =>
  [
    "---",
    `title: ${JSON.stringify(title)}`,
    ...(children.length === 0 ? [] : ["children:", ...children.map((child) => `  - ${JSON.stringify(child)}`)]),
    "---",
    "",
    markdown
  ].join("\n")

/** The comment that a file begins with, without its commands. */
const headOf = (code: string): string => {
  const comment = /^\/\*\*([^]*?)\*\//.exec(code)?.[1] ?? ""
  const [paragraph = ""] = comment.split("\n").map((line) => line.replace(/^ *\* ?/, "")).join("\n").trim().split(
    "\n\n"
  )
  return paragraph.replaceAll("\n", " ")
}

const fenced = (code: string): string => `\`\`\`ts\n${code.trimEnd()}\n\`\`\`\n`

/** Links to source files, and to the folder of the examples; relative to the page. */
const sourceLink = /(?<=\]\()(?!https?:)[^)#]+\.ts(?=[)#])/g
const examplesLink = /(?<=\]\()((?:\.\.\/)*examples)\/?(?=\))/g

/** Writes the pages of the repository at `root` below `folder`. */
export const stage = Effect.fn("stage")(function*(root: string, folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const read = (file: string) => fs.readFileString(path.join(root, file))
  const put = Effect.fnUntraced(function*(file: string, content: string) {
    yield* fs.makeDirectory(path.join(folder, path.dirname(file)), { recursive: true })
    yield* fs.writeFileString(path.join(folder, file), content)
  })
  const sources = new Set<string>()

  const page = Effect.fnUntraced(function*(file: string) {
    const markdown = yield* read(file)
    for (const [target] of markdown.matchAll(sourceLink)) sources.add(path.join(path.dirname(file), target))
    const content = markdown.replaceAll(sourceLink, "$&.md").replaceAll(examplesLink, "$1/README.md")
    yield* put(file, file === "README.md" ? content : withFrontMatter(titleOf(markdown, file), [], content))
    return path.join(folder, file)
  })

  const names = (yield* fs.readDirectory(path.join(root, "docs"))).filter((name) => name.endsWith(".md"))
    .map((name) => name.slice(0, -".md".length)).sort((a, b) => rank(a) - rank(b) || a.localeCompare(b, "en"))
  const readme = yield* page("README.md")
  const pages = yield* Effect.forEach(names, (name) => page(`docs/${name}.md`))
  const more = yield* Effect.forEach(
    yield* Effect.filter(["CHANGELOG.md", "CONTRIBUTING.md"], (file) => fs.exists(path.join(root, file))),
    page
  )

  const linked = [...sources].filter((file) => file.startsWith("examples/")).map((file) => path.basename(file))
  const numbered = (yield* fs.readDirectory(path.join(root, "examples"))).filter((name) => /^\d.*\.ts$/.test(name))
  const examples = [...new Set([...numbered, ...linked])].sort()
  const sourcePage = Effect.fnUntraced(function*(file: string, title: string) {
    const code = yield* read(file)
    yield* put(`${file}.md`, withFrontMatter(title, [], `# ${title}\n\n\`${file}\`\n\n${fenced(code)}`))
    return headOf(code)
  })
  const rows = yield* Effect.forEach(examples, (name) =>
    Effect.map(
      sourcePage(`examples/${name}`, name.replace(/\.ts$/, "")),
      (head) => `- [${name.replace(/\.ts$/, "")}](${name}.md): ${head}`
    ))
  yield* put(
    "examples/README.md",
    withFrontMatter(
      "Examples",
      examples.map((name) => `./${name}.md`),
      [
        "# Examples",
        "",
        "Each is a whole program. It runs on the offline model, and with `--live` on the real one:",
        "`npm run example examples/02-run.ts`, `npm run example examples/02-run.ts -- --live`.",
        "",
        ...rows,
        ""
      ].join("\n")
    )
  )

  const proofs = [...sources].filter((file) => !file.startsWith("examples/")).sort()
  yield* Effect.forEach(proofs, (file) => sourcePage(file, file.replace(/^packages\/|\.test\.ts$|\.ts$/g, "")))
  yield* put(
    "test/README.md",
    withFrontMatter(
      "Proofs",
      proofs.map((file) => `../${file}.md`),
      [
        "# Proofs",
        "",
        "The tests that the [guarantees](../docs/guarantees.md) name.",
        "",
        ...proofs.map((file) => `- [${file}](../${file}.md)`),
        ""
      ].join("\n")
    )
  )

  const [start = [], rest = []] = [pages.slice(0, 3), pages.slice(3)]
  return {
    readme,
    documents: [
      ...start,
      path.join(folder, "examples/README.md"),
      ...rest,
      path.join(folder, "test/README.md"),
      ...more
    ]
  } satisfies Staged
})
