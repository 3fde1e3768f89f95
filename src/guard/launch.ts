// Starts the supervisor: detached, with an empty environment, in its own mount namespace. Any number of hosts may try at the
// same time; one supervisor comes up and all connect to it.
import { spawn } from "node:child_process"
import { closeSync, lstatSync, mkdirSync, openSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { AppError } from "../base/error.ts"
import { sha256 } from "../base/hash.ts"
import { isErrno } from "./errno.ts"
import type { Footing } from "./machine.ts"
import type { SupervisorConfig } from "./wire.ts"

export interface LaunchOptions {
  readonly node: string
  readonly entry: string
  readonly uid: number
  readonly config: SupervisorConfig
}

/** A unix socket's address has room for 107 bytes. */
const longestAddress = 100
const readyWithinMs = 20_000

/** Where the supervisor of a state folder listens. Throws `sandbox-failed` if the place for it belongs to somebody else. */
export function socketPath(stateDir: string, temporary: string, uid: number): string {
  const folder = join(stateDir, "supervisor")
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, "socket")
  if (Buffer.byteLength(path) <= longestAddress) return path
  const short = join(temporary, `chela-${uid}-${sha256(stateDir).slice(0, 16)}`)
  try {
    mkdirSync(short, { mode: 0o700 })
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error
  }
  const found = lstatSync(short)
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) throw new AppError("sandbox-failed", { detail: `not ours: ${short}` })
  return join(short, "socket")
}

/** Null if nobody listens there. */
export function connectTo(path: string): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once("connect", () => resolve(socket.off("error", reject)))
    socket.once("error", (error) => {
      if (isErrno(error, "ENOENT", "ECONNREFUSED", "ECONNRESET")) resolve(null)
      else reject(error)
    })
  })
}

/** Resolves when a supervisor is ready, ours or one that was quicker. */
export async function launchSupervisor(options: LaunchOptions): Promise<void> {
  const footings: readonly Footing[] = options.uid === 0 ? ["root", "plain"] : ["user", "plain"]
  for (const footing of footings) if (await tryToLaunch(options, footing)) return
  throw new AppError("sandbox-failed", { detail: "the supervisor does not start; see supervisor/log in the state folder" })
}

function wrapperOf(footing: Footing): readonly string[] {
  switch (footing) {
    case "root":
      return ["unshare", "--mount", "--propagation", "private", "--"]
    case "user":
      return ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "--"]
    case "plain":
      return []
  }
}

/** False if it ended before it was ready. */
function tryToLaunch({ node, entry, config }: LaunchOptions, footing: Footing): Promise<boolean> {
  const log = openSync(join(config.stateDir, "supervisor", "log"), "a", 0o600)
  const words = [...wrapperOf(footing), node, ...memoryFlags, "--disable-warning=ExperimentalWarning", entry, JSON.stringify(config), footing]
  const [program = node, ...args] = words
  const paths = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
  // Only a name needs the path, and only unshare(1) is one: the supervisor itself starts with an empty environment.
  const found = program.includes("/") ? program : (paths.map((path) => join(path, program)).find(exists) ?? program)
  const child = spawn(found, args, { env: {}, cwd: "/", detached: true, stdio: ["ignore", "pipe", log] })
  closeSync(log)
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle(false), readyWithinMs)
    const settle = (ready: boolean): void => {
      clearTimeout(timer)
      child.stdout?.destroy()
      child.unref()
      resolve(ready)
    }
    child.stdout?.once("data", () => settle(true))
    child.once("error", () => settle(false))
    // Another one is there already.
    child.once("exit", (code) => settle(code === 75))
  })
}

/** It holds little, so it may keep little. */
const memoryFlags = ["--max-old-space-size=128", "--max-semi-space-size=1", "--single-threaded-gc"] as const

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}
