// The scripted model: its turn is a function of the request and of nothing else.
import assert from "node:assert/strict"
import { test } from "node:test"
import { manualClock } from "../../bench/scripted-server/manual-clock.ts"
import { isAppError } from "../base/error.ts"
import type { Model, ModelCall, ModelDelta, ModelMessage, ModelRequest } from "../kernel/model.ts"
import { scripted, scriptSchema } from "./scripted.ts"

const script = scriptSchema.parse([
  {
    text: "first I look",
    calls: [
      { tool: "run", input: { command: "ls" } },
      { tool: "run", input: { command: "pwd" } },
    ],
  },
  { reasoning: "hm", calls: [{ tool: "run", input: { command: "rm x" } }] },
  { text: "done" },
])
const task: ModelMessage = { role: "user", parts: [{ kind: "text", text: "go" }] }
const ask = (messages: readonly ModelMessage[]): ModelRequest => ({
  system: "",
  messages,
  tools: [],
  maxOutputTokens: 10,
})
const quiet = (
  onDelta: ModelCall["onDelta"] = () => {},
  signal: AbortSignal = new AbortController().signal,
): ModelCall => ({ signal, onDelta, idempotencyKey: "k" })

/** Plays to the end, each turn by a model that was made anew, as after `kill -9`. */
async function play(
  make: () => Model,
  fold: (messages: readonly ModelMessage[]) => readonly ModelMessage[] = (all) => all,
): Promise<string[]> {
  const said: string[] = []
  let messages: readonly ModelMessage[] = [task]
  for (;;) {
    const reply = await make().call(ask(messages), quiet())
    said.push(reply.parts.map((part) => (part.kind === "tool-call" ? part.id : part.kind)).join(" "))
    if (reply.stop === "end") return said
    const results = reply.parts.flatMap((part) =>
      part.kind === "tool-call"
        ? [{ kind: "tool-result", id: part.id, tool: part.tool, text: "ok", failed: false } as const]
        : [],
    )
    messages = fold([...messages, { role: "assistant", parts: reply.parts }, { role: "tool", parts: results }])
  }
}

test("a run that is resumed by another process continues at the right turn", async () => {
  const expected = ["text scripted-0-0 scripted-0-1", "reasoning scripted-1-0", "text"]
  assert.deepEqual(await play(() => scripted({ script, clock: manualClock() })), expected)
})

test("the turn stays right when steering messages come and older turns have left the view", async () => {
  const fold = (messages: readonly ModelMessage[]): readonly ModelMessage[] => [task, ...messages.slice(-2), task]
  assert.equal((await play(() => scripted({ script, clock: manualClock() }), fold)).length, 3)
})

test("a function is a script, too", async () => {
  const seen: number[] = []
  const model = scripted({
    clock: manualClock(),
    script: (request, index) => {
      seen.push(index)
      return index < 2 ? { calls: [{ tool: "run", input: request.messages.length }] } : { text: "enough" }
    },
  })
  await play(() => model)
  assert.deepEqual(seen, [0, 1, 2])
})

test("a script without a further turn says so", async () => {
  const model = scripted({ script: [{ text: "one" }], clock: manualClock() })
  const work = model.call(ask([task, { role: "assistant", parts: [{ kind: "text", text: "one" }] }, task]), quiet())
  await assert.rejects(work, (error) => isAppError(error, "model-script-ended") && error.params["turn"] === 2)
})

test("text streams in pieces that add up, line breaks and letters of two code units included", async () => {
  const text = `line one\nline two 😀${"😀".repeat(40)}`
  const deltas: ModelDelta[] = []
  await scripted({ script: [{ text }], clock: manualClock() }).call(
    ask([task]),
    quiet((delta) => deltas.push(delta)),
  )
  assert.ok(deltas.length > 2)
  assert.equal(deltas.map((delta) => (delta.kind === "text" ? delta.text : "")).join(""), text)
})

test("usage is as scripted, absent, or estimated", async () => {
  const usage = { inputTokens: 5, cachedTokens: 4, outputTokens: 3 }
  for (const [given, expected] of [
    [usage, usage],
    [null, null],
  ] as const) {
    assert.deepEqual(
      (await scripted({ script: [{ text: "a", usage: given }], clock: manualClock() }).call(ask([task]), quiet()))
        .usage,
      expected,
    )
  }
  const estimated = await scripted({ script: [{ text: "a" }], clock: manualClock() }).call(ask([task]), quiet())
  assert.ok(estimated.usage && estimated.usage.inputTokens > 5)
})

test("a delay is waited for by the clock and ends when the call is canceled", async () => {
  const clock = manualClock()
  const model = scripted({ script: [{ text: "late", delayMs: 5000 }], clock })
  const work = model.call(ask([task]), quiet())
  await clock.advance(5000)
  assert.equal((await work).stop, "end")
  const stop = new AbortController()
  const canceled = model.call(
    ask([task]),
    quiet(() => {}, stop.signal),
  )
  stop.abort()
  await assert.rejects(canceled, (error) => isAppError(error, "canceled"))
})

test("a script with an unknown shape is refused", () => {
  assert.equal(scriptSchema.safeParse([{ calls: [{ name: "run" }] }]).success, false)
})
