/** Whether the links between the pages of the built site lead somewhere, to the anchor. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"

const unescape = (text: string): string => text.replaceAll("&amp;", "&").replaceAll("&quot;", "\"")

const attributes = (html: string, name: "href" | "id" | "src"): ReadonlyArray<string> =>
  [...html.matchAll(new RegExp(`\\s${name}="([^"]*)"`, "g"))].map(([, value = ""]) => unescape(value))

/** The links of a built site that name no file of it, or no element of the page that they lead to. */
export const deadLinks = Effect.fn("deadLinks")(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const files = new Set(yield* fs.readDirectory(folder, { recursive: true }))
  const pages = [...files].filter((file) => file.endsWith(".html"))
  const found = new Map<string, { readonly ids: ReadonlySet<string>; readonly links: ReadonlyArray<string> }>()
  for (const page of pages) {
    const html = yield* fs.readFileString(path.join(folder, page))
    const links = [...attributes(html, "href"), ...attributes(html, "src")].filter((link) => !/^[a-z]+:/.test(link))
    found.set(page, { ids: new Set(attributes(html, "id")), links })
  }
  const dead: Array<string> = []
  let links = 0
  for (const [page, { links: all }] of found) {
    for (const link of all) {
      links++
      const [target = "", anchor = ""] = link.split("#", 2).map(decodeURIComponent)
      const file = target === "" ? page : path.join(path.dirname(page), target.replace(/\?.*$/, ""))
      if (!files.has(file)) dead.push(`${page}: ${link}`)
      else if (anchor !== "" && found.get(file)?.ids.has(anchor) === false) {
        dead.push(`${page}: ${link}: no such anchor`)
      }
    }
  }
  return { dead, links, pages: pages.length }
})
