// The model port: our own form of a conversation and of one model call. Implemented in src/models; no provider's
// form of a message ever enters the journal.
import type { JsonObject, JsonValue } from "../protocol/json.ts"
import type { Part } from "../protocol/message.ts"

export interface ModelMessage {
  readonly role: "user" | "assistant" | "tool"
  readonly parts: readonly Part[]
}

export interface ToolSchema {
  readonly name: string
  readonly description: string
  /** Hand-trimmed JSON Schema of the arguments, sent as it is. */
  readonly input: JsonObject
}

export interface ModelRequest {
  readonly system: string
  readonly messages: readonly ModelMessage[]
  readonly tools: readonly ToolSchema[]
  readonly maxOutputTokens: number
}

export interface Usage {
  readonly inputTokens: number
  /** The part of `inputTokens` that the provider served from its cache. */
  readonly cachedTokens: number
  readonly outputTokens: number
}

export interface ModelReply {
  /** Text, reasoning and tool calls in the order in which they came. */
  readonly parts: readonly Part[]
  readonly stop: "end" | "tool-calls" | "length" | "filtered" | "unknown"
  /** Null if the provider reported none. */
  readonly usage: Usage | null
  /** What the provider calls the model that answered. */
  readonly model: string
}

export type ModelDelta =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "reasoning"; readonly text: string }
  | { readonly kind: "tool-call"; readonly name: string }

export interface ModelCall {
  readonly signal: AbortSignal
  /** Called with what streams in; never awaited. */
  readonly onDelta: (delta: ModelDelta) => void
  /** Sent to providers that can make a repeated call once only. */
  readonly idempotencyKey: string
}

/** One price: US dollars per million tokens. */
export interface Price {
  readonly input: number
  readonly cached: number
  readonly output: number
}

export interface Model {
  /** Stable name, as in the journal: `provider/model`. */
  readonly id: string
  readonly contextTokens: number
  readonly maxOutputTokens: number
  /** Null: nobody knows; it counts as the catalogue's highest and is shown as "≤". */
  readonly price: Price | null
  /** Rejects with an `AppError` whose code begins with `model-` (or `canceled`). */
  call(request: ModelRequest, call: ModelCall): Promise<ModelReply>
}

export type { JsonValue }
