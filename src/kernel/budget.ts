// What the next model call may cost at most, and what it did cost. The one place that turns tokens into money; an unknown
// price counts as the highest that anybody charges.
import type { Spent } from "../protocol/event.ts"
import type { Model, ModelRequest, Price, Usage } from "./model.ts"
import type { BudgetScope, Reservation } from "./port.ts"

/** US dollars per million tokens; above every price in the catalogue. */
export const highestPrice: Price = { input: 30, cached: 30, output: 180 }

export interface Limits {
  readonly run: Omit<BudgetScope, "scope">
  readonly day: Omit<BudgetScope, "scope">
}

/** $2 and 2 million tokens a run, $10 a day. */
export const defaultLimits: Limits = {
  run: { maxTokens: 2_000_000, maxMicros: 2_000_000 },
  day: { maxTokens: null, maxMicros: 10_000_000 },
}

/** More output in one call is not asked for. */
const outputCeiling = 16_384

/** Tokens of a request, rather too many than too few: every third byte is one. */
export function estimateTokens(request: Pick<ModelRequest, "system" | "messages" | "tools">): number {
  return Math.ceil(Buffer.byteLength(JSON.stringify([request.system, request.tools, request.messages])) / 3)
}

export function outputTokens(model: Model): number {
  return Math.min(model.maxOutputTokens, outputCeiling)
}

/** Millionths of a dollar. */
function micros(price: Price, usage: Usage): number {
  const uncached = Math.max(0, usage.inputTokens - usage.cachedTokens)
  return Math.ceil(uncached * price.input + usage.cachedTokens * price.cached + usage.outputTokens * price.output)
}

export interface BudgetContext {
  readonly run: string
  readonly session: string
  readonly agent: string
  /** Calendar day of the agent, `2026-11-24`. */
  readonly day: string
  readonly limits: Limits
  /** How often the owner has allowed the run's, or the day's, limit once more. */
  readonly extensions: Readonly<Record<"run" | "day", number>>
}

/** The most that a call can cost, held against every scope from the run to the day. */
export function reservation(id: string, model: Model, request: ModelRequest, context: BudgetContext): Reservation {
  const input = estimateTokens(request)
  const worst: Usage = { inputTokens: input, cachedTokens: 0, outputTokens: request.maxOutputTokens }
  return {
    id,
    tokens: input + request.maxOutputTokens,
    micros: micros(model.price ?? highestPrice, worst),
    scopes: [
      { scope: `run:${context.run}`, ...extended(context.limits.run, context.extensions.run) },
      { scope: `session:${context.session}`, maxTokens: null, maxMicros: null },
      { scope: `agent:${context.agent}`, maxTokens: null, maxMicros: null },
      { scope: dayScope(context.day), ...extended(context.limits.day, context.extensions.day) },
    ],
  }
}

export function dayScope(day: string): string {
  return `day:${day}`
}

function extended(limit: Omit<BudgetScope, "scope">, times: number): Omit<BudgetScope, "scope"> {
  const grown = (value: number | null): number | null => (value === null ? null : value * (1 + times))
  return { maxTokens: grown(limit.maxTokens), maxMicros: grown(limit.maxMicros) }
}

/** What a call cost; what was not reported is taken at its worst. */
export function spent(model: Model, usage: Usage | null, held: Reservation, request: ModelRequest): Spent {
  const known = usage ?? { inputTokens: held.tokens - request.maxOutputTokens, cachedTokens: 0, outputTokens: request.maxOutputTokens }
  return { ...known, micros: micros(model.price ?? highestPrice, known), atMost: usage === null || model.price === null }
}
