// The single writer. A group of calls is one transaction and one sync to disk; each call is its own savepoint, so one that
// is refused takes nothing with it, and no call is answered before the whole group is on disk.
import type { DatabaseSync } from "node:sqlite"
import { AppError, type ErrorCode, type ErrorParams, isAppError, messageOf } from "../../base/error.ts"
import type { Change, Claim } from "../../kernel/port.ts"
import { commit, type Touched } from "./commit.ts"
import { Db } from "./db.ts"
import { answer, cancel, claim, inbox, nextDueIn, release, releaseAll, renew, send } from "./mailbox.ts"
import type { PackedBatch, PackedMessage } from "./packed.ts"
import { budgets, erase, markOutbox, outbox, promises, read, runs } from "./query.ts"

interface Context {
  readonly db: Db
  readonly now: number
  readonly changes: Change[]
}

function writeCalls() {
  return {
    send: ({ db, now, changes }: Context, message: PackedMessage) => {
      const sent = send(db, message, now)
      if (!sent.duplicate) changes.push({ session: message.session, kind: "wake" })
      return sent
    },
    answer: ({ db, now, changes }: Context, given: Parameters<typeof answer>[1]) => {
      const answered = answer(db, given, now)
      if (answered.first && answered.row) changes.push({ session: answered.row.session, kind: "wake" })
      return answered
    },
    cancel: ({ db, now, changes }: Context, request: { session: string; reason: string }) => {
      cancel(db, request, now)
      changes.push({ session: request.session, kind: "cancel" }, { session: request.session, kind: "wake" })
    },
    claim: ({ db, now }: Context, request: { worker: string; leaseMs: number }) => claim(db, request, now),
    renew: ({ db, now }: Context, request: { claim: Claim; leaseMs: number }) => renew(db, request, now),
    inbox: ({ db, now }: Context, held: Claim) => inbox(db, held, now),
    commit: ({ db, now, changes }: Context, request: { claim: Claim; batch: PackedBatch }) => {
      const touched: Touched = { woken: [], canceled: [] }
      const committed = commit(db, request, now, touched)
      if (committed.kind === "done") changes.push({ session: request.claim.session, kind: "events" })
      for (const session of touched.woken) changes.push({ session, kind: "wake" })
      for (const session of touched.canceled) changes.push({ session, kind: "cancel" }, { session, kind: "wake" })
      return committed
    },
    release: ({ db, now, changes }: Context, request: Parameters<typeof release>[1]) => {
      release(db, request, now)
      changes.push({ session: request.claim.session, kind: "wake" })
    },
    markOutbox: ({ db }: Context, mark: { id: string; state: string }) => markOutbox(db, mark),
    erase: ({ db, now }: Context, hash: string) => erase(db, hash, now),
    releaseAll: ({ db }: Context, _: null) => releaseAll(db),
  }
}

function readCalls() {
  return {
    nextDueIn: ({ db, now }: Context, _: null) => nextDueIn(db, now),
    read: ({ db }: Context, query: Parameters<typeof read>[1]) => read(db, query),
    runs: ({ db }: Context, query: Parameters<typeof runs>[1]) => runs(db, query),
    promises: ({ db }: Context, query: Parameters<typeof promises>[1]) => promises(db, query),
    budgets: ({ db }: Context, scopes: readonly string[]) => budgets(db, scopes),
    outbox: ({ db }: Context, limit: number) => outbox(db, limit),
  }
}

type Calls = ReturnType<typeof writeCalls> & ReturnType<typeof readCalls>
export type CallName = keyof Calls
export type CallArgument<N extends CallName> = Parameters<Calls[N]>[1]
export type CallResult<N extends CallName> = ReturnType<Calls[N]>

export interface Call<N extends CallName = CallName> {
  readonly name: N
  readonly argument: CallArgument<N>
}

export type Reply =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: ErrorCode; readonly params: ErrorParams }

export interface GroupResult {
  readonly replies: readonly Reply[]
  readonly changes: readonly Change[]
}

/** Executes groups of calls on one database. */
export class Writer {
  readonly #db: Db
  readonly #now: () => number
  readonly #path: string
  readonly #writes = writeCalls()
  readonly #reads = readCalls()

  constructor(raw: DatabaseSync, now: () => number, path: string) {
    this.#db = new Db(raw)
    this.#now = now
    this.#path = path
  }

  group(calls: readonly Call[]): GroupResult {
    const changes: Change[] = []
    const writes = calls.some((call) => call.name in this.#writes)
    try {
      if (writes) this.#db.raw.exec("BEGIN IMMEDIATE")
      const replies = calls.map((call) => this.#one(call, changes))
      if (writes) this.#db.raw.exec("COMMIT")
      return { replies, changes }
    } catch (cause) {
      if (this.#db.raw.isTransaction) this.#db.raw.exec("ROLLBACK")
      const failed = this.#failure(cause)
      return { replies: calls.map(() => failed), changes: [] }
    }
  }

  /** Throws only what ends the whole group. */
  #one(call: Call, changes: Change[]): Reply {
    const context: Context = { db: this.#db, now: this.#now(), changes: [] }
    const isWrite = call.name in this.#writes
    // Each entry takes its own argument type; the pairing of name and argument is made by `Call`.
    const handler = { ...this.#reads, ...this.#writes }[call.name] as (context: Context, argument: unknown) => unknown
    if (isWrite) this.#db.raw.exec("SAVEPOINT call")
    try {
      const value = handler(context, call.argument)
      if (isWrite) this.#db.raw.exec("RELEASE call")
      changes.push(...context.changes)
      return { ok: true, value }
    } catch (cause) {
      if (isWrite && !this.#db.raw.isTransaction) throw cause
      if (isWrite) this.#db.raw.exec("ROLLBACK TO call; RELEASE call")
      if (endsGroup(cause)) throw cause
      return this.#failure(cause)
    }
  }

  #failure(cause: unknown): Reply & { ok: false } {
    if (isAppError(cause)) return { ok: false, code: cause.code, params: cause.params }
    const path = this.#path
    const detail = messageOf(cause)
    switch (primaryCode(cause)) {
      case sqliteFull:
      case sqliteIoError:
        return { ok: false, code: "disk-full", params: { path, detail } }
      case sqliteBusy:
      case sqliteLocked:
        return { ok: false, code: "state-locked", params: { path } }
      case sqliteCorrupt:
      case sqliteNotDatabase:
        return { ok: false, code: "state-corrupt", params: { path, detail } }
      default:
        return { ok: false, code: "engine-failed", params: { detail } }
    }
  }
}

const sqliteBusy = 5
const sqliteLocked = 6
const sqliteIoError = 10
const sqliteCorrupt = 11
const sqliteFull = 13
const sqliteNotDatabase = 26

/** SQLite keeps the kind of an error in the low byte of its extended code. */
function primaryCode(cause: unknown): number {
  return cause instanceof Error && "errcode" in cause ? Number(cause.errcode) & 0xff : 0
}

function endsGroup(cause: unknown): boolean {
  return [sqliteFull, sqliteIoError, sqliteCorrupt, sqliteNotDatabase, sqliteBusy].includes(primaryCode(cause))
}

/** The error that a failed reply stands for. */
export function replyError(reply: Reply & { ok: false }): AppError {
  return new AppError(reply.code, reply.params)
}
