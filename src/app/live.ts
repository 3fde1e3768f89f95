// What streams beside the journal, in memory only: each attempt's text so far with its offset, for whoever comes late, and
// every new piece for whoever is there.
import type { LiveEvent } from "../kernel/agent.ts"
import type { LiveDelta } from "../protocol/api.ts"

/** Characters of a running attempt that a late-comer still gets. */
const keptCharacters = 256 * 1024

export class LiveBus {
  readonly #listeners = new Set<(delta: LiveDelta) => void>()
  /** One running step for each session: an actor does one thing at a time. */
  readonly #running = new Map<string, LiveDelta[]>()

  publish(event: LiveEvent): void {
    const { session, run, key, attempt, delta } = event
    let pieces = this.#running.get(session) ?? []
    const last = pieces.at(-1)
    const goesOn = last?.key === key && last.attempt === attempt
    if (!goesOn) pieces = []
    const offset = goesOn ? last.offset + last.text.length : 0
    const text = delta.kind === "tool-call" ? delta.name : delta.text
    const piece: LiveDelta = { session, run, key, attempt, offset, kind: delta.kind, text }
    if (offset < keptCharacters) pieces.push(piece)
    else pieces = [piece]
    this.#running.set(session, pieces)
    for (const listener of this.#listeners) listener(piece)
  }

  /** The step has ended: its result is in the journal. */
  settle(session: string): void {
    this.#running.delete(session)
  }

  /** What a running attempt has streamed so far. */
  sofar(session: string): readonly LiveDelta[] {
    return this.#running.get(session) ?? []
  }

  listen(listener: (delta: LiveDelta) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
