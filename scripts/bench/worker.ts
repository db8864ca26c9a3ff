/** Runs one task with one driver and prints what it measured: `worker.ts floor|sdk TASK EXECUTABLE HOME`. */
import type { Task } from "./task.ts"

const [driver, json = "", executable = "", home] = process.argv.slice(2)
const task: Task = JSON.parse(json)

// Imports are measured by the driver that imports nothing itself.
const { drive } = await (driver === "sdk" && task.name !== "import" ? import("./sdk.ts") : import("./floor.ts"))
process.stdout.write("\n" + JSON.stringify(await drive({ executable, home }, task)))
setTimeout(() => process.exit(0), 0)
