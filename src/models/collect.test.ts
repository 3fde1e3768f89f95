// Usage and stop reasons in the dialects of providers. Streams are tested where they come from: openai-compatible.test.ts.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Usage } from "../kernel/model.ts"
import { StreamCollector, usageOf } from "./collect.ts"

const usages: readonly (readonly [string, unknown, Usage | null])[] = [
  [
    "OpenAI",
    { prompt_tokens: 100, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 64 } },
    { inputTokens: 100, cachedTokens: 64, outputTokens: 7 },
  ],
  [
    "DeepSeek",
    { prompt_tokens: 100, completion_tokens: 7, prompt_cache_hit_tokens: 64, prompt_cache_miss_tokens: 36 },
    { inputTokens: 100, cachedTokens: 64, outputTokens: 7 },
  ],
  [
    "Moonshot",
    { prompt_tokens: 100, completion_tokens: 7, cached_tokens: 64 },
    { inputTokens: 100, cachedTokens: 64, outputTokens: 7 },
  ],
  [
    "a server that counts cached tokens apart",
    { prompt_tokens: 10, completion_tokens: 7, cached_tokens: 90 },
    { inputTokens: 100, cachedTokens: 90, outputTokens: 7 },
  ],
  [
    "a server that knows no cache",
    { prompt_tokens: 10, completion_tokens: 0 },
    { inputTokens: 10, cachedTokens: 0, outputTokens: 0 },
  ],
  [
    "a negative cache, which saves nothing",
    { prompt_tokens: 10, completion_tokens: 1, cached_tokens: -4 },
    { inputTokens: 10, cachedTokens: 0, outputTokens: 1 },
  ],
  [
    "fractions, rounded up",
    { prompt_tokens: 10.2, completion_tokens: 0.5 },
    { inputTokens: 11, cachedTokens: 0, outputTokens: 1 },
  ],
  ["nothing", undefined, null],
  ["no input, which cannot be", { prompt_tokens: 0, completion_tokens: 5 }, null],
  ["negative numbers", { prompt_tokens: -1, completion_tokens: 5 }, null],
  ["no numbers", { prompt_tokens: Number.NaN, completion_tokens: "5" }, null],
  ["only output", { completion_tokens: 5 }, null],
]
for (const [what, raw, expected] of usages) {
  test(`usage of ${what} is read as ${expected ? "usage" : "not reported"}`, () => {
    assert.deepEqual(usageOf(raw), expected)
  })
}

test("parts keep the order in which they began, text around calls included", () => {
  const collector = new StreamCollector({ host: "h", model: "m", usedIds: new Set(), onDelta: () => {} })
  collector.add({ type: "text-delta", id: "t", delta: "one " })
  collector.add({ type: "text-delta", id: "t", delta: "moment" })
  collector.add({ type: "tool-input-start", id: "a", toolName: "run" })
  collector.add({ type: "text-delta", id: "t", delta: "and" })
  collector.add({ type: "tool-input-start", id: "b", toolName: "run" })
  collector.add({ type: "tool-call", toolCallId: "b", toolName: "run", input: "[2]" })
  collector.add({
    type: "tool-call",
    toolCallId: "a",
    toolName: "run",
    input: "1",
    providerMetadata: { compatible: { thoughtSignature: "s+/=" } },
  })
  assert.deepEqual(collector.reply().parts, [
    { kind: "text", text: "one moment" },
    { kind: "tool-call", id: "a", tool: "run", input: 1, meta: { thoughtSignature: "s+/=", host: "h" } },
    { kind: "text", text: "and" },
    { kind: "tool-call", id: "b", tool: "run", input: [2] },
  ])
})
