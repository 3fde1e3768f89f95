// What the gateway serves: every verb of the API as a function, without HTTP. Whatever it acknowledges is on disk.
import { idFrom } from "../base/id.ts"
import { AppError } from "../base/error.ts"
import type { Driver } from "../kernel/driver.ts"
import type { Engine, PromiseRow, RunRow } from "../kernel/port.ts"
import { maxTaskBytes, partsText, type Route, type Task } from "../protocol/task.ts"
import type { Answered, HostStatus, newRunSchema, Question, RunDetail, RunSummary, StartedRun, StreamItem } from "../protocol/api.ts"
import type { z } from "zod"
import type { LiveBus } from "./live.ts"
import { streamSession } from "./stream.ts"
import type { Label } from "../protocol/event.ts"

export interface ServicePorts {
  readonly engine: Engine
  readonly driver: Driver
  readonly live: LiveBus
  readonly checkWorkspace: (path: string) => string
  readonly keepKey: (route: Route, apiKey: string) => void
  readonly status: () => Promise<Omit<HostStatus, "busy" | "running" | "parked" | "questions">>
}

/** What the owner types on this computer. */
const ownerLabel: Label = { integrity: "owner", privacy: "private" }

export class Service {
  readonly #ports: ServicePorts

  constructor(ports: ServicePorts) {
    this.#ports = ports
  }

  /** Accepts a task. Throws `task-empty`, `task-too-long`, `task-not-text`, `workspace-*`. */
  async startRun(request: z.output<typeof newRunSchema>, origin: string): Promise<StartedRun> {
    const { engine } = this.#ports
    requireTask(request.parts)
    const workspace = this.#ports.checkWorkspace(request.workspace)
    if (request.route && request.apiKey !== undefined) this.#ports.keepKey(request.route, request.apiKey)
    // Derived from what the client chose, so that the same request names the same run.
    const session = request.session ?? idFrom("s", request.idem)
    const run = idFrom("r", `${session} ${request.idem}`)
    const { parts, commands, route } = request
    const body: Task = { kind: "task", run, parts, workspace, commands, ...(route && { route }) }
    const sent = await engine.send({ session, idem: request.idem, principal: "owner", origin, label: ownerLabel, body })
    return { run, session, duplicate: sent.duplicate }
  }

  async runs(query: { limit?: number; state?: RunRow["state"] }): Promise<readonly RunSummary[]> {
    return this.#ports.engine.runs(query)
  }

  /** Throws `run-unknown`. */
  async run(run: string): Promise<RunDetail> {
    const row = await this.#row(run)
    return { ...row, events: await this.#ports.engine.read({ run }) }
  }

  /** Ends what the session of a run does and has queued. Throws `run-unknown`, `run-ended`. */
  async stop(run: string, reason: string): Promise<RunSummary> {
    const row = await this.#row(run)
    if (row.state !== "running" && row.state !== "parked") throw new AppError("run-ended", { run, state: row.state })
    await this.#ports.engine.cancel(row.session, reason)
    return row
  }

  stream(query: { session: string; after?: string }, signal: AbortSignal): AsyncGenerator<StreamItem> {
    return streamSession(this.#ports.engine, this.#ports.live, query, signal)
  }

  async questions(query: { state?: PromiseRow["state"]; session?: string }): Promise<readonly Question[]> {
    const rows = await this.#ports.engine.promises(query)
    return rows.filter(({ kind }) => kind === "approval" || kind === "question").map(question)
  }

  /** The first answer wins. Throws `approval-unknown`. */
  async answer(token: string, given: { granted: boolean; by: string }): Promise<Answered> {
    const { granted, by } = given
    const [known] = await this.#ports.engine.promises({ token })
    if (!known || (known.kind !== "approval" && known.kind !== "question")) throw new AppError("approval-unknown", { token })
    const { first, row } = await this.#ports.engine.answer({ token, answer: { granted }, by })
    return { first, question: question(row ?? known) }
  }

  async status(): Promise<HostStatus> {
    const { engine, driver } = this.#ports
    const running = await engine.runs({ state: "running" })
    const parked = await engine.runs({ state: "parked" })
    const questions = await this.questions({ state: "open" })
    const status = await this.#ports.status()
    return { ...status, busy: driver.busy, running: running.length, parked: parked.length, questions: questions.length }
  }

  async #row(run: string): Promise<RunSummary> {
    const [row] = await this.#ports.engine.runs({ run })
    if (!row) throw new AppError("run-unknown", { run })
    return row
  }
}

function requireTask(parts: Task["parts"]): void {
  const text = partsText(parts)
  if (text.trim() === "" && parts.every((part) => part.kind === "text")) throw new AppError("task-empty")
  const bytes = Buffer.byteLength(JSON.stringify(parts))
  if (bytes > maxTaskBytes) throw new AppError("task-too-long", { bytes, maxBytes: maxTaskBytes })
  // A replacement character is what invalid UTF-8 becomes; NUL never stands in a text.
  if (/[\0\uFFFD]/u.test(text)) throw new AppError("task-not-text")
}

function question(row: PromiseRow): Question {
  const { token, session, run, kind, state, openedAt, dueAt, body, answer, answeredBy } = row
  return { token, session, run, kind, state, openedAt, dueAt, body, answer, answeredBy }
}
