/**
 * Finds the processes that a process has started, and that those have started, also
 * where they lead a session of their own, as the commands of the agent do. No signal to
 * the group reaches such a process.
 */
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"

/** The variable that marks a process and whatever inherits its environment. */
export const MARK = "EFFECT_CODEX_PROCESS"

/** A process that runs. */
export interface Entry {
  readonly pid: number
  readonly parent: number
  readonly marked: boolean
}

/**
 * The descendants that run, without the leader. On Linux they are known by their parents
 * and by the mark, which stays when a parent ends first; elsewhere, and where `/proc` is
 * not to be read (`node --permission`), by their parents, as long as the leader lives. On
 * Windows `taskkill` finds them itself.
 */
export const find = (leader: number | undefined, mark: string): ReadonlyArray<number> => {
  switch (process.platform) {
    case "win32":
      return []
    case "linux": {
      const entries = fromProc(mark)
      return entries === undefined ? byParents(leader) : among(entries, leader)
    }
    default:
      return byParents(leader)
  }
}

const byParents = (leader: number | undefined): ReadonlyArray<number> =>
  leader === undefined ? [] : among(fromPs(ps()), leader)

/** Those that are marked or come from the leader, with all that come from them. */
export const among = (entries: ReadonlyArray<Entry>, leader: number | undefined): ReadonlyArray<number> => {
  const children = new Map<number, Array<number>>()
  for (const { parent, pid } of entries) {
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [pid])
    else siblings.push(pid)
  }
  const found = new Set<number>(leader === undefined ? [] : [leader])
  for (const { marked, pid } of entries) if (marked) found.add(pid)
  // A set is walked to its end, also what is added on the way.
  for (const pid of found) for (const child of children.get(pid) ?? []) found.add(child)
  if (leader !== undefined) found.delete(leader)
  found.delete(process.pid)
  return Array.from(found)
}

const fromProc = (mark: string): ReadonlyArray<Entry> | undefined =>
  namesInProc()?.flatMap((name) => {
    const pid = Number(name)
    if (!Number.isInteger(pid)) return []
    try {
      // pid (command) state parent ...; the command may hold anything.
      const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? []
      return state === "Z" || state === "X" ? [] : [{ pid, parent: Number(parent), marked: isMarked(pid, mark) }]
    } catch {
      // It has ended meanwhile.
      return []
    }
  })

const namesInProc = (): ReadonlyArray<string> | undefined => {
  try {
    return readdirSync("/proc")
  } catch {
    // Not to be read by this process.
    return undefined
  }
}

const isMarked = (pid: number, mark: string): boolean => {
  try {
    return readFileSync(`/proc/${pid}/environ`).includes(`${MARK}=${mark}\0`)
  } catch {
    // Somebody else's.
    return false
  }
}

/** How long the end of this process may wait for `ps`. */
const PS_TIMEOUT = 2_000

const ps = (): string =>
  spawnSync("/bin/ps", ["-axo", "pid=,ppid=,stat="], { encoding: "utf8", timeout: PS_TIMEOUT }).stdout ?? ""

/** The processes in the output of `ps -axo pid=,ppid=,stat=`. */
export const fromPs = (output: string): ReadonlyArray<Entry> =>
  output.split("\n").flatMap((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/)
    return pid === undefined || parent === undefined || pid === "" || state?.startsWith("Z") === true
      ? []
      : [{ pid: Number(pid), parent: Number(parent), marked: false }]
  })
