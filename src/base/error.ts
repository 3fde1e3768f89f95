// The one error type of the project: a code from a closed list and the values that its text needs.
// The sentences live in src/text; nothing here is written for a person.

/** Every expected failure. Each code has a text in English and Chinese (a test finds a missing one). */
export const errorCodes = [
  // what the person typed
  "task-empty", "task-too-long", "task-not-text", "command-unknown", "option-invalid", "run-unknown", "run-ended",
  "approval-unknown", "approval-answered", "approval-expired",
  // workspace, state folder and configuration
  "workspace-missing", "workspace-not-folder", "workspace-read-only", "workspace-forbidden",
  "state-newer", "state-unreadable", "state-locked", "state-corrupt", "disk-full", "config-unreadable",
  // durable session
  "lease-lost", "duplicate-event", "sqlite-too-old", "engine-closed", "engine-failed", "body-erased",
  // model
  "model-missing", "model-auth", "model-quota", "model-rate", "model-overload", "model-too-long", "model-bad-request",
  "model-network", "model-timeout", "model-not-json", "model-stream-cut", "model-script-ended", "budget-refused",
  // tools and sandbox
  "tool-unknown", "tool-input-invalid", "tool-failed", "sandbox-missing", "sandbox-failed", "sandbox-unsafe",
  // host and client
  "host-unreachable", "host-failed", "host-version", "request-invalid", "not-found", "canceled", "internal",
] as const

export type ErrorCode = (typeof errorCodes)[number]
export type ErrorParams = Readonly<Record<string, string | number>>

/** An expected failure. `params` are the values that its text names; `cause` is kept for the log. */
export class AppError extends Error {
  override readonly name = "AppError"
  readonly code: ErrorCode
  readonly params: ErrorParams

  constructor(code: ErrorCode, params: ErrorParams = {}, options?: { cause?: unknown }) {
    super(`${code} ${JSON.stringify(params)}`, options)
    this.code = code
    this.params = params
  }
}

/** True if `error` is an `AppError` (with that code, if one is given). */
export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code)
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
