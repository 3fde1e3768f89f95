// Who may work in a workspace at the same time: many commands whose changes are staged, or one that needs it for itself. In
// the order of asking, so that nobody waits for ever.

interface Waiting {
  readonly alone: boolean
  readonly enter: () => void
}

export class Gate {
  #inside = 0
  #alone = false
  readonly #waiting: Waiting[] = []

  /** Resolves with what must be called to leave (safe to call twice); rejects with the signal's reason. */
  enter(alone: boolean, signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        this.#admit()
        reject(signal.reason)
      }
      const waiting: Waiting = {
        alone,
        enter: () => {
          signal.removeEventListener("abort", abort)
          resolve(this.#leaver())
        },
      }
      signal.addEventListener("abort", abort, { once: true })
      this.#waiting.push(waiting)
      this.#admit()
    })
  }

  get empty(): boolean {
    return this.#inside === 0 && this.#waiting.length === 0
  }

  #admit(): void {
    for (;;) {
      const next = this.#waiting[0]
      if (!next || this.#alone || (next.alone && this.#inside > 0)) return
      this.#waiting.shift()
      this.#inside++
      this.#alone = next.alone
      next.enter()
    }
  }

  #leaver(): () => void {
    let left = false
    return () => {
      if (left) return
      left = true
      this.#inside--
      this.#alone = false
      this.#admit()
    }
  }
}
