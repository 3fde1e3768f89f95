// Time as a port: `now` is the wall clock that rows carry, `monotonic` measures durations, `sleep` waits and can be
// aborted. Nothing else in src/ reads a clock, so that a test can run days in a moment.

export interface Clock {
  /** UTC milliseconds. May jump either way. */
  now(): number
  /** Milliseconds from an arbitrary start; never goes backwards. */
  monotonic(): number
  /** Resolves after `ms` or as soon as `signal` is aborted; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const timer = setTimeout(done, ms)
      function done(): void {
        clearTimeout(timer)
        signal?.removeEventListener("abort", done)
        resolve()
      }
      signal?.addEventListener("abort", done, { once: true })
    }),
}
