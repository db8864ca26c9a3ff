// A small MCP server on stdio: three tools, a resource, and a question to the user.
import { createInterface } from "node:readline"

const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)
const text = (value) => ({ content: [{ type: "text", text: value }] })
const waiting = new Map()
let nextId = 1

const elicit = (params) =>
  new Promise((resolve) => {
    const id = `elicit-${nextId++}`
    waiting.set(id, resolve)
    send({ id, method: "elicitation/create", params })
  })

const tools = {
  echo: (args) => ({ ...text(`You said: ${args.say}`), structuredContent: { said: args.say } }),
  fail: () => ({ ...text("It did not work"), isError: true }),
  ask: async () => {
    const answer = await elicit({
      message: "What is your name?",
      requestedSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] }
    })
    return text(JSON.stringify(answer))
  }
}

const results = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: {}, resources: {} },
    serverInfo: { name: "fake", version: "1.2.3" }
  }),
  ping: () => ({}),
  "tools/list": () => ({
    tools: Object.keys(tools).map((name) => ({
      name,
      description: `The tool ${name}`,
      inputSchema: { type: "object", properties: { say: { type: "string" } } },
      annotations: { readOnlyHint: true }
    }))
  }),
  "tools/call": (params) => {
    const progressToken = params._meta?.progressToken
    if (progressToken !== undefined) {
      send({
        method: "notifications/progress",
        params: { progressToken, progress: 1, total: 1, message: "Nearly there" }
      })
    }
    return tools[params.name](params.arguments ?? {})
  },
  "resources/list": () => ({
    resources: [{ uri: "fake://greeting", name: "Greeting", mimeType: "text/plain" }]
  }),
  "resources/templates/list": () => ({ resourceTemplates: [] }),
  "resources/read": ({ uri }) => {
    if (uri !== "fake://greeting") throw new Error(`no resource ${uri}`)
    return { contents: [{ uri, mimeType: "text/plain", text: "Hello from a resource" }] }
  }
}

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { id, method, params, result, error } = JSON.parse(line)
  if (method === undefined) {
    waiting.get(id)?.(result ?? error)
    waiting.delete(id)
    return
  }
  if (id === undefined) return
  try {
    const answer = results[method]
    if (answer === undefined) send({ id, error: { code: -32601, message: `no method ${method}` } })
    else send({ id, result: await answer(params ?? {}) })
  } catch (cause) {
    send({ id, error: { code: -32602, message: String(cause.message) } })
  }
})
