// Answers that are wrong before a reply begins: refused, silent, HTML, error objects and error statuses.
import type { ServerResponse } from "node:http"
import { sendJson } from "./reply.ts"
import type { Fault } from "./script.ts"

const error = (message: string, type: string, code: string | number | null): unknown => ({
  error: { message, type, param: null, code },
})
const page =
  "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the network.</body></html>"

/** Answers with the fault; false if the fault belongs into the reply itself. */
export function sendFault(response: ServerResponse, fault: Fault, stream: boolean): boolean {
  if (fault === "refuse") response.socket?.destroy()
  else if (fault === "hang-after-head") response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders()
  else if (fault === "html") response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page)
  else if (fault === "redirect")
    response.writeHead(301, { location: "https://elsewhere.invalid/v1/chat/completions" }).end()
  else if (fault === "no-stream" && stream)
    sendJson(response, 400, error("This endpoint does not stream: stream must be false", "invalid_request_error", null))
  else if (fault !== "hang") return sendStatus(response, fault)
  return true
}

function sendStatus(response: ServerResponse, fault: Fault): boolean {
  const answers: Partial<Record<Fault, readonly [number, unknown, Readonly<Record<string, string>>?]>> = {
    "error-object": [200, error("Something strange happened", "strange", null)],
    "odd-json": [200, { hello: "world" }],
    unauthorized: [401, error("Incorrect API key provided.", "invalid_request_error", "invalid_api_key")],
    forbidden: [403, { detail: "Country not supported" }],
    "no-quota": [402, error("Insufficient Balance", "unknown_error", "invalid_request_error")],
    "no-quota-429": [
      429,
      error("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
      { "retry-after": "1" },
    ],
    rate: [429, error("Rate limit reached for requests", "requests", "rate_limit_exceeded"), { "retry-after": "1" }],
    "rate-bare": [429, "slow down"],
    "server-error": [500, error("The server had an error", "server_error", null)],
    overload: [529, { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }],
    "too-long": [
      400,
      error(
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
      ),
    ],
    "bad-request": [400, error("Invalid value for 'temperature'", "invalid_request_error", null)],
    "unknown-model": [404, error("The model does not exist", "invalid_request_error", "model_not_found")],
  }
  const answer = answers[fault]
  if (!answer) return false
  sendJson(response, answer[0], answer[1], answer[2])
  return true
}
