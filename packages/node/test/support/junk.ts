/** The body of a fake app-server that writes whatever junk it is asked for, and then the answer. */

const mebibyte = 1024 * 1024

/** Each request `model/list` names in `cursor` what comes before its answer. */
export const body = `
const raw = (bytes) => {
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += fs.writeSync(1, bytes, sent)
    } catch (error) {
      if (error.code !== "EAGAIN") throw error
    }
  }
}
const warning = (message) => JSON.stringify({ method: "warning", params: { message, threadId: null } })
const answer = (id) => ({ id, result: { data: [], nextCursor: null } })
const junk = {
  none: () => {},
  lines: () => {
    for (const line of ["panic: at the disco", "{", "nul", "[1]", "7", "\\"text\\"", "{}", "{\\"id\\":{}}"]) write(line)
  },
  crlf: () => raw(Buffer.from("\\r\\n\\r\\n" + warning("with CR LF") + "\\r\\n")),
  utf8: () => raw(Buffer.concat([
    Buffer.from('{"method":"warning","params":{"message":"a'), Buffer.from([0xff, 0xc3, 0x28]), Buffer.from('z"}}\\n')
  ])),
  surrogates: () => write('{"method":"warning","params":{"message":"\\\\ud800 and \\\\udc00"}}'),
  ids: (id) => {
    send(answer(String(id)))
    send(answer(999999))
    send(answer(-1))
    send(answer(0.5))
    send(answer("nobody"))
    send({ id: null, error: { code: -32700, message: "Parse error" } })
  },
  twice: (id) => send(answer(id)),
  deep: () => {
    const depth = 200000
    write('{"method":"warning","params":' + "[".repeat(depth) + "]".repeat(depth) + "}")
    write('{"method":"warning","params":{"message":"deep","extra":' + '{"a":'.repeat(5000) + "1" + "}".repeat(5000) + "}}")
  },
  proto: () => {
    write('{"__proto__":{"polluted":1},"method":"warning","params":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"message":"proto"}}')
    write('{"method":"__proto__","params":{"polluted":1}}')
    write('{"method":"constructor","params":{}}')
    write('{"id":"toString","method":"hasOwnProperty","params":{}}')
  },
  bytes: () => {
    const bytes = Buffer.from(warning("é€😀 byte by byte") + "\\n")
    for (const byte of bytes) raw(Buffer.of(byte))
  },
  stderr: () => {
    const block = Buffer.from(("flood ".repeat(20) + "\\n").repeat(8192))
    for (let written = 0; written < 100 * ${mebibyte};) {
      try {
        written += fs.writeSync(2, block)
      } catch (error) {
        if (error.code !== "EAGAIN") throw error
      }
    }
    // A line without an end.
    fs.writeSync(2, "x".repeat(1000))
  }
}
onMessage(({ id, method, params }) => {
  if (method !== "model/list") return
  const what = params.cursor
  if (what === "half") {
    raw(Buffer.from('{"method":"warning","params":{"message":"half'))
    process.exit(3)
  }
  if (what === "huge") {
    raw(Buffer.from('{"id":' + id + ',"result":{"data":[],"nextCursor":"'))
    const block = Buffer.alloc(${mebibyte}, 0x78)
    for (let index = 0; index < 64; index++) raw(block)
    return raw(Buffer.from('"}}\\n'))
  }
  junk[what](id)
  send(answer(id))
})
process.stdin.on("end", () => process.exit(0))`
