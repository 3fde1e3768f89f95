// A model that follows a script, for tests, demonstrations and benchmarks. Which turn comes next is read off the request
// alone, never remembered: a run that was killed and resumed gets the turn that it was about to get.
import { z } from "zod"
import type { Clock } from "../base/clock.ts"
import { AppError } from "../base/error.ts"
import type { Model, ModelCall, ModelRequest, Price, Usage } from "../kernel/model.ts"
import type { JsonValue } from "../protocol/json.ts"
import type { Part } from "../protocol/message.ts"

export interface ScriptedTurn {
  readonly reasoning?: string | undefined
  readonly text?: string | undefined
  readonly calls?:
    | readonly { readonly tool: string; readonly input: JsonValue; readonly id?: string | undefined }[]
    | undefined
  /** Null: none is reported; left out: estimated as a quarter of the characters. */
  readonly usage?: Usage | null | undefined
  /** Milliseconds before anything streams. */
  readonly delayMs?: number | undefined
}

/** Null: the script has no more turns. `index` counts the model's turns in the request. */
export type ScriptFunction = (request: ModelRequest, index: number) => ScriptedTurn | null

export interface ScriptedOptions {
  readonly script: readonly ScriptedTurn[] | ScriptFunction
  readonly clock: Clock
  /** `scripted/demo` unless told. */
  readonly id?: string
  /** Free unless told. */
  readonly price?: Price | null
  readonly contextTokens?: number
  readonly maxOutputTokens?: number
}

const callId = /^scripted-(\d+)-\d+$/
const tokens = z.number().int().nonnegative()
const turnSchema = z.object({
  reasoning: z.string().optional(),
  text: z.string().optional(),
  calls: z.array(z.object({ tool: z.string(), input: z.json(), id: z.string().optional() })).optional(),
  usage: z.object({ inputTokens: tokens, cachedTokens: tokens, outputTokens: tokens }).nullable().optional(),
  delayMs: z.number().nonnegative().optional(),
})

/** A script as data: a list of turns. */
export const scriptSchema: z.ZodType<readonly ScriptedTurn[]> = z.array(turnSchema)

/** Rejects with `model-script-ended` when the script has no turn for the request. */
export function scripted(options: ScriptedOptions): Model {
  const { script } = options
  const choose: ScriptFunction = typeof script === "function" ? script : (_request, index) => script[index] ?? null
  const id = options.id ?? "scripted/demo"
  return {
    id,
    contextTokens: options.contextTokens ?? 128_000,
    maxOutputTokens: options.maxOutputTokens ?? 8_000,
    price: options.price === undefined ? { input: 0, cached: 0, output: 0 } : options.price,
    async call(request, call) {
      if (call.signal.aborted) throw new AppError("canceled")
      const index = turnsIn(request)
      const turn = choose(request, index)
      if (!turn) throw new AppError("model-script-ended", { turn: index + 1 })
      if (turn.delayMs !== undefined) await options.clock.sleep(turn.delayMs, call.signal)
      if (call.signal.aborted) throw new AppError("canceled")
      const parts = partsOf(turn, index)
      stream(parts, call)
      return {
        parts,
        stop: turn.calls?.length ? "tool-calls" : "end",
        usage: turn.usage === undefined ? estimate(request, parts) : turn.usage,
        model: id,
      }
    },
  }
}

/** How many turns the model had. The ids of its calls carry the number, so that it stays right when older turns have
 * left the view. */
function turnsIn(request: ModelRequest): number {
  let turns = 0
  for (const message of request.messages) {
    if (message.role !== "assistant") continue
    const id = message.parts.find((part) => part.kind === "tool-call" && callId.test(part.id))
    turns = id?.kind === "tool-call" ? Number(callId.exec(id.id)?.[1]) + 1 : turns + 1
  }
  return turns
}

function partsOf(turn: ScriptedTurn, index: number): Part[] {
  return [
    ...(turn.reasoning === undefined ? [] : [{ kind: "reasoning", text: turn.reasoning } as const]),
    ...(turn.text === undefined ? [] : [{ kind: "text", text: turn.text } as const]),
    ...(turn.calls ?? []).map(
      (call, place) =>
        ({
          kind: "tool-call",
          id: call.id ?? `scripted-${index}-${place}`,
          tool: call.tool,
          input: call.input,
        }) as const,
    ),
  ]
}

function stream(parts: readonly Part[], call: ModelCall): void {
  for (const part of parts) {
    if (part.kind === "tool-call") call.onDelta({ kind: "tool-call", name: part.tool })
    if (part.kind !== "text" && part.kind !== "reasoning") continue
    // In pieces of a few characters, as from a provider.
    for (const text of part.text.match(/.{1,16}/gsu) ?? []) call.onDelta({ kind: part.kind, text })
  }
}

function estimate(request: ModelRequest, parts: readonly Part[]): Usage {
  const read = JSON.stringify([request.system, request.tools, request.messages])
  return {
    inputTokens: Math.ceil(read.length / 4),
    cachedTokens: 0,
    outputTokens: Math.ceil(JSON.stringify(parts).length / 4),
  }
}
