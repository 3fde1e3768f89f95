// Exponential back-off with full jitter.

export interface Backoff {
  /** Milliseconds before the second attempt. */
  readonly firstMs: number
  readonly maxMs: number
}

/** Milliseconds to wait after failed attempt number `attempt` (from 1). `random` is in [0, 1). */
export function backoffMs({ firstMs, maxMs }: Backoff, attempt: number, random: number): number {
  const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30))
  return Math.round(ceiling / 2 + (ceiling / 2) * random)
}
