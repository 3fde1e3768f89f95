// Claims sessions that are due and hands each to a handler, as many at once as allowed. Whatever the handler does, the
// session is given back; a handler that keeps failing waits longer each time and is then told that the run is poisonous.
import { backoffMs } from "../base/backoff.ts"
import { isAppError } from "../base/error.ts"
import type { Claim } from "./port.ts"
import { type AbortCause, Session, type SessionPorts } from "./session.ts"

export interface DriverOptions {
  readonly ports: SessionPorts
  /** Unique per process. */
  readonly worker: string
  /** Sessions that are worked on at once. */
  readonly concurrency: number
  readonly leaseMs?: number
  /** Claims without progress after which `handle` is told so. */
  readonly maxAttempts?: number
  /** Works until the session rests or waits. `poisoned`: end the run that is open, with a reason. */
  readonly handle: (session: Session, poisoned: boolean) => Promise<void>
  readonly onError: (error: unknown, session: string | null) => void
}

/** Looks again after this long even if nothing was announced, because the wall clock may jump. */
const longestNapMs = 15_000
const retry = { firstMs: 200, maxMs: 60_000 }

export class Driver {
  readonly #options: DriverOptions
  readonly #held = new Map<string, { readonly abort: AbortController; readonly done: Promise<void> }>()
  readonly #stopWatching: () => void
  readonly #closing = new AbortController()
  #nap: AbortController = new AbortController()
  #dirty = true
  readonly #loop: Promise<void>

  constructor(options: DriverOptions) {
    this.#options = options
    this.#stopWatching = options.ports.engine.watch((change) => {
      if (change.kind === "cancel") this.#held.get(change.session)?.abort.abort("canceled" satisfies AbortCause)
      if (change.kind === "wake") this.#look()
    })
    this.#loop = this.#run()
  }

  /** Sessions that are being worked on now. */
  get busy(): number {
    return this.#held.size
  }

  /** Lets every handler stop at its next step; what was begun is found again by whoever comes next. Safe to call twice. */
  async close(): Promise<void> {
    this.#stopWatching()
    this.#closing.abort()
    this.#nap.abort()
    for (const { abort } of this.#held.values()) abort.abort("lost" satisfies AbortCause)
    await this.#loop
    await Promise.all([...this.#held.values()].map(({ done }) => done))
  }

  /** A wake-up that comes while claims are under way must not be forgotten: the flag is cleared before each look only. */
  #look(): void {
    this.#dirty = true
    this.#nap.abort()
  }

  async #run(): Promise<void> {
    const { clock, engine } = this.#options.ports
    while (!this.#closing.signal.aborted) {
      this.#dirty = false
      this.#nap = new AbortController()
      try {
        await this.#claimAll()
        if (this.#dirty) continue
        const due = this.#held.size < this.#options.concurrency ? await engine.nextDueIn() : null
        if (!this.#dirty) await clock.sleep(Math.min(due ?? longestNapMs, longestNapMs), this.#nap.signal)
      } catch (error) {
        if (isAppError(error, "engine-closed")) return
        this.#options.onError(error, null)
        await clock.sleep(retry.firstMs, this.#closing.signal)
      }
    }
  }

  async #claimAll(): Promise<void> {
    const { ports, worker, concurrency } = this.#options
    while (this.#held.size < concurrency && !this.#closing.signal.aborted) {
      const claim = await ports.engine.claim(worker, this.#leaseMs)
      if (!claim) return
      await this.#takeOver(claim.session)
      this.#work(claim)
    }
  }

  get #leaseMs(): number {
    return this.#options.leaseMs ?? 30_000
  }

  /** Our own lease ran out while we worked (the clock jumped): the older work is stale and ends before the new begins. */
  async #takeOver(session: string): Promise<void> {
    const stale = this.#held.get(session)
    stale?.abort.abort("lost" satisfies AbortCause)
    await stale?.done
  }

  #work(claim: Claim): void {
    const abort = new AbortController()
    const done = this.#segment(claim, abort).finally(() => {
      this.#held.delete(claim.session)
      this.#look()
    })
    this.#held.set(claim.session, { abort, done })
  }

  /** Never rejects. */
  async #segment(claim: Claim, abort: AbortController): Promise<void> {
    const { ports, maxAttempts = 5, handle, onError } = this.#options
    const renewing = new AbortController()
    const renewed = this.#renew(claim, abort, renewing.signal)
    try {
      const session = await Session.open(ports, claim, abort.signal)
      await handle(session, claim.attempts > maxAttempts)
      await ports.engine.release(claim)
    } catch (error) {
      if (abort.signal.aborted || isAppError(error, "lease-lost") || isAppError(error, "engine-closed")) {
        await this.#giveBack(claim)
        return
      }
      onError(error, claim.session)
      const wait = backoffMs(retry, claim.attempts, (ports.random(1)[0] ?? 0) / 256)
      await ports.engine.release(claim, { retryAt: ports.clock.now() + wait, failed: true }).catch(() => undefined)
    } finally {
      renewing.abort()
      await renewed
    }
  }

  /** The session is due at once for whoever comes next; if it is not ours any more, that is already so. */
  async #giveBack(claim: Claim): Promise<void> {
    const { engine, clock } = this.#options.ports
    await engine.release(claim, { retryAt: clock.now() }).catch(() => undefined)
  }

  async #renew(claim: Claim, abort: AbortController, signal: AbortSignal): Promise<void> {
    const { engine, clock } = this.#options.ports
    for (;;) {
      await clock.sleep(this.#leaseMs / 3, signal)
      if (signal.aborted) return
      const held = await engine.renew(claim, this.#leaseMs).catch((error: unknown) => {
        this.#options.onError(error, claim.session)
        return true
      })
      if (!held) return abort.abort("lost" satisfies AbortCause)
    }
  }
}
