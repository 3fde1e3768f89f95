// The thread of the writer: whatever has arrived while a commit was being synced becomes the next group.
import { parentPort, receiveMessageOnPort, type MessagePort, workerData } from "node:worker_threads"
import { backup, type DatabaseSync } from "node:sqlite"
import { AppError, isAppError, messageOf } from "../../base/error.ts"
import { quickCheck } from "./check.ts"
import { openDatabase } from "./schema.ts"
import type { WorkerMessage } from "./thread.ts"
import { type Call, type Reply, Writer } from "./writer.ts"

/** A request carries either one call or one of the two things that are not calls. */
export type WorkerRequest =
  | CallRequest
  | { readonly kind: "backup"; readonly id: number; readonly path: string }
  | { readonly kind: "close"; readonly id: number }

interface CallRequest {
  readonly kind: "call"
  readonly id: number
  readonly call: Call
}

/** More in one transaction would make the first ones wait too long. */
const maximumGroup = 512

function serve(port: MessagePort, path: string, pollMs: number | null): void {
  const db = open(port, path)
  if (!db) return
  const writer = new Writer(db, () => Date.now(), path)
  const poll = pollMs === null ? null : setInterval(lookForOthers(db, port), pollMs)

  port.on("message", (first: WorkerRequest) => {
    const { group, other } = gather(port, first)
    if (group.length > 0) {
      const { replies, changes } = writer.group(group.map((entry) => entry.call))
      post(port, { kind: "replies", ids: group.map((entry) => entry.id), replies, changes })
    }
    if (other?.kind === "backup") void copy(db, port, other)
    if (other?.kind === "close") {
      if (poll) clearInterval(poll)
      db.close()
      post(port, { kind: "replies", ids: [other.id], replies: [{ ok: true, value: null }], changes: [] })
      port.close()
    }
  })
  post(port, { kind: "ready" })
}

function post(port: MessagePort, message: WorkerMessage): void {
  port.postMessage(message)
}

function open(port: MessagePort, path: string): DatabaseSync | null {
  try {
    return openDatabase(path)
  } catch (cause) {
    const error = isAppError(cause) ? cause : new AppError("engine-failed", { detail: messageOf(cause) })
    post(port, { kind: "failed", reply: { ok: false, code: error.code, params: error.params } })
    port.close()
    return null
  }
}

/** All calls that have arrived, up to the first request that is not a call. */
function gather(port: MessagePort, first: WorkerRequest): { group: CallRequest[]; other: WorkerRequest | null } {
  const group: CallRequest[] = []
  let next: WorkerRequest | undefined = first
  while (next) {
    if (next.kind !== "call") return { group, other: next }
    group.push(next)
    next = group.length < maximumGroup ? receiveMessageOnPort(port)?.message : undefined
  }
  return { group, other: null }
}

async function copy(db: DatabaseSync, port: MessagePort, request: { id: number; path: string }): Promise<void> {
  const reply: Reply = await backup(db, request.path).then(
    () => ({ ok: true, value: null }),
    (cause: unknown) => ({ ok: false, code: "disk-full", params: { path: request.path, detail: messageOf(cause) } }),
  )
  post(port, { kind: "replies", ids: [request.id], replies: [reply], changes: [] })
}

/** `data_version` changes exactly when another connection has committed. */
function lookForOthers(db: DatabaseSync, port: MessagePort): () => void {
  const version = (): unknown => db.prepare("PRAGMA data_version").get()?.["data_version"]
  let seen = version()
  return () => {
    const found = version()
    if (found === seen) return
    seen = found
    post(port, { kind: "replies", ids: [], replies: [], changes: [{ session: "", kind: "wake" }] })
  }
}

if (parentPort) {
  if (workerData.check === true) parentPort.postMessage(quickCheck(String(workerData.path)))
  else serve(parentPort, String(workerData.path), workerData.pollMs as number | null)
}
