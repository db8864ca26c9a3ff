/**
 * The process groups that this process has started. When it ends without closing
 * their scopes (`process.exit`, an uncaught error), they are killed on its way out.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"

interface Group {
  pid: number | undefined
  /** The group's leader has ended; other processes may be left in the group. */
  leaderEnded: boolean
}

/** A process that leads a group of its own. */
export interface Leader {
  readonly pid: number
}

const members = new Set<Group>()

/**
 * Runs an effect that starts a group's leader. The group is known from then on
 * until everything has been done that was added to the scope meanwhile.
 */
export const track = <A extends Leader, E, R>(
  start: Effect.Effect<A, E, R>
): Effect.Effect<readonly [leader: A, ended: Effect.Effect<void>], E, R | Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(Effect.sync(enter), (group) => Effect.sync(() => leave(group))),
    (group) =>
      Effect.map(start, (leader) => {
        group.pid = leader.pid
        return [leader, Effect.sync(() => leaderEnded(group))] as const
      })
  )

const enter = (): Group => {
  if (members.size === 0) process.on("exit", killAll)
  const group: Group = { pid: undefined, leaderEnded: false }
  members.add(group)
  return group
}

const leave = (group: Group): void => {
  members.delete(group)
  if (members.size === 0) process.off("exit", killAll)
}

const leaderEnded = (group: Group): void => {
  group.leaderEnded = true
  // The id of an empty group may be given to somebody else.
  if (group.pid !== undefined && process.platform !== "win32" && !exists(-group.pid)) group.pid = undefined
}

const killAll = (): void => {
  for (const { leaderEnded, pid } of members) {
    if (pid === undefined) continue
    // As long as a group has members its id is not given to a new process: then this is not the group that was started.
    if (leaderEnded && (process.platform === "win32" || exists(pid))) continue
    const kill = killing(pid)
    try {
      if (kill._tag === "Signal") process.kill(kill.pid, kill.signal)
      else spawnSync(kill.command, kill.args, { stdio: "ignore", timeout: TASKKILL_TIMEOUT, windowsHide: true })
    } catch {
      // It has ended.
    }
  }
}

/** How long the end of this process may wait for `taskkill`. */
const TASKKILL_TIMEOUT = 5_000

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** How a leader is ended with everything that it has started. */
export type Killing =
  | { readonly _tag: "Signal"; readonly pid: number; readonly signal: NodeJS.Signals }
  | { readonly _tag: "Command"; readonly command: string; readonly args: ReadonlyArray<string> }

/**
 * Elsewhere than on Windows a signal reaches the whole group. Windows has no groups;
 * `taskkill` follows the tree, and is named in full, since a bare name would be
 * looked for in the working directory first.
 */
export const killing = (
  pid: number,
  platform: string = process.platform,
  systemRoot: string | undefined = process.env["SystemRoot"]
): Killing =>
  platform === "win32"
    ? {
      _tag: "Command",
      command: `${systemRoot ?? "C:\\Windows"}\\System32\\taskkill.exe`,
      args: ["/PID", String(pid), "/T", "/F"]
    }
    : { _tag: "Signal", pid: -pid, signal: "SIGKILL" }
