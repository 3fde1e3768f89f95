// What the loop is given: who the agent is and everything that it may use. All of it comes in from the composition root.
import { hashOf } from "../base/hash.ts"
import type { Limits } from "./budget.ts"
import { gateVersion } from "./gate.ts"
import type { Model, ModelDelta, ToolSchema } from "./model.ts"
import type { Route } from "../protocol/task.ts"
import type { Tool } from "./tool.ts"

/** What streams beside the journal: shown to whoever watches, never stored, never part of the view. */
export interface LiveEvent {
  readonly session: string
  readonly run: string
  readonly key: string
  readonly attempt: number
  readonly delta: ModelDelta | { readonly kind: "output"; readonly text: string }
}

export interface Agent {
  readonly name: string
  /** IANA zone: decides when a day begins. */
  readonly zone: string
  readonly system: string
  readonly limits: Limits
  readonly tools: readonly Tool[]
  /** The model of a route, or the configured one; rejects with `model-missing` if there is none. */
  readonly model: (route: Route | undefined) => Promise<Model>
  readonly live: (event: LiveEvent) => void
}

export function toolSchemas(agent: Agent): readonly ToolSchema[] {
  return agent.tools.map(({ name, description, schema }) => ({ name, description, input: schema }))
}

/** Hashes of all that a run is begun with. */
export function pinsOf(agent: Agent, model: Model): { prompt: string; tools: string; route: string; policy: string; catalogue: string } {
  return {
    prompt: hashOf(agent.system),
    tools: hashOf(toolSchemas(agent)),
    route: hashOf(model.id),
    policy: hashOf([gateVersion, agent.limits]),
    catalogue: hashOf([model.contextTokens, model.maxOutputTokens, model.price]),
  }
}

/** Calendar day in the agent's zone, `2026-11-24`. */
export function dayOf(agent: Agent, now: number): string {
  return new Intl.DateTimeFormat("en-CA", { timeZone: agent.zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(now)
}
