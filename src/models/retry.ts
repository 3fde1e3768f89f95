// Repeats a model call that failed for a passing reason, with back-off, jitter and respect for `Retry-After`. What will
// not pass by waiting is never repeated, and a wait ends at once when the call is canceled.
import { type Backoff, backoffMs } from "../base/backoff.ts"
import type { Clock } from "../base/clock.ts"
import { AppError, type ErrorCode, isAppError } from "../base/error.ts"
import type { Model, ModelCall, ModelReply, ModelRequest } from "../kernel/model.ts"

export interface Retry {
  /** The attempt that failed, from 1. What it had streamed is void. */
  readonly attempt: number
  readonly delayMs: number
  readonly error: AppError
}

export interface RetryOptions {
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly maxAttempts: number
  /** Told before each wait. */
  readonly onRetry: (retry: Retry) => void
  /** Longer requests to wait fail at once, so that the run can park; 60 s unless told. */
  readonly longestWaitMs?: number
}

const backoff: Backoff = { firstMs: 500, maxMs: 30_000 }
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["model-rate", "model-overload", "model-network", "model-timeout", "model-stream-cut"])

/** The same model, patient. A stream that was cut is repeated too: a model call changes nothing in the world. */
export function withRetry(model: Model, options: RetryOptions): Model {
  return { ...model, call: (request, call) => callPatiently(model, options, request, call) }
}

async function callPatiently(model: Model, options: RetryOptions, request: ModelRequest, call: ModelCall): Promise<ModelReply> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await model.call(request, call)
    } catch (error) {
      if (!isAppError(error) || !passing.has(error.code) || attempt >= options.maxAttempts) throw error
      const delayMs = delayAfter(error, attempt, options.random())
      if (delayMs > (options.longestWaitMs ?? 60_000)) throw error
      options.onRetry({ attempt, delayMs, error })
      await options.clock.sleep(delayMs, call.signal)
      if (call.signal.aborted) throw new AppError("canceled")
    }
  }
}

/** Never before the endpoint said; a little later, so that a hundred sessions do not come back together. */
function delayAfter(error: AppError, attempt: number, random: number): number {
  const own = backoffMs(backoff, attempt, random)
  const asked = error.params["retryAfterMs"]
  return typeof asked === "number" ? Math.max(own, Math.round(asked + backoff.firstMs * random)) : own
}
