// Collects what an endpoint sent, streamed or whole, into one reply: parts in the order in which they came, tool
// arguments parsed or kept as raw text, never thrown on, ids unique. Numbers that cannot be true count as not reported.
import type {
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamPart,
  SharedV4ProviderMetadata,
} from "@ai-sdk/provider"
import type { ModelDelta, ModelReply, Usage } from "../kernel/model.ts"
import type { JsonObject } from "../protocol/json.ts"
import type { Part } from "../protocol/message.ts"
import { isRecord, parseJson } from "./json-text.ts"
import { metaName } from "./render.ts"

export interface CollectorOptions {
  /** Stamped on metadata, which only this endpoint may get back. */
  readonly host: string
  /** The model that was asked for; an endpoint may name another one. */
  readonly model: string
  /** Ids that the conversation has already used. */
  readonly usedIds: ReadonlySet<string>
  readonly onDelta: (delta: ModelDelta) => void
}

/** A place in the reply; that of a tool call is kept from its first piece until its arguments are whole. */
interface Place {
  part: Part
  readonly callId: string | null
}

/** Makes one reply from the parts of one stream. */
export class StreamCollector {
  readonly #options: CollectorOptions
  readonly #places: Place[] = []
  #model: string
  #finishReason: string | null = null
  #unified = "error"
  #usage: Usage | null = null
  #reasoningField = ""
  #raw: unknown
  #started = false
  #broken: { readonly raw: unknown; readonly error: unknown } | null = null

  constructor(options: CollectorOptions) {
    this.#options = options
    this.#model = options.model
  }

  /** True once the endpoint said why it stopped. */
  get finished(): boolean {
    return this.#finishReason !== null
  }

  /** True if anything came that looks like a piece of a reply. */
  get started(): boolean {
    return this.#started
  }

  /** A piece that was no piece of a reply, as it came (undefined: not even JSON), and the library's complaint. */
  get broken(): { readonly raw: unknown; readonly error: unknown } | null {
    return this.#broken
  }

  add(part: LanguageModelV4StreamPart): void {
    switch (part.type) {
      case "raw":
        return this.#look(part.rawValue)
      case "response-metadata":
        this.#model = part.modelId ?? this.#model
        return
      case "text-delta":
        return this.#append("text", part.delta)
      case "reasoning-delta":
        return this.#append("reasoning", part.delta)
      case "tool-input-start":
        this.#places.push({
          callId: part.id,
          part: { kind: "tool-call", id: part.id, tool: part.toolName, input: null },
        })
        return tell(this.#options.onDelta, { kind: "tool-call", name: part.toolName })
      case "tool-call": {
        const place = this.#places.find((candidate) => candidate.callId === part.toolCallId)
        const call = toolCall(
          part.toolCallId,
          part.toolName,
          part.input,
          metaOf(part.providerMetadata, this.#options.host),
        )
        if (place) place.part = call
        else this.#places.push({ callId: part.toolCallId, part: call })
        return
      }
      case "error":
        return this.#complain(part.error)
      case "finish":
        this.#usage = usageOf(part.usage.raw)
        this.#unified = part.finishReason.unified
        return
      // Beginnings and ends of what the cases above carry, and what chat completions do not have.
      case "stream-start":
      case "text-start":
      case "text-end":
      case "reasoning-start":
      case "reasoning-end":
      case "tool-input-delta":
      case "tool-input-end":
      case "tool-result":
      case "tool-approval-request":
      case "source":
      case "file":
      case "reasoning-file":
      case "custom":
      case "ping":
        return
    }
  }

  reply(): ModelReply {
    const parts = uniqueIds(
      this.#places.map((place) => place.part),
      this.#options.usedIds,
    )
    // After a piece that could not be read the library calls the whole an error; the endpoint's own word counts.
    const reason = this.#unified === "error" ? (this.#finishReason ?? "") : this.#unified
    return { parts, stop: stopOf(reason, parts), usage: this.#usage, model: this.#model }
  }

  #look(raw: unknown): void {
    this.#raw = raw
    const choice = firstChoice(raw)
    if (!choice) return
    this.#started = true
    if (typeof choice["finish_reason"] === "string") this.#finishReason = choice["finish_reason"]
    if (isRecord(choice["delta"])) this.#reasoningField = reasoningFieldOf(choice["delta"]) || this.#reasoningField
  }

  #append(kind: "text" | "reasoning", text: string): void {
    const last = this.#places.at(-1)
    if (last?.part.kind === kind) last.part = { ...last.part, text: last.part.text + text }
    else if (kind === "text") this.#places.push({ callId: null, part: { kind, text } })
    else
      this.#places.push({
        callId: null,
        part: { kind, text, meta: { host: this.#options.host, field: this.#reasoningField } },
      })
    tell(this.#options.onDelta, { kind, text })
  }

  #complain(error: unknown): void {
    // A missing reason to stop is the caller's to judge, who also knows whether the stream was complete.
    if (error instanceof Error && error.name === "AI_InvalidResponseDataError") return
    // A piece that cannot be read after the end (usage in a form of its own) costs the usage, not the reply.
    if (this.#finishReason === null) this.#broken ??= { raw: this.#raw, error }
  }
}

/** Makes one reply from a whole response body that the library has converted; `body` is the body as it came. */
export function collectWhole(
  result: LanguageModelV4GenerateResult,
  body: unknown,
  options: CollectorOptions,
): ModelReply {
  const choice = firstChoice(body)
  const message = choice && isRecord(choice["message"]) ? choice["message"] : {}
  const field = reasoningFieldOf(message)
  const parts: Part[] = []
  for (const content of result.content) {
    if (content.type === "text") {
      parts.push({ kind: "text", text: content.text })
      tell(options.onDelta, { kind: "text", text: content.text })
    } else if (content.type === "reasoning") {
      parts.push({ kind: "reasoning", text: content.text, meta: { host: options.host, field } })
      tell(options.onDelta, { kind: "reasoning", text: content.text })
    } else if (content.type === "tool-call") {
      parts.push(
        toolCall(content.toolCallId, content.toolName, content.input, metaOf(content.providerMetadata, options.host)),
      )
      tell(options.onDelta, { kind: "tool-call", name: content.toolName })
    }
  }
  const unique = uniqueIds(parts, options.usedIds)
  return {
    parts: unique,
    stop: stopOf(result.finishReason.unified, unique),
    usage: usageOf(result.usage.raw),
    model: result.response?.modelId ?? options.model,
  }
}

/** Usage in OpenAI's form and its dialects; null if it is missing or cannot be true, so that the reserve is charged. */
export function usageOf(raw: unknown): Usage | null {
  if (!isRecord(raw)) return null
  const input = count(raw["prompt_tokens"])
  const output = count(raw["completion_tokens"])
  // No request has no input: a zero is a server that does not count.
  if (input === null || output === null || input === 0) return null
  const details = isRecord(raw["prompt_tokens_details"]) ? raw["prompt_tokens_details"] : {}
  const cached =
    count(details["cached_tokens"]) ?? count(raw["prompt_cache_hit_tokens"]) ?? count(raw["cached_tokens"]) ?? 0
  // More cached than sent: this server counts cached tokens apart. The sum is never less than what was sent.
  return { inputTokens: cached > input ? input + cached : input, cachedTokens: cached, outputTokens: output }
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? Math.ceil(value) : null
}

/** Arguments as JSON, or as the text that they are; an empty text is a call without arguments. */
function toolCall(id: string, tool: string, text: string, meta: JsonObject | undefined): Part {
  const kept = meta ? { meta } : {}
  if (text.trim() === "") return { kind: "tool-call", id, tool, input: {}, ...kept }
  const parsed = parseJson(text)
  if (parsed.kind === "json") return { kind: "tool-call", id, tool, input: parsed.value, ...kept }
  return { kind: "tool-call", id, tool, input: null, raw: text, ...kept }
}

function metaOf(metadata: SharedV4ProviderMetadata | undefined, host: string): JsonObject | undefined {
  const own = metadata?.[metaName]
  return own && Object.keys(own).length > 0 ? { ...own, host } : undefined
}

/** Two calls with one id, in this reply or across the conversation, would share a result. */
function uniqueIds(parts: readonly Part[], used: ReadonlySet<string>): Part[] {
  const seen = new Set(used)
  return parts.map((part) => {
    if (part.kind !== "tool-call") return part
    let id = part.id
    for (let copy = 2; seen.has(id); copy += 1) id = `${part.id}-${copy}`
    seen.add(id)
    return id === part.id ? part : { ...part, id }
  })
}

/** Many endpoints say "stop" although they call tools; truncated calls must still count as truncated. */
function stopOf(reason: string, parts: readonly Part[]): ModelReply["stop"] {
  const calls = parts.some((part) => part.kind === "tool-call")
  if (reason === "length") return "length"
  if (reason === "content-filter" || reason === "content_filter") return "filtered"
  if (calls) return "tool-calls"
  return reason === "stop" ? "end" : "unknown"
}

function firstChoice(body: unknown): Readonly<Record<string, unknown>> | null {
  const choices = isRecord(body) ? body["choices"] : null
  const first: unknown = Array.isArray(choices) ? choices[0] : null
  return isRecord(first) ? first : null
}

function reasoningFieldOf(message: Readonly<Record<string, unknown>>): string {
  if (typeof message["reasoning_content"] === "string" && message["reasoning_content"] !== "")
    return "reasoning_content"
  return typeof message["reasoning"] === "string" && message["reasoning"] !== "" ? "reasoning" : ""
}

function tell(onDelta: (delta: ModelDelta) => void, delta: ModelDelta): void {
  try {
    onDelta(delta)
  } catch {
    // Whoever watches must not be able to break what is watched.
  }
}
