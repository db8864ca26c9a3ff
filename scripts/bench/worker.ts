/** Runs one task with one driver and prints what it measured: `worker.ts floor|effect|sdk TASK EXECUTABLE HOME`. */
import type { Task } from "./task.ts"

const [driver, json = "", executable = "", home] = process.argv.slice(2)
const task: Task = JSON.parse(json)

const load = () => {
  // Imports are measured by the driver that imports nothing itself.
  if (driver === "sdk" && task.name !== "import") return import("./sdk.ts")
  return driver === "effect" ? import("./effect.ts") : import("./floor.ts")
}

const { drive } = await load()
// What the import has left behind is part of the import.
if (task.name === "ready") globalThis.gc?.()
process.stdout.write("\n" + JSON.stringify(await drive({ executable, home }, task)))
setTimeout(() => process.exit(0), 0)
