// Answers in the form of OpenAI's responses API, streamed and whole, with its order of events:
// https://platform.openai.com/docs/api-reference/responses-streaming
import type { ServerResponse } from "node:http"
import { responseId } from "./asked.ts"
import type { Answer } from "./chat.ts"
import { cutText, type Piece, sendJson, sendPieces } from "./reply.ts"

interface Item {
  readonly whole: Readonly<Record<string, unknown>>
  /** The item when it begins, and the events between its beginning and its end. */
  readonly bare: Readonly<Record<string, unknown>>
  readonly about: Piece["about"]
  readonly inner: (at: number) => readonly Readonly<Record<string, unknown> & { type: string }>[]
}

export async function sendResponse(response: ServerResponse, answer: Answer): Promise<void> {
  const items = itemsOf(answer)
  if (!answer.question.stream || answer.chosen.turn.fault === "whole")
    return sendJson(response, 200, responseOf(answer, items, "completed"))
  await sendPieces(response, events(answer, items), { turn: answer.chosen.turn, done: "" })
}

function responseOf(answer: Answer, items: readonly Item[], status: "in_progress" | "completed"): unknown {
  const { tokens, question, chosen } = answer
  const usage = {
    input_tokens: tokens.input,
    input_tokens_details: { cached_tokens: tokens.cached },
    output_tokens: tokens.output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: tokens.input + tokens.output,
  }
  return {
    id: responseId(question.asked.turnsSoFar, answer.unique),
    object: "response",
    created_at: answer.created,
    status,
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    model: question.asked.model,
    output: status === "completed" ? items.map((item) => item.whole) : [],
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: false,
    temperature: 1,
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: [],
    top_p: 1,
    truncation: "disabled",
    usage: status === "completed" && chosen.turn.fault !== "no-usage" ? usage : null,
    user: null,
    metadata: {},
  }
}

function itemsOf(answer: Answer): Item[] {
  const { turn } = answer.chosen
  const calls = answer.calls.map((call, at) => callItem(`fc_${answer.unique}_${at}`, call))
  return [
    ...(turn.reasoning === undefined ? [] : [reasoningItem(`rs_${answer.unique}`, turn.reasoning)]),
    ...(turn.text === undefined ? [] : [textItem(`msg_${answer.unique}`, turn.text)]),
    ...calls,
  ]
}

function textItem(id: string, text: string): Item {
  const part = (shown: string): unknown => ({ type: "output_text", text: shown, annotations: [], logprobs: [] })
  const item = (status: string, content: readonly unknown[]): Item["whole"] => ({
    id,
    type: "message",
    status,
    role: "assistant",
    content,
  })
  return {
    whole: item("completed", [part(text)]),
    bare: item("in_progress", []),
    about: "text",
    inner: (at) => {
      const place = { item_id: id, output_index: at, content_index: 0 }
      return [
        { type: "response.content_part.added", ...place, part: part("") },
        ...cutText(text, 16).map((delta) => ({ type: "response.output_text.delta", ...place, delta, logprobs: [] })),
        { type: "response.output_text.done", ...place, text, logprobs: [] },
        { type: "response.content_part.done", ...place, part: part(text) },
      ]
    },
  }
}

function reasoningItem(id: string, text: string): Item {
  const part = (shown: string): unknown => ({ type: "summary_text", text: shown })
  return {
    whole: { id, type: "reasoning", summary: [part(text)] },
    bare: { id, type: "reasoning", summary: [] },
    about: "text",
    inner: (at) => {
      const place = { item_id: id, output_index: at, summary_index: 0 }
      return [
        { type: "response.reasoning_summary_part.added", ...place, part: part("") },
        ...cutText(text, 16).map((delta) => ({ type: "response.reasoning_summary_text.delta", ...place, delta })),
        { type: "response.reasoning_summary_text.done", ...place, text },
        { type: "response.reasoning_summary_part.done", ...place, part: part(text) },
      ]
    },
  }
}

function callItem(id: string, call: Answer["calls"][number]): Item {
  const item = (status: string, text: string): Item["whole"] => ({
    id,
    type: "function_call",
    status,
    arguments: text,
    call_id: call.id,
    name: call.name,
  })
  return {
    whole: item("completed", call.text),
    bare: item("in_progress", ""),
    about: "call",
    inner: (at) => [
      ...cutText(call.text, 8).map((delta) => ({
        type: "response.function_call_arguments.delta",
        item_id: id,
        output_index: at,
        delta,
      })),
      {
        type: "response.function_call_arguments.done",
        item_id: id,
        output_index: at,
        name: call.name,
        arguments: call.text,
      },
    ],
  }
}

function events(answer: Answer, items: readonly Item[]): Piece[] {
  const list: { about: Piece["about"]; body: Readonly<Record<string, unknown> & { type: string }> }[] = [
    { about: "start", body: { type: "response.created", response: responseOf(answer, items, "in_progress") } },
    { about: "start", body: { type: "response.in_progress", response: responseOf(answer, items, "in_progress") } },
  ]
  for (const [at, item] of items.entries()) {
    list.push({ about: item.about, body: { type: "response.output_item.added", output_index: at, item: item.bare } })
    for (const body of item.inner(at)) list.push({ about: item.about, body })
    list.push({ about: item.about, body: { type: "response.output_item.done", output_index: at, item: item.whole } })
  }
  list.push({ about: "end", body: { type: "response.completed", response: responseOf(answer, items, "completed") } })
  return list.map(({ about, body }, sequence_number) => ({
    about,
    event: body.type,
    data: { ...body, sequence_number },
  }))
}
