// A clock that moves only when a test says so. Sleepers wake in the order of their deadlines.
import type { Clock } from "../../src/base/clock.ts"

export interface ManualClock extends Clock {
  /** Moves both clocks and wakes whoever is due, letting what it starts run in between. */
  advance(ms: number): Promise<void>
  /** Resolves when somebody sleeps until at least `ms` from now. */
  slept(ms: number): Promise<void>
}

interface Sleeper {
  readonly due: number
  readonly wake: () => void
}

export function manualClock(): ManualClock {
  const sleepers = new Set<Sleeper>()
  const waiting = new Set<() => void>()
  let time = 0
  return {
    now: () => 1_800_000_000_000 + time,
    monotonic: () => time,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const sleeper: Sleeper = { due: time + ms, wake }
        function wake(): void {
          sleepers.delete(sleeper)
          signal?.removeEventListener("abort", wake)
          resolve()
        }
        sleepers.add(sleeper)
        signal?.addEventListener("abort", wake, { once: true })
        for (const check of waiting) check()
      }),
    async advance(ms) {
      // Whoever is about to sleep may still be a few promises away from it.
      await new Promise((resolve) => setImmediate(resolve))
      const end = time + ms
      for (;;) {
        const next = [...sleepers].filter((sleeper) => sleeper.due <= end).toSorted((a, b) => a.due - b.due)[0]
        if (!next) break
        time = Math.max(time, next.due)
        next.wake()
        await new Promise((resolve) => setImmediate(resolve))
      }
      time = end
      await new Promise((resolve) => setImmediate(resolve))
    },
    slept: (ms) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (![...sleepers].some((sleeper) => sleeper.due >= time + ms)) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      }),
  }
}
