// A claimed session: the journal in memory, and the three ways in which code uses it durably. `step` is memoised by key,
// never by position, so code may change while a run waits; `wait` and `sleep` are rows, so nothing is held while they wait.
import type { Clock } from "../base/clock.ts"
import { AppError, isAppError, messageOf } from "../base/error.ts"
import { hashOf } from "../base/hash.ts"
import { newId, type RandomBytes } from "../base/id.ts"
import type { EffectClass, EventData, JournalEvent, Label, PromiseKind, Spent } from "../protocol/event.ts"
import { hostLabel } from "./labels.ts"
import type { Batch, Claim, Committed, Engine, Inbox, NewMessage, PromiseRow, Settlement } from "./port.ts"

export type StepKind = "model" | "tool" | "code"
export type StepOutcome = Extract<EventData, { kind: "step-finished" }>["outcome"]
type Finished = Extract<EventData, { kind: "step-finished" }>

/** What a step left: its outcome, and its value unless that was erased. */
export interface StepRecord {
  readonly key: string
  readonly outcome: StepOutcome
  readonly value: unknown
  readonly data: Finished | null
}

export interface Attempt {
  /** From 1. More than 1: an earlier one was begun and its outcome is not known. */
  readonly number: number
  readonly idempotencyKey: string
  readonly signal: AbortSignal
}

export interface StepResult {
  readonly outcome: "done" | "failed" | "canceled"
  readonly value: unknown
  readonly label?: Label
  readonly origin?: string
  readonly principal?: string
  readonly code?: string
  readonly params?: Readonly<Record<string, string | number>>
  readonly spent?: Spent
  readonly settle?: Settlement
}

export interface StepSpec {
  readonly run: string
  readonly key: string
  readonly step: StepKind
  readonly name: string
  readonly effect: EffectClass
  /** Hashed into the intent. */
  readonly input: unknown
  /** Written together with the intent, all or nothing. */
  readonly intent?: Pick<Batch, "reserve" | "uses" | "settle">
  /** Looks for what an earlier attempt left; null if it may be made again. Without it a `once` step is in doubt. */
  readonly recover?: (attempt: Attempt) => Promise<StepResult | "in-doubt" | null>
  readonly perform: (attempt: Attempt) => Promise<StepResult>
}

export type Stepped = { readonly kind: "finished"; readonly record: StepRecord } | Extract<Committed, { kind: "refused" }>

export interface WaitSpec {
  readonly run: string
  readonly key: string
  readonly kind: PromiseKind
  /** UTC milliseconds; null: never expires. */
  readonly dueAt: number | null
  readonly actionHash?: string
  readonly body?: unknown
  /** Messages that are sent when the promise is opened, all or nothing: the task of a child run that answers `token`. */
  readonly sends?: (token: string) => readonly NewMessage[]
}

export interface Waited extends Pick<PromiseRow, "state" | "answer"> {
  readonly token: string
}

/** Why a step's signal was aborted: the owner stopped the run, or this process no longer owns the session. */
export type AbortCause = "canceled" | "lost"

export interface SessionPorts {
  readonly engine: Engine
  readonly clock: Clock
  readonly random: RandomBytes
}

export class Session {
  readonly claim: Claim
  readonly ports: SessionPorts
  readonly signal: AbortSignal
  readonly events: JournalEvent[]
  readonly #started = new Map<string, number>()
  readonly #finished = new Map<string, StepRecord>()
  readonly #closed = new Map<string, { state: PromiseRow["state"]; answer: unknown }>()

  constructor(ports: SessionPorts, claim: Claim, events: readonly JournalEvent[], signal: AbortSignal) {
    this.ports = ports
    this.claim = claim
    this.signal = signal
    this.events = []
    for (const event of events) this.#record(event)
  }

  static async open(ports: SessionPorts, claim: Claim, signal: AbortSignal): Promise<Session> {
    return new Session(ports, claim, await ports.engine.read({ session: claim.session }), signal)
  }

  get id(): string {
    return this.claim.session
  }

  /** Messages that are waiting, promises that are open or have just ended, and whether to stop. */
  inbox(): Promise<Inbox> {
    return this.ports.engine.inbox(this.claim)
  }

  async commit(batch: Batch): Promise<Committed> {
    const committed = await this.ports.engine.commit(this.claim, batch)
    if (committed.kind === "done") for (const event of committed.events) this.#record(event)
    return committed
  }

  /** The recorded end of a step, if it has one. */
  finished(key: string): StepRecord | undefined {
    return this.#finished.get(key)
  }

  /** How often a step was begun. */
  attempts(key: string): number {
    return this.#started.get(key) ?? 0
  }

  /**
   * Does something once and remembers it under its key. The intent is on disk before `perform` is called, the result
   * before this resolves. Rejects with `canceled` if the owner stopped the run, `lease-lost` if somebody else owns it.
   */
  async step(spec: StepSpec): Promise<Stepped> {
    const known = this.#finished.get(spec.key)
    if (known) return { kind: "finished", record: known }
    this.#requireOwned()
    const before = this.attempts(spec.key)
    if (before > 0) {
      const found = await this.#recover(spec, before)
      if (found) return { kind: "finished", record: found }
    }
    const attempt = this.#attempt(spec, before + 1)
    const begun = await this.commit({ ...spec.intent, events: [this.#intent(spec, attempt)] })
    if (begun.kind === "refused") return begun
    const from = this.ports.clock.monotonic()
    const result = await this.#perform(spec, attempt)
    return { kind: "finished", record: await this.#finish(spec, result, { attempt, durationMs: this.ports.clock.monotonic() - from }) }
  }

  /** Opens a promise under its key, or says how the one that stands there has ended. */
  async wait(spec: WaitSpec): Promise<Waited> {
    const { key, run, kind } = spec
    const row = (await this.ports.engine.promises({ session: this.id })).find((promise) => promise.key === key)
    if (row) return this.close(row)
    const token = newId("a", this.ports.random)
    await this.commit({
      opens: [{ token, run, key, kind, dueAt: spec.dueAt, actionHash: spec.actionHash ?? null, body: spec.body }],
      ...(spec.sends && { sends: spec.sends(token) }),
      events: [{ ...hostEvent(run, key), data: { kind: "promise-opened", promise: kind, token, expiresAt: spec.dueAt }, body: spec.body }],
    })
    return { token, state: "open", answer: null }
  }

  /** Writes the end of a promise into the journal, once. */
  async close(row: PromiseRow): Promise<Waited> {
    const known = this.#closed.get(row.token)
    if (known) return { token: row.token, ...known }
    if (row.state === "open") return row
    await this.commit({
      events: [
        {
          ...hostEvent(row.run, row.key),
          principal: row.answeredBy ?? "host",
          data: { kind: "promise-closed", promise: row.kind, token: row.token, state: row.state, by: row.answeredBy },
          body: row.answer,
        },
      ],
    })
    return row
  }

  /** True once `ms` have passed since the first call with this key; false: the session has to be released until then. */
  async sleep(run: string, key: string, ms: number): Promise<boolean> {
    const { state } = await this.wait({ run, key, kind: "timer", dueAt: this.ports.clock.now() + ms })
    return state !== "open"
  }

  #requireOwned(): void {
    if (this.signal.aborted) throw new AppError(this.signal.reason === "canceled" ? "canceled" : "lease-lost", { session: this.id })
  }

  #attempt(spec: StepSpec, number: number): Attempt {
    return { number, idempotencyKey: hashOf([this.id, spec.key]).slice(0, 32), signal: this.signal }
  }

  #intent(spec: StepSpec, attempt: Attempt): Batch["events"][number] {
    const { step, name, effect } = spec
    return {
      ...hostEvent(spec.run, attemptKey(spec.key, attempt.number)),
      data: { kind: "step-started", step, name, attempt: attempt.number, effect, inputHash: hashOf(spec.input ?? null), idempotencyKey: attempt.idempotencyKey },
    }
  }

  /** After a crash between intent and result. Null: make another attempt. */
  async #recover(spec: StepSpec, begun: number): Promise<StepRecord | null> {
    const attempt = this.#attempt(spec, begun)
    const found = spec.recover ? await spec.recover(attempt) : spec.effect === "once" ? "in-doubt" : null
    if (found === null) return null
    const result: StepResult | "in-doubt" = found
    return this.#finish(spec, result, { attempt, durationMs: 0, recovered: true })
  }

  async #perform(spec: StepSpec, attempt: Attempt): Promise<StepResult | "canceled"> {
    try {
      const result = await spec.perform(attempt)
      if (this.signal.aborted) this.#requireStillOwned()
      return result
    } catch (cause) {
      if (this.signal.aborted) {
        this.#requireStillOwned()
        return "canceled"
      }
      if (isAppError(cause)) return { outcome: "failed", value: null, code: cause.code, params: cause.params }
      return { outcome: "failed", value: null, code: "internal", params: { detail: messageOf(cause) } }
    }
  }

  /** A process that is going away leaves its intent open: whoever comes next finds the outcome or repeats the step. */
  #requireStillOwned(): void {
    if (this.signal.reason !== "canceled") throw new AppError("lease-lost", { session: this.id })
  }

  async #finish(
    spec: StepSpec,
    result: StepResult | "in-doubt" | "canceled",
    how: { attempt: Attempt; durationMs: number; recovered?: boolean },
  ): Promise<StepRecord> {
    const plain: Partial<StepResult> = typeof result === "string" ? {} : result
    const { step, name } = spec
    await this.commit({
      ...(plain.settle && { settle: plain.settle }),
      events: [
        {
          run: spec.run,
          key: spec.key,
          principal: plain.principal ?? "host",
          label: plain.label ?? hostLabel,
          origin: plain.origin ?? "host",
          data: {
            kind: "step-finished",
            step,
            name,
            attempt: how.attempt.number,
            outcome: typeof result === "string" ? result : result.outcome,
            durationMs: Math.round(how.durationMs),
            ...(how.recovered && { recovered: true }),
            ...(plain.code !== undefined && { code: plain.code }),
            ...(plain.params && { params: { ...plain.params } }),
            ...(plain.spent && { spent: plain.spent }),
          },
          body: plain.value ?? null,
        },
      ],
    })
    const record = this.#finished.get(spec.key)
    if (!record) throw new AppError("internal", { detail: `step ${spec.key} was not recorded` })
    return record
  }

  #record(event: JournalEvent): void {
    this.events.push(event)
    const data = event.data
    if (event.kind === "step-started") {
      const key = stepKey(event.key)
      this.#started.set(key, (this.#started.get(key) ?? 0) + 1)
    }
    if (event.kind === "step-finished") {
      // A result that cannot be read any more is still a result: the step is not made again.
      const finished = data?.kind === "step-finished" ? data : null
      this.#finished.set(event.key, { key: event.key, outcome: finished?.outcome ?? "in-doubt", value: event.body, data: finished })
    }
    if (data?.kind === "promise-closed") this.#closed.set(data.token, { state: data.state, answer: event.body ?? null })
  }
}

/** The fields of an event that the host itself causes. */
export function hostEvent(run: string, key: string): { run: string; key: string; principal: string; label: Label; origin: string } {
  return { run, key, principal: "host", label: hostLabel, origin: "host" }
}

/** Intents of one step have one key each, because a key is unique per kind. */
function attemptKey(key: string, attempt: number): string {
  return `${key}#${attempt}`
}

export function stepKey(attemptKey: string): string {
  return attemptKey.slice(0, attemptKey.lastIndexOf("#"))
}
