// The script of the scripted server, as data, and the choice of the next turn. The turn is chosen from the request
// alone, never from memory, so that a client which was killed and resumed gets the turn that it was about to get.
import { z } from "zod"

/** What a turn or a request can do wrong on purpose. */
export const faults = [
  "refuse",
  "hang",
  "hang-after-head",
  "html",
  "error-object",
  "odd-json",
  "unauthorized",
  "forbidden",
  "no-quota",
  "no-quota-429",
  "rate",
  "rate-bare",
  "server-error",
  "overload",
  "too-long",
  "bad-request",
  "unknown-model",
  "redirect",
  "no-stream",
  "whole",
  "cut",
  "cut-in-call",
  "end-early",
  "same-ids",
  "no-ids",
  "odd-finish",
  "no-finish",
  "no-done",
  "never-close",
  "bad-arguments",
  "bad-chunk",
  "error-chunk",
  "no-usage",
  "negative-usage",
  "odd-usage",
  "slow",
] as const
export type Fault = (typeof faults)[number]
export const faultSchema: z.ZodType<Fault> = z.enum(faults)

export interface ScriptedCall {
  /** The tool; of several names the first that the request declares. */
  readonly tool: string | readonly string[]
  readonly input?: unknown
  /** In place of `input`: the text of the arguments as it is, JSON or not. */
  readonly arguments?: string | undefined
  readonly id?: string | undefined
}

export interface Turn {
  /** Takes this turn whenever the newest message contains this text, whatever the count. */
  readonly when?: string | undefined
  readonly text?: string | undefined
  readonly reasoning?: string | undefined
  readonly calls?: readonly ScriptedCall[] | undefined
  /** Tokens; estimated if left out. */
  readonly usage?: { readonly input: number; readonly cached?: number | undefined; readonly output: number } | undefined
  /** Milliseconds before the first byte. */
  readonly delayMs?: number | undefined
  /** Milliseconds between two pieces of a stream. */
  readonly pieceMs?: number | undefined
  readonly fault?: Fault | undefined
}

export interface Scenario {
  readonly name: string
  /** Chosen by the name of the model; without `model` and `match` a scenario takes every request. */
  readonly model?: string | undefined
  /** Chosen by text in the first message of the user. */
  readonly match?: string | undefined
  /** What tells the turn: the model's turns in the whole request, or those after the newest message of the user. */
  readonly count?: "all" | "after-last-user" | undefined
  readonly turns: readonly Turn[]
  /** Given when no turn is left. */
  readonly end?: Turn | undefined
}

export interface Script {
  readonly scenarios: readonly Scenario[]
}

const callSchema = z.object({
  tool: z.union([z.string(), z.array(z.string())]),
  input: z.unknown().optional(),
  arguments: z.string().optional(),
  id: z.string().optional(),
})

const turnSchema = z.object({
  when: z.string().optional(),
  text: z.string().optional(),
  reasoning: z.string().optional(),
  calls: z.array(callSchema).optional(),
  usage: z.object({ input: z.number(), cached: z.number().optional(), output: z.number() }).optional(),
  delayMs: z.number().optional(),
  pieceMs: z.number().optional(),
  fault: faultSchema.optional(),
})

const scenarioSchema = z.object({
  name: z.string().default("script"),
  model: z.string().optional(),
  match: z.string().optional(),
  count: z.enum(["all", "after-last-user"]).optional(),
  turns: z.array(turnSchema),
  end: turnSchema.optional(),
})

const scriptSchema = z.union([
  z.object({ scenarios: z.array(scenarioSchema) }),
  // Short form: one scenario for every request.
  scenarioSchema.transform((scenario) => ({ scenarios: [scenario] })),
])

/** Reads a script; throws a readable error if it is none. */
export function parseScript(value: unknown): Script {
  const parsed = scriptSchema.safeParse(value)
  if (!parsed.success) throw new Error(`not a script: ${z.prettifyError(parsed.error)}`)
  return parsed.data
}

/** What the choice of a turn needs to know of a request, in whichever API it came. */
export interface Asked {
  readonly model: string
  readonly firstUserText: string
  readonly newestText: string
  /** The model's turns in the request, and those of them after the newest message of the user. */
  readonly turnsSoFar: number
  readonly turnsSinceUser: number
  readonly tools: readonly string[]
}

export interface Chosen {
  readonly scenario: string
  readonly index: number
  readonly turn: Turn
}

/** The next turn for a request. Never fails: what no scenario takes is answered with a summary of the request. */
export function chooseTurn(script: Script, asked: Asked): Chosen {
  const scenario = script.scenarios.find(
    (candidate) =>
      (candidate.model === undefined || candidate.model === asked.model) &&
      (candidate.match === undefined || asked.firstUserText.includes(candidate.match)),
  )
  if (!scenario) return { scenario: "echo", index: asked.turnsSoFar, turn: { text: summaryOf(asked) } }
  const index = scenario.count === "after-last-user" ? asked.turnsSinceUser : asked.turnsSoFar
  const special = scenario.turns.find((turn) => turn.when !== undefined && asked.newestText.includes(turn.when))
  const turn = special ?? scenario.turns.filter((candidate) => candidate.when === undefined)[index]
  return { scenario: scenario.name, index, turn: turn ?? scenario.end ?? { text: "The script has no more turns." } }
}

function summaryOf(asked: Asked): string {
  const counts = `${asked.turnsSoFar} turns so far, ${asked.tools.length} tools`
  return `No scenario for model "${asked.model}": ${counts}, the newest message has ${asked.newestText.length} characters.`
}

/** A call as it goes on the wire. */
export interface WireCall {
  readonly id: string
  readonly name: string
  readonly text: string
}

/** The calls of a turn; their ids tell scenario turn and place, so that they are the same after a restart. */
export function wireCalls({ turn, index }: Chosen, asked: Asked): WireCall[] {
  return (turn.calls ?? []).map((call, place) => {
    const names = typeof call.tool === "string" ? [call.tool] : call.tool
    const name = names.find((candidate) => asked.tools.includes(candidate)) ?? names[0] ?? "unknown"
    const id =
      turn.fault === "same-ids" ? `call_${index}` : turn.fault === "no-ids" ? "" : (call.id ?? `call_${index}_${place}`)
    const text =
      turn.fault === "bad-arguments" ? '{"command": "ls' : (call.arguments ?? JSON.stringify(call.input ?? {}))
    return { id, name, text }
  })
}

export interface Tokens {
  readonly input: number
  readonly cached: number
  readonly output: number
}

/** Tokens of a reply: as the script says, else a quarter of the characters. `prompt` is all that the model would read,
 * `earlier` the same of the conversation's request before; what both begin with counts as cached, as at OpenAI from
 * 1,024 tokens on and in steps of 128. */
export function tokensOf(turn: Turn, prompt: string, earlier: string): Tokens {
  if (turn.usage) return { input: turn.usage.input, cached: turn.usage.cached ?? 0, output: turn.usage.output }
  const replied = (turn.text ?? "") + (turn.reasoning ?? "") + JSON.stringify(turn.calls ?? "")
  const common = Math.floor(commonPrefix(prompt, earlier) / 4)
  return {
    input: Math.ceil(prompt.length / 4),
    cached: common < 1024 ? 0 : common - (common % 128),
    output: Math.ceil(replied.length / 4),
  }
}

function commonPrefix(one: string, other: string): number {
  const end = Math.min(one.length, other.length)
  let at = 0
  while (at < end && one.charCodeAt(at) === other.charCodeAt(at)) at += 1
  return at
}
