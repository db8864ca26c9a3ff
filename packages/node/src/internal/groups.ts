/**
 * The process groups that this process has started, and what they have started in turn.
 * When it ends without closing their scopes (`process.exit`, an uncaught error), they
 * are killed on its way out.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Descendants from "./descendants.ts"

interface Group {
  /** What the leader and its descendants have in their environment. */
  readonly mark: string
  pid: number | undefined
  /** The group's leader has ended; other processes may be left in the group. */
  leaderEnded: boolean
}

/** A process that leads a group of its own. */
export interface Leader {
  readonly pid: number
}

const groups = new Set<Group>()

/**
 * Runs an effect that starts a group's leader with the given environment. The group is
 * known from then on. When everything has been done that was added to the scope
 * meanwhile, descendants that have left the group and still run get SIGTERM, and after
 * the grace SIGKILL.
 */
export const track = <A extends Leader, E, R>(
  grace: Duration.Duration,
  start: (env: Readonly<Record<string, string>>) => Effect.Effect<A, E, R>
): Effect.Effect<readonly [leader: A, ended: Effect.Effect<void>], E, R | Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(enter),
      (group) => Effect.ensuring(sweep(group, grace), Effect.sync(() => leave(group)))
    ),
    (group) =>
      Effect.map(start({ [Descendants.MARK]: group.mark }), (leader) => {
        group.pid = leader.pid
        return [leader, Effect.sync(() => leaderEnded(group))] as const
      })
  )

const enter = (): Group => {
  if (groups.size === 0) process.on("exit", killAll)
  const group: Group = { mark: randomUUID(), pid: undefined, leaderEnded: false }
  groups.add(group)
  return group
}

const leave = (group: Group): void => {
  groups.delete(group)
  if (groups.size === 0) process.off("exit", killAll)
}

const leaderEnded = (group: Group): void => {
  group.leaderEnded = true
  // The id of an empty group may be given to somebody else.
  if (group.pid !== undefined && process.platform !== "win32" && !exists(-group.pid)) group.pid = undefined
}

// =============================================================================
// When the scope closes
// =============================================================================

/** How often one looks whether the last of them have ended. */
const POLL = 50

const sweep = ({ mark }: Group, grace: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => {
    // The leader has ended, so that its id says nothing any more.
    const remaining = () => Descendants.find(undefined, mark)
    const found = remaining()
    if (found.length === 0) return Effect.void
    signalAll(found, "SIGTERM")
    return Effect.andThen(
      none(remaining, Duration.toMillis(grace)),
      Effect.sync(() => signalAll(remaining(), "SIGKILL"))
    )
  })

/** Waits until there is none, in real time, as processes live in it. */
const none = (remaining: () => ReadonlyArray<number>, milliseconds: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const deadline = performance.now() + milliseconds
    const timer = setInterval(() => {
      if (performance.now() < deadline && remaining().length > 0) return
      clearInterval(timer)
      resume(Effect.void)
    }, POLL)
    return Effect.sync(() => clearInterval(timer))
  })

// =============================================================================
// When this process ends
// =============================================================================

const killAll = (): void => {
  for (const { leaderEnded, mark, pid } of groups) {
    // Before its parent is killed: then it is not known any more whose it was.
    const descendants = Descendants.find(leaderEnded ? undefined : pid, mark)
    // As long as a group has members its id is not given to a new process: then this is not the group that was started.
    const isAnother = leaderEnded && pid !== undefined && (process.platform === "win32" || exists(pid))
    if (pid !== undefined && !isAnother) kill(killing(pid))
    signalAll(descendants, "SIGKILL")
  }
}

const kill = (killing: Killing): void => {
  if (killing._tag === "Signal") return signal(killing.pid, killing.signal)
  spawnSync(killing.command, killing.args, { stdio: "ignore", timeout: TASKKILL_TIMEOUT, windowsHide: true })
}

/** How long the end of this process may wait for `taskkill`. */
const TASKKILL_TIMEOUT = 5_000

const signalAll = (pids: ReadonlyArray<number>, name: NodeJS.Signals): void => {
  for (const pid of pids) signal(pid, name)
}

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended.
  }
}

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** How a leader is ended with its group. */
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
