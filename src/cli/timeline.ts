// The timeline of a run: one line a step, the same for a run that is watched and for one that is looked up later.
import { displayWidth, oneLine, printable } from "../base/printable.ts"
import type { EventData, JournalEvent } from "../protocol/event.ts"
import type { Part } from "../protocol/message.ts"
import type { CliContext } from "./command.ts"
import { amount, duration } from "./format.ts"

type Finished = Extract<EventData, { kind: "step-finished" }>

export interface Totals {
  readonly steps: number
  readonly tokens: number
  readonly micros: number
  readonly atMost: boolean
}

/** Turns the events of one run into lines. Feed it every event, in order. */
export class Timeline {
  readonly #context: CliContext
  readonly #numbers = new Map<string, number>()
  readonly #details = new Map<string, string>()
  #totals: Totals = { steps: 0, tokens: 0, micros: 0, atMost: false }

  constructor(context: CliContext) {
    this.#context = context
  }

  get totals(): Totals {
    return this.#totals
  }

  /** The step that is running: its line without an outcome. */
  started(event: JournalEvent): { readonly number: number; readonly label: string } | null {
    const data = event.data
    if (data?.kind !== "step-started") return null
    const key = event.key.slice(0, event.key.lastIndexOf("#"))
    return { number: this.#number(key), label: this.#label(data.name, data.step, key) }
  }

  /** The lines that an event adds. */
  lines(event: JournalEvent): readonly string[] {
    const { t } = this.#context
    const data = event.data
    if (!data) return [this.#mark("!", "yellow") + t("timeline-unreadable", { cursor: event.cursor })]
    switch (data.kind) {
      case "step-started":
        return data.attempt > 1 ? [this.#mark("↻", "yellow") + t("timeline-again", { number: this.#number(withoutAttempt(event.key)), attempt: data.attempt })] : []
      case "step-finished":
        return this.#finished(event, data)
      case "promise-opened":
        return data.promise === "approval" || data.promise === "question" ? [this.#mark("?", "yellow") + this.#question(event, data.token)] : []
      case "promise-closed":
        return data.promise === "approval" || data.promise === "question" ? [this.#mark("·", "dim") + this.#answer(event, data)] : []
      default:
        return []
    }
  }

  #finished(event: JournalEvent, data: Finished): readonly string[] {
    const number = this.#number(event.key)
    const { inputTokens = 0, outputTokens = 0, micros = 0, atMost = false } = data.spent ?? {}
    this.#totals = {
      steps: this.#totals.steps + 1,
      tokens: this.#totals.tokens + inputTokens + outputTokens,
      micros: this.#totals.micros + micros,
      atMost: this.#totals.atMost || (atMost && micros > 0),
    }
    const said = data.step === "model" ? this.#reply(event) : ""
    const good = data.outcome === "done"
    const mark = good ? this.#mark("✓", "green") : this.#mark("✗", "red")
    const facts = [duration(data.durationMs), data.spent ? `${inputTokens}→${outputTokens}` : "", data.recovered ? this.#context.t("timeline-recovered") : ""]
    const right = facts.filter((fact) => fact !== "").join("  ")
    const left = `${String(number).padStart(3)} ${this.#label(data.name, data.step, event.key)}`
    const room = Math.max(20, this.#context.columns - 4 - displayWidth(right))
    const shown = oneLine(left.trimStart(), room - 4)
    const line = `${mark}${" ".repeat(Math.max(0, 3 - String(number).length))}${shown}${" ".repeat(Math.max(1, room - 3 - displayWidth(shown)))}${this.#color(right, "dim")}`
    return [...(said === "" ? [] : said.split("\n").map((text) => `    ${text}`)), line, ...this.#why(event, data)]
  }

  /** Why a step did not end well, in one line. */
  #why(event: JournalEvent, data: Finished): readonly string[] {
    if (data.outcome === "done") return []
    const text = bodyText(event.body) || (data.code ? this.#context.t(data.code, data.params ?? {}) : data.outcome)
    return [`      ${this.#color(oneLine(text, this.#context.columns - 8), "dim")}`]
  }

  /** What the model wrote, if it goes on working: the last reply is shown apart. */
  #reply(event: JournalEvent): string {
    const parts = Array.isArray(event.body) ? (event.body as readonly Part[]) : []
    const calls = parts.filter((part) => part.kind === "tool-call")
    for (const [i, call] of calls.entries()) this.#details.set(`${event.key}/t${i + 1}`, callText(call))
    const text = parts.map((part) => (part.kind === "text" ? part.text : "")).join("")
    return calls.length === 0 ? "" : printable(text).trim()
  }

  #label(name: string, step: string, key: string): string {
    return step === "model" ? `${this.#context.t("timeline-model")} ${name}` : `${name} ${this.#details.get(key) ?? ""}`
  }

  #number(key: string): number {
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    this.#numbers.set(key, this.#numbers.size + 1)
    return this.#numbers.size
  }

  #question(event: JournalEvent, token: string): string {
    const { t } = this.#context
    return t("timeline-question", { token, action: questionText(event.body, this.#context) })
  }

  #answer(event: JournalEvent, { token, state, by }: Extract<EventData, { kind: "promise-closed" }>): string {
    const granted = event.body !== null && typeof event.body === "object" && "granted" in event.body && event.body.granted === true
    return this.#context.t(granted ? "timeline-granted" : "timeline-denied", { token, by: by ?? state })
  }

  #mark(sign: string, color: Color): string {
    return ` ${this.#color(sign, color)} `
  }

  #color(text: string, color: Color): string {
    return this.#context.colors && text !== "" ? `\u001B[${colorCodes[color]}m${text}\u001B[0m` : text
  }
}

type Color = keyof typeof colorCodes
const colorCodes = { green: 32, red: 31, yellow: 33, dim: 2 } as const

/** What the owner is asked, in one line. */
export function questionText(body: unknown, { t, columns }: Pick<CliContext, "t" | "columns">): string {
  if (body === null || typeof body !== "object") return ""
  if ("code" in body && typeof body.code === "string") {
    const params = "params" in body && body.params !== null && typeof body.params === "object" ? { ...body.params } : {}
    return t(body.code, { ...params, ...("maxMicros" in params ? { limit: amount(Number(params.maxMicros), false) } : {}) })
  }
  if ("tool" in body && "input" in body) return oneLine(`${String(body.tool)} ${inputText(body.input)}`, columns - 20)
  return ""
}

function callText(call: Extract<Part, { kind: "tool-call" }>): string {
  return call.raw ?? inputText(call.input)
}

function inputText(input: unknown): string {
  if (input !== null && typeof input === "object" && "command" in input && typeof input.command === "string") return input.command
  return JSON.stringify(input)
}

function bodyText(body: unknown): string {
  return body !== null && typeof body === "object" && "text" in body && typeof body.text === "string" ? body.text : ""
}

function withoutAttempt(key: string): string {
  return key.slice(0, key.lastIndexOf("#"))
}
