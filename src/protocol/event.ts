// The events of a journal: what is written, parsed again whenever it is read, and shown by API, CLI and workbench.
// A kind is never changed in place: a new meaning gets a new kind or a higher schema version `v`.
import { z } from "zod"

/** Version written into every event; readers accept this and all lower ones. */
export const eventVersion = 1

/** Where a value came from, from most to least trusted. */
export const integrities = ["owner", "contact", "skill", "web"] as const
/** How private a value is, from least to most. */
export const privacies = ["public", "workspace", "private", "secret"] as const

export const labelSchema = z.object({ integrity: z.enum(integrities), privacy: z.enum(privacies) })
export type Label = Readonly<z.infer<typeof labelSchema>>

/** What a crash in the middle of a step means; see the glossary. */
export const effectClasses = ["pure", "contained", "idempotent", "once"] as const
export type EffectClass = (typeof effectClasses)[number]

export const promiseKinds = ["approval", "question", "timer", "child", "process", "hand"] as const
export type PromiseKind = (typeof promiseKinds)[number]

export const usageSchema = z.object({
  inputTokens: z.number(),
  cachedTokens: z.number(),
  outputTokens: z.number(),
  /** Millionths of a US dollar. */
  micros: z.number(),
  /** True if tokens or price were not reported and the worst case was taken. */
  atMost: z.boolean(),
})
export type Spent = Readonly<z.infer<typeof usageSchema>>

const params = z.record(z.string(), z.union([z.string(), z.number()]))
const stepKind = z.enum(["model", "tool", "code"])

/** Small structured facts of an event. What people or models wrote stands in the body, which can be erased. */
export const eventDataSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("message-received"), message: z.string() }),
  z.object({
    kind: z.literal("run-started"),
    message: z.string(),
    workspace: z.string(),
    /** SHA-256 of what the run was begun with, so that it can be explained and replayed. */
    pins: z.object({ prompt: z.string(), tools: z.string(), route: z.string(), policy: z.string(), catalogue: z.string() }),
  }),
  z.object({
    kind: z.literal("step-started"),
    step: stepKind,
    name: z.string(),
    attempt: z.number(),
    effect: z.enum(effectClasses),
    inputHash: z.string(),
    idempotencyKey: z.string(),
  }),
  z.object({
    kind: z.literal("step-finished"),
    step: stepKind,
    name: z.string(),
    attempt: z.number(),
    outcome: z.enum(["done", "failed", "canceled", "in-doubt"]),
    durationMs: z.number(),
    /** True if the outcome was found after a crash and nothing was executed again. */
    recovered: z.boolean().optional(),
    code: z.string().optional(),
    params: params.optional(),
    spent: usageSchema.optional(),
  }),
  z.object({
    kind: z.literal("promise-opened"),
    promise: z.enum(promiseKinds),
    token: z.string(),
    expiresAt: z.number().nullable(),
  }),
  z.object({
    kind: z.literal("promise-closed"),
    promise: z.enum(promiseKinds),
    token: z.string(),
    state: z.enum(["answered", "expired", "canceled"]),
    by: z.string().nullable(),
  }),
  z.object({ kind: z.literal("run-parked"), code: z.string(), params, tokens: z.array(z.string()) }),
  z.object({
    kind: z.literal("run-ended"),
    outcome: z.enum(["done", "failed", "canceled"]),
    code: z.string().optional(),
    params: params.optional(),
  }),
  z.object({ kind: z.literal("notice"), code: z.string(), params }),
])
export type EventData = z.infer<typeof eventDataSchema>
export type EventKind = EventData["kind"]

/** One line of a journal. */
export interface JournalEvent {
  /** Opaque position, ordered within a session; what a stream is resumed from. */
  readonly cursor: string
  readonly session: string
  readonly run: string
  /** What the event is about, unique per kind in its session: step key, token or message id. */
  readonly key: string
  /** UTC milliseconds. */
  readonly at: number
  readonly v: number
  /** Who caused it: `owner`, `model`, `host`, `child:<session>`. */
  readonly principal: string
  readonly label: Label
  /** Through what it came: `cli`, `model:<id>`, `tool:<name>`, `host`. */
  readonly origin: string
  readonly kind: EventKind
  /** Null if the row could not be read: it is kept apart and the rest stays usable. */
  readonly data: EventData | null
  /** SHA-256 of the body; null if there is none. */
  readonly bodyHash: string | null
  /** Undefined if there is none, if it was erased or if its bytes are gone. */
  readonly body: unknown
}
