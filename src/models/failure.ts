// What went wrong with an HTTP model endpoint, as one of our few error codes. Pure: status, headers and body in, an
// `AppError` out. The key of the endpoint never appears in an error: every text that is kept is redacted first.
import { AppError, isAppError, type ErrorCode } from "../base/error.ts"
import { firstText, isRecord, parseJson } from "./json-text.ts"

export interface Endpoint {
  /** Host and port, for the person who reads the error. */
  readonly host: string
  /** Redacted from every text. */
  readonly key: string
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

/** How much of a body is kept as the cause of an error, and how much of it a person is shown. */
export const keptCharacters = 4096
const shownCharacters = 300

/** What providers write where their status says too little. Data, matched against message, code and type together. */
const quotaWords = words([
  "insufficient[_ -]?(quota|balance|credit|fund)",
  "exceeded_current_quota",
  "billing_(hard_limit|not_active)",
  "arrear",
  "out of credits",
  "credit balance is too low",
  "free.?tier.{0,20}exhaust",
  "余额不足",
  "欠费",
])
const lengthWords = words([
  "context[_ -]?length",
  "maximum context",
  "context[_ -]?(window|size)",
  "(prompt|input|request|messages?) (is |are )?too long",
  "too many (input |prompt )?tokens",
  "range of input length",
  "maximum (input|prompt) (length|tokens)",
  "reduce the length",
  "上下文.{0,6}(长度|超)",
  "输入.{0,6}(过长|超)",
])
const keyWords = words([
  "(invalid|incorrect|missing|expired|no)\\b.{0,20}api[_ -]?key",
  "api[_ -]?key.{0,20}(invalid|not valid|incorrect|missing|expired)",
  "unauthori[sz]ed",
  "authentication",
])
const rateWords = words(["rate[_ -]?limit", "too many requests", "throttl", "限流", "频率"])
const overloadWords = words([
  "overload",
  "internal (server )?error",
  "server_error",
  "unavailable",
  "at capacity",
  "try again later",
  "系统繁忙",
])

/** What a status outside 200 to 299 means. */
export function httpFailure(answer: HttpAnswer, endpoint: Endpoint, now: number): AppError {
  const parsed = parseJson(answer.body)
  const complaint = parsed.kind === "json" ? complaintIn(parsed.value) : null
  const moved = answer.status >= 300 && answer.status < 400 ? `→ ${answer.headers.get("location") ?? ""}` : ""
  const code = codeOf(answer.status, complaint?.text ?? answer.body) ?? "model-bad-request"
  const wait = retryAfterMs(answer.headers, now)
  return new AppError(
    code,
    {
      host: endpoint.host,
      status: answer.status,
      excerpt: excerptOf(moved || complaint?.message || answer.body, endpoint),
      ...(wait === null ? {} : { retryAfterMs: wait }),
    },
    { cause: bodyCause(answer.body, endpoint) },
  )
}

/** What an error object means that came with status 200 or in the middle of a stream; null if `body` is none. */
export function complaintFailure(body: unknown, endpoint: Endpoint): AppError | null {
  const complaint = complaintIn(body)
  if (!complaint) return null
  const code = codeOf(complaint.status ?? 200, complaint.text) ?? "model-not-json"
  const params = {
    host: endpoint.host,
    status: complaint.status ?? 200,
    excerpt: excerptOf(complaint.message, endpoint),
  }
  return new AppError(code, params, { cause: bodyCause(JSON.stringify(body), endpoint) })
}

/** A successful status with a body that is no model reply: a log-in page, a proxy's greeting, nothing we know. */
export function notJsonFailure(body: string, endpoint: Endpoint): AppError {
  const params = { host: endpoint.host, status: 200, excerpt: excerptOf(body, endpoint) }
  return new AppError("model-not-json", params, { cause: bodyCause(body, endpoint) })
}

/** What a rejected `fetch` means: refused, unknown host, reset, a certificate, or a connection that took too long. */
export function networkFailure(error: unknown, endpoint: Endpoint): AppError {
  if (isAppError(error)) return error
  const { code, message } = rootOf(error)
  const timedOut = /TIMEOUT|ETIMEDOUT/.test(code)
  // `cause` is not the error itself: a rejected header would quote the key.
  const cause = new Error(redacted(message, endpoint))
  if (timedOut) return new AppError("model-timeout", { host: endpoint.host, phase: "connect", what: code }, { cause })
  return new AppError("model-network", { host: endpoint.host, what: code || excerptOf(message, endpoint) }, { cause })
}

/** The connection ended before the reply did. */
export function cutFailure(error: unknown, endpoint: Endpoint): AppError {
  if (isAppError(error)) return error
  const { code, message } = rootOf(error)
  const what = code || excerptOf(message, endpoint)
  return new AppError(
    "model-stream-cut",
    { host: endpoint.host, what },
    { cause: new Error(redacted(message, endpoint)) },
  )
}

/** Milliseconds that the endpoint asks us to wait: `Retry-After` in seconds or as a date, or `retry-after-ms`. */
export function retryAfterMs(headers: Headers, now: number): number | null {
  const exact = Number(headers.get("retry-after-ms") || Number.NaN)
  if (Number.isFinite(exact) && exact >= 0) return Math.ceil(exact)
  const header = headers.get("retry-after")?.trim()
  if (!header) return null
  const seconds = Number(header)
  if (Number.isFinite(seconds)) return seconds >= 0 ? Math.ceil(seconds * 1000) : null
  const date = Date.parse(header)
  return Number.isNaN(date) ? null : Math.max(0, date - now)
}

function words(alternatives: readonly string[]): RegExp {
  return new RegExp(alternatives.join("|"), "i")
}

interface Complaint {
  readonly message: string
  /** Message, code and type: what the patterns look at. */
  readonly text: string
  readonly status: number | null
}

/** Finds the error in the shapes that endpoints use: OpenAI's, a bare string, FastAPI's `detail`, `base_resp`, a list. */
function complaintIn(body: unknown): Complaint | null {
  const first: unknown = Array.isArray(body) ? body[0] : body
  if (!isRecord(first)) return null
  const base = isRecord(first["base_resp"]) ? first["base_resp"] : null
  const inner = first["error"] ?? (base && base["status_code"] !== 0 ? base : null)
  const bare =
    first["object"] === "error" || (!("choices" in first) && ("detail" in first || "message" in first)) ? first : null
  const error = inner ?? bare
  if (error === null || error === undefined || error === false) return null
  if (!isRecord(error))
    return { message: firstText(error) || JSON.stringify(error), text: firstText(error), status: null }
  const message =
    firstText(error["message"], error["status_msg"], error["detail"], error["msg"]) || JSON.stringify(error)
  const codes = [error["code"], error["status"], error["status_code"], first["code"]].map(Number)
  const status = codes.find((code) => Number.isInteger(code) && code >= 400 && code < 600) ?? null
  return { message, text: [message, firstText(error["code"]), firstText(error["type"])].join(" "), status }
}

function codeOf(status: number, text: string): ErrorCode | null {
  if (status === 402 || quotaWords.test(text)) return "model-quota"
  if (status === 401 || status === 403) return "model-auth"
  if (status === 429) return "model-rate"
  // Some servers answer 500 to a prompt that is too long; trying again would never help.
  if (lengthWords.test(text)) return "model-too-long"
  if (status === 413) return "model-too-long"
  if (status === 408) return "model-timeout"
  if (status >= 500) return "model-overload"
  if (status === 400 && keyWords.test(text)) return "model-auth"
  if (status >= 300) return "model-bad-request"
  if (keyWords.test(text)) return "model-auth"
  if (rateWords.test(text)) return "model-rate"
  return overloadWords.test(text) ? "model-overload" : null
}

function redacted(text: string, endpoint: Endpoint): string {
  return endpoint.key === "" ? text : text.replaceAll(endpoint.key, "[key]")
}

function excerptOf(text: string, endpoint: Endpoint): string {
  const line = redacted(text, endpoint).replace(/\s+/g, " ").trim()
  return line.length > shownCharacters ? `${line.slice(0, shownCharacters)}…` : line
}

function bodyCause(body: string, endpoint: Endpoint): Error {
  return new Error(redacted(body, endpoint).slice(0, keptCharacters))
}

/** The code (ECONNREFUSED, ENOTFOUND, UND_ERR_SOCKET, …) and message of the innermost error that has a code. */
function rootOf(error: unknown): { code: string; message: string } {
  let found = { code: "", message: error instanceof Error ? error.message : String(error) }
  let current: unknown = error
  for (let depth = 0; depth < 8 && current instanceof Error; depth += 1) {
    const code = "code" in current && typeof current.code === "string" ? current.code : ""
    if (code !== "" || current.message !== "")
      found = { code: code || found.code, message: current.message || found.message }
    current = current.cause
  }
  return found
}
