// The SQLite engine: the durable session port over one writer, in a thread for a real state folder or inline for one in
// memory. Bodies are hashed here, large ones are on disk before the row that names them is sent to the writer.
import { randomUUID } from "node:crypto"
import { cp, mkdir } from "node:fs/promises"
import { join } from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { AppError } from "../../base/error.ts"
import type { Clock } from "../../base/clock.ts"
import { sha256 } from "../../base/hash.ts"
import type { Batch, Change, Claim, Committed, Engine, ReleaseOptions } from "../../kernel/port.ts"
import type { JournalEvent } from "../../protocol/event.ts"
import { type Blobs, fileBlobs, memoryBlobs } from "../blobs.ts"
import type { Packed, PackedBatch, PackedEventRow } from "./packed.ts"
import { openDatabase } from "./schema.ts"
import { unwrap, type WriterLink } from "./link.ts"
import { startThread } from "./thread.ts"
import { Writer } from "./writer.ts"

/** Larger bodies are files beside the database. */
const inlineBytes = 64 * 1024

export interface SqliteOptions {
  /** The state folder; made if missing. Null: everything in memory, for tests. */
  readonly folder: string | null
  readonly clock: Clock
  /** True if no other process may use this folder: sessions that a dead process held are free at once. */
  readonly exclusive: boolean
  /** Milliseconds between looks for what another process wrote; only where a folder is shared. */
  readonly pollMs?: number
}

/** The database of a state folder. */
export function journalPath(folder: string): string {
  return join(folder, "journal.db")
}

/** Throws `sqlite-too-old`, `state-newer`, `state-unreadable`. */
export async function openSqliteEngine(options: SqliteOptions): Promise<Engine> {
  const { folder, clock } = options
  if (folder === null) return engineOn(openDatabase(":memory:"), clock)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const link = await startThread(journalPath(folder), options.pollMs ?? null)
  if (options.exclusive) await link.call("releaseAll", null)
  return new SqliteEngine(link, fileBlobs(join(folder, "blobs")), folder)
}

/** On a database that is open already and for this process alone; closing the engine leaves it open. */
export async function engineOn(db: DatabaseSync, clock: Clock, blobs: Blobs = memoryBlobs()): Promise<Engine> {
  const link = inlineLink(db, clock)
  await link.call("releaseAll", null)
  return new SqliteEngine(link, blobs, null)
}

function inlineLink(db: DatabaseSync, clock: Clock): WriterLink {
  const writer = new Writer(db, () => clock.now(), ":memory:")
  let listener: (change: Change) => void = () => {}
  let open = true
  return {
    async call(name, argument) {
      if (!open) throw new AppError("engine-closed")
      const { replies, changes } = writer.group([{ name, argument }])
      for (const change of changes) listener(change)
      return unwrap(replies[0])
    },
    backup: async () => {
      throw new AppError("engine-failed", { detail: "an engine in memory has no backup" })
    },
    onChange: (given) => void (listener = given),
    async close() {
      open = false
    },
  }
}

class SqliteEngine implements Engine {
  readonly #link: WriterLink
  readonly #blobs: Blobs
  readonly #folder: string | null
  readonly #listeners = new Set<(change: Change) => void>()

  constructor(link: WriterLink, blobs: Blobs, folder: string | null) {
    this.#link = link
    this.#blobs = blobs
    this.#folder = folder
    link.onChange((change) => {
      for (const listener of this.#listeners) listener(change)
    })
  }

  async send(message: Parameters<Engine["send"]>[0]): ReturnType<Engine["send"]> {
    return this.#link.call("send", { ...message, body: await this.#pack(message.body) })
  }

  async answer(given: Parameters<Engine["answer"]>[0]): ReturnType<Engine["answer"]> {
    const { first, row } = await this.#link.call("answer", given)
    return { first, row: row && { ...row, body: await this.#unpack(row.body) } }
  }

  cancel(session: string, reason: string): Promise<void> {
    return this.#link.call("cancel", { session, reason })
  }

  claim(worker: string, leaseMs: number): Promise<Claim | null> {
    return this.#link.call("claim", { worker, leaseMs })
  }

  renew(claim: Claim, leaseMs: number): Promise<boolean> {
    return this.#link.call("renew", { claim, leaseMs })
  }

  async inbox(claim: Claim): ReturnType<Engine["inbox"]> {
    const { messages, promises, cancel } = await this.#link.call("inbox", claim)
    return { messages: await this.#unpackAll(messages), promises: await this.#unpackAll(promises), cancel }
  }

  async commit(claim: Claim, batch: Batch): Promise<Committed> {
    const committed = await this.#link.call("commit", { claim, batch: await this.#packBatch(batch) })
    if (committed.kind === "refused") return committed
    // From the text that was written: what the caller does with its own values later is no part of the journal.
    const events = await Promise.all(committed.events.map((row) => this.#event(row)))
    return { kind: "done", events }
  }

  release(claim: Claim, options?: ReleaseOptions): Promise<void> {
    return this.#link.call("release", { claim, ...options })
  }

  nextDueIn(): Promise<number | null> {
    return this.#link.call("nextDueIn", null)
  }

  async read(query: Parameters<Engine["read"]>[0]): Promise<readonly JournalEvent[]> {
    const rows = await this.#link.call("read", query)
    return Promise.all(rows.map((row) => this.#event(row)))
  }

  runs(query: Parameters<Engine["runs"]>[0]): ReturnType<Engine["runs"]> {
    return this.#link.call("runs", query)
  }

  async promises(query: Parameters<Engine["promises"]>[0]): ReturnType<Engine["promises"]> {
    return this.#unpackAll(await this.#link.call("promises", query))
  }

  budgets(scopes: readonly string[]): ReturnType<Engine["budgets"]> {
    return this.#link.call("budgets", scopes)
  }

  async outbox(limit: number): ReturnType<Engine["outbox"]> {
    return this.#unpackAll(await this.#link.call("outbox", limit))
  }

  markOutbox(id: string, state: string): Promise<void> {
    return this.#link.call("markOutbox", { id, state })
  }

  async erase(bodyHash: string): Promise<boolean> {
    const erased = await this.#link.call("erase", bodyHash)
    if (erased) await this.#blobs.remove(bodyHash)
    return erased
  }

  async backup(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    // Rows first: every blob that they name was written before them, and blobs never change.
    await this.#link.backup(journalPath(folder))
    if (this.#folder === null) return
    await mkdir(join(this.#folder, "blobs"), { recursive: true })
    await cp(join(this.#folder, "blobs"), join(folder, "blobs"), { recursive: true, force: false })
  }

  watch(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  close(): Promise<void> {
    return this.#link.close()
  }

  async #event(row: PackedEventRow): Promise<JournalEvent> {
    return { ...row, bodyHash: row.body?.hash ?? null, body: await this.#unpack(row.body) }
  }

  async #packBatch(batch: Batch): Promise<PackedBatch> {
    const { events, opens, outbox, sends, ...rest } = batch
    return {
      ...rest,
      events: await Promise.all(events.map((event) => this.#packOptional(event))),
      ...(opens && { opens: await Promise.all(opens.map((row) => this.#packOptional(row))) }),
      ...(outbox && { outbox: await Promise.all(outbox.map((row) => this.#packRequired(row))) }),
      ...(sends && { sends: await Promise.all(sends.map((message) => this.#packRequired(message))) }),
    }
  }

  async #packOptional<T extends { readonly body?: unknown }>(value: T): Promise<Omit<T, "body"> & { body: Packed | null }> {
    return { ...value, body: value.body === undefined ? null : await this.#pack(value.body) }
  }

  async #packRequired<T extends { readonly body: unknown }>(value: T): Promise<Omit<T, "body"> & { body: Packed }> {
    return { ...value, body: await this.#pack(value.body) }
  }

  async #pack(body: unknown): Promise<Packed> {
    const json = JSON.stringify(body ?? null)
    const hash = sha256(json)
    if (json.length <= inlineBytes) return { hash, json }
    await this.#blobs.put(hash, json).catch((cause: unknown) => {
      throw new AppError("disk-full", { path: this.#folder ?? randomUUID(), detail: String(cause) }, { cause })
    })
    return { hash, json: null }
  }

  async #unpack(body: Packed | null): Promise<unknown> {
    if (!body || body.erased) return undefined
    const json = body.json ?? (await this.#blobs.get(body.hash))
    if (json === undefined || sha256(json) !== body.hash) return undefined
    return JSON.parse(json) as unknown
  }

  #unpackAll<T extends { readonly body: Packed | null }>(rows: readonly T[]): Promise<readonly (Omit<T, "body"> & { body: unknown })[]> {
    return Promise.all(rows.map(async (row) => ({ ...row, body: await this.#unpack(row.body) })))
  }
}
