// The life of a job: begun, staged, run, its outcome written, its changes applied, forgotten. A job that is begun again after a
// crash either has an outcome, which is then all there is, or has left no trace.
import { accessSync, constants } from "node:fs"
import { join } from "node:path"
import { AppError } from "../base/error.ts"
import type { Job, JobOutcome, StagingKind } from "../kernel/isolator.ts"
import { applyPlan, checkPlan, Conflict, discard, syncPlan } from "./apply.ts"
import { type CommandResult, runCommand } from "./command.ts"
import { failureOf, isErrno } from "./errno.ts"
import { MountError, type Mounts } from "./mounts.ts"
import { openLayer, type OverlayOptions } from "./overlay.ts"
import { PathChanged } from "./pinned.ts"
import { type Plan, planOf, type User } from "./plan.ts"
import { killAll, processesWith } from "./process.ts"
import type { Records } from "./records.ts"
import { type Sandbox, tokenOf } from "./sandbox.ts"
import type { Recovered } from "./wire.ts"
import type { Workspace, Workspaces } from "./workspaces.ts"

export interface JobsOptions {
  readonly records: Records
  readonly workspaces: Workspaces
  readonly sandbox: Sandbox
  /** Null where overlays are refused. */
  readonly overlay: OverlayOptions | null
  readonly inPlace: InPlace
  readonly mounts: Mounts | null
  readonly user: User | null
}

/** Runs a job whose changes cannot be staged, with what is needed to undo them after a crash. */
export interface InPlace {
  run(attempt: Attempt): Promise<JobOutcome>
  /** What a job left behind that was running when everything died. `in-doubt` if nobody knows. */
  recover(id: string, workspace: Workspace): Promise<"in-doubt" | null>
}

export interface Attempt {
  readonly job: Job
  readonly workspace: Workspace
  readonly folder: string
  readonly signal: AbortSignal
  readonly onOutput: (chunk: Buffer) => void
}

/** After this many conflicts a job gets the workspace for itself. */
const optimisticRounds = 2

export class Jobs {
  readonly #options: JobsOptions
  readonly #running = new Map<string, { readonly abort: AbortController; readonly done: Promise<unknown> }>()

  constructor(options: JobsOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running.size
  }

  /** Rejects with an `AppError`; nothing was applied then. Aborting discards what the command did. */
  async run(job: Job, signal: AbortSignal, onOutput: (chunk: Buffer) => void): Promise<JobOutcome> {
    const found = await this.recover(job.id, job.workspace)
    if (found === "in-doubt") throw new AppError("sandbox-failed", { detail: "begun before and not known to have ended" })
    if (found) return found
    const abort = new AbortController()
    const cancel = (): void => abort.abort()
    if (signal.aborted) cancel()
    signal.addEventListener("abort", cancel, { once: true })
    const done = this.#rounds(job, abort.signal, onOutput)
    this.#running.set(job.id, { abort, done: done.catch(() => undefined) })
    try {
      return await done
    } catch (error) {
      if (abort.signal.aborted && !(error instanceof AppError)) return canceledOutcome(this.#options.overlay ? "overlay" : "snapshot")
      throw failureOf(error, job.workspace)
    } finally {
      signal.removeEventListener("abort", cancel)
      this.#running.delete(job.id)
    }
  }

  /** Ends it if it runs, completes it if it had ended, undoes it otherwise. */
  async recover(id: string, path: string): Promise<Recovered> {
    const { records, workspaces, inPlace } = this.#options
    const running = this.#running.get(id)
    running?.abort.abort()
    await running?.done
    const record = records.outcome(id)
    if (record) {
      if (!record.applied && record.plan) await this.#applyRecorded(id, record.workspace, record.plan)
      return record.outcome
    }
    if (!records.exists(id)) return null
    const begun = records.begun(id)
    if (!running) await killAll(() => processesWith([tokenOf(id)]), 5_000)
    const left = begun ? await inPlace.recover(id, await workspaces.get(begun.workspace || path)) : null
    if (left === null) records.forget(id)
    return left
  }

  forget(id: string): void {
    if (!this.#running.has(id)) this.#options.records.forget(id)
  }

  /** Ends everything that runs; what had not ended leaves no trace. */
  async close(): Promise<void> {
    for (const { abort } of this.#running.values()) abort.abort()
    await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  /** Resolves when nothing runs any more. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  async #rounds(job: Job, signal: AbortSignal, onOutput: (chunk: Buffer) => void): Promise<JobOutcome> {
    const workspace = await this.#options.workspaces.get(job.workspace)
    checkWritable(workspace.path)
    let staged = this.#options.overlay !== null && !workspace.holdsMounts && !workspace.needsChown
    for (let round = 0; ; round++) {
      const alone = !staged || round >= optimisticRounds
      const leave = await workspace.gate.enter(alone, signal)
      try {
        const folder = this.#options.records.prepare(job.id)
        const attempt: Attempt = { job, workspace, folder, signal, onOutput }
        return await (staged ? this.#staged(attempt, alone) : this.#options.inPlace.run(attempt))
      } catch (error) {
        if (error instanceof MountError && staged) staged = false
        else if (!(error instanceof Conflict) || alone) throw error
      } finally {
        leave()
      }
    }
  }

  /** `final`: what somebody else changed meanwhile is overwritten, or a file that is changed all the time would block for ever. */
  async #staged(attempt: Attempt, final: boolean): Promise<JobOutcome> {
    const { overlay, records, sandbox, user } = this.#options
    const { job, workspace, folder, signal } = attempt
    if (!overlay) throw new MountError("no overlays here")
    const began = workspace.applied.begin()
    const layer = await openLayer(folder, workspace, overlay).catch((error: unknown) => {
      workspace.applied.end(began)
      throw error
    })
    let keep = false
    try {
      const launch = await sandbox.launch({ ...job, source: layer.merged, folder })
      const result = await runCommand(launch, job, { signal, onOutput: attempt.onOutput })
      checkSandbox(result)
      if (result.end === "canceled") return outcomeOf(result, "overlay", null)
      const owner = user ? { from: user, to: workspace.owner } : null
      const plan = await planOf({ upper: layer.upper, lower: workspace.path, isOpaque: (path) => layer.isOpaque(path), owner })
      await layer.unmount()
      const outcome = outcomeOf(result, "overlay", plan)
      if (plan.operations.length === 0) {
        await records.finish(job.id, { outcome, workspace: workspace.path, plan: null })
        return outcome
      }
      await syncPlan({ plan, upper: layer.upper, mounts: overlay.mounts })
      const leave = await workspace.applying.enter(true, new AbortController().signal)
      try {
        const collision = workspace.applied.collision(plan, began)
        if (collision !== null && !final) throw new Conflict(collision)
        await checkPlan(plan, workspace.path, final ? null : layer.since)
        await records.finish(job.id, { outcome, workspace: workspace.path, plan })
        keep = true
        await this.#apply(job.id, workspace, plan, layer.upper)
      } finally {
        leave()
      }
      keep = false
      return outcome
    } finally {
      workspace.applied.end(began)
      await layer.unmount()
      if (!keep) discard(layer.upper)
    }
  }

  async #applyRecorded(id: string, path: string, plan: Plan): Promise<void> {
    const workspace = await this.#options.workspaces.get(path)
    const upper = join(this.#options.records.folderOf(id), "upper")
    const leave = await workspace.applying.enter(true, new AbortController().signal)
    try {
      await this.#apply(id, workspace, plan, upper)
    } catch (error) {
      throw error instanceof PathChanged ? new AppError("sandbox-failed", { detail: error.message }, { cause: error }) : failureOf(error, path)
    } finally {
      leave()
    }
    discard(upper)
  }

  async #apply(id: string, workspace: Workspace, plan: Plan, upper: string): Promise<void> {
    const { records, user, mounts } = this.#options
    let begun = false
    try {
      await applyPlan({ job: id, plan, upper, workspace: workspace.path, owner: user ? workspace.owner : null, mounts, onBegin: () => (begun = true) })
    } catch (error) {
      // Before the first change there is nothing to complete: the job has simply failed.
      if (!begun) records.forget(id)
      throw error
    }
    records.markApplied(id)
    workspace.applied.add(plan)
  }
}

/** Root may write everywhere but on a file system that is read-only. */
function checkWritable(path: string): void {
  try {
    accessSync(path, constants.W_OK)
  } catch (cause) {
    if (isErrno(cause, "EROFS", "EACCES", "EPERM")) throw new AppError("workspace-read-only", { path }, { cause })
    throw cause
  }
}

/** Throws if the sandbox itself could not be made. */
export function checkSandbox(result: CommandResult): void {
  if (result.end === "exited" && result.complaint !== "" && result.exitCode !== 0) throw new AppError("sandbox-failed", { detail: result.complaint.slice(0, 500) })
  if (result.end === "exited" && result.signal !== null) throw new AppError("sandbox-failed", { detail: `ended from outside by ${result.signal}` })
}

export function outcomeOf(result: CommandResult, staging: StagingKind, plan: Pick<Plan, "changes" | "changesTotal" | "refused"> | null): JobOutcome {
  const { end, exitCode, signal, head, tail, outputBytes, droppedBytes, durationMs } = result
  const changes = { changes: plan?.changes ?? [], changesTotal: plan?.changesTotal ?? 0 }
  const refused = plan?.refused.length ? { refused: plan.refused.slice(0, 100) } : {}
  return { end, exitCode, signal, head, tail, outputBytes, droppedBytes, durationMs, staging, ...changes, ...refused }
}

function canceledOutcome(staging: StagingKind): JobOutcome {
  const nothing = { head: "", tail: "", outputBytes: 0, droppedBytes: 0, durationMs: 0, changes: [], changesTotal: 0 }
  return { end: "canceled", exitCode: null, signal: null, staging, ...nothing }
}
