// The durable session port: all that the kernel asks of an engine. One ordered mailbox and one fenced writer per session;
// `commit` is the only write to a journal and is all or nothing. Whatever waits is a row, never a held promise.
// Every engine passes test/contract/engine*.ts unchanged.
import type { EventData, JournalEvent, Label, PromiseKind, Spent } from "../protocol/event.ts"

export interface NewMessage {
  readonly session: string
  /** A second message of the same session with the same `idem` is ignored. */
  readonly idem: string
  /** Who sent it and through what, as in the journal. */
  readonly principal: string
  readonly origin: string
  readonly label: Label
  /** JSON. Its schema is the kernel's, not the engine's. */
  readonly body: unknown
  /** UTC milliseconds before which it is not delivered. */
  readonly dueAt?: number
}

export interface MailboxMessage extends NewMessage {
  readonly id: string
  /** UTC milliseconds of its acceptance. */
  readonly at: number
}

export interface NewEvent {
  readonly run: string
  readonly key: string
  readonly principal: string
  readonly label: Label
  readonly origin: string
  readonly data: EventData
  readonly body?: unknown
}

export interface NewPromise {
  readonly token: string
  readonly run: string
  /** Unique in its session, so that opening it twice gives the first one. */
  readonly key: string
  readonly kind: PromiseKind
  /** Binds an approval to the hash of exactly one action. */
  readonly actionHash: string | null
  /** UTC milliseconds; a timer fires then, everything else expires. Null: never. */
  readonly dueAt: number | null
  readonly body?: unknown
}

export interface PromiseRow extends NewPromise {
  readonly session: string
  readonly state: "open" | "answered" | "expired" | "canceled"
  readonly answer: unknown
  readonly answeredBy: string | null
  readonly answeredAt: number | null
  readonly usedAt: number | null
  readonly openedAt: number
}

export interface Answer {
  readonly token: string
  readonly answer: unknown
  readonly by: string
}

/** `first` is false if somebody answered before, or if it expired or was canceled; `row` is how it stands then. */
export interface Answered {
  readonly first: boolean
  readonly row: PromiseRow | null
}

/** A scope of the budget tree with its limits; null is no limit. Money is in millionths of a US dollar. */
export interface BudgetScope {
  readonly scope: string
  readonly maxTokens: number | null
  readonly maxMicros: number | null
}

export interface Reservation {
  readonly id: string
  /** From the narrowest scope to the widest. */
  readonly scopes: readonly BudgetScope[]
  readonly tokens: number
  readonly micros: number
}

/** `spent` null: nobody knows, so the whole reservation counts as spent. */
export interface Settlement {
  readonly id: string
  readonly spent: Pick<Spent, "inputTokens" | "outputTokens" | "micros"> | null
}

export interface BudgetRow {
  readonly scope: string
  readonly usedTokens: number
  readonly usedMicros: number
  readonly heldTokens: number
  readonly heldMicros: number
}

export type RunState = "running" | "parked" | "done" | "failed" | "canceled"

export interface RunRow {
  readonly run: string
  readonly session: string
  readonly state: RunState
  readonly title: string
  readonly startedAt: number
  readonly endedAt: number | null
  readonly steps: number
  readonly tokens: number
  readonly micros: number
}

export interface NewOutboxRow {
  readonly id: string
  readonly run: string
  /** Where it goes, in the words of the channel that sends it. */
  readonly target: string
  readonly body: unknown
}

export interface OutboxRow extends NewOutboxRow {
  readonly session: string
  readonly state: "pending" | "sent" | "unknown"
  readonly at: number
}

/** Everything in a batch happens, or nothing does. */
export interface Batch {
  readonly events: readonly NewEvent[]
  /** Mailbox messages that these events consume. */
  readonly consumes?: readonly string[]
  readonly opens?: readonly NewPromise[]
  /** Closes promises that are no longer waited for. */
  readonly cancels?: readonly string[]
  /** Uses up granted approvals; refused if one is not granted, too old or used. */
  readonly uses?: readonly { readonly token: string; readonly actionHash: string; readonly validMs: number }[]
  readonly reserve?: Reservation
  readonly settle?: Settlement
  readonly outbox?: readonly NewOutboxRow[]
  /** Messages to other sessions, such as the task of a child run. */
  readonly sends?: readonly NewMessage[]
  /** Answers to promises of other sessions, such as the outcome of a child run. */
  readonly answers?: readonly Answer[]
  /** Sessions whose runs end with this one. */
  readonly cancelSessions?: readonly { readonly session: string; readonly reason: string }[]
  readonly run?: RunRow
  /** The claim's cancellation was carried out. */
  readonly canceled?: boolean
}

export type Committed =
  | { readonly kind: "done"; readonly events: readonly JournalEvent[] }
  | { readonly kind: "refused"; readonly code: "budget-refused" | "approval-refused"; readonly scope: string }

export interface Claim {
  readonly session: string
  readonly worker: string
  /** Every write carries it; it rises with each claim. */
  readonly fence: number
  /** Claims in a row that ended without a finished step: the mark of a poisonous run. */
  readonly attempts: number
}

export interface Inbox {
  /** In order of acceptance; only what is due. */
  readonly messages: readonly MailboxMessage[]
  /** Rows that are open, or closed since and not yet recorded in the journal. */
  readonly promises: readonly PromiseRow[]
  readonly cancel: { readonly reason: string; readonly at: number } | null
}

export interface ReleaseOptions {
  /** UTC milliseconds. */
  readonly retryAt?: number
  readonly failed?: boolean
}

export interface Change {
  readonly session: string
  /** `wake`: there may be something to claim. `events`: the journal grew. `cancel`: end what runs. */
  readonly kind: "wake" | "events" | "cancel"
}

/**
 * Rejects with `lease-lost` when the claim is stale, `disk-full`, `state-locked` or `engine-closed`; nothing of the
 * rejected call was written then.
 */
export interface Engine {
  /** Commits a message to a mailbox, making the session if it is new; resolves once that is on disk. */
  send(message: NewMessage): Promise<{ readonly id: string; readonly duplicate: boolean }>
  /** The first answer wins. */
  answer(answer: Answer): Promise<Answered>
  cancel(session: string, reason: string): Promise<void>

  /** Takes one session that has something to do and that nobody holds; null if there is none. */
  claim(worker: string, leaseMs: number): Promise<Claim | null>
  /** False if the claim is no longer held. */
  renew(claim: Claim, leaseMs: number): Promise<boolean>
  inbox(claim: Claim): Promise<Inbox>
  commit(claim: Claim, batch: Batch): Promise<Committed>
  /** Gives the session back. `retryAt`: its work is not done, go on then. `failed`: count this claim as an attempt. */
  release(claim: Claim, options?: ReleaseOptions): Promise<void>
  /** Milliseconds until the next timer or retry, null if there is none. */
  nextDueIn(): Promise<number | null>

  /** Events after a cursor, in order. Without a session: of all sessions. */
  read(query: { readonly session?: string; readonly run?: string; readonly after?: string; readonly limit?: number }): Promise<readonly JournalEvent[]>
  runs(query: { readonly run?: string; readonly session?: string; readonly state?: RunState; readonly limit?: number }): Promise<readonly RunRow[]>
  promises(query: { readonly session?: string; readonly token?: string; readonly state?: PromiseRow["state"] }): Promise<readonly PromiseRow[]>
  budgets(scopes: readonly string[]): Promise<readonly BudgetRow[]>
  outbox(limit: number): Promise<readonly OutboxRow[]>
  markOutbox(id: string, state: OutboxRow["state"]): Promise<void>
  /** Forgets a body and leaves its hash as a tombstone. False if there is no such body. */
  erase(bodyHash: string): Promise<boolean>
  /** Makes a consistent copy of everything while running. */
  backup(folder: string): Promise<void>

  /** Calls back after every commit that touches a session; returns the way to stop it. */
  watch(listener: (change: Change) => void): () => void
  /** Safe to call twice. */
  close(): Promise<void>
}
