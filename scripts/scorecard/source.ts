/** Which methods of the protocol a source file calls or names. */

const withoutComments = (source: string): string => source.replace(/\/\*[^]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "")

const matches = (source: string, pattern: RegExp): ReadonlyArray<string> => [
  ...new Set([...withoutComments(source).matchAll(pattern)].map((match) => match[1] ?? ""))
]

/** The methods that it calls: the first argument of a request, or of what opens a turn. */
export const callsIn = (source: string): ReadonlyArray<string> =>
  matches(source, /\b(?:request|openTurn|call)\(\s*"([^"]+)"/g)

/**
 * The methods that it reads or answers, outside of comments: a method with a slash wherever it stands, one without only
 * where it can be nothing else.
 */
export const readsIn = (source: string): ReadonlyArray<string> => [
  ...matches(source, /"([A-Za-z_]+(?:\/[A-Za-z_]+)+)"/g),
  ...matches(source, /(?:\bon\(|\bmethod === |\bcase )"([A-Za-z_]+)"/g),
  ...matches(source, /^\s*"?([A-Za-z_]+Approval)"?:/gm)
]
