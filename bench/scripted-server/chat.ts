// Answers in the form of OpenAI's chat completions, streamed and whole:
// https://platform.openai.com/docs/api-reference/chat/object and .../chat-streaming
import type { ServerResponse } from "node:http"
import type { Question } from "./asked.ts"
import { cutText, type Piece, sendJson, sendPieces } from "./reply.ts"
import type { Chosen, Tokens, WireCall } from "./script.ts"

export interface Answer {
  readonly question: Question
  readonly chosen: Chosen
  readonly calls: readonly WireCall[]
  readonly tokens: Tokens
  /** Makes ids; the same for all parts of one answer. */
  readonly unique: string
  /** Seconds. */
  readonly created: number
}

export async function sendChat(response: ServerResponse, answer: Answer): Promise<void> {
  const { chosen, question } = answer
  if (!question.stream || chosen.turn.fault === "whole") return sendJson(response, 200, completion(answer))
  await sendPieces(response, chunks(answer), { turn: chosen.turn, done: "data: [DONE]\n\n" })
}

function completion(answer: Answer): unknown {
  const { calls } = answer
  const { turn } = answer.chosen
  const message = {
    role: "assistant",
    content: turn.text ?? null,
    refusal: null,
    ...(turn.reasoning === undefined ? {} : { reasoning_content: turn.reasoning }),
    ...(calls.length === 0
      ? {}
      : {
          tool_calls: calls.map((call) => ({
            id: call.id,
            type: "function",
            function: { name: call.name, arguments: call.text },
          })),
        }),
  }
  const usage = usageOf(answer)
  return {
    id: `chatcmpl-${answer.unique}`,
    object: "chat.completion",
    created: answer.created,
    model: answer.question.asked.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishOf(answer) }],
    ...(usage === undefined ? {} : { usage }),
  }
}

function chunks(answer: Answer): Piece[] {
  const { turn } = answer.chosen
  const usage = answer.question.includeUsage ? usageOf(answer) : undefined
  const base = {
    id: `chatcmpl-${answer.unique}`,
    object: "chat.completion.chunk",
    created: answer.created,
    model: answer.question.asked.model,
  }
  const piece = (about: Piece["about"], delta: unknown, finish: string | null = null): Piece => ({
    about,
    data: {
      ...base,
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
      ...(usage === undefined ? {} : { usage: null }),
    },
  })
  const callPieces = answer.calls.flatMap((call, index) => [
    piece("call", {
      tool_calls: [{ index, id: call.id, type: "function", function: { name: call.name, arguments: "" } }],
    }),
    ...cutText(call.text, 8).map((text) => piece("call", { tool_calls: [{ index, function: { arguments: text } }] })),
  ])
  return [
    piece("start", { role: "assistant", content: "" }),
    ...cutText(turn.reasoning ?? "", 16).map((text) => piece("text", { reasoning_content: text })),
    ...cutText(turn.text ?? "", 16).map((text) => piece("text", { content: text })),
    ...callPieces,
    ...(turn.fault === "no-finish" ? [] : [piece("end", {}, finishOf(answer))]),
    ...(usage === undefined ? [] : [{ about: "usage" as const, data: { ...base, choices: [], usage } }]),
  ]
}

function finishOf(answer: Answer): string {
  if (answer.chosen.turn.fault === "odd-finish") return "model_got_bored"
  return answer.calls.length > 0 ? "tool_calls" : "stop"
}

function usageOf({ chosen, tokens }: Answer): unknown {
  const { fault } = chosen.turn
  if (fault === "no-usage") return undefined
  if (fault === "negative-usage") return { prompt_tokens: -5, completion_tokens: -1, total_tokens: -6 }
  if (fault === "odd-usage") return { prompt_tokens: "many", completion_tokens: null, total_tokens: {} }
  return {
    prompt_tokens: tokens.input,
    completion_tokens: tokens.output,
    total_tokens: tokens.input + tokens.output,
    prompt_tokens_details: { cached_tokens: tokens.cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}
