/** Ids of threads: UUIDs, which the server takes in all of their spellings, and tells in one. */

const hyphenated = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
const spellings = new RegExp(`^(?:${hyphenated}|[0-9a-f]{32}|urn:uuid:${hyphenated}|\\{${hyphenated}\\})$`, "i")

/** As the server tells it. What is no id is left as it is, for the server to refuse. */
export const canonical = (id: string): string => {
  if (!spellings.test(id)) return id
  const hex = id.toLowerCase().replace("urn:uuid:", "").replaceAll(/[{}-]/g, "")
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
}

/** What is asked of a thread, by the id with which the server tells of it. */
export const inParams = <P extends { readonly threadId: string }>(params: P): P => ({
  ...params,
  threadId: canonical(params.threadId)
})
