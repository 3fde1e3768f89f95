// Writes an HTTP answer: JSON, an event stream piece by piece, and the ways to break off in the middle of one.
import type { ServerResponse } from "node:http"
import { setTimeout as wait } from "node:timers/promises"
import type { Fault, Turn } from "./script.ts"

/** One event of a stream: its name (responses API only) and its data. */
export interface Piece {
  readonly event?: string
  readonly data: unknown
  /** What the piece is about; faults break off at it. */
  readonly about: "start" | "text" | "call" | "end" | "usage"
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(JSON.stringify(body))
}

export interface StreamOptions {
  readonly turn: Turn
  /** Written after the last piece, as the API does. */
  readonly done: string
}

/** Streams the pieces with the pauses and faults of the turn. */
export async function sendPieces(
  response: ServerResponse,
  pieces: readonly Piece[],
  { turn, done }: StreamOptions,
): Promise<void> {
  const { fault } = turn
  const pause = turn.pieceMs ?? (fault === "slow" ? 50 : 0)
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    connection: "keep-alive",
  })
  const breakAt = breakOf(fault, pieces)
  for (const [at, piece] of pieces.entries()) {
    if (at === breakAt) {
      // `end()` closes the body as a server does that lost its own upstream; `destroy()` cuts the line.
      if (fault === "end-early") response.end()
      else response.socket?.destroy()
      return
    }
    if (pause > 0) await wait(pause)
    if (response.destroyed) return
    response.write((piece.event ? `event: ${piece.event}\n` : "") + `data: ${JSON.stringify(piece.data)}\n\n`)
    if (at === 0 && fault === "bad-chunk") response.write("data: {not json\n\n")
    if (at === 0 && fault === "error-chunk")
      response.write('data: {"error":{"message":"Engine overloaded","code":503}}\n\n')
    if (breakAt >= 0) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  if (fault === "never-close") response.write(done)
  else response.end(fault === "no-done" ? "" : done)
}

function breakOf(fault: Fault | undefined, pieces: readonly Piece[]): number {
  if (fault === "cut-in-call") return pieces.findLastIndex((piece) => piece.about === "call")
  if (fault !== "cut" && fault !== "end-early") return -1
  const text = pieces.findLastIndex((piece) => piece.about === "text")
  return text >= 0 ? text : 1
}

/** Text in pieces of a few characters, never through a surrogate pair. */
export function cutText(text: string, size: number): string[] {
  const letters = Array.from(text)
  return Array.from({ length: Math.ceil(letters.length / size) }, (_piece, at) =>
    letters.slice(at * size, (at + 1) * size).join(""),
  )
}
