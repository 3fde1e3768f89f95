// The one write to a journal. First everything that may refuse (fence, approvals, budget), then the writes; the caller
// wraps it in a savepoint, so that a batch happens whole or not at all.
import { AppError } from "../../base/error.ts"
import { eventVersion } from "../../protocol/event.ts"
import type { Batch, Claim, Committed, Reservation, Settlement } from "../../kernel/port.ts"
import { type Db, integer } from "./db.ts"
import { answer, cancel, putBody, requireFence, send } from "./mailbox.ts"
import type { PackedBatch, PackedEventRow } from "./packed.ts"

export type PackedCommitted =
  | { readonly kind: "done"; readonly events: readonly PackedEventRow[] }
  | Exclude<Committed, { kind: "done" }>

/** Sessions, other than its own, that a commit touched. */
export interface Touched {
  woken: string[]
  canceled: string[]
}

export function commit(db: Db, request: { claim: Claim; batch: PackedBatch }, now: number, touched: Touched): PackedCommitted {
  const { claim: held, batch } = request
  requireFence(db, held)
  const refusal = refuse(db, batch, now)
  if (refusal) return refusal

  for (const use of batch.uses ?? []) db.run("UPDATE promises SET used_at = ? WHERE token = ?", now, use.token)
  if (batch.reserve) reserve(db, batch.reserve)
  if (batch.settle) settle(db, batch.settle)
  for (const id of batch.consumes ?? []) {
    db.run("UPDATE mailbox SET consumed_at = ? WHERE id = ? AND session = ? AND consumed_at IS NULL", now, Number(id), held.session)
  }
  openPromises(db, held, batch, now)
  for (const token of batch.cancels ?? []) {
    db.run("UPDATE promises SET state = 'canceled', answered_at = ? WHERE token = ? AND session = ? AND state = 'open'", now, token, held.session)
  }
  const events = appendEvents(db, held, batch, now)
  for (const row of batch.outbox ?? []) {
    db.run(
      "INSERT INTO outbox (id, session, run, target, body, at) VALUES (?, ?, ?, ?, ?, ?)",
      row.id, held.session, row.run, row.target, putBody(db, row.body, now), now,
    )
  }
  touchOthers(db, batch, now, touched)
  if (batch.run) putRun(db, batch.run)
  if (batch.canceled) db.run("UPDATE sessions SET cancel = NULL WHERE id = ?", held.session)
  return { kind: "done", events }
}

function refuse(db: Db, batch: PackedBatch, now: number): Exclude<PackedCommitted, { kind: "done" }> | null {
  for (const use of batch.uses ?? []) {
    const row = db.get(
      `SELECT 1 FROM promises WHERE token = ? AND kind = 'approval' AND state = 'answered' AND used_at IS NULL
       AND action_hash = ? AND answered_at + ? >= ? AND json_extract(answer, '$.granted') = 1`,
      use.token, use.actionHash, use.validMs, now,
    )
    if (!row) return { kind: "refused", code: "approval-refused", scope: use.token }
  }
  const asked = batch.reserve
  for (const limit of asked?.scopes ?? []) {
    const row = db.get("SELECT used_tokens + held_tokens AS tokens, used_micros + held_micros AS micros FROM budgets WHERE scope = ?", limit.scope)
    const tokens = (row ? integer(row, "tokens") : 0) + (asked?.tokens ?? 0)
    const micros = (row ? integer(row, "micros") : 0) + (asked?.micros ?? 0)
    const over = (limit.maxTokens !== null && tokens > limit.maxTokens) || (limit.maxMicros !== null && micros > limit.maxMicros)
    if (over) return { kind: "refused", code: "budget-refused", scope: limit.scope }
  }
  return null
}

function reserve(db: Db, asked: Reservation): void {
  const scopes = asked.scopes.map((limit) => limit.scope)
  db.run(
    "INSERT INTO reservations (id, scopes, tokens, micros) VALUES (?, ?, ?, ?)",
    asked.id, JSON.stringify(scopes), asked.tokens, asked.micros,
  )
  for (const scope of scopes) {
    db.run(
      `INSERT INTO budgets (scope, held_tokens, held_micros) VALUES (?, ?, ?) ON CONFLICT (scope) DO UPDATE
       SET held_tokens = held_tokens + excluded.held_tokens, held_micros = held_micros + excluded.held_micros`,
      scope, asked.tokens, asked.micros,
    )
  }
}

/** Settling twice changes nothing the second time: a recovered step may try again. */
function settle(db: Db, paid: Settlement): void {
  const row = db.get("UPDATE reservations SET settled = 1 WHERE id = ? AND settled = 0 RETURNING scopes, tokens, micros", paid.id)
  if (!row) return
  const tokens = paid.spent ? paid.spent.inputTokens + paid.spent.outputTokens : integer(row, "tokens")
  const micros = paid.spent ? paid.spent.micros : integer(row, "micros")
  for (const scope of JSON.parse(String(row["scopes"])) as string[]) {
    db.run(
      `UPDATE budgets SET held_tokens = held_tokens - ?, held_micros = held_micros - ?,
       used_tokens = used_tokens + ?, used_micros = used_micros + ? WHERE scope = ?`,
      integer(row, "tokens"), integer(row, "micros"), tokens, micros, scope,
    )
  }
}

function openPromises(db: Db, held: Claim, batch: PackedBatch, now: number): void {
  for (const row of batch.opens ?? []) {
    db.run(
      `INSERT INTO promises (token, session, run, key, kind, action_hash, due_at, body, opened_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session, key) DO NOTHING`,
      row.token, held.session, row.run, row.key, row.kind, row.actionHash, row.dueAt, putBody(db, row.body, now), now,
    )
  }
}

function appendEvents(db: Db, held: Claim, batch: PackedBatch, now: number): readonly PackedEventRow[] {
  return batch.events.map((event) => {
    const id = appendEvent(db, held, event, now)
    if (event.data.kind === "step-finished") db.run("UPDATE sessions SET attempts = 0 WHERE id = ?", held.session)
    if (event.data.kind === "promise-closed") db.run("UPDATE promises SET recorded = 1 WHERE token = ?", event.data.token)
    return { ...event, cursor: String(id), session: held.session, at: now, v: eventVersion, kind: event.data.kind }
  })
}

function appendEvent(db: Db, held: Claim, event: PackedBatch["events"][number], now: number): number {
  try {
    return db.insert(
      "INSERT INTO events (session, run, kind, key, at, v, principal, label, origin, data, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      held.session, event.run, event.data.kind, event.key, now, eventVersion, event.principal,
      JSON.stringify(event.label), event.origin, JSON.stringify(event.data), putBody(db, event.body, now),
    )
  } catch (cause) {
    if (String(cause).includes("UNIQUE constraint failed: events")) {
      throw new AppError("duplicate-event", { kind: event.data.kind, key: event.key }, { cause })
    }
    throw cause
  }
}

function touchOthers(db: Db, batch: PackedBatch, now: number, touched: Touched): void {
  for (const message of batch.sends ?? []) {
    send(db, message, now)
    touched.woken.push(message.session)
  }
  for (const given of batch.answers ?? []) {
    const { first, row } = answer(db, given, now)
    if (first && row) touched.woken.push(row.session)
  }
  for (const request of batch.cancelSessions ?? []) {
    cancel(db, request, now)
    touched.canceled.push(request.session)
  }
}

function putRun(db: Db, run: NonNullable<Batch["run"]>): void {
  db.run(
    `INSERT INTO runs (run, session, state, title, started_at, ended_at, steps, tokens, micros) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (run) DO UPDATE SET state = excluded.state, title = excluded.title, ended_at = excluded.ended_at,
     steps = excluded.steps, tokens = excluded.tokens, micros = excluded.micros`,
    run.run, run.session, run.state, run.title, run.startedAt, run.endedAt, run.steps, run.tokens, run.micros,
  )
}
