// The supervisor: a small process outside the host, one for each state folder, that runs every command and survives the host.
// Started with an empty environment and a private mount namespace; whoever kills it kills what it runs.
import { closeSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { type Footing, type Machine, openMachine } from "./machine.ts"
import { listen } from "./server.ts"
import { nameOf } from "./process.ts"
import type { SupervisorConfig } from "./wire.ts"

/** Exit code that says: another one serves this state folder. */
const takenExitCode = 75

/** The operating system drops this lock the moment the process ends, however it ends. */
function lock(folder: string): DatabaseSync | null {
  const db = new DatabaseSync(join(folder, "lock"))
  try {
    db.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
    return db
  } catch {
    db.close()
    return null
  }
}

/** A descriptor that whoever started the host forgot to close would otherwise be open in every command. */
function closeInherited(): void {
  for (const fd of readdirSync("/proc/self/fd").map(Number)) {
    if (fd <= 2) continue
    try {
      const flags = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0"
      const closesOnExec = (parseInt(flags, 8) & 0o2000000) !== 0
      if (!closesOnExec) closeSync(fd)
    } catch {
      // The descriptor of the listing itself.
    }
  }
}

async function main(): Promise<number> {
  process.umask(0o022)
  closeInherited()
  const config = JSON.parse(process.argv[2] ?? "{}") as SupervisorConfig
  const footing = (process.argv[3] ?? "plain") as Footing
  const folder = join(config.stateDir, "supervisor")
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const held = lock(folder)
  if (!held) return takenExitCode
  let machine: Promise<Machine> | null = null
  const open = (): Promise<Machine> => {
    machine ??= openMachine(config, footing)
    return machine
  }
  void open().catch((error: unknown) => process.stderr.write(`${String(error)}\n`))
  const { finished } = await listen({ socket: config.socket, version: config.version, idleMs: config.idleMs, pid: nameOf(process.pid)?.pid ?? process.pid, machine: open })
  process.stdout.write("ready\n")
  await finished
  await (await open()).close()
  held.close()
  return 0
}

process.exitCode = await main()
process.exit()
