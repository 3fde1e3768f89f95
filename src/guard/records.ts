// What is kept of jobs: one folder each under `jobs/`, holding the outcome with its plan, and a mark once the plan is applied.
// An outcome is on disk before its first change reaches the workspace.
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { JobOutcome, StagingKind } from "../kernel/isolator.ts"
import { readText, writeDurably, writeWhole } from "./durable.ts"
import type { Plan } from "./plan.ts"
import { parseObject } from "./wire.ts"

export interface OutcomeRecord {
  readonly outcome: JobOutcome
  readonly workspace: string
  /** Null: there is nothing to apply. */
  readonly plan: Plan | null
  readonly applied: boolean
}

/** That a job which changes the workspace in place has begun; what is needed to undo it stands elsewhere. */
export interface BegunRecord {
  readonly workspace: string
  readonly staging: StagingKind
}

export class Records {
  readonly #folder: string

  constructor(stateDir: string) {
    this.#folder = join(stateDir, "jobs")
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
  }

  folderOf(id: string): string {
    return join(this.#folder, id)
  }

  exists(id: string): boolean {
    return existsSync(this.folderOf(id))
  }

  /** An empty folder for a job that begins. */
  prepare(id: string): string {
    this.forget(id)
    mkdirSync(this.folderOf(id), { mode: 0o700 })
    return this.folderOf(id)
  }

  all(): readonly string[] {
    return readdirSync(this.#folder)
  }

  async begin(id: string, record: BegunRecord): Promise<void> {
    await writeDurably(join(this.folderOf(id), "begun.json"), JSON.stringify(record))
  }

  begun(id: string): BegunRecord | null {
    const text = readText(join(this.folderOf(id), "begun.json"))
    return text === null ? null : (parseObject(text) as unknown as BegunRecord | null)
  }

  async finish(id: string, record: Omit<OutcomeRecord, "applied">): Promise<void> {
    await writeDurably(join(this.folderOf(id), "outcome.json"), JSON.stringify(record))
  }

  /** Need not reach the disk: applying again what was applied changes nothing. */
  markApplied(id: string): void {
    writeWhole(join(this.folderOf(id), "applied"), "")
  }

  outcome(id: string): OutcomeRecord | null {
    const text = readText(join(this.folderOf(id), "outcome.json"))
    const found = text === null ? null : parseObject(text)
    if (!found?.["outcome"]) return null
    const record = found as unknown as Omit<OutcomeRecord, "applied">
    return { ...record, applied: record.plan === null || readText(join(this.folderOf(id), "applied")) !== null }
  }

  forget(id: string): void {
    rmSync(this.folderOf(id), { recursive: true, force: true, maxRetries: 3 })
  }
}
