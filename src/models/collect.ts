// Collects what an endpoint sent, streamed or whole, into one reply: parts in the order in which they came, tool
// arguments parsed or kept as raw text, never thrown on, ids unique. Numbers that cannot be true count as not reported.
import type { LanguageModelV4GenerateResult, LanguageModelV4StreamPart, SharedV4ProviderMetadata } from "@ai-sdk/provider"
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

export interface Collector {
  add(part: LanguageModelV4StreamPart): void
  /** True once the endpoint said why it stopped. */
  readonly finished: boolean
  /** True if anything came that looks like a piece of a reply. */
  readonly started: boolean
  /** A piece that was no piece of a reply, as it came (undefined: not even JSON), and the library's complaint. */
  readonly broken: { readonly raw: unknown; readonly error: unknown } | null
  reply(): ModelReply
}

interface OpenPart {
  part: Part
  /** The tool call that this place is kept for. */
  readonly callId: string | null
}

/** Makes one reply from the parts of one stream. */
export function collect(options: CollectorOptions): Collector {
  const open: OpenPart[] = []
  let model = options.model
  let finishReason: string | null = null
  let unified = "other"
  let usage: Usage | null = null
  let reasoningField = ""
  let raw: unknown
  let started = false
  let broken: Collector["broken"] = null

  function append(kind: "text" | "reasoning", text: string): void {
    const last = open.at(-1)
    if (last?.part.kind === kind) last.part = { ...last.part, text: last.part.text + text }
    else open.push({ callId: null, part: kind === "text" ? { kind, text } : { kind, text, meta: { host: options.host, field: reasoningField } } })
    tell(options.onDelta, { kind, text })
  }

  function look(value: unknown): void {
    raw = value
    const choice = firstChoice(value)
    if (!choice) return
    started = true
    if (typeof choice["finish_reason"] === "string") finishReason = choice["finish_reason"]
    if (isRecord(choice["delta"])) reasoningField = reasoningFieldOf(choice["delta"]) || reasoningField
  }

  function add(part: LanguageModelV4StreamPart): void {
    switch (part.type) {
      case "raw":
        return look(part.rawValue)
      case "response-metadata":
        model = part.modelId ?? model
        return
      case "text-delta":
        return append("text", part.delta)
      case "reasoning-delta":
        return append("reasoning", part.delta)
      case "tool-input-start":
        open.push({ callId: part.id, part: { kind: "tool-call", id: part.id, tool: part.toolName, input: null } })
        return tell(options.onDelta, { kind: "tool-call", name: part.toolName })
      case "tool-call": {
        const place = open.find((candidate) => candidate.callId === part.toolCallId)
        const done = toolCall(part.toolCallId, part.toolName, part.input, metaOf(part.providerMetadata, options.host))
        if (place) place.part = done
        else open.push({ callId: part.toolCallId, part: done })
        return
      }
      case "error":
        // A missing reason to stop is the caller's to judge, who also knows whether the stream was complete.
        if (part.error instanceof Error && part.error.name === "AI_InvalidResponseDataError") return
        // A piece that cannot be read after the end (usage in a form of its own) costs the usage, not the reply.
        if (finishReason === null) broken ??= { raw, error: part.error }
        return
      case "finish":
        usage = usageOf(part.usage.raw)
        unified = part.finishReason.unified
        return
      default:
        return
    }
  }

  return {
    add,
    get finished() {
      return finishReason !== null
    },
    get started() {
      return started
    },
    get broken() {
      return broken
    },
    reply() {
      const parts = uniqueIds(open.map((entry) => entry.part), options.usedIds)
      return { parts, stop: stopOf(unified === "error" ? (finishReason ?? "") : unified, parts), usage, model }
    },
  }
}

/** Makes one reply from a whole response body that the library has converted; `body` is the body as it came. */
export function collectWhole(result: LanguageModelV4GenerateResult, body: unknown, options: CollectorOptions): ModelReply {
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
      parts.push(toolCall(content.toolCallId, content.toolName, content.input, metaOf(content.providerMetadata, options.host)))
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
  const cached = count(details["cached_tokens"]) ?? count(raw["prompt_cache_hit_tokens"]) ?? count(raw["cached_tokens"]) ?? 0
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
  if (typeof message["reasoning_content"] === "string" && message["reasoning_content"] !== "") return "reasoning_content"
  return typeof message["reasoning"] === "string" && message["reasoning"] !== "" ? "reasoning" : ""
}

function tell(onDelta: (delta: ModelDelta) => void, delta: ModelDelta): void {
  try {
    onDelta(delta)
  } catch {
    // Whoever watches must not be able to break what is watched.
  }
}
