// One host for each state folder. The lock is SQLite's own on a file of its own: the operating system drops it the moment
// its holder dies, however it dies. The note beside it says who that is.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { z } from "zod"
import { AppError, messageOf } from "../base/error.ts"

export interface HostLock {
  /** Safe to call twice. */
  release(): void
}

const noteSchema = z.object({ pid: z.number() })

/** Throws `state-locked` with the pid of the holder, `state-unreadable` if the folder cannot be used. */
export function lockHome(home: string, pid: number): HostLock {
  const db = openLock(home)
  try {
    db.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
  } catch (cause) {
    db.close()
    throw new AppError("state-locked", { path: home, pid: holderOf(home) ?? 0 }, { cause })
  }
  const note = join(home, "host.json")
  writeFileSync(`${note}.new`, JSON.stringify({ pid }), { mode: 0o600 })
  renameSync(`${note}.new`, note)
  return {
    release() {
      if (db.isOpen) db.close()
    },
  }
}

/** The pid in the note; the process may be gone. */
export function holderOf(home: string): number | null {
  try {
    return noteSchema.parse(JSON.parse(readFileSync(join(home, "host.json"), "utf8"))).pid
  } catch {
    return null
  }
}

function openLock(home: string): DatabaseSync {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    return new DatabaseSync(join(home, "host.lock"))
  } catch (cause) {
    throw new AppError("state-unreadable", { path: home, detail: messageOf(cause) }, { cause })
  }
}
