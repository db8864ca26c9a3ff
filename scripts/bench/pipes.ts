/** When a process is started by this one, and when lines pass its pipes: what lies between those is the process's own time. */
import { ChildProcess } from "node:child_process"
import { subscribe } from "node:diagnostics_channel"
import { performance } from "node:perf_hooks"
import type { Task } from "./task.ts"

/** How long the last turn was the server's, in milliseconds: to be called before the process is started. */
export const serverTimeOf = (task: Task): () => number =>
  task.name === "run" ? between("\"turn/start\"", "\"turn/completed\"") : () => Number.NaN

/** How long ago the last process was started, of those that are from now on, in milliseconds. */
export const sinceSpawn = (): () => number => {
  let spawned = Number.NaN
  subscribe("child_process", () => {
    spawned = performance.now()
  })
  return () => performance.now() - spawned
}

/** The time from the last question to the last answer, for the processes that are started from now on. */
const between = (question: string, answer: string): () => number => {
  let asked = Number.NaN
  let answered = Number.NaN
  subscribe("child_process", (message) => {
    const child = typeof message === "object" && message !== null && "process" in message ? message.process : undefined
    if (!(child instanceof ChildProcess)) return
    child.once("spawn", () => {
      const { stdin, stdout } = child
      if (stdin === null || stdout === null) return
      stdin.write = new Proxy(stdin.write, {
        apply: (write, self, args) => {
          if (String(args[0]).includes(question)) asked = performance.now()
          return Reflect.apply(write, self, args)
        }
      })
      stdout.push = new Proxy(stdout.push, {
        apply: (push, self, args) => {
          if (String(args[0]).includes(answer)) answered = performance.now()
          return Reflect.apply(push, self, args)
        }
      })
    })
  })
  return () => answered - asked
}
