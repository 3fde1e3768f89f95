// A clock that only moves when a test says so. `advance` lets time pass; `jump` moves the wall clock alone, as a person,
// a time server or a suspended machine does.
import type { Clock } from "../../src/base/clock.ts"

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

export class FakeClock implements Clock {
  #wall: number
  #passed = 0
  readonly #sleepers = new Set<Sleeper>()

  constructor(start = Date.UTC(2026, 10, 24, 12)) {
    this.#wall = start
  }

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#passed
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted || ms <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      const sleeper: Sleeper = { until: this.#passed + ms, wake: () => finish() }
      const finish = (): void => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener("abort", finish)
        resolve()
      }
      this.#sleepers.add(sleeper)
      signal?.addEventListener("abort", finish, { once: true })
    })
  }

  /** Lets `ms` pass on both clocks and wakes whoever slept until then. */
  advance(ms: number): void {
    this.#wall += ms
    this.#passed += ms
    for (const sleeper of [...this.#sleepers].sort((a, b) => a.until - b.until)) {
      if (sleeper.until <= this.#passed) sleeper.wake()
    }
  }

  /** Sets the wall clock forwards or backwards; nothing has passed. */
  jump(ms: number): void {
    this.#wall += ms
  }
}
