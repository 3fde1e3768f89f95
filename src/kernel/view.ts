// The view: the pure function from a session's journal to the conversation that the next model request carries. Once
// something has been sent it is never rendered differently again: what comes later is appended.
import type { EventData, JournalEvent } from "../protocol/event.ts"
import { type Part, partSchema } from "../protocol/message.ts"
import { taskSchema } from "../protocol/task.ts"
import type { ModelMessage } from "./model.ts"

type ToolCall = Extract<Part, { kind: "tool-call" }>
type ToolResult = Extract<Part, { kind: "tool-result" }>

/** A call of the model and the step that carries it out. */
export interface OpenCall {
  readonly stepKey: string
  readonly call: ToolCall
}

export interface View {
  readonly messages: readonly ModelMessage[]
  /** Calls that have no result yet, in order: those of the last reply and those that were rendered as waiting. */
  readonly openCalls: readonly OpenCall[]
  /** True if there is something that the model has not seen: results aside, a message or an outcome. */
  readonly unseen: boolean
  /** The last reply, if nothing has come after it that the model has not seen. */
  readonly reply: readonly Part[] | null
  /** Model steps of the run that have ended, well or badly; the number of the next one follows from it. */
  readonly modelSteps: number
  /** The model step that failed last, and how many did so in a row; null if the last one was done. */
  readonly failure: ModelFailure | null
}

export interface ModelFailure {
  readonly key: string
  readonly code: string
  readonly params: Readonly<Record<string, string | number>>
  readonly times: number
}

/** The key of the model step that follows `before` earlier ones of a run. */
export function modelStepKey(run: string, before: number): string {
  return `${run}/m${before + 1}`
}

/** The key of the tool step for call number `index` of a model step. */
export function toolStepKey(modelKey: string, index: number): string {
  return `${modelKey}/t${index + 1}`
}

/** What `run` has to do next is read off the view of the whole session. */
export function renderView(events: readonly JournalEvent[], run: string): View {
  const fold = new ViewFold(run)
  for (const event of events) fold.add(event)
  return fold.view()
}

interface PendingCall extends OpenCall {
  result: ToolResult | null
}

class ViewFold {
  readonly #run: string
  readonly #messages: ModelMessage[] = []
  #calls: PendingCall[] = []
  /** Calls rendered as waiting in a request that was sent: their outcome becomes a message of its own. */
  readonly #deferred = new Map<string, ToolCall>()
  readonly #approvals = new Map<string, string>()
  #arrived: ModelMessage[] = []
  #reply: readonly Part[] | null = null
  #modelSteps = 0
  #failure: ModelFailure | null = null

  constructor(run: string) {
    this.#run = run
  }

  add(event: JournalEvent): void {
    const data = event.data
    if (!data) return
    switch (data.kind) {
      case "message-received":
        return this.#message(event)
      case "step-started":
        if (data.step === "model") this.#flush("")
        return
      case "step-finished":
        if (data.step === "model") this.#modelStep(event, data)
        if (data.step === "tool") this.#toolResult(event, data.outcome)
        return
      case "promise-opened":
        if (data.promise === "approval") this.#approvals.set(stepOfPromise(event.key), data.token)
        return
      case "run-ended":
        this.#flush(`not done: the run was ended (${data.outcome})`)
        this.#deferred.clear()
        this.#failure = null
        return
      default:
        return
    }
  }

  view(): View {
    const waiting = [...this.#deferred].map(([stepKey, call]) => ({ stepKey, call }))
    const fresh = this.#calls.filter((call) => !call.result).map(({ stepKey, call }) => ({ stepKey, call }))
    const unseen = this.#arrived.length > 0
    const answered = this.#calls.length > 0 || unseen
    this.#flush("")
    return {
      messages: this.#messages,
      openCalls: [...waiting, ...fresh],
      unseen,
      reply: answered ? null : this.#reply,
      modelSteps: this.#modelSteps,
      failure: this.#failure,
    }
  }

  #message(event: JournalEvent): void {
    const task = taskSchema.safeParse(event.body)
    const parts: readonly Part[] = task.success ? task.data.parts : [{ kind: "text", text: "[this message was erased]" }]
    this.#arrived.push({ role: "user", parts })
  }

  #modelStep(event: JournalEvent, { outcome, code = "internal", params = {} }: Extract<EventData, { kind: "step-finished" }>): void {
    if (event.run === this.#run) this.#modelSteps++
    if (outcome === "done") this.#modelReply(event)
    this.#failure = outcome === "failed" ? { key: event.key, code, params, times: (this.#failure?.times ?? 0) + 1 } : null
  }

  #modelReply(event: JournalEvent): void {
    const parts = partSchema.array().safeParse(event.body)
    const reply: readonly Part[] = parts.success ? parts.data : [{ kind: "text", text: "[this reply was erased]" }]
    this.#reply = reply
    this.#messages.push({ role: "assistant", parts: reply })
    const calls = reply.filter((part) => part.kind === "tool-call")
    this.#calls = calls.map((call, i) => ({ stepKey: toolStepKey(event.key, i), call, result: null }))
  }

  #toolResult(event: JournalEvent, outcome: string): void {
    const open = this.#calls.find((call) => call.stepKey === event.key)
    const call = open?.call ?? this.#deferred.get(event.key)
    if (!call) return
    const text = resultText(event.body, outcome)
    if (open) {
      open.result = { kind: "tool-result", id: call.id, tool: call.tool, text, failed: outcome !== "done" }
      return
    }
    this.#deferred.delete(event.key)
    this.#arrived.push({ role: "user", parts: [{ kind: "text", text: `[outcome of the call of ${call.tool} that was waiting]\n${text}` }] })
  }

  /** Puts results, one for each call, and then what arrived meanwhile behind the last reply. */
  #flush(missing: string): void {
    if (this.#calls.length > 0) {
      const parts = this.#calls.map((open) => open.result ?? this.#placeholder(open, missing))
      this.#messages.push({ role: "tool", parts })
      this.#calls = []
    }
    this.#messages.push(...this.#arrived)
    this.#arrived = []
  }

  #placeholder({ call, stepKey }: OpenCall, missing: string): ToolResult {
    if (missing === "") this.#deferred.set(stepKey, call)
    const waiting = `waiting for approval ${this.#approvals.get(stepKey) ?? ""}`.trim()
    return { kind: "tool-result", id: call.id, tool: call.tool, text: missing || waiting, failed: missing !== "" }
  }
}

/** Promises of a step have its key and a suffix. */
export function approvalKey(stepKey: string, number: number): string {
  return `${stepKey}/approval${number}`
}

function stepOfPromise(key: string): string {
  return key.slice(0, key.lastIndexOf("/"))
}

function resultText(body: unknown, outcome: string): string {
  if (body !== null && typeof body === "object" && "text" in body && typeof body.text === "string") return body.text
  switch (outcome) {
    case "canceled":
      return "ended by the owner"
    case "in-doubt":
      return "it is not known whether this was done: the computer stopped in the middle. Do not repeat it; say so to the owner."
    default:
      return "[the result is no longer there]"
  }
}
