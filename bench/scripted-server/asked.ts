// What a request asks, read leniently out of chat completions and responses bodies: bodies come from other people's
// clients and nothing about them may stop the server.
import type { Asked } from "./script.ts"

export interface Question {
  readonly asked: Asked
  readonly stream: boolean
  readonly includeUsage: boolean
  /** All that a model would read, in an order in which a longer conversation begins with the shorter one. */
  readonly prompt: string
  /** The same for every request of one conversation. */
  readonly conversation: string
}

type Body = Readonly<Record<string, unknown>>

export function isRecord(value: unknown): value is Body {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** POST /v1/chat/completions */
export function readChat(body: Body): Question {
  const messages = list(body["messages"])
  const roles = messages.map((message) => (isRecord(message) ? message["role"] : undefined))
  const model = typeof body["model"] === "string" ? body["model"] : ""
  const first = textOf(messages.find((_message, at) => roles[at] === "user"))
  return {
    asked: {
      model,
      firstUserText: first,
      newestText: textOf(messages.at(-1)),
      turnsSoFar: roles.filter((role) => role === "assistant").length,
      turnsSinceUser: roles.slice(roles.lastIndexOf("user") + 1).filter((role) => role === "assistant").length,
      tools: toolNames(body),
    },
    stream: body["stream"] === true,
    includeUsage: isRecord(body["stream_options"]) && body["stream_options"]["include_usage"] === true,
    prompt: JSON.stringify(body["tools"] ?? null) + JSON.stringify(messages).slice(0, -1),
    conversation: `${model} ${first.slice(0, 500)}`,
  }
}

/** POST /v1/responses. One turn of the model may be several items there: neighbours count once. */
export function readResponses(body: Body): Question {
  const input = body["input"]
  const items: readonly unknown[] = typeof input === "string" ? [{ role: "user", content: input }] : list(input)
  const sides = items.map(sideOf)
  const starts = sides.map((side, at) => side === "model" && sides[at - 1] !== "model")
  const lastUser = sides.lastIndexOf("user")
  const before = earlierTurns(body["previous_response_id"])
  const model = typeof body["model"] === "string" ? body["model"] : ""
  const first = textOf(items.find((_item, at) => sides[at] === "user"))
  return {
    asked: {
      model,
      firstUserText: first,
      newestText: textOf(items.at(-1)),
      turnsSoFar: before + starts.filter(Boolean).length,
      turnsSinceUser: starts.filter((start, at) => start && at > lastUser).length + (lastUser < 0 ? before : 0),
      tools: toolNames(body),
    },
    stream: body["stream"] === true,
    includeUsage: true,
    prompt:
      JSON.stringify(body["tools"] ?? null) +
      JSON.stringify(body["instructions"] ?? null) +
      JSON.stringify(items).slice(0, -1),
    conversation: `${model} ${first.slice(0, 500)}`,
  }
}

/** A response's id carries the number of its turn: a client that names it needs no memory here. */
export function responseId(turn: number, unique: string): string {
  return `resp_${turn}_${unique}`
}

function earlierTurns(id: unknown): number {
  const turn = typeof id === "string" ? /^resp_(\d+)_/.exec(id)?.[1] : undefined
  return turn === undefined ? 0 : Number(turn) + 1
}

function sideOf(item: unknown): "model" | "user" | "other" {
  if (!isRecord(item)) return "other"
  if (item["type"] === "function_call" || item["type"] === "reasoning" || item["role"] === "assistant") return "model"
  return item["role"] === "user" ? "user" : "other"
}

function toolNames(body: Body): string[] {
  return list(body["tools"]).flatMap((tool) => {
    const described = isRecord(tool) ? (isRecord(tool["function"]) ? tool["function"] : tool) : {}
    return typeof described["name"] === "string" ? [described["name"]] : []
  })
}

function textOf(message: unknown): string {
  if (!isRecord(message)) return ""
  const content = message["content"] ?? message["output"]
  if (typeof content === "string") return content
  return list(content)
    .map((part) => (isRecord(part) && typeof part["text"] === "string" ? part["text"] : ""))
    .join("\n")
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
