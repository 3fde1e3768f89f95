// What crosses between a client and the gateway. Bump `apiVersion` when an older client could misread an answer.
import { z } from "zod"
import type { JournalEvent } from "./event.ts"
import { partSchema } from "./message.ts"
import { routeSchema } from "./task.ts"

export const newRunSchema = z.object({
  /** Chosen by the client, so that sending it twice starts one run. */
  idem: z.string().min(1).max(200),
  parts: z.array(partSchema).min(1),
  workspace: z.string(),
  /** An existing conversation to go on with; else a new one. */
  session: z.string().optional(),
  commands: z.enum(["allow", "ask"]).default("allow"),
  route: routeSchema.optional(),
  /** Kept in memory for this endpoint, never written. */
  apiKey: z.string().optional(),
})
export type NewRun = z.input<typeof newRunSchema>

export const answerSchema = z.object({ granted: z.boolean(), by: z.string().min(1).max(200) })
export const stopSchema = z.object({ reason: z.string().max(500).default("stopped by the owner") })

export interface StartedRun {
  readonly run: string
  readonly session: string
  readonly duplicate: boolean
}

export interface RunSummary {
  readonly run: string
  readonly session: string
  readonly state: "running" | "parked" | "done" | "failed" | "canceled"
  readonly title: string
  readonly startedAt: number
  readonly endedAt: number | null
  readonly steps: number
  readonly tokens: number
  readonly micros: number
}

export interface RunDetail extends RunSummary {
  readonly events: readonly JournalEvent[]
}

export interface Question {
  readonly token: string
  readonly session: string
  readonly run: string
  readonly kind: string
  readonly state: "open" | "answered" | "expired" | "canceled"
  readonly openedAt: number
  readonly dueAt: number | null
  readonly body: unknown
  readonly answer: unknown
  readonly answeredBy: string | null
}

export interface Answered {
  /** False: somebody was quicker, or it is too late; `question` says how it stands. */
  readonly first: boolean
  readonly question: Question
}

export interface HostStatus {
  readonly pid: number
  readonly version: string
  readonly home: string
  readonly startedAt: number
  /** Sessions that are being worked on. */
  readonly busy: number
  readonly running: number
  readonly parked: number
  readonly questions: number
  readonly model: string | null
  readonly sandbox: { readonly tier: string; readonly staging: string; readonly reasons: readonly CodedText[] } | null
  readonly journal: "ok" | "checking" | "damaged"
}

export interface CodedText {
  readonly code: string
  readonly params: Readonly<Record<string, string | number>>
}

/** What a refused request answers, as application/problem+json. */
export interface Problem extends CodedText {
  readonly type: "about:blank"
  readonly title: string
  readonly status: number
}

/** Streams beside the journal; interrupted by a crash and never replayed. */
export interface LiveDelta {
  readonly session: string
  readonly run: string
  readonly key: string
  readonly attempt: number
  /** Characters of this attempt before this piece. */
  readonly offset: number
  readonly kind: "text" | "reasoning" | "tool-call" | "output"
  readonly text: string
}

export type StreamItem =
  | { readonly kind: "event"; readonly event: JournalEvent }
  | { readonly kind: "live"; readonly delta: LiveDelta }
