// Short ways to make the values of the port in tests, and to wait for something without sleeping a guessed time.
import { setTimeout as after } from "node:timers/promises"
import type { Claim, Engine, NewEvent, NewMessage, NewPromise } from "../../src/kernel/port.ts"
import type { JournalEvent, Label } from "../../src/protocol/event.ts"
import { AppError, type ErrorCode, isAppError } from "../../src/base/error.ts"

export const owner: Label = { integrity: "owner", privacy: "workspace" }
export const leaseMs = 30_000

export function message(session: string, idem: string, body: unknown = { text: idem }, dueAt?: number): NewMessage {
  return { session, idem, principal: "owner", origin: "cli", label: owner, body, ...(dueAt !== undefined && { dueAt }) }
}

/** An event about nothing in particular. */
export function notice(key: string, body?: unknown): NewEvent {
  return { run: "r1", key, principal: "host", label: owner, origin: "host", data: { kind: "notice", code: "test", params: {} }, ...(body !== undefined && { body }) }
}

export function approval(token: string, options: Partial<NewPromise> = {}): NewPromise {
  return { token, run: "r1", key: `${token}-key`, kind: "approval", actionHash: "action", dueAt: null, body: { tool: "run" }, ...options }
}

export function closed(token: string, kind: NewPromise["kind"] = "approval"): NewEvent {
  return { ...notice(`${token}-key`), data: { kind: "promise-closed", promise: kind, token, state: "answered", by: "owner" } }
}

export async function claimed(engine: Engine, worker = "w1", ms = leaseMs): Promise<Claim> {
  const claim = await engine.claim(worker, ms)
  if (!claim) throw new Error("there was nothing to claim")
  return claim
}

/** A session that is held by `worker`, with its first message waiting. */
export async function heldSession(engine: Engine, session: string, worker = "w1"): Promise<Claim> {
  await engine.send(message(session, "first"))
  return claimed(engine, worker)
}

/** Consumes all that waits and gives the session back. */
export async function rest(engine: Engine, claim: Claim): Promise<void> {
  const { messages } = await engine.inbox(claim)
  await engine.commit(claim, { events: [], consumes: messages.map(({ id }) => id) })
  await engine.release(claim)
}

export function keysOf(events: readonly JournalEvent[]): readonly string[] {
  return events.map(({ key }) => key)
}

/** For assert.rejects. */
export function withCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    if (!isAppError(error)) throw error
    if (error.code !== code) throw new AppError("internal", { detail: `expected ${code}, got ${error.message}` }, { cause: error })
    return true
  }
}

/** Resolves with the first value that is not undefined, null or false; looks again every few milliseconds. */
export async function until<T>(what: string, look: () => T | Promise<T>, withinMs = 15_000): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== null && found !== false) return found
    if (performance.now() > deadline) throw new Error(`gave up waiting: ${what}`)
    await after(4)
  }
}

/** Lets everything that is ready run, without letting time pass. */
export async function settled(rounds = 20): Promise<void> {
  for (let i = 0; i < rounds; i++) await new Promise((resolve) => setImmediate(resolve))
}
