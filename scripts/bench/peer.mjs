/**
 * The same with the official TypeScript SDK: `peer.mjs TASK EXECUTABLE HOME PACKAGES` prints what it measured as JSON. It
 * starts `codex exec` for each turn and has no deltas and no requests.
 */
import { performance } from "node:perf_hooks"
import { pathToFileURL } from "node:url"

const [json, executable, home, packages] = process.argv.slice(2)
const task = JSON.parse(json)
const start = performance.now()
const { Codex } = await import(pathToFileURL(`${packages}/node_modules/@openai/codex-sdk/dist/index.js`).href)
const imported = performance.now() - start

const env = { ...process.env, ...(home === "" ? {} : { CODEX_HOME: home }) }
const thread = new Codex({ codexPathOverride: executable, env }).startThread({ skipGitRepoCheck: true })

const stopwatch = () => {
  const start = performance.now()
  const cpu = process.cpuUsage()
  return () => {
    const { system, user } = process.cpuUsage(cpu)
    return { wall: performance.now() - start, cpu: (user + system) / 1000 }
  }
}

const stream = async (events) => {
  let seen = 0
  const streamed = await thread.runStreamed(JSON.stringify({ events }))
  for await (const _ of streamed.events) seen++
  return seen
}

const perform = async () => {
  switch (task.name) {
    case "import":
      return { wall: imported }
    case "stream": {
      await stream(task.events * 0.1)
      const stop = stopwatch()
      return { events: await stream(task.events), ...stop() }
    }
    case "run": {
      const times = []
      for (let index = 0; index < task.turns; index++) {
        const stop = stopwatch()
        await thread.run("Say hello.")
        times.push(stop().wall)
      }
      return { wall: times.sort((a, b) => a - b)[times.length >> 1] }
    }
    default:
      return {}
  }
}

process.stdout.write(JSON.stringify(await perform()))
process.exit(0)
