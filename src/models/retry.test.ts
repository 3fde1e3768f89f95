// What is repeated, what is not, and when.
import assert from "node:assert/strict"
import { test, type TestContext } from "node:test"
import { startScriptedServer } from "../../bench/scripted-server.ts"
import { manualClock } from "../../bench/scripted-server/manual-clock.ts"
import type { Fault } from "../../bench/scripted-server/script.ts"
import { AppError, type ErrorCode, errorCodes, isAppError } from "../base/error.ts"
import type { Model, ModelReply, ModelRequest } from "../kernel/model.ts"
import { openAiCompatible } from "./openai-compatible.ts"
import { type Retry, type RetryOptions, withRetry } from "./retry.ts"
import { scripted } from "./scripted.ts"

const request: ModelRequest = { system: "", messages: [{ role: "user", parts: [{ kind: "text", text: "go" }] }], tools: [], maxOutputTokens: 10 }
const call = { signal: new AbortController().signal, onDelta: () => {}, idempotencyKey: "k" }

interface Setup {
  readonly model: Model
  readonly clock: ReturnType<typeof manualClock>
  readonly retries: Retry[]
  readonly calls: () => number
}

/** A model that fails with these errors, one each, and then answers. */
function failing(errors: readonly AppError[], options: Partial<RetryOptions> = {}): Setup {
  const clock = manualClock()
  const retries: Retry[] = []
  let calls = 0
  const flaky: Model = {
    ...scripted({ script: () => ({ text: "done" }), clock }),
    async call(): Promise<ModelReply> {
      const error = errors[calls++]
      if (error) throw error
      return { parts: [{ kind: "text", text: "done" }], stop: "end", usage: null, model: "m" }
    },
  }
  const model = withRetry(flaky, { clock, random: () => 0.5, maxAttempts: 4, onRetry: (retry) => retries.push(retry), ...options })
  return { model, clock, retries, calls: () => calls }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(() => "no error", (error: unknown) => (isAppError(error) ? error.code : "foreign"))
}

const repeated: readonly ErrorCode[] = ["model-rate", "model-overload", "model-network", "model-timeout", "model-stream-cut"]
for (const code of errorCodes.filter((each) => each.startsWith("model-") || each === "canceled")) {
  const again = repeated.includes(code)
  test(`${code} is ${again ? "repeated until it passes" : "not repeated"}`, async () => {
    const { model, clock, calls } = failing([new AppError(code), new AppError(code)])
    const work = codeOf(model.call(request, call))
    await clock.advance(60_000)
    assert.equal(await work, again ? "no error" : code)
    assert.equal(calls(), again ? 3 : 1)
  })
}

test("waits grow from attempt to attempt, and the last failure is told when attempts are used up", async () => {
  const { model, clock, retries, calls } = failing(Array.from({ length: 9 }, () => new AppError("model-overload")))
  const work = codeOf(model.call(request, call))
  await clock.advance(60_000)
  assert.equal(await work, "model-overload")
  assert.equal(calls(), 4)
  assert.deepEqual(retries.map(({ attempt, delayMs }) => [attempt, delayMs]), [[1, 375], [2, 750], [3, 1500]])
})

test("an endpoint's own wait is kept to the millisecond and never undercut", async () => {
  const { model, clock, retries, calls } = failing([new AppError("model-rate", { retryAfterMs: 5000 })])
  const work = model.call(request, call)
  await clock.advance(5000)
  assert.equal(calls(), 1)
  await clock.advance(250)
  assert.equal((await work).stop, "end")
  assert.equal(retries[0]?.delayMs, 5250)
})

test("an endpoint that asks for an hour fails at once, so that the run can park", async () => {
  const { model, retries } = failing([new AppError("model-rate", { retryAfterMs: 3_600_000 })])
  assert.equal(await codeOf(model.call(request, call)), "model-rate")
  assert.equal(retries.length, 0)
})

test("a wait ends at once when the call is canceled", async () => {
  const { model, clock, calls } = failing([new AppError("model-rate", { retryAfterMs: 50_000 })])
  const stop = new AbortController()
  const work = codeOf(model.call(request, { ...call, signal: stop.signal }))
  await clock.slept(50_000)
  stop.abort()
  assert.equal(await work, "canceled")
  assert.equal(calls(), 1)
})

test("a failure that is no AppError is a bug and not repeated", async () => {
  const clock = manualClock()
  const broken: Model = { ...scripted({ script: [], clock }), call: () => Promise.reject(new TypeError("bug")) }
  assert.equal(await codeOf(withRetry(broken, { clock, random: () => 0, maxAttempts: 9, onRetry: () => {} }).call(request, call)), "foreign")
})

async function overHttp(t: TestContext, faults: readonly Fault[]): Promise<{ text: unknown; requests: number }> {
  const server = await startScriptedServer({ script: { turns: [{ text: "done at last, in pieces" }] }, faults })
  t.after(() => server.close())
  const clock = { ...manualClock(), sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) }
  const bare = openAiCompatible({ baseUrl: server.url, apiKey: "", model: "m", price: null, contextTokens: 1, maxOutputTokens: 1, clock })
  const model = withRetry(bare, { clock, random: Math.random, maxAttempts: 6, onRetry: () => {} })
  const reply = await model.call(request, call)
  return { text: reply.parts, requests: server.requests.length }
}

test("over HTTP: refused, limited, overloaded and cut, and the fifth request answers", async (t) => {
  assert.deepEqual(await overHttp(t, ["refuse", "rate", "overload", "cut"]), { text: [{ kind: "text", text: "done at last, in pieces" }], requests: 5 })
})
