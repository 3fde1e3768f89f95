// The durable session alone: steps whose intent and result are on disk, for 1 and 50 sessions, and the resuming of a run of
// 2,000 steps.
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { systemClock } from "../../src/base/clock.ts"
import { systemRandom } from "../../src/base/id.ts"
import { openSqliteEngine } from "../../src/engines/sqlite/engine.ts"
import { hostLabel } from "../../src/kernel/labels.ts"
import type { Engine } from "../../src/kernel/port.ts"
import { Session, type SessionPorts } from "../../src/kernel/session.ts"
import { type Case, timed } from "../figure.ts"

const value = { text: "x".repeat(220) }

export const durable: Case = async () => {
  const folder = mkdtempSync(join(tmpdir(), "chela-bench-"))
  const open = (): Promise<Engine> => openSqliteEngine({ folder, clock: systemClock, exclusive: true })
  let engine = await open()
  try {
    const one = await claimed(engine, "one", 0)
    const single = await timed(() => steps(one, 2000))
    const sessions: Session[] = []
    for (let i = 0; i < 50; i++) sessions.push(await claimed(engine, `s${i}`, 0))
    const many = await timed(() => Promise.all(sessions.map((session) => steps(session, 200))))
    await engine.close()
    engine = await open()
    const resumed = await timed(async () => {
      const session = await claimed(engine, "one", 1)
      await step(session, 2000)
    })
    return [
      { what: "durable steps, 1 session", value: 2000 / (single / 1000), unit: "steps/s", beside: "intent and result, each synced" },
      { what: "durable steps, 50 sessions", value: 10_000 / (many / 1000), unit: "steps/s" },
      { what: "resume after 2,000 steps", value: resumed, unit: "ms", beside: "claim, read, next durable step" },
    ]
  } finally {
    await engine.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function steps(session: Session, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await step(session, i)
}

/** Every session that was used before is held or at rest, so the one that is claimed is the new one. */
async function claimed(engine: Engine, id: string, round: number): Promise<Session> {
  await engine.send({ session: id, idem: String(round), principal: "owner", origin: "bench", label: hostLabel, body: {} })
  const ports: SessionPorts = { engine, clock: systemClock, random: systemRandom }
  for (;;) {
    const claim = await engine.claim("bench", 3600_000)
    if (!claim) throw new Error(`${id} is not due`)
    if (claim.session === id) return Session.open(ports, claim, new AbortController().signal)
    // After a restart the others are still due: they were never released.
  }
}

async function step(session: Session, i: number): Promise<void> {
  const spec = { run: `r-${session.id}`, key: `r-${session.id}/${i}`, step: "code", name: "bench", effect: "pure", input: i } as const
  await session.step({ ...spec, perform: async () => ({ outcome: "done", value }) })
}
