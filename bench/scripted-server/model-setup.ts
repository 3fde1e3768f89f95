// A real model client connected to a scripted server, on a clock that the test moves: what the tests of a provider share.
import assert from "node:assert/strict"
import type { TestContext } from "node:test"
import { type AppError, isAppError } from "../../src/base/error.ts"
import type { Model, ModelCall, ModelReply, ModelRequest } from "../../src/kernel/model.ts"
import { openAiCompatible, type OpenAiCompatibleOptions } from "../../src/models/openai-compatible.ts"
import { type ScriptedServer, startScriptedServer } from "../scripted-server.ts"
import { type ManualClock, manualClock } from "./manual-clock.ts"
import type { Fault, Turn } from "./script.ts"

export const key = "sk-very-secret"
export const request: ModelRequest = {
  system: "Be brief.",
  messages: [{ role: "user", parts: [{ kind: "text", text: "List the files." }] }],
  tools: [
    {
      name: "run",
      description: "Run a command.",
      input: { type: "object", properties: { command: { type: "string" } }, required: ["command"] },
    },
  ],
  maxOutputTokens: 500,
}
export const turn: Turn = {
  reasoning: "They want a list.",
  text: "I look at the folder — 看一下。",
  calls: [
    { tool: "run", input: { command: "ls -l" } },
    { tool: "run", input: { command: "pwd" } },
  ],
}

export interface Setup {
  readonly server: ScriptedServer
  readonly model: Model
  readonly clock: ManualClock
}

export async function setUp(
  t: TestContext,
  turns: readonly Turn[],
  options: Partial<OpenAiCompatibleOptions> & { faults?: readonly Fault[] } = {},
): Promise<Setup> {
  const { faults, ...rest } = options
  const server = await startScriptedServer({ script: { turns }, ...(faults ? { faults } : {}) })
  t.after(() => server.close())
  const clock = manualClock()
  return { server, clock, model: modelAt(server.url, clock, rest) }
}

export function modelAt(baseUrl: string, clock: ManualClock, rest: Partial<OpenAiCompatibleOptions> = {}): Model {
  return openAiCompatible({
    baseUrl,
    apiKey: key,
    model: "test-model",
    price: null,
    contextTokens: 100_000,
    maxOutputTokens: 4000,
    clock,
    ...rest,
  })
}

export function callOf(
  onDelta: ModelCall["onDelta"] = () => {},
  signal: AbortSignal = new AbortController().signal,
): ModelCall {
  return { signal, onDelta, idempotencyKey: "run-1/m1-1" }
}

export async function failureOf(work: Promise<unknown>): Promise<AppError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  assert.ok(isAppError(error), `not an AppError: ${String(error)}`)
  const shown = [error.message, error.stack, String(error.cause)].join("\n")
  assert.ok(!shown.includes(key), "the key is in the error")
  return error
}

/** The reply without metadata, in a short form. */
export function partsOf(reply: ModelReply): unknown {
  return reply.parts.map((part) =>
    part.kind === "tool-call" ? [part.tool, part.input] : "text" in part ? [part.kind, part.text] : part.kind,
  )
}
