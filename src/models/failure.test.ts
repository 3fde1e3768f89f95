// Error bodies as providers publish or send them, and what we make of each.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { ErrorCode } from "../base/error.ts"
import { complaintFailure, httpFailure, networkFailure, retryAfterMs } from "./failure.ts"

const endpoint = { host: "api.example.com", key: "sk-very-secret" }
const answered = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  httpFailure(
    { status, headers: new Headers(headers), body: typeof body === "string" ? body : JSON.stringify(body) },
    endpoint,
    0,
  )

const bodies: readonly (readonly [string, number, unknown, ErrorCode])[] = [
  [
    "OpenAI, wrong key",
    401,
    { error: { message: "Incorrect API key provided: sk-x", type: "invalid_request_error", code: "invalid_api_key" } },
    "model-auth",
  ],
  [
    "OpenAI, no quota",
    429,
    {
      error: {
        message: "You exceeded your current quota, please check your plan and billing details.",
        type: "insufficient_quota",
        code: "insufficient_quota",
      },
    },
    "model-quota",
  ],
  [
    "OpenAI, too long",
    400,
    { error: { message: "This model's maximum context length is 128000 tokens.", code: "context_length_exceeded" } },
    "model-too-long",
  ],
  [
    "Gemini, wrong key, in a list",
    400,
    [{ error: { code: 400, message: "API key not valid. Please pass a valid API key.", status: "INVALID_ARGUMENT" } }],
    "model-auth",
  ],
  [
    "Gemini, too many requests though it says quota",
    429,
    [
      {
        error: {
          code: 429,
          message: "You exceeded your current quota, please check your plan and billing details.",
          status: "RESOURCE_EXHAUSTED",
        },
      },
    ],
    "model-rate",
  ],
  ["DeepSeek, no balance", 402, { error: { message: "Insufficient Balance", type: "unknown_error" } }, "model-quota"],
  [
    "Moonshot, no quota",
    429,
    { error: { message: "Your account is suspended", type: "exceeded_current_quota_error" } },
    "model-quota",
  ],
  [
    "Moonshot, overloaded",
    429,
    { error: { message: "The engine is currently overloaded", type: "engine_overloaded_error" } },
    "model-rate",
  ],
  ["Zhipu, no balance", 429, { error: { code: "1113", message: "您的账户已欠费，请充值后重试" } }, "model-quota"],
  [
    "DashScope, too long",
    400,
    { error: { code: "invalid_parameter_error", message: "Range of input length should be [1, 30720]" } },
    "model-too-long",
  ],
  [
    "DashScope, arrears",
    400,
    { error: { code: "Arrearage", message: "Access denied, please make sure your account is in good standing." } },
    "model-quota",
  ],
  ["OpenRouter, no credits", 402, { error: { code: 402, message: "Insufficient credits. Add more" } }, "model-quota"],
  [
    "llama.cpp, too long",
    400,
    {
      error: {
        code: 400,
        message: "the request exceeds the available context size, try increasing it",
        type: "exceed_context_size_error",
      },
    },
    "model-too-long",
  ],
  ["llama.cpp, too long as 500", 500, { error: { code: 500, message: "context size exceeded" } }, "model-too-long"],
  [
    "llama.cpp, loading",
    503,
    { error: { code: 503, message: "Loading model", type: "unavailable_error" } },
    "model-overload",
  ],
  [
    "vLLM, too long",
    400,
    {
      object: "error",
      message: "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
      code: 400,
    },
    "model-too-long",
  ],
  [
    "Ollama, unknown model",
    404,
    { error: { message: 'model "x" not found, try pulling it first' } },
    "model-bad-request",
  ],
  ["a bare string", 400, { error: "unknown field" }, "model-bad-request"],
  ["FastAPI", 422, { detail: [{ loc: ["body"], msg: "field required" }] }, "model-bad-request"],
  ["nginx, too large", 413, "<html>413 Request Entity Too Large</html>", "model-too-long"],
  ["nginx, bad gateway", 502, "<html>502 Bad Gateway</html>", "model-overload"],
  ["Cloudflare, origin is down", 522, "error code: 522", "model-overload"],
  ["a gateway, request time-out", 408, "", "model-timeout"],
  ["an empty refusal", 400, "", "model-bad-request"],
]
for (const [who, status, body, code] of bodies) {
  test(`${who} (${status}) is ${code}`, () => {
    assert.equal(answered(status, body).code, code)
  })
}

const complaints: readonly (readonly [string, unknown, ErrorCode | null])[] = [
  [
    "OpenRouter's error in the middle of a stream",
    {
      id: "x",
      choices: [{ delta: {}, finish_reason: "error" }],
      error: { code: 429, message: "Rate limited upstream" },
    },
    "model-rate",
  ],
  ["MiniMax without balance", { base_resp: { status_code: 1008, status_msg: "insufficient balance" } }, "model-quota"],
  ["MiniMax that is content", { base_resp: { status_code: 0, status_msg: "success" }, choices: [] }, null],
  ["an overloaded engine", { error: { message: "Overloaded", type: "overloaded_error" } }, "model-overload"],
  ["something unknown", { error: { message: "strange" } }, "model-not-json"],
  ["no error at all", { choices: [], error: null }, null],
]
for (const [what, body, code] of complaints) {
  test(`with status 200, ${what} is ${code ?? "no complaint"}`, () => {
    assert.equal(complaintFailure(body, endpoint)?.code ?? null, code)
  })
}

test("the key appears nowhere in an error, though an endpoint repeats it", () => {
  const error = answered(401, { error: { message: `no such key ${endpoint.key}` } })
  assert.equal(error.params["excerpt"], "no such key [key]")
  const header = networkFailure(new TypeError(`"Bearer ${endpoint.key}" is an invalid header value`), endpoint)
  assert.ok(
    ![error.message, String(error.cause), header.message, String(header.cause)].some((text) =>
      text.includes(endpoint.key),
    ),
  )
})

test("a long body is shown in a line and kept to 4,096 characters", () => {
  const error = answered(400, `a\n${"b".repeat(10_000)}`)
  assert.ok(String(error.params["excerpt"]).length <= 301)
  assert.ok(error.cause instanceof Error && error.cause.message.length === 4096)
})

test("how long to wait is read from seconds, fractions, milliseconds and dates, and nonsense is ignored", () => {
  const wait = (headers: Record<string, string>): number | null =>
    retryAfterMs(new Headers(headers), Date.UTC(2026, 0, 1))
  assert.equal(wait({ "retry-after": "7" }), 7000)
  assert.equal(wait({ "retry-after": "0.5" }), 500)
  assert.equal(wait({ "retry-after-ms": "250", "retry-after": "9" }), 250)
  assert.equal(wait({ "retry-after": "Thu, 01 Jan 2026 00:00:30 GMT" }), 30_000)
  assert.equal(wait({ "retry-after": "Wed, 31 Dec 2025 00:00:00 GMT" }), 0)
  assert.deepEqual(
    [wait({}), wait({ "retry-after": "soon" }), wait({ "retry-after": "-3" }), wait({ "retry-after-ms": "" })],
    [null, null, null, null],
  )
})

test("a connection that takes too long to open is a time-out, a certificate a network failure", () => {
  const cause = (code: string) => new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code }) })
  assert.equal(networkFailure(cause("UND_ERR_CONNECT_TIMEOUT"), endpoint).code, "model-timeout")
  assert.deepEqual(networkFailure(cause("CERT_HAS_EXPIRED"), endpoint).params, {
    host: endpoint.host,
    what: "CERT_HAS_EXPIRED",
  })
})
