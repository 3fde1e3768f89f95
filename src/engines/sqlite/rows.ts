// Rows as values of the port. An event row that cannot be read comes back with `data: null` and stands alone.
import { type EventKind, eventDataSchema, eventVersion, type JournalEvent, labelSchema } from "../../protocol/event.ts"
import type { OutboxRow, PromiseRow, RunRow } from "../../kernel/port.ts"
import { integer, integerOrNull, type Row, text, textOrNull } from "./db.ts"
import type { Packed, PackedEventRow, PackedOutboxRow, PackedPromiseRow } from "./packed.ts"

/** Null instead of throwing: a damaged value must not take its neighbours with it. */
export function parseJson(json: string | null): unknown {
  if (json === null) return null
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}

export const promiseColumns = "p.*, b.data AS body_data, b.erased_at FROM promises p LEFT JOIN bodies b ON b.hash = p.body"
export const eventColumns = "e.*, b.data AS body_data, b.erased_at FROM events e LEFT JOIN bodies b ON b.hash = e.body"
export const outboxColumns = "o.*, b.data AS body_data, b.erased_at FROM outbox o LEFT JOIN bodies b ON b.hash = o.body"

function packedBody(row: Row): Packed | null {
  const hash = textOrNull(row, "body")
  return hash === null ? null : { hash, json: textOrNull(row, "body_data"), erased: row["erased_at"] !== null }
}

export function promiseRow(row: Row): PackedPromiseRow {
  return {
    token: text(row, "token"),
    session: text(row, "session"),
    run: text(row, "run"),
    key: text(row, "key"),
    kind: text(row, "kind") as PromiseRow["kind"],
    actionHash: textOrNull(row, "action_hash"),
    dueAt: integerOrNull(row, "due_at"),
    body: packedBody(row),
    state: text(row, "state") as PromiseRow["state"],
    answer: parseJson(textOrNull(row, "answer")),
    answeredBy: textOrNull(row, "answered_by"),
    answeredAt: integerOrNull(row, "answered_at"),
    usedAt: integerOrNull(row, "used_at"),
    openedAt: integer(row, "opened_at"),
  }
}

const distrusted: JournalEvent["label"] = { integrity: "web", privacy: "secret" }

export function eventRow(row: Row): PackedEventRow {
  const v = integer(row, "v")
  const data = eventDataSchema.safeParse(parseJson(text(row, "data")))
  const label = labelSchema.safeParse(parseJson(text(row, "label")))
  return {
    cursor: String(integer(row, "id")),
    session: text(row, "session"),
    run: text(row, "run"),
    key: text(row, "key"),
    at: integer(row, "at"),
    v,
    principal: text(row, "principal"),
    label: label.success ? label.data : distrusted,
    origin: text(row, "origin"),
    kind: text(row, "kind") as EventKind,
    data: data.success && v <= eventVersion && data.data.kind === row["kind"] ? data.data : null,
    body: packedBody(row),
  }
}

export function outboxRow(row: Row): PackedOutboxRow {
  return {
    id: text(row, "id"),
    session: text(row, "session"),
    run: text(row, "run"),
    target: text(row, "target"),
    state: text(row, "state") as OutboxRow["state"],
    at: integer(row, "at"),
    body: packedBody(row) ?? { hash: "", json: null, erased: true },
  }
}

export function runRow(row: Row): RunRow {
  return {
    run: text(row, "run"),
    session: text(row, "session"),
    state: text(row, "state") as RunRow["state"],
    title: text(row, "title"),
    startedAt: integer(row, "started_at"),
    endedAt: integerOrNull(row, "ended_at"),
    steps: integer(row, "steps"),
    tokens: integer(row, "tokens"),
    micros: integer(row, "micros"),
  }
}
