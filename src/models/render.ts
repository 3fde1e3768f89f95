// Renders our messages as an AI SDK prompt that every OpenAI-style endpoint accepts, whatever the sequence: each tool
// call has exactly one result right behind it, ids are unique, no content is empty or ends in half a character, the
// first word is the user's.
// The form of a message depends only on its own turn, so that a longer conversation begins with the shorter one.
import type { LanguageModelV4FunctionTool, LanguageModelV4Prompt } from "@ai-sdk/provider"
import type { ModelMessage, ModelRequest, ToolSchema } from "../kernel/model.ts"
import type { JsonObject, JsonValue } from "../protocol/json.ts"
import type { Part } from "../protocol/message.ts"

type PromptMessage = LanguageModelV4Prompt[number]
type UserContent = Extract<PromptMessage, { role: "user" }>["content"]
type AssistantContent = Extract<PromptMessage, { role: "assistant" }>["content"]
type ToolContent = Extract<PromptMessage, { role: "tool" }>["content"]
type CallPart = Extract<Part, { kind: "tool-call" }>
type ResultPart = Extract<Part, { kind: "tool-result" }>

/** The name under which the AI SDK keeps our provider's metadata. */
export const metaName = "compatible"

const missingResult = "No result was recorded for this call."
const emptyResult = "(empty)"
const firstWords = "Continue."
const attachments = "Attached to the tool results above:"

/** The messages as a prompt for the endpoint at `host`; metadata of other hosts is left out. */
export function renderPrompt(request: ModelRequest, host: string): LanguageModelV4Prompt {
  const prompt: LanguageModelV4Prompt = []
  const ids = new Set<string>()
  const answered = new Set<Part>()
  request.messages.forEach((message, index) => {
    if (message.role === "assistant") {
      const results = resultsAfter(request.messages, index)
      prompt.push(...assistantTurn(message, { host, ids, results, answered }))
    } else {
      prompt.push(...orphans(message, { ids, answered }), ...userTurn(message))
    }
  })
  if (prompt[0]?.role !== "user") prompt.unshift({ role: "user", content: [{ type: "text", text: firstWords }] })
  if (request.system !== "") prompt.unshift({ role: "system", content: request.system.toWellFormed() })
  return prompt
}

/** The tools, their schemas passed through untouched. */
export function renderTools(tools: readonly ToolSchema[]): LanguageModelV4FunctionTool[] {
  return tools.map((tool) => ({
    type: "function",
    name: tool.name,
    description: tool.description,
    // Boundary: the library's type of a JSON schema is narrower than JSON, but it sends the value as it is.
    inputSchema: tool.input as LanguageModelV4FunctionTool["inputSchema"],
  }))
}

/** The name of a tool as endpoints accept it; a model that made up a strange name must not poison the session. */
function toolName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "unnamed"
}

/** Results that stand between this assistant message and the next one, in their order. */
function resultsAfter(messages: readonly ModelMessage[], index: number): ResultPart[] {
  const results: ResultPart[] = []
  for (let at = index + 1; at < messages.length; at += 1) {
    const message = messages[at]
    if (!message || message.role === "assistant") break
    results.push(...message.parts.filter((part) => part.kind === "tool-result"))
  }
  return results
}

interface Turn {
  readonly host: string
  /** Ids that the conversation has used so far. */
  readonly ids: Set<string>
  readonly results: readonly ResultPart[]
  /** Results that have their place. */
  readonly answered: Set<Part>
}

function assistantTurn(message: ModelMessage, turn: Turn): PromptMessage[] {
  const content: AssistantContent = []
  const results: ToolContent = []
  for (const part of message.parts) {
    if (part.kind === "text" && part.text.trim() !== "") content.push({ type: "text", text: part.text.toWellFormed() })
    if (part.kind === "reasoning" && part.text !== "" && echoes(part.meta, turn.host)) {
      content.push({ type: "reasoning", text: part.text.toWellFormed() })
    }
    if (part.kind !== "tool-call") continue
    const id = freshId(part.id, turn.ids)
    const result = turn.results.find((candidate) => candidate.id === part.id && !turn.answered.has(candidate))
    if (result) turn.answered.add(result)
    content.push(callContent(part, id, turn.host))
    results.push(resultContent(id, part.tool, result?.text ?? missingResult))
  }
  // Reasoning alone is no message: endpoints refuse an assistant turn without text or calls.
  if (!content.some((part) => part.type !== "reasoning")) return []
  const assistant: PromptMessage = { role: "assistant", content }
  return results.length === 0 ? [assistant] : [assistant, { role: "tool", content: results }]
}

/** Results whose call is not in the view keep the role of a result: a call is put before them. They are untrusted, and
 * as text of the user they would speak with the owner's voice. */
function orphans(message: ModelMessage, turn: Pick<Turn, "ids" | "answered">): PromptMessage[] {
  const found = message.parts.filter((part) => part.kind === "tool-result").filter((part) => !turn.answered.has(part))
  return found.flatMap((part): PromptMessage[] => {
    const id = freshId(part.id, turn.ids)
    return [
      { role: "assistant", content: [{ type: "tool-call", toolCallId: id, toolName: toolName(part.tool), input: {} }] },
      { role: "tool", content: [resultContent(id, part.tool, part.text)] },
    ]
  })
}

function userTurn(message: ModelMessage): PromptMessage[] {
  const content = message.parts.flatMap((part): UserContent => userContent(part))
  if (content.length === 0) return []
  // OpenAI-style endpoints take no images in a tool result, so they follow in a message of their own.
  if (message.role === "tool") content.unshift({ type: "text", text: attachments })
  return [{ role: "user", content }]
}

function userContent(part: Part): UserContent {
  switch (part.kind) {
    case "text":
      return part.text.trim() === "" ? [] : [{ type: "text", text: part.text.toWellFormed() }]
    case "image":
      return part.mediaType.startsWith("image/") && part.data !== ""
        ? [{ type: "file", mediaType: part.mediaType, data: { type: "data", data: part.data } }]
        : [{ type: "text", text: `[an image of type ${part.mediaType || "unknown"} that cannot be shown]` }]
    case "file":
      return [fileContent(part)]
    case "reasoning":
    case "tool-call":
    case "tool-result":
      return []
  }
}

/** The library throws on media types that it does not know; a file must never stop the conversation. */
function fileContent(part: Extract<Part, { kind: "file" }>): UserContent[number] {
  const name = part.name.toWellFormed()
  if (part.mediaType === "application/pdf" && part.data !== "") {
    return { type: "file", mediaType: part.mediaType, filename: name, data: { type: "data", data: part.data } }
  }
  if (part.mediaType.startsWith("text/") || part.mediaType === "application/json") {
    return { type: "text", text: `File ${name}:\n${Buffer.from(part.data, "base64").toString("utf8")}` }
  }
  return { type: "text", text: `[file ${name} of type ${part.mediaType || "unknown"} that cannot be shown]` }
}

function callContent(part: CallPart, id: string, host: string): AssistantContent[number] {
  const signature = part.meta?.["host"] === host ? part.meta["thoughtSignature"] : undefined
  return {
    type: "tool-call",
    toolCallId: id,
    toolName: toolName(part.tool),
    input: callInput(part),
    ...(typeof signature === "string" ? { providerOptions: { [metaName]: { thoughtSignature: signature } } } : {}),
  }
}

/** Always an object: endpoints that parse arguments refuse malformed text and anything else than an object, for ever. */
function callInput(part: CallPart): JsonObject {
  if (part.raw !== undefined) return { malformed: part.raw.toWellFormed() }
  const input = wellFormed(part.input)
  return isObject(input) ? input : input === null ? {} : { value: input }
}

/** Half of a surrogate pair, as truncated text has it, is a body that many servers cannot decode. */
function wellFormed(value: JsonValue): JsonValue {
  if (typeof value === "string") return value.toWellFormed()
  if (typeof value !== "object" || value === null) return value
  if (!isObject(value)) return value.map(wellFormed)
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.toWellFormed(),
      inner === undefined ? undefined : wellFormed(inner),
    ]),
  )
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

function resultContent(id: string, tool: string, text: string): ToolContent[number] {
  const value = text.trim() === "" ? emptyResult : text.toWellFormed()
  return { type: "tool-result", toolCallId: id, toolName: toolName(tool), output: { type: "text", value } }
}

/** Servers that count calls from zero in each reply give one id to many calls; which result is meant must stay clear. */
function freshId(id: string, ids: Set<string>): string {
  const base = id.trim() === "" ? "call" : id.toWellFormed()
  let fresh = base
  for (let copy = 2; ids.has(fresh); copy += 1) fresh = `${base}-${copy}`
  ids.add(fresh)
  return fresh
}

/** What an endpoint sends as `reasoning_content` it takes back, and some demand it; others refuse the unknown field. */
function echoes(meta: JsonObject | undefined, host: string): boolean {
  return meta?.["host"] === host && meta["field"] === "reasoning_content"
}
