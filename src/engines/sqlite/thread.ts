// The link to a writer in its own thread. Calls are posted at once and answered in order; when the thread dies, every
// open call is rejected and nothing later is accepted.
import { Worker } from "node:worker_threads"
import { AppError, messageOf } from "../../base/error.ts"
import type { Change } from "../../kernel/port.ts"
import { unwrap, type WriterLink } from "./link.ts"
import { type GroupResult, type Reply, replyError } from "./writer.ts"
import type { WorkerRequest } from "./worker.ts"

interface Waiting {
  resolve(reply: Reply): void
  reject(error: Error): void
}

export type WorkerMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly reply: Reply }
  | ({ readonly kind: "replies"; readonly ids: readonly number[] } & GroupResult)

/** Omit over a union, member by member. */
type Without<T, K extends string> = T extends unknown ? Omit<T, K> : never

/** Throws what `openDatabase` throws. */
export async function startThread(path: string, pollMs: number | null): Promise<WriterLink> {
  const worker = new Worker(workerFile(), { workerData: { path, pollMs }, name: "journal" })
  const waiting = new Map<number, Waiting>()
  let listener: (change: Change) => void = () => {}
  let lastId = 0
  let failure: Error | null = null

  const fail = (error: Error): void => {
    failure = error
    for (const call of waiting.values()) call.reject(error)
    waiting.clear()
  }
  await new Promise<void>((resolve, reject) => {
    worker.on("message", (message: WorkerMessage) => {
      if (message.kind === "ready") return resolve()
      if (message.kind === "failed") return reject(message.reply.ok ? new AppError("engine-closed") : replyError(message.reply))
      for (const [i, id] of message.ids.entries()) {
        const reply = message.replies[i]
        if (reply) waiting.get(id)?.resolve(reply)
        waiting.delete(id)
      }
      for (const change of message.changes) listener(change)
    })
    worker.on("error", (cause) => {
      fail(new AppError("engine-failed", { detail: messageOf(cause) }, { cause }))
      reject(failure)
    })
    worker.on("exit", () => fail(failure ?? new AppError("engine-closed")))
  })

  const post = (request: Without<WorkerRequest, "id">): Promise<Reply> =>
    new Promise((resolve, reject) => {
      if (failure) return reject(failure)
      const id = ++lastId
      waiting.set(id, { resolve, reject })
      worker.postMessage({ ...request, id })
    })

  const close = async (): Promise<void> => {
    if (failure) return
    await post({ kind: "close" })
    failure = new AppError("engine-closed")
    await worker.terminate()
  }
  let closing: Promise<void> | null = null

  return {
    call: async (name, argument) => unwrap(await post({ kind: "call", call: { name, argument } })),
    backup: async (to) => unwrap(await post({ kind: "backup", path: to })),
    onChange: (given) => void (listener = given),
    close: () => (closing ??= close()),
  }
}

/** Sources run as .ts, the published package as .js beside the bundle. */
export function workerFile(): URL {
  const own = import.meta.url
  return own.endsWith(".ts") ? new URL("./worker.ts", own) : new URL("./journal-worker.js", own)
}
