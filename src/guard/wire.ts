// What host and supervisor say to each other: one JSON value a line over a unix socket. Both sides parse what they get;
// a line that is not understood ends the connection, never the supervisor.
import type { IsolatorReport, IsolatorTier, Job, JobOutcome } from "../kernel/isolator.ts"

/** Raised whenever the meaning of a message or of a file in the state folder changes. */
export const wireVersion = "1"

/** What a supervisor is started with; one with other values is drained and replaced. */
export interface SupervisorConfig {
  readonly stateDir: string
  readonly socket: string
  readonly invokingUser: { readonly uid: number; readonly gid: number } | null
  /** Milliseconds without client and job after which it ends. */
  readonly idleMs: number
  /** A tier that is not exceeded even if the machine could do better. */
  readonly highestTier: IsolatorTier
  /** A staging that is not exceeded even if the machine could do better. */
  readonly highestStaging: JobOutcome["staging"]
  /** Of wire, program and configuration. */
  readonly version: string
  /** Programs; absolute paths. Empty text: there is none. */
  readonly bwrap: string
  readonly perl: string
  /** Folders of tools outside the system's own that commands may read and execute. */
  readonly toolFolders: readonly string[]
}

export type Request =
  | { readonly n: number; readonly op: "run"; readonly job: Job }
  | { readonly n: number; readonly op: "cancel"; readonly target: number }
  | { readonly n: number; readonly op: "recover"; readonly id: string; readonly workspace: string }
  | { readonly n: number; readonly op: "forget"; readonly id: string }
  | { readonly n: number; readonly op: "report" }
  | { readonly n: number; readonly op: "drain" }

export type Recovered = JobOutcome | "in-doubt" | null

export type Answer =
  | { readonly kind: "hello"; readonly version: string; readonly pid: number }
  | { readonly kind: "output"; readonly n: number; readonly text: string }
  | { readonly kind: "outcome"; readonly n: number; readonly outcome: JobOutcome }
  | { readonly kind: "recovered"; readonly n: number; readonly found: Recovered }
  | { readonly kind: "report"; readonly n: number; readonly report: IsolatorReport }
  | { readonly kind: "done"; readonly n: number }
  | { readonly kind: "failed"; readonly n: number; readonly code: string; readonly params: Readonly<Record<string, string | number>> }

export function encode(message: Request | Answer): string {
  return `${JSON.stringify(message)}\n`
}

/** Cuts a stream into lines. Throws if a line grows beyond what any message can have. */
export class Lines {
  #rest = ""

  push(text: string): string[] {
    this.#rest += text
    if (this.#rest.length > 64 * 1024 * 1024) throw new Error("a line without end")
    if (!text.includes("\n")) return []
    const lines = this.#rest.split("\n")
    this.#rest = lines.pop() ?? ""
    return lines
  }
}

/** Null if the line is no request. */
export function parseRequest(line: string): Request | null {
  const found = parseObject(line)
  if (!found || typeof found["n"] !== "number") return null
  const n = found["n"]
  switch (found["op"]) {
    case "run": {
      const job = parseJob(found["job"])
      return job ? { n, op: "run", job } : null
    }
    case "cancel":
      return typeof found["target"] === "number" ? { n, op: "cancel", target: found["target"] } : null
    case "recover":
      return isJobId(found["id"]) && typeof found["workspace"] === "string"
        ? { n, op: "recover", id: found["id"], workspace: found["workspace"] }
        : null
    case "forget":
      return isJobId(found["id"]) ? { n, op: "forget", id: found["id"] } : null
    case "report":
    case "drain":
      return { n, op: found["op"] }
    default:
      return null
  }
}

/** Null if the line is no answer. What a supervisor of the same version sends is trusted beyond its outer form. */
export function parseAnswer(line: string): Answer | null {
  const found = parseObject(line)
  if (!found || typeof found["kind"] !== "string") return null
  if (found["kind"] === "hello") return typeof found["version"] === "string" ? (found as unknown as Answer) : null
  return typeof found["n"] === "number" ? (found as unknown as Answer) : null
}

/** Job ids become names of folders. */
export function isJobId(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9-]{1,128}$/.test(value)
}

function parseJob(value: unknown): Job | null {
  if (typeof value !== "object" || value === null) return null
  const { id, command, workspace, timeoutMs, keepBytes, maxOutputBytes } = value as Record<string, unknown>
  if (!isJobId(id) || typeof command !== "string" || typeof workspace !== "string" || !workspace.startsWith("/")) return null
  if (!isAmount(timeoutMs) || !isAmount(keepBytes) || !isAmount(maxOutputBytes)) return null
  return { id, command, workspace, timeoutMs, keepBytes, maxOutputBytes }
}

function isAmount(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0
}

/** The object that a text holds; null if it holds none. */
export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}
