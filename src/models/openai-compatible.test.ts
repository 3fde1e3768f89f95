// The model against the scripted server: what goes over the wire, and what becomes of every kind of answer.
import assert from "node:assert/strict"
import { createServer } from "node:net"
import { test } from "node:test"
import { startScriptedServer } from "../../bench/scripted-server.ts"
import { manualClock } from "../../bench/scripted-server/manual-clock.ts"
import { callOf, failureOf, modelAt, partsOf, request, setUp, turn } from "../../bench/scripted-server/model-setup.ts"
import type { Fault } from "../../bench/scripted-server/script.ts"
import { type ErrorCode, isAppError } from "../base/error.ts"
import type { ModelDelta, ModelReply } from "../kernel/model.ts"

test("the body on the wire has the fields of the API and nothing else, what repeats first", async (t) => {
  const { server, model } = await setUp(t, [turn])
  await model.call(request, callOf())
  assert.equal(
    server.requests[0]?.body,
    '{"model":"test-model","tools":[{"type":"function","function":{"name":"run","description":"Run a command.","parameters":{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}}}],"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"List the files."}],"max_tokens":500,"stream":true,"stream_options":{"include_usage":true}}',
  )
  const headers = server.requests[0]?.headers ?? {}
  assert.equal(headers["user-agent"], "chela")
  assert.equal(headers["idempotency-key"], "run-1/m1-1")
  assert.equal(headers["authorization"], "[removed]")
})

test("without a key no authorization is sent, and a base URL may end in a slash", async (t) => {
  const server = await startScriptedServer({ script: { turns: [{ text: "hi" }] } })
  t.after(() => server.close())
  await modelAt(`${server.url}/`, manualClock(), { apiKey: "" }).call(request, callOf())
  assert.equal(server.requests[0]?.headers["authorization"], undefined)
  assert.equal(server.requests[0]?.path, "/v1/chat/completions")
})

test("text, reasoning and parallel tool calls stream in and become one reply in their order", async (t) => {
  const { model } = await setUp(t, [{ ...turn, usage: { input: 2000, cached: 1536, output: 40 } }])
  const deltas: ModelDelta[] = []
  const reply = await model.call(
    request,
    callOf((delta) => deltas.push(delta)),
  )
  assert.deepEqual(partsOf(reply), [
    ["reasoning", turn.reasoning],
    ["text", turn.text],
    ["run", { command: "ls -l" }],
    ["run", { command: "pwd" }],
  ])
  assert.equal(reply.stop, "tool-calls")
  assert.equal(reply.model, "test-model")
  assert.deepEqual(reply.usage, { inputTokens: 2000, cachedTokens: 1536, outputTokens: 40 })
  const text = deltas.filter((delta) => delta.kind === "text")
  assert.ok(text.length > 1, "came in one piece")
  assert.equal(text.map((delta) => delta.text).join(""), turn.text)
  assert.equal(deltas.filter((delta) => delta.kind === "tool-call").length, 2)
})

test("a conversation goes on: each request begins with the bytes of the one before, up to its last message", async (t) => {
  const { server, model } = await setUp(t, [turn, { text: "There are two files." }])
  const first = await model.call(request, callOf())
  const calls = first.parts.filter((part) => part.kind === "tool-call")
  const results = calls.map(
    (call) => ({ kind: "tool-result", id: call.id, tool: call.tool, text: `did ${call.id}`, failed: false }) as const,
  )
  const second = await model.call(
    {
      ...request,
      messages: [...request.messages, { role: "assistant", parts: first.parts }, { role: "tool", parts: results }],
    },
    callOf(),
  )
  assert.deepEqual(partsOf(second), [["text", "There are two files."]])
  assert.equal(second.stop, "end")
  const [before = "", after = ""] = server.requests.map((seen) => seen.body)
  const end = before.indexOf('],"max_tokens"')
  assert.equal(after.slice(0, end), before.slice(0, end))
  const messages: { role: string; reasoning_content?: string; tool_call_id?: string }[] = JSON.parse(after).messages
  assert.deepEqual(
    messages.map((message) => message.role),
    ["system", "user", "assistant", "tool", "tool"],
  )
  assert.equal(messages[2]?.reasoning_content, turn.reasoning, "reasoning goes back to whom it came from")
  assert.deepEqual(
    messages.slice(3).map((message) => message.tool_call_id),
    calls.map((call) => call.id),
  )
})

test("images and files of the user reach the wire in the form of the API", async (t) => {
  const { server, model } = await setUp(t, [{ text: "A cat." }])
  const parts = [
    { kind: "text", text: "What is this?" },
    { kind: "image", mediaType: "image/png", data: "aGk=" },
    { kind: "file", mediaType: "text/plain", name: "a.txt", data: Buffer.from("héllo").toString("base64") },
    { kind: "file", mediaType: "application/zip", name: "a.zip", data: "aGk=" },
  ] as const
  await model.call({ ...request, messages: [{ role: "user", parts }] }, callOf())
  assert.deepEqual(JSON.parse(server.requests[0]?.body ?? "").messages[1].content, [
    { type: "text", text: "What is this?" },
    { type: "image_url", image_url: { url: "data:image/png;base64,aGk=" } },
    { type: "text", text: "File a.txt:\nhéllo" },
    { type: "text", text: "[file a.zip of type application/zip that cannot be shown]" },
  ])
})

const refusals: readonly (readonly [Fault, ErrorCode, Readonly<Record<string, unknown>>])[] = [
  ["unauthorized", "model-auth", { status: 401, excerpt: "Incorrect API key provided." }],
  ["forbidden", "model-auth", { status: 403, excerpt: "Country not supported" }],
  ["no-quota", "model-quota", { status: 402, excerpt: "Insufficient Balance" }],
  ["no-quota-429", "model-quota", { status: 429 }],
  ["rate", "model-rate", { status: 429, retryAfterMs: 1000 }],
  ["rate-bare", "model-rate", { status: 429, retryAfterMs: undefined }],
  ["server-error", "model-overload", { status: 500 }],
  ["overload", "model-overload", { status: 529, excerpt: "Overloaded" }],
  ["too-long", "model-too-long", { status: 400 }],
  ["bad-request", "model-bad-request", { status: 400, excerpt: "Invalid value for 'temperature'" }],
  ["unknown-model", "model-bad-request", { status: 404, excerpt: "The model does not exist" }],
  ["redirect", "model-bad-request", { status: 301 }],
  ["html", "model-not-json", { status: 200 }],
  ["error-object", "model-not-json", { status: 200, excerpt: "Something strange happened" }],
  ["odd-json", "model-not-json", { excerpt: '{"hello":"world"}' }],
  ["bad-chunk", "model-not-json", { status: 200 }],
  ["error-chunk", "model-overload", { status: 503, excerpt: "Engine overloaded" }],
  ["refuse", "model-network", { what: "UND_ERR_SOCKET" }],
  ["cut", "model-stream-cut", { what: "UND_ERR_SOCKET" }],
  ["cut-in-call", "model-stream-cut", { what: "UND_ERR_SOCKET" }],
  ["end-early", "model-stream-cut", { what: "ended-early" }],
]
for (const [fault, code, params] of refusals) {
  test(`an endpoint with the fault "${fault}" fails the call with ${code}, once`, async (t) => {
    const { server, model } = await setUp(t, [turn], { faults: [fault] })
    const error = await failureOf(model.call(request, callOf()))
    assert.equal(error.code, code)
    assert.equal(error.params["host"], new URL(server.url).host)
    for (const [name, value] of Object.entries(params)) assert.equal(error.params[name], value, name)
    assert.equal(server.requests.length, 1, "the library retried")
  })
}

const oddities: readonly (readonly [Fault, Partial<ModelReply>])[] = [
  ["odd-finish", { stop: "tool-calls" }],
  ["no-finish", { stop: "tool-calls" }],
  ["no-done", { stop: "tool-calls" }],
  ["whole", { stop: "tool-calls" }],
  ["no-usage", { usage: null }],
  ["negative-usage", { usage: null }],
  ["odd-usage", { usage: null }],
]
for (const [fault, expected] of oddities) {
  test(`an endpoint with the fault "${fault}" still gives the whole reply`, async (t) => {
    const { server, model } = await setUp(t, [turn], { faults: [fault] })
    const reply = await model.call(request, callOf())
    assert.equal(reply.parts.length, 4)
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(Object(reply)[name], value)
    assert.equal(server.requests.length, 1)
  })
}

test("an unknown reason to stop without calls is told as unknown", async (t) => {
  const { model } = await setUp(t, [{ text: "So" }], { faults: ["odd-finish"] })
  assert.equal((await model.call(request, callOf())).stop, "unknown")
})

test("calls with one id, without an id, or with an id used before get ids of their own", async (t) => {
  const { model } = await setUp(t, [turn, turn, turn], { faults: ["same-ids", "no-ids"] })
  const ids: string[] = []
  let messages = request.messages
  for (let round = 0; round < 2; round += 1) {
    const reply = await model.call({ ...request, messages }, callOf())
    ids.push(...reply.parts.flatMap((part) => (part.kind === "tool-call" ? [part.id] : [])))
    messages = [...messages, { role: "assistant", parts: reply.parts }]
  }
  const again = await model.call(
    {
      ...request,
      messages: [
        ...request.messages,
        { role: "assistant", parts: [{ kind: "tool-call", id: "call_1_0", tool: "run", input: {} }] },
      ],
    },
    callOf(),
  )
  ids.push("call_1_0", ...again.parts.flatMap((part) => (part.kind === "tool-call" ? [part.id] : [])))
  assert.equal(ids.length, 7)
  assert.equal(new Set(ids).size, 7)
  assert.ok(!ids.includes(""))
})

test("malformed arguments are kept as text, and the next request carries them in a form that endpoints accept", async (t) => {
  const { server, model } = await setUp(t, [turn, { text: "Sorry." }], { faults: ["bad-arguments"] })
  const reply = await model.call(request, callOf())
  const call = reply.parts.find((part) => part.kind === "tool-call")
  assert.deepEqual(call, { kind: "tool-call", id: "call_0_0", tool: "run", input: null, raw: '{"command": "ls' })
  await model.call({ ...request, messages: [...request.messages, { role: "assistant", parts: reply.parts }] }, callOf())
  const sent = JSON.parse(server.requests[1]?.body ?? "").messages
  assert.deepEqual(JSON.parse(sent[2].tool_calls[0].function.arguments), { malformed: '{"command": "ls' })
  assert.equal(sent[3].tool_call_id, "call_0_0")
})

test("arguments that name __proto__ are text, not an object that carries it", async (t) => {
  const { model } = await setUp(t, [{ calls: [{ tool: "run", arguments: '{"__proto__":{"admin":true}}' }] }])
  const [call] = (await model.call(request, callOf())).parts
  assert.deepEqual(call, {
    kind: "tool-call",
    id: "call_0_0",
    tool: "run",
    input: null,
    raw: '{"__proto__":{"admin":true}}',
  })
})

test("empty arguments are a call without arguments", async (t) => {
  const { model } = await setUp(t, [{ calls: [{ tool: "run", arguments: "" }] }])
  assert.deepEqual(partsOf(await model.call(request, callOf())), [["run", {}]])
})

test("an endpoint that does not stream is asked again without streaming, and never streamed to after that", async (t) => {
  const { server, model } = await setUp(t, [turn], { faults: ["no-stream"] })
  const deltas: ModelDelta[] = []
  assert.equal(
    (
      await model.call(
        request,
        callOf((delta) => deltas.push(delta)),
      )
    ).parts.length,
    4,
  )
  assert.equal(deltas.length, 4)
  await model.call(request, callOf())
  const bodies = server.requests.map((seen) => JSON.parse(seen.body))
  assert.deepEqual(
    bodies.map((body) => [body.stream, body.stream_options]),
    [
      [true, { include_usage: true }],
      [undefined, undefined],
      [undefined, undefined],
    ],
  )
})

test("an endpoint that wants max_completion_tokens gets it", async () => {
  const bodies: Readonly<Record<string, unknown>>[] = []
  const message =
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
  const fake: typeof fetch = async (_url, init) => {
    bodies.push(JSON.parse(typeof init?.body === "string" ? init.body : ""))
    return bodies.length === 1
      ? Response.json({ error: { message, code: "unsupported_parameter" } }, { status: 400 })
      : Response.json({ choices: [{ message: { content: "ok" }, finish_reason: "stop" }] })
  }
  const model = modelAt("http://127.0.0.1:9/v1", manualClock(), { fetch: fake })
  assert.deepEqual(partsOf(await model.call(request, callOf())), [["text", "ok"]])
  assert.deepEqual(
    bodies.map((body) => [body["max_tokens"], body["max_completion_tokens"]]),
    [
      [500, undefined],
      [undefined, 500],
    ],
  )
})

test("a closed port is a network failure that says what and where", async () => {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve))
  const address = probe.address()
  const port = typeof address === "object" && address ? address.port : 0
  await new Promise((resolve) => probe.close(resolve))
  const error = await failureOf(modelAt(`http://127.0.0.1:${port}/v1`, manualClock()).call(request, callOf()))
  assert.deepEqual([error.code, error.params], ["model-network", { host: `127.0.0.1:${port}`, what: "ECONNREFUSED" }])
})

test("a name that does not exist is a network failure", async () => {
  const unknown: typeof fetch = async () => {
    throw new TypeError("fetch failed", {
      cause: Object.assign(new Error("getaddrinfo ENOTFOUND nowhere.invalid"), { code: "ENOTFOUND" }),
    })
  }
  const error = await failureOf(
    modelAt("https://nowhere.invalid/v1", manualClock(), { fetch: unknown }).call(request, callOf()),
  )
  assert.deepEqual([error.code, error.params], ["model-network", { host: "nowhere.invalid", what: "ENOTFOUND" }])
})

test("a watcher that throws does not break the call", async (t) => {
  const { model } = await setUp(t, [turn])
  const reply = await model.call(
    request,
    callOf(() => assert.fail("a broken watcher")),
  )
  assert.equal(reply.parts.length, 4)
})

test("a key that no header can carry and a base URL that is none are refused before any call", () => {
  for (const broken of [
    { apiKey: "sk-\u0000x" },
    { apiKey: "钥匙" },
    { baseUrl: "api.example.com" },
    { baseUrl: "file:///etc/passwd" },
  ]) {
    assert.throws(
      () => modelAt("http://127.0.0.1:9/v1", manualClock(), broken),
      (error) => isAppError(error, "option-invalid") && !error.message.includes("sk-"),
    )
  }
})
