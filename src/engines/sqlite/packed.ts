// What crosses from the engine's front to its writer: the port's values with each body already serialised, hashed and,
// if large, already on disk. Rows come back in the same form.
import type { Batch, MailboxMessage, NewEvent, NewMessage, NewOutboxRow, NewPromise, OutboxRow, PromiseRow } from "../../kernel/port.ts"
import type { JournalEvent } from "../../protocol/event.ts"

/** `json` is null when the bytes are in the blob store (or, in a row that was read, erased). */
export interface Packed {
  readonly hash: string
  readonly json: string | null
  readonly erased?: boolean
}

export type WithBody<T> = Omit<T, "body"> & { readonly body: Packed }
export type WithOptionalBody<T> = Omit<T, "body"> & { readonly body: Packed | null }

export type PackedMessage = WithBody<NewMessage>
export type PackedBatch = Omit<Batch, "events" | "opens" | "outbox" | "sends"> & {
  readonly events: readonly WithOptionalBody<NewEvent>[]
  readonly opens?: readonly WithOptionalBody<NewPromise>[]
  readonly outbox?: readonly WithBody<NewOutboxRow>[]
  readonly sends?: readonly PackedMessage[]
}

export type PackedPromiseRow = WithOptionalBody<PromiseRow>
export type PackedMailboxMessage = WithBody<MailboxMessage>
export type PackedEventRow = WithOptionalBody<Omit<JournalEvent, "bodyHash">>
export type PackedOutboxRow = WithBody<OutboxRow>
