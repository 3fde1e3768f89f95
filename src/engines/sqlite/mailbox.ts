// Sessions as actors: what wakes them, who holds them and until when. A session is due exactly when `due_at` is not
// later than now; every wake-up raises `wake`, and a release gives up the session only if nobody raised it since the
// holder last looked. That comparison is what makes a lost wake-up impossible. What is due at once has 0 for its time, so
// that a clock which is set back hides nothing.
import { AppError } from "../../base/error.ts"
import type { Answer, Claim, ReleaseOptions } from "../../kernel/port.ts"
import { type Db, integer, integerOrNull, text, textOrNull } from "./db.ts"
import { type Packed, type PackedMailboxMessage, type PackedMessage, type PackedPromiseRow } from "./packed.ts"
import { parseJson, promiseColumns, promiseRow } from "./rows.ts"

export function putBody(db: Db, body: Packed | null, now: number): string | null {
  if (!body) return null
  // A body that comes again after it was erased is a new body.
  db.run(
    "INSERT INTO bodies (hash, data) VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET data = excluded.data, erased_at = NULL WHERE erased_at <= ?",
    body.hash, body.json, now,
  )
  return body.hash
}

export function wake(db: Db, session: string, now: number): void {
  db.run(
    `UPDATE sessions SET wake = wake + 1, since = CASE WHEN due_at = 0 THEN since WHEN due_at <= ? THEN due_at ELSE ? END, due_at = 0
     WHERE id = ?`,
    now, now, session,
  )
}

export function send(db: Db, message: PackedMessage, now: number): { id: string; duplicate: boolean } {
  const known = db.get("SELECT id FROM mailbox WHERE session = ? AND idem = ?", message.session, message.idem)
  if (known) return { id: String(integer(known, "id")), duplicate: true }
  db.run("INSERT INTO sessions (id, created_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", message.session, now)
  const dueAt = later(message.dueAt, now)
  const id = db.insert(
    "INSERT INTO mailbox (session, idem, principal, origin, label, body, at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    message.session, message.idem, message.principal, message.origin, JSON.stringify(message.label),
    putBody(db, message.body, now), now, dueAt,
  )
  if (dueAt === 0) wake(db, message.session, now)
  else db.run("UPDATE sessions SET due_at = min(coalesce(due_at, ?), ?) WHERE id = ?", dueAt, dueAt, message.session)
  return { id: String(id), duplicate: false }
}

export function answer(db: Db, given: Answer, now: number): { first: boolean; row: PackedPromiseRow | null } {
  const changed = db.run(
    `UPDATE promises SET state = 'answered', answer = ?, answered_by = ?, answered_at = ?
     WHERE token = ? AND state = 'open' AND (due_at IS NULL OR due_at > ?)`,
    JSON.stringify(given.answer ?? null), given.by, now, given.token, now,
  )
  const row = db.get(`SELECT ${promiseColumns} WHERE p.token = ?`, given.token)
  if (row && changed > 0) wake(db, text(row, "session"), now)
  return { first: changed > 0, row: row ? promiseRow(row) : null }
}

export function cancel(db: Db, request: { session: string; reason: string }, now: number): void {
  const changed = db.run(
    "UPDATE sessions SET cancel = coalesce(cancel, ?) WHERE id = ?",
    JSON.stringify({ reason: request.reason, at: now }), request.session,
  )
  if (changed > 0) wake(db, request.session, now)
}

/** A time that has come is as good as none. */
function later(dueAt: number | undefined, now: number): number {
  return dueAt === undefined || dueAt <= now ? 0 : dueAt
}

/** Parts of both queries below: no lease that still runs. */
const free = "(lease_until <= ?1 OR lease_until > ?1 + lease_ms)"

export function claim(db: Db, request: { worker: string; leaseMs: number }, now: number): Claim | null {
  const row = db.get(
    `SELECT id FROM (
       SELECT * FROM (SELECT id, since FROM sessions WHERE due_at = 0 AND ${free} ORDER BY since, id LIMIT 1)
       UNION ALL
       SELECT * FROM (SELECT id, due_at FROM sessions WHERE due_at > 0 AND due_at <= ?1 AND ${free} ORDER BY due_at, id LIMIT 1)
     ) ORDER BY since, id LIMIT 1`,
    now,
  )
  if (!row) return null
  const session = text(row, "id")
  db.run(
    `UPDATE sessions SET fence = fence + 1, worker = ?, lease_until = ?, lease_ms = ?, seen_wake = wake, attempts = attempts + 1
     WHERE id = ?`,
    request.worker, now + request.leaseMs, request.leaseMs, session,
  )
  db.run(
    `UPDATE promises SET state = CASE kind WHEN 'timer' THEN 'answered' ELSE 'expired' END, answered_at = ?
     WHERE session = ? AND recorded = 0 AND state = 'open' AND due_at <= ?`,
    now, session, now,
  )
  const held = db.get("SELECT fence, attempts FROM sessions WHERE id = ?", session)
  if (!held) return null
  return { session, worker: request.worker, fence: integer(held, "fence"), attempts: integer(held, "attempts") }
}

/** Throws `lease-lost` unless the claim is the newest one of its session. A late holder may go on while nobody took over. */
export function requireFence(db: Db, held: Claim): void {
  const row = db.get("SELECT 1 FROM sessions WHERE id = ? AND fence = ? AND worker = ?", held.session, held.fence, held.worker)
  if (!row) throw new AppError("lease-lost", { session: held.session })
}

export function renew(db: Db, request: { claim: Claim; leaseMs: number }, now: number): boolean {
  const { session, fence, worker } = request.claim
  return (
    db.run(
      "UPDATE sessions SET lease_until = ?, lease_ms = ? WHERE id = ? AND fence = ? AND worker = ?",
      now + request.leaseMs, request.leaseMs, session, fence, worker,
    ) > 0
  )
}

export interface PackedInbox {
  readonly messages: readonly PackedMailboxMessage[]
  readonly promises: readonly PackedPromiseRow[]
  readonly cancel: { readonly reason: string; readonly at: number } | null
}

export function inbox(db: Db, held: Claim, now: number): PackedInbox {
  requireFence(db, held)
  db.run("UPDATE sessions SET seen_wake = wake WHERE id = ?", held.session)
  const messages = db.all(
    `SELECT m.*, b.data AS body_data, b.erased_at FROM mailbox m LEFT JOIN bodies b ON b.hash = m.body
     WHERE m.session = ? AND m.consumed_at IS NULL AND m.due_at <= ? ORDER BY m.id`,
    held.session, now,
  )
  const promises = db.all(`SELECT ${promiseColumns} WHERE p.session = ? AND p.recorded = 0 ORDER BY p.opened_at, p.token`, held.session)
  const row = db.get("SELECT cancel FROM sessions WHERE id = ?", held.session)
  return {
    messages: messages.map((m) => ({
      id: String(integer(m, "id")),
      session: text(m, "session"),
      idem: text(m, "idem"),
      principal: text(m, "principal"),
      origin: text(m, "origin"),
      label: parseJson(text(m, "label")) as PackedMailboxMessage["label"],
      body: { hash: text(m, "body"), json: textOrNull(m, "body_data"), erased: m["erased_at"] !== null },
      at: integer(m, "at"),
      ...(integer(m, "due_at") > 0 && { dueAt: integer(m, "due_at") }),
    })),
    promises: promises.map(promiseRow),
    cancel: row && row["cancel"] !== null ? (parseJson(text(row, "cancel")) as PackedInbox["cancel"]) : null,
  }
}

export function release(db: Db, request: { claim: Claim } & ReleaseOptions, now: number): void {
  const { claim: held, retryAt, failed } = request
  requireFence(db, held)
  const row = db.get("SELECT wake, seen_wake FROM sessions WHERE id = ?", held.session)
  const woken = row !== undefined && integer(row, "wake") > integer(row, "seen_wake")
  const dueAt = retryAt ?? (woken ? 0 : nextOwnDue(db, held.session))
  db.run(
    "UPDATE sessions SET worker = NULL, lease_until = 0, due_at = ?, since = ?, attempts = CASE WHEN ? THEN attempts ELSE 0 END WHERE id = ?",
    dueAt === null ? null : later(dueAt, now), now, failed ? 1 : 0, held.session,
  )
}

function nextOwnDue(db: Db, session: string): number | null {
  const row = db.get(
    `SELECT min(due) AS due FROM (
       SELECT min(due_at) AS due FROM promises WHERE session = ? AND recorded = 0 AND state = 'open'
       UNION ALL SELECT min(due_at) FROM mailbox WHERE session = ? AND consumed_at IS NULL)`,
    session, session,
  )
  return row ? integerOrNull(row, "due") : null
}

export function nextDueIn(db: Db, now: number): number | null {
  const row = db.get(`SELECT min(CASE WHEN ${free} THEN due_at ELSE max(due_at, lease_until) END) AS due FROM sessions WHERE due_at IS NOT NULL`, now)
  const due = row ? integerOrNull(row, "due") : null
  return due === null ? null : Math.max(0, due - now)
}

/** Only for the process that alone may use this database: whoever held a session before is dead. */
export function releaseAll(db: Db): void {
  db.run("UPDATE sessions SET fence = fence + 1, worker = NULL, lease_until = 0 WHERE worker IS NOT NULL")
}
