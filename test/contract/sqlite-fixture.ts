// SQLite as the suites see it: on disk with its writer in a thread, and in memory with simulated time.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { systemClock } from "../../src/base/clock.ts"
import { memoryBlobs } from "../../src/engines/blobs.ts"
import { engineOn, openSqliteEngine } from "../../src/engines/sqlite/engine.ts"
import { openDatabase } from "../../src/engines/sqlite/schema.ts"
import { adapters } from "./adapters.ts"
import { FakeClock } from "./fake-clock.ts"
import type { Damage, EngineFixture, Store } from "./fixture.ts"

export const sqliteInMemory: EngineFixture = {
  name: "sqlite in memory",
  can: { reopen: true, share: false, processes: false, fakeTime: true, backup: false },
  make: async () => memoryStore(openDatabase(":memory:")),
}

export const sqliteOnDisk: EngineFixture = {
  name: "sqlite on disk",
  can: { reopen: true, share: true, processes: true, fakeTime: false, backup: true },
  make: async () => diskStore(await mkdtemp(join(tmpdir(), "chela-engine-"))),
}

/** A store on a database that is open already, so that a test can look into it or break it. */
export function memoryStore(db: DatabaseSync): Store {
  const clock = new FakeClock()
  const blobs = memoryBlobs()
  return {
    open: () => engineOn(db, clock, blobs),
    join: () => Promise.reject(new Error("not shared")),
    location: ":memory:",
    clock,
    damage: {
      ...rowDamage((change) => change(db)),
      blob: (hash, text) => (text === null ? blobs.remove(hash) : blobs.put(hash, text)),
      bytes: async () => Buffer.from(db.serialize()),
    },
    fill: async () => {
      const pages = Number(db.prepare("PRAGMA page_count").get()?.["page_count"])
      db.exec(`PRAGMA max_page_count = ${pages}`)
      return () => db.exec("PRAGMA max_page_count = 1073741823")
    },
    lock: () => Promise.reject(new Error("not shared")),
    remove: async () => {
      if (db.isOpen) db.close()
    },
  }
}

function diskStore(folder: string): Store {
  const file = join(folder, "journal.db")
  const withDatabase = (change: (db: DatabaseSync) => void): void => {
    const db = new DatabaseSync(file, { timeout: 5000 })
    change(db)
    db.close()
  }
  const blobFile = (hash: string): string => join(folder, "blobs", hash.slice(0, 2), hash)
  return {
    open: () => openSqliteEngine({ folder, clock: systemClock, exclusive: true }),
    join: () => adapters["sqlite"]?.(folder) ?? Promise.reject(new Error("no adapter")),
    location: folder,
    clock: new FakeClock(),
    damage: {
      ...rowDamage(withDatabase),
      blob: (hash, text) => (text === null ? rm(blobFile(hash)) : writeFile(blobFile(hash), text)),
      bytes: () => bytesBelow(folder),
    },
    fill: () => Promise.reject(new Error("needs a file system of its own")),
    lock: async () => {
      const db = new DatabaseSync(file)
      db.exec("BEGIN IMMEDIATE")
      return () => db.close()
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

function rowDamage(withDatabase: (change: (db: DatabaseSync) => void) => void): Omit<Damage, "blob" | "bytes"> {
  const one = (sql: string, ...values: readonly (string | number)[]): void =>
    withDatabase((db) => {
      if (Number(db.prepare(sql).run(...values).changes) === 0) throw new Error(`nothing to damage: ${sql}`)
    })
  return {
    eventData: ({ session, kind, key }, text) => one("UPDATE events SET data = ? WHERE session = ? AND kind = ? AND key = ?", text, session, kind, key),
    eventVersion: ({ session, kind, key }, v) => one("UPDATE events SET v = ? WHERE session = ? AND kind = ? AND key = ?", v, session, kind, key),
    mailboxLabel: (session, text) => one("UPDATE mailbox SET label = ? WHERE session = ?", text, session),
    body: (hash, text) => one("UPDATE bodies SET data = ? WHERE hash = ?", text, hash),
    newer: () => withDatabase((db) => db.exec("PRAGMA user_version = 9999")),
  }
}

async function bytesBelow(folder: string): Promise<Buffer> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name)))
  return Buffer.concat(await Promise.all(files))
}
