// Looks a database over for damage, in its own thread and on its own connection, while the engine works. Never before start: on
// a cold disk that would take longer than anyone waits.
import { DatabaseSync } from "node:sqlite"
import { Worker } from "node:worker_threads"
import { messageOf } from "../../base/error.ts"
import { workerFile } from "./thread.ts"

export interface CheckResult {
  readonly ok: boolean
  /** What SQLite found, in its own words; "" if all is well. */
  readonly detail: string
}

/** Resolves with the verdict; aborting ends the look and resolves with null. */
export function checkDatabase(path: string, signal: AbortSignal): Promise<CheckResult | null> {
  return new Promise((resolve) => {
    const worker = new Worker(workerFile(), { workerData: { path, check: true }, name: "journal-check" })
    worker.unref()
    const abort = (): void => void worker.terminate()
    signal.addEventListener("abort", abort, { once: true })
    worker.once("message", resolve)
    worker.once("error", (cause) => resolve({ ok: false, detail: messageOf(cause) }))
    worker.once("exit", () => {
      signal.removeEventListener("abort", abort)
      resolve(null)
    })
  })
}

/** The look itself; runs in the thread. */
export function quickCheck(path: string): CheckResult {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    const rows = db.prepare("PRAGMA quick_check(10)").all()
    const found = rows.map((row) => String(row["quick_check"])).filter((line) => line !== "ok")
    return { ok: found.length === 0, detail: found.join("; ") }
  } catch (cause) {
    return { ok: false, detail: messageOf(cause) }
  } finally {
    db.close()
  }
}
