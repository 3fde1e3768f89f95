// Everything that only reads, and the erasing of a body.
import type { BudgetRow, PromiseRow, RunRow, RunState } from "../../kernel/port.ts"
import { type Db, integer } from "./db.ts"
import type { PackedEventRow, PackedOutboxRow, PackedPromiseRow } from "./packed.ts"
import { eventColumns, eventRow, outboxColumns, outboxRow, promiseColumns, promiseRow, runRow } from "./rows.ts"

/** More than any caller reads at once; a caller that wants all follows the cursor. */
const manyRows = 1_000_000

export interface ReadQuery {
  readonly session?: string
  readonly run?: string
  readonly after?: string
  readonly limit?: number
}

export function read(db: Db, query: ReadQuery): readonly PackedEventRow[] {
  const after = Number(query.after ?? 0)
  const limit = query.limit ?? manyRows
  const rows =
    query.run !== undefined
      ? db.all(`SELECT ${eventColumns} WHERE e.run = ? AND e.id > ? ORDER BY e.id LIMIT ?`, query.run, after, limit)
      : query.session !== undefined
        ? db.all(`SELECT ${eventColumns} WHERE e.session = ? AND e.id > ? ORDER BY e.id LIMIT ?`, query.session, after, limit)
        : db.all(`SELECT ${eventColumns} WHERE e.id > ? ORDER BY e.id LIMIT ?`, after, limit)
  return rows.map(eventRow)
}

export function runs(db: Db, query: { run?: string; session?: string; state?: RunState; limit?: number }): readonly RunRow[] {
  return db
    .all(
      `SELECT * FROM runs WHERE (?1 IS NULL OR run = ?1) AND (?2 IS NULL OR session = ?2) AND (?3 IS NULL OR state = ?3)
       ORDER BY started_at DESC, rowid DESC LIMIT ?4`,
      query.run ?? null, query.session ?? null, query.state ?? null, query.limit ?? manyRows,
    )
    .map(runRow)
}

export function promises(db: Db, query: { session?: string; token?: string; state?: PromiseRow["state"] }): readonly PackedPromiseRow[] {
  return db
    .all(
      `SELECT ${promiseColumns} WHERE (?1 IS NULL OR p.session = ?1) AND (?2 IS NULL OR p.token = ?2) AND (?3 IS NULL OR p.state = ?3)
       ORDER BY p.opened_at, p.token`,
      query.session ?? null, query.token ?? null, query.state ?? null,
    )
    .map(promiseRow)
}

export function budgets(db: Db, scopes: readonly string[]): readonly BudgetRow[] {
  return scopes.map((scope) => {
    const row = db.get("SELECT * FROM budgets WHERE scope = ?", scope)
    return {
      scope,
      usedTokens: row ? integer(row, "used_tokens") : 0,
      usedMicros: row ? integer(row, "used_micros") : 0,
      heldTokens: row ? integer(row, "held_tokens") : 0,
      heldMicros: row ? integer(row, "held_micros") : 0,
    }
  })
}

export function outbox(db: Db, limit: number): readonly PackedOutboxRow[] {
  return db.all(`SELECT ${outboxColumns} WHERE o.state = 'pending' ORDER BY o.at, o.id LIMIT ?`, limit).map(outboxRow)
}

export function markOutbox(db: Db, mark: { id: string; state: string }): void {
  db.run("UPDATE outbox SET state = ? WHERE id = ?", mark.state, mark.id)
}

export function erase(db: Db, hash: string, now: number): boolean {
  return db.run("UPDATE bodies SET data = NULL, erased_at = ? WHERE hash = ? AND erased_at IS NULL", now, hash) > 0
}
