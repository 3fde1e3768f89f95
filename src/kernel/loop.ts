// The agent loop: read the journal, decide, do one step, append, until the session rests or waits. It keeps nothing
// between segments, so it goes on from any point at which a process may have died.
import { backoffMs } from "../base/backoff.ts"
import { isAppError } from "../base/error.ts"
import type { Label } from "../protocol/event.ts"
import type { Part } from "../protocol/message.ts"
import { type Route, type Task, taskSchema, taskTitle } from "../protocol/task.ts"
import { type Agent, dayOf, pinsOf, toolSchemas } from "./agent.ts"
import { estimateTokens, outputTokens, reservation, spent } from "./budget.ts"
import type { Model, ModelReply, ModelRequest } from "./model.ts"
import type { Inbox, MailboxMessage, NewEvent, Reservation, RunState as RunStatus } from "./port.ts"
import { budgetKey, foldSession, isGranted, type RunState, runRow, type SessionState } from "./run-state.ts"
import { type Attempt, hostEvent, type Session, type StepResult } from "./session.ts"
import { callTool } from "./tool-call.ts"
import { type ModelFailure, modelStepKey, renderView, type View } from "./view.ts"

type Outcome = Extract<RunStatus, "done" | "failed" | "canceled">
interface Ending {
  readonly outcome: Outcome
  readonly code?: string
  readonly params?: Readonly<Record<string, string | number>>
  readonly reply?: readonly Part[]
}

/** The handler of a claimed session. `poisoned`: it failed too often at the same place. */
export async function runAgent(session: Session, agent: Agent, poisoned: boolean): Promise<void> {
  for (;;) {
    const inbox = await session.inbox()
    for (const row of inbox.promises) await session.close(row)
    const { run } = foldSession(session.events)
    if (inbox.cancel) {
      await cancelRuns(session, run, inbox)
      return
    }
    if (poisoned && run) {
      await endRun(session, run, { outcome: "failed", code: "run-poisoned", params: { attempts: session.claim.attempts } })
      return
    }
    if (inbox.messages.length > 0) await receive(session, agent, run, inbox.messages)
    const state = foldSession(session.events)
    if (!state.run) return
    const advanced = await advance(session, agent, { ...state, run: state.run })
    if (advanced === "waiting") return
  }
}

/** Consumes messages: the first starts a run if none is open, the others steer it. */
async function receive(session: Session, agent: Agent, open: RunState | null, messages: readonly MailboxMessage[]): Promise<void> {
  const [first] = messages
  if (!first) return
  const events: NewEvent[] = []
  let run = open?.run ?? ""
  if (!open) {
    const task = taskSchema.safeParse(first.body)
    run = task.success ? task.data.run : `r-${first.id}`
    const pins = await pinsFor(agent, task.data?.route)
    const workspace = task.success ? task.data.workspace : ""
    events.push(received(run, first), { ...hostEvent(run, run), data: { kind: "run-started", message: first.id, workspace, pins } })
  }
  for (const message of open ? messages : messages.slice(1)) events.push(received(run, message))
  const row = open ? runRow(session.id, open, "running", null) : newRunRow(session, run, first)
  await session.commit({ events, consumes: messages.map(({ id }) => id), run: row })
}

function received(run: string, message: MailboxMessage): NewEvent {
  const { principal, label, origin, body } = message
  return { run, key: message.id, principal, label, origin, data: { kind: "message-received", message: message.id }, body }
}

function newRunRow(session: Session, run: string, message: MailboxMessage) {
  const task = taskSchema.safeParse(message.body)
  const title = task.success ? taskTitle(task.data.parts) : ""
  return { run, session: session.id, state: "running" as const, title, startedAt: message.at, endedAt: null, steps: 0, tokens: 0, micros: 0 }
}

/** A run may begin without a model: it then fails with the reason, and its task is kept. */
async function pinsFor(agent: Agent, route: Route | undefined) {
  try {
    return pinsOf(agent, await agent.model(route))
  } catch (cause) {
    if (!isAppError(cause)) throw cause
    return { prompt: "", tools: "", route: "", policy: "", catalogue: "" }
  }
}

async function advance(session: Session, agent: Agent, state: SessionState & { run: RunState }): Promise<"advanced" | "waiting"> {
  const { run, label } = state
  const view = renderView(session.events, run.run)
  let waiting = 0
  for (const open of view.openCalls) {
    if ((await callTool({ session, agent, run, label }, open)) === "waiting") waiting++
    if (session.signal.aborted) return "advanced"
  }
  if (waiting < view.openCalls.length) return "advanced"
  if (waiting > 0 && !view.unseen) return park(session, run, { code: "approval-waiting", params: { count: waiting } })
  if (view.reply) {
    await endRun(session, run, { outcome: "done", reply: view.reply })
    return "advanced"
  }
  if (view.failure && !(await mayRetry(session, run, view.failure))) return afterFailure(session, run, view.failure)
  return modelStep(session, agent, { run, label }, view)
}

/** Failures that may pass by themselves. Each retry is a step with its own reservation, and its wait is a row. */
const passing = new Set(["model-rate", "model-overload", "model-network", "model-timeout", "model-stream-cut"])
const maxModelFailures = 6
const modelBackoff = { firstMs: 500, maxMs: 60_000 }

/** Ends the run if the failure will not pass; else waits. */
async function afterFailure(session: Session, run: RunState, failure: ModelFailure): Promise<"advanced" | "waiting"> {
  if (willPass(failure)) return "waiting"
  await endRun(session, run, { outcome: "failed", code: failure.code, params: failure.params })
  return "advanced"
}

function willPass({ code, times }: ModelFailure): boolean {
  return passing.has(code) && times < maxModelFailures
}

/** True once the wait after a passing failure is over. */
async function mayRetry(session: Session, run: RunState, failure: ModelFailure): Promise<boolean> {
  if (!willPass(failure)) return false
  const random = (session.ports.random(1)[0] ?? 0) / 256
  const asked = Number(failure.params["retryAfterMs"] ?? 0)
  return session.sleep(run.run, `${failure.key}/retry`, Math.max(asked, backoffMs(modelBackoff, failure.times, random)))
}

async function modelStep(session: Session, agent: Agent, { run, label }: SessionState & { run: RunState }, view: View): Promise<"advanced" | "waiting"> {
  let model: Model
  try {
    model = await agent.model(run.task?.route)
  } catch (cause) {
    if (!isAppError(cause)) throw cause
    await endRun(session, run, { outcome: "failed", code: cause.code, params: cause.params })
    return "advanced"
  }
  const key = modelStepKey(run.run, view.modelSteps)
  const request: ModelRequest = {
    system: agent.system,
    tools: toolSchemas(agent),
    messages: view.messages,
    maxOutputTokens: outputTokens(model),
  }
  const before = session.attempts(key)
  const held = reservation(`${key}#${before + 1}`, model, request, budgetContext(session, agent, run))
  const stepped = await session.step({
    run: run.run,
    key,
    step: "model",
    name: model.id,
    effect: "pure",
    // The request is a function of the journal and of what the run has pinned; its last position names it.
    input: [model.id, session.events.at(-1)?.cursor ?? ""],
    intent: {
      reserve: held,
      // A call whose end nobody saw is settled at the most that it can have cost.
      ...(before > 0 && { settle: { id: `${key}#${before}`, spent: null } }),
    },
    perform: (attempt) => callModel({ session, agent, model, run, key, label }, request, held, attempt),
  })
  if (stepped.kind === "refused") return askForBudget(session, run, stepped.scope, held)
  return "advanced"
}

function budgetContext(session: Session, agent: Agent, run: RunState) {
  const day = dayOf(agent, session.ports.clock.now())
  return { run: run.run, session: session.id, agent: agent.name, day, limits: agent.limits, extensions: run.extensions }
}

interface ModelContext {
  readonly session: Session
  readonly agent: Agent
  readonly model: Model
  readonly run: RunState
  readonly key: string
  readonly label: Label
}

/** Failures that a provider answers before it has done any work. */
const costsNothing = new Set(["model-auth", "model-quota", "model-rate", "model-overload", "model-bad-request", "model-too-long", "model-script-ended"])

async function callModel(context: ModelContext, request: ModelRequest, held: Reservation, attempt: Attempt): Promise<StepResult> {
  const { session, agent, model, run, key, label } = context
  let streamed = ""
  try {
    const reply: ModelReply = await model.call(request, {
      signal: attempt.signal,
      idempotencyKey: `${attempt.idempotencyKey}-${attempt.number}`,
      onDelta: (delta) => {
        if (delta.kind !== "tool-call") streamed += delta.text
        agent.live({ session: session.id, run: run.run, key, attempt: attempt.number, delta })
      },
    })
    const cost = spent(model, reply.usage, held, request)
    const origin = `model:${model.id}`
    return { outcome: "done", value: reply.parts, principal: "model", label, origin, spent: cost, settle: { id: held.id, spent: cost } }
  } catch (cause) {
    if (!isAppError(cause)) throw cause
    const canceled = cause.code === "canceled"
    const used = { inputTokens: estimateTokens(request), cachedTokens: 0, outputTokens: Math.ceil(Buffer.byteLength(streamed) / 3) }
    const settle = costsNothing.has(cause.code)
      ? { id: held.id, spent: { inputTokens: 0, outputTokens: 0, micros: 0 } }
      : { id: held.id, spent: canceled ? spent(model, used, held, request) : null }
    return { outcome: canceled ? "canceled" : "failed", value: null, code: cause.code, params: cause.params, settle }
  }
}

async function askForBudget(session: Session, run: RunState, scope: string, held: Reservation): Promise<"advanced" | "waiting"> {
  const which = scope.startsWith("day:") ? "day" : "run"
  const limit = held.scopes.find((entry) => entry.scope === scope)
  const params = { scope, maxTokens: limit?.maxTokens ?? 0, maxMicros: limit?.maxMicros ?? 0 }
  const asked = await session.wait({
    run: run.run,
    key: budgetKey(run.run, which, run.extensions[which] + 1),
    kind: "question",
    dueAt: null,
    body: { code: "budget-refused", params },
  })
  if (asked.state === "open") return park(session, run, { code: "budget-refused", params })
  if (!isGranted(asked.answer)) await endRun(session, run, { outcome: "failed", code: "budget-refused", params })
  return "advanced"
}

/** Leaves the run to wait for its promises; nothing is held meanwhile. */
async function park(session: Session, run: RunState, why: { code: string; params: Record<string, string | number> }): Promise<"waiting"> {
  if (run.parked) return "waiting"
  const open = await session.ports.engine.promises({ session: session.id, state: "open" })
  const key = `${run.run}/park${session.events.length}`
  await session.commit({
    events: [{ ...hostEvent(run.run, key), data: { kind: "run-parked", ...why, tokens: open.map(({ token }) => token) } }],
    run: runRow(session.id, run, "parked", null),
  })
  return "waiting"
}

async function endRun(session: Session, run: RunState, ending: Ending): Promise<void> {
  const { outcome, code, params, reply } = ending
  const open = await session.ports.engine.promises({ session: session.id, state: "open" })
  const { task } = run
  await session.commit({
    events: [endedEvent(run.run, ending)],
    cancels: open.map(({ token }) => token),
    cancelSessions: open.flatMap((row) => childOf(row.body)),
    run: runRow(session.id, run, outcome, session.ports.clock.now()),
    ...(task?.replyTo !== undefined && {
      outbox: [{ id: `${session.id}/${run.run}`, run: run.run, target: task.replyTo, body: { outcome, code, params, reply } }],
    }),
    ...(task?.answers !== undefined && { answers: [{ token: task.answers, answer: { outcome, code, reply }, by: `child:${session.id}` }] }),
  })
}

function endedEvent(run: string, { outcome, code, params, reply }: Ending): NewEvent {
  return {
    ...hostEvent(run, run),
    data: { kind: "run-ended", outcome, ...(code !== undefined && { code }), ...(params && { params: { ...params } }) },
    ...(reply && { body: reply }),
  }
}

/** A promise of kind `child` names the session that will answer it. */
function childOf(body: unknown): readonly { session: string; reason: string }[] {
  const named = body !== null && typeof body === "object" && "child" in body && typeof body.child === "string"
  return named ? [{ session: String(body.child), reason: "parent-ended" }] : []
}

/** Ends the open run and every task that was queued when the owner said stop. */
async function cancelRuns(session: Session, run: RunState | null, inbox: Inbox): Promise<void> {
  const ending: Ending = { outcome: "canceled", code: "canceled", params: { reason: inbox.cancel?.reason ?? "" } }
  if (run) await endRun(session, run, ending)
  for (const message of inbox.messages.filter(({ at }) => at <= (inbox.cancel?.at ?? 0))) {
    const task: Task | null = taskSchema.safeParse(message.body).data ?? null
    const id = task?.run ?? `r-${message.id}`
    await session.commit({
      consumes: [message.id],
      events: [received(id, message), endedEvent(id, ending)],
      run: { ...newRunRow(session, id, message), state: "canceled", endedAt: session.ports.clock.now() },
    })
  }
  await session.commit({ events: [], canceled: true })
}
