// The tool port: something the model can call. A tool says what a crash in the middle of it means (effect class) and where
// its effect leaves the session (sink class); it never decides whether it may run.
import type { ZodType } from "zod"
import type { EffectClass, Label } from "../protocol/event.ts"
import type { JsonObject } from "../protocol/json.ts"

/** `none`: reads or computes. `workspace`: changes files of the workspace only. `network`: reaches other machines. */
export type SinkClass = "none" | "workspace" | "network"

export interface ToolContext {
  readonly session: string
  readonly workspace: string
  /** The same for every attempt of one call; only [a-z0-9-]. */
  readonly stepId: string
  readonly idempotencyKey: string
  readonly signal: AbortSignal
  /** What a person sees while it runs. */
  readonly onOutput: (text: string) => void
}

export interface ToolOutput {
  /** What the model reads. */
  readonly text: string
  readonly failed: boolean
  /** Joined with the label of the context. */
  readonly label?: Label
  /** What a person or a program reads: exit code, changed files. */
  readonly facts?: JsonObject
}

export interface Tool<I = unknown> {
  readonly name: string
  readonly description: string
  /** Sent to the model as it is; trimmed by hand. */
  readonly schema: JsonObject
  readonly input: ZodType<I>
  readonly sink: SinkClass
  effect(input: I): EffectClass
  /** May reject with an `AppError`: the model then reads why. */
  perform(input: I, context: ToolContext): Promise<ToolOutput>
  /** After a crash: what the earlier attempt left, or null if it may be made again. */
  recover?(input: I, context: ToolContext): Promise<ToolOutput | "in-doubt" | null>
}

/** Keeps the type of a tool's input together and hides it from lists of tools. */
export function defineTool<I>(tool: Tool<I>): Tool {
  // Sound because `input` has parsed whatever is handed to the other functions.
  return tool as unknown as Tool
}
