// Follows one run to its end. The stream is resumed from its last cursor whenever the connection breaks, so a host that
// dies in the middle costs a reconnect and nothing else.
import { AppError } from "../base/error.ts"
import type { Client } from "../client/client.ts"
import type { JournalEvent } from "../protocol/event.ts"
import type { LiveDelta } from "../protocol/api.ts"

export interface Watcher {
  event(event: JournalEvent): void
  live(delta: LiveDelta): void
  /** The connection broke and is about to be made again. */
  reconnecting(): void
}

export interface Followed {
  readonly session: string
  readonly run: string
}

export type FollowEnd =
  | { readonly kind: "ended"; readonly event: JournalEvent }
  /** The run waits for the owner. */
  | { readonly kind: "parked"; readonly event: JournalEvent }
  | { readonly kind: "interrupted" }

/** Whatever keeps breaking this often is not a host that is being restarted. */
const maxReconnects = 20

export interface FollowOptions {
  readonly connect: () => Promise<Client>
  readonly followed: Followed
  readonly watcher: Watcher
  readonly signal: AbortSignal
  /** Cursor behind which to begin. */
  readonly after?: string
}

/** Resolves at the end of the run or when it parks. Rejects when no host can be reached any more. */
export async function follow({ connect, followed, watcher, signal, after }: FollowOptions): Promise<FollowEnd> {
  let cursor = after
  for (let broken = 0; broken < maxReconnects; broken++) {
    const client = await connect()
    try {
      for await (const item of client.events(followed.session, { ...(cursor !== undefined && { after: cursor }), signal })) {
        if (item.kind === "live") {
          if (item.delta.run === followed.run) watcher.live(item.delta)
          continue
        }
        const { event } = item
        cursor = event.cursor
        broken = 0
        if (event.run !== followed.run) continue
        watcher.event(event)
        if (event.kind === "run-ended") return { kind: "ended", event }
        if (event.kind === "run-parked") return { kind: "parked", event }
      }
    } catch (cause) {
      if (signal.aborted) return { kind: "interrupted" }
      if (cause instanceof AppError) throw cause
      // The connection broke: the host died or was stopped.
    }
    if (signal.aborted) return { kind: "interrupted" }
    watcher.reconnecting()
  }
  throw new AppError("host-unreachable", { path: followed.session, pid: 0 })
}
