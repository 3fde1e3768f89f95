// The state of a session's open run as a fold of its journal: what it works on, what it has cost, and what the owner has
// answered so far.
import type { JournalEvent, Label } from "../protocol/event.ts"
import { type Task, taskSchema, taskTitle } from "../protocol/task.ts"
import { hostLabel, joinLabels } from "./labels.ts"
import type { RunRow, RunState as RunStatus } from "./port.ts"

export interface RunState {
  readonly run: string
  readonly title: string
  readonly workspace: string
  readonly task: Task | null
  readonly startedAt: number
  readonly steps: number
  readonly tokens: number
  readonly micros: number
  readonly parked: boolean
  readonly extensions: { readonly run: number; readonly day: number }
}

export interface SessionState {
  /** Null between runs. */
  readonly run: RunState | null
  /** Join of all that is in the journal, and so in the context. */
  readonly label: Label
}

export function foldSession(events: readonly JournalEvent[]): SessionState {
  let run: RunState | null = null
  let label = hostLabel
  const tasks = new Map<string, Task>()
  for (const event of events) {
    label = joinLabels(label, event.label)
    run = foldRun(run, event, tasks)
  }
  return { run, label }
}

function foldRun(run: RunState | null, event: JournalEvent, tasks: Map<string, Task>): RunState | null {
  const data = event.data
  if (!data) return run
  switch (data.kind) {
    case "message-received": {
      const task = taskSchema.safeParse(event.body)
      if (task.success) tasks.set(data.message, task.data)
      return run && { ...run, parked: false }
    }
    case "run-started":
      return startedRun(event, data.workspace, tasks.get(data.message) ?? null)
    case "step-started":
      return run && { ...run, parked: false, steps: run.steps + (data.attempt === 1 ? 1 : 0) }
    case "step-finished": {
      const { inputTokens = 0, outputTokens = 0, micros = 0 } = data.spent ?? {}
      return run && { ...run, tokens: run.tokens + inputTokens + outputTokens, micros: run.micros + micros }
    }
    case "promise-closed":
      return run && { ...run, extensions: extend(run.extensions, event) }
    case "run-parked":
      return run && { ...run, parked: true }
    case "run-ended":
      return null
    default:
      return run
  }
}

function startedRun(event: JournalEvent, workspace: string, task: Task | null): RunState {
  const title = task ? taskTitle(task.parts) : ""
  const none = { steps: 0, tokens: 0, micros: 0, parked: false, extensions: { run: 0, day: 0 } }
  return { run: event.run, title, workspace, task, startedAt: event.at, ...none }
}

/** Keys of budget questions, `…/budget-run1`, name the scope that the owner was asked to extend. */
export function budgetKey(run: string, scope: "run" | "day", number: number): string {
  return `${run}/budget-${scope}${number}`
}

function extend(extensions: RunState["extensions"], event: JournalEvent): RunState["extensions"] {
  if (!isGranted(event.body)) return extensions
  if (event.key.includes("/budget-run")) return { ...extensions, run: extensions.run + 1 }
  if (event.key.includes("/budget-day")) return { ...extensions, day: extensions.day + 1 }
  return extensions
}

/** True for the answer that allows what was asked. */
export function isGranted(answer: unknown): boolean {
  return answer !== null && typeof answer === "object" && "granted" in answer && answer.granted === true
}

/** The row of a run in lists. */
export function runRow(session: string, run: RunState, state: RunStatus, endedAt: number | null): RunRow {
  const { title, startedAt, steps, tokens, micros } = run
  return { run: run.run, session, state, title, startedAt, endedAt, steps, tokens, micros }
}
