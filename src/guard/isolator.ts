// The isolator port over a supervisor: finds it or starts it, and gets over its death. A job is asked for by its id, so asking
// again after a lost connection runs nothing twice.
import { statSync } from "node:fs"
import { AppError, isAppError, messageOf } from "../base/error.ts"
import { hashOf } from "../base/hash.ts"
import type { Clock } from "../base/clock.ts"
import type { Isolator, IsolatorReport, IsolatorTier, Job, JobOutcome, StagingKind } from "../kernel/isolator.ts"
import { connectTo, launchSupervisor, socketPath } from "./launch.ts"
import { Link, LinkLost } from "./link.ts"
import { type Recovered, type SupervisorConfig, wireVersion } from "./wire.ts"

export interface IsolatorOptions {
  /** Absolute; the supervisor, its jobs and its log live below it. */
  readonly stateDir: string
  /** Path of the Node executable. */
  readonly node: string
  /** Path of the supervisor's program. */
  readonly supervisorEntry: string
  readonly clock: Clock
  /** Who started the program through sudo. */
  readonly invokingUser?: { readonly uid: number; readonly gid: number } | null
  /** Milliseconds without client and job after which the supervisor ends. */
  readonly idleMs?: number
  /** Where a short socket address is made if the state folder's is too long. */
  readonly temporary?: string
  /** Folders of tools outside the system's own that commands may read and execute. */
  readonly toolFolders?: readonly string[]
  /** For tests: lower what the machine could do, never raise it. */
  readonly forceTier?: IsolatorTier
  readonly forceStaging?: StagingKind
}

/** A supervisor that dies under a job is replaced so often. */
const attempts = 3

export function createIsolator(options: IsolatorOptions): Isolator {
  return new SupervisedIsolator(options)
}

class SupervisedIsolator implements Isolator {
  readonly #options: IsolatorOptions
  readonly #config: SupervisorConfig
  readonly #uid: number
  #link: Promise<Link> | null = null
  #idle: AbortController | null = null
  #closed = false
  readonly #closing = new AbortController()
  readonly #jobs = new Set<Promise<unknown>>()

  constructor(options: IsolatorOptions) {
    this.#options = options
    this.#uid = process.geteuid?.() ?? -1
    const { stateDir, invokingUser = null, idleMs = 60_000, temporary = "/tmp", toolFolders = [] } = options
    const entry = statSync(options.supervisorEntry)
    const plain = {
      stateDir,
      socket: socketPath(stateDir, temporary, this.#uid),
      invokingUser,
      idleMs,
      highestTier: options.forceTier ?? "bubblewrap",
      highestStaging: options.forceStaging ?? "overlay",
      bwrap: findProgram("bwrap"),
      perl: findProgram("perl"),
      toolFolders,
    } as const
    this.#config = { ...plain, version: hashOf([wireVersion, plain, options.supervisorEntry, entry.size, entry.mtimeMs, options.node]).slice(0, 16) }
  }

  async report(_signal: AbortSignal): Promise<IsolatorReport> {
    const reply = await this.#ask((link) => link.ask({ op: "report" }))
    if (reply.kind !== "report") throw unexpected(reply.kind)
    return reply.report
  }

  async run(job: Job, signal: AbortSignal, onOutput?: (text: string) => void): Promise<JobOutcome> {
    const either = AbortSignal.any([signal, this.#closing.signal])
    const running = this.#ask((link) => link.ask({ op: "run", job }, either, onOutput))
    this.#jobs.add(running)
    try {
      const reply = await running
      if (reply.kind !== "outcome") throw unexpected(reply.kind)
      return reply.outcome
    } finally {
      this.#jobs.delete(running)
    }
  }

  async recover(job: Pick<Job, "id" | "workspace">, _signal: AbortSignal): Promise<Recovered> {
    const reply = await this.#ask((link) => link.ask({ op: "recover", id: job.id, workspace: job.workspace }))
    if (reply.kind !== "recovered") throw unexpected(reply.kind)
    return reply.found
  }

  async forget(id: string): Promise<void> {
    await this.#ask((link) => link.ask({ op: "forget", id }))
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled(this.#jobs)
    this.#closed = true
    this.#idle?.abort()
    const link = await this.#link?.catch(() => null)
    link?.close()
    this.#link = null
  }

  /** Repeats what was asked of a supervisor that died meanwhile: it is asked by id and nothing is done twice. */
  async #ask<T>(question: (link: Link) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        const link = await this.#connected()
        this.#idle?.abort()
        const answer = await question(link)
        this.#restWhenIdle(link)
        return answer
      } catch (error) {
        if (isAppError(error)) throw error
        if (error instanceof LinkLost && attempt < attempts && !this.#closing.signal.aborted) continue
        throw new AppError("sandbox-failed", { detail: messageOf(error) }, { cause: error })
      }
    }
  }

  async #connected(): Promise<Link> {
    if (this.#closed) throw new AppError("sandbox-failed", { detail: "closed" })
    const current = await this.#link?.catch(() => null)
    if (current?.open) return current
    this.#link = this.#connect()
    return this.#link
  }

  async #connect(): Promise<Link> {
    const { socket, version } = this.#config
    for (let attempt = 1; attempt <= 5; attempt++) {
      const found = await connectTo(socket)
      if (found) {
        const link = new Link(found)
        const theirs = await link.version.catch(() => null)
        if (theirs === version) return link
        // One of another version finishes what it runs and makes room.
        if (theirs !== null) {
          link.tell({ op: "drain" })
          await link.closed
        }
      }
      await launchSupervisor({ node: this.#options.node, entry: this.#options.supervisorEntry, uid: this.#uid, config: this.#config })
    }
    throw new AppError("sandbox-failed", { detail: "no supervisor answers" })
  }

  /** A supervisor that nobody has used for a while is let go, so that it can end and its memory be free. */
  #restWhenIdle(link: Link): void {
    if (link.waiting > 0 || this.#closed) return
    this.#idle?.abort()
    const idle = new AbortController()
    this.#idle = idle
    void this.#options.clock.sleep(this.#options.idleMs ?? 60_000, idle.signal).then(() => {
      if (!idle.signal.aborted && link.waiting === 0) link.close()
    })
  }
}

function unexpected(kind: string): AppError {
  return new AppError("sandbox-failed", { detail: `unexpected answer: ${kind}` })
}

/** In the system's folders only: what comes before them on a user's path may be anybody's. */
function findProgram(name: string): string {
  const folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
  return folders.map((folder) => `${folder}/${name}`).find((path) => statSync(path, { throwIfNoEntry: false })?.isFile()) ?? ""
}
