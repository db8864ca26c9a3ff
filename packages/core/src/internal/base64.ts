/** Bytes as the protocol has them: text in Base64. */
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import { DecodeError } from "../CodexError.ts"

export const encode: (input: Uint8Array | string) => string = Base64.encode

/** How many bytes the text stands for. */
export const byteLength = (text: string): number => {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0
  return Math.floor((text.length * 3) / 4) - padding
}

/** Whether a field of the protocol holds Base64. */
export const isField = (name: string): boolean => name.endsWith("Base64")

/**
 * The same with what it stands for rewritten, read as UTF-8. Where there is something to
 * rewrite, bytes that are no text are lost.
 */
export const rewrite = (text: string, rewritten: (content: string) => string): string =>
  Result.match(Base64.decode(text), {
    onFailure: () => rewritten(text),
    onSuccess: (bytes) => {
      const content = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
      const after = rewritten(content)
      return after === content ? text : Base64.encode(after)
    }
  })

/** The bytes, or the error that tells which field of the method's payload holds none. */
export const decode = (
  text: string,
  origin: { readonly method: string; readonly payload: "result" | "notification"; readonly path: string }
): Result.Result<Uint8Array, DecodeError> =>
  Result.mapError(
    Base64.decode(text),
    () =>
      new DecodeError({
        method: origin.method,
        payload: origin.payload,
        issues: [{ path: origin.path, expected: "Expected bytes in Base64" }]
      })
  )
