// The event stream: everything in the journal after a cursor, then what comes, in order and without a gap; live pieces of
// the running step in between.
import type { Engine } from "../kernel/port.ts"
import type { LiveDelta, StreamItem } from "../protocol/api.ts"
import type { LiveBus } from "./live.ts"

export interface StreamQuery {
  readonly session: string
  /** Opaque; the stream begins behind it. Absent: from the beginning. */
  readonly after?: string
}

/** Ends when `signal` is aborted or the engine is closed. */
export async function* streamSession(engine: Engine, live: LiveBus, query: StreamQuery, signal: AbortSignal): AsyncGenerator<StreamItem> {
  const { session } = query
  const pieces: LiveDelta[] = [...live.sofar(session)]
  let dirty = true
  let wake: () => void = () => {}
  const look = (): void => {
    dirty = true
    wake()
  }
  // Watched before the first read, so that nothing can come between.
  const stopWatching = engine.watch((change) => {
    if (change.session === session && change.kind === "events") look()
  })
  const stopListening = live.listen((delta) => {
    if (delta.session !== session) return
    pieces.push(delta)
    wake()
  })
  signal.addEventListener("abort", look, { once: true })
  let after = query.after
  try {
    while (!signal.aborted) {
      if (dirty) {
        dirty = false
        for (const event of await engine.read({ session, ...(after !== undefined && { after }) })) {
          after = event.cursor
          yield { kind: "event", event }
        }
      }
      for (const delta of pieces.splice(0)) yield { kind: "live", delta }
      if (!dirty && pieces.length === 0 && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    stopWatching()
    stopListening()
    signal.removeEventListener("abort", look)
  }
}
