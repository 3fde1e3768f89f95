// The isolator port: the only way in which a command of the model is ever executed. Implemented in src/guard.

/** How strongly commands are confined on this machine; `none` means that commands are refused. */
export type IsolatorTier = "bubblewrap" | "landlock" | "none"

/** What a command may do to the workspace, and what a crash in the middle therefore means. */
export type StagingKind =
  /** The command wrote to an overlay that is applied when it has ended; a crash leaves the workspace untouched. */
  | "overlay"
  /** The command wrote in place after its pre-images were captured; a crash restores them. */
  | "snapshot"
  /** The workspace was too large to capture; a crash leaves the command in doubt. */
  | "direct"

export interface Job {
  /** Unique for one step; the same step after a crash has the same id. Only [A-Za-z0-9-]. */
  readonly id: string
  /** Shell text, run by `/bin/sh -c` (bash where there is one) in the workspace. */
  readonly command: string
  /** Absolute real path; the same path inside the sandbox. */
  readonly workspace: string
  /** Milliseconds, by a monotonic clock; the whole process group is killed then. */
  readonly timeoutMs: number
  /** Bytes of output kept of each of head and tail; what lies between is counted and dropped. */
  readonly keepBytes: number
  /** Bytes of output after which the command is ended. */
  readonly maxOutputBytes: number
}

export interface JobOutcome {
  /** `exited`: by itself. The others: ended from outside, with the whole process group. */
  readonly end: "exited" | "timeout" | "canceled" | "output-limit"
  /** Null if a signal ended it. */
  readonly exitCode: number | null
  readonly signal: string | null
  /** Standard output and error as they came, in one stream: the first and the last `keepBytes` bytes. */
  readonly head: string
  readonly tail: string
  /** Bytes that the command wrote, and bytes between head and tail that were not kept. */
  readonly outputBytes: number
  readonly droppedBytes: number
  readonly durationMs: number
  readonly staging: StagingKind
  /** Workspace paths (relative) that this job added, changed or removed; at most 1,000, `changesTotal` counts all. */
  readonly changes: readonly FileChange[]
  readonly changesTotal: number
  /** Workspace paths of devices, pipes and sockets that the command made: these are never taken over. */
  readonly refused?: readonly string[]
}

export interface FileChange {
  readonly path: string
  readonly change: "added" | "changed" | "removed"
}

export interface IsolatorReport {
  readonly tier: IsolatorTier
  /** Why this tier and not a better one: codes of src/text with their values, to be shown to the owner. */
  readonly reasons: readonly { readonly code: string; readonly params: Readonly<Record<string, string | number>> }[]
  readonly staging: StagingKind
}

export interface Isolator {
  /** What was found when the self-test ran; cached by binary, kernel and configuration. */
  report(signal: AbortSignal): Promise<IsolatorReport>
  /**
   * Runs a job to its end; its outcome is on disk (fsync) and its changes are applied before this resolves.
   * Aborting ends the process group within a second and resolves with `canceled`.
   * Rejects with `sandbox-missing`, `sandbox-failed`, `workspace-*` or `disk-full`; nothing was applied then.
   */
  run(job: Job, signal: AbortSignal, onOutput?: (text: string) => void): Promise<JobOutcome>
  /**
   * For a step that was begun before a crash: the outcome if the job had finished (its changes are applied first),
   * `in-doubt` if it had started with `direct` staging, else null after whatever still ran was ended and the
   * workspace is as it was before the job.
   */
  recover(job: Pick<Job, "id" | "workspace">, signal: AbortSignal): Promise<JobOutcome | "in-doubt" | null>
  /** Forgets what is kept of a job whose outcome is in the journal. */
  forget(id: string): Promise<void>
  /** Ends what still runs for this host. Safe to call twice. */
  close(): Promise<void>
}
