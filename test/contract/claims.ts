// Conformance: one holder per session. A claim carries a fence that rises; whoever was overtaken can write nothing more.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Claim, Engine } from "../../src/kernel/port.ts"
import { type EngineFixture, opened, testIf } from "./fixture.ts"
import { claimed, heldSession, keysOf, leaseMs, message, notice, rest, withCode } from "./make.ts"

export function describeClaims(fixture: EngineFixture): void {
  describe("claims", () => {
    holding(fixture)
    leases(fixture)
    waking(fixture)
    attempts(fixture)
  })
}

function holding(fixture: EngineFixture): void {
  test("a session that is held is not given to anybody else", async (t) => {
    const { engine } = await opened(t, fixture)
    await heldSession(engine, "s1")
    await engine.send(message("s1", "second"))
    assert.equal(await engine.claim("w2", leaseMs), null)
  })

  test("many who claim at once each get another session", async (t) => {
    const { engine } = await opened(t, fixture)
    for (let i = 0; i < 20; i++) await engine.send(message(`s${i}`, "m"))
    const claims = await Promise.all(Array.from({ length: 30 }, (_, i) => engine.claim(`w${i}`, leaseMs)))
    const sessions = claims.flatMap((claim) => (claim ? [claim.session] : []))
    assert.equal(sessions.length, 20)
    assert.equal(new Set(sessions).size, 20)
  })

  testIf(fixture.can.fakeTime, "the session that has waited longest comes first", async (t) => {
    const { engine, store } = await opened(t, fixture)
    for (const session of ["z", "m", "a"]) {
      await engine.send(message(session, "m"))
      store.clock.advance(10)
    }
    await engine.send(message("z", "again"))
    const order = [await claimed(engine), await claimed(engine), await claimed(engine)].map(({ session }) => session)
    assert.deepEqual(order, ["z", "m", "a"])
  })

  test("the fence rises with every claim", async (t) => {
    const { engine } = await opened(t, fixture)
    const first = await heldSession(engine, "s1")
    await engine.release(first)
    const second = await claimed(engine)
    assert.ok(second.fence > first.fence)
  })

  test("a claim that was given back is stale", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    await rest(engine, claim)
    await rejectsEverything(engine, claim)
  })

  testIf(fixture.can.reopen, "whoever opens the store as its only host takes over what a dead process held", async (t) => {
    const { engine, store } = await opened(t, fixture)
    const old = await heldSession(engine, "s1")
    await engine.close()
    const again = await store.open()
    t.after(() => again.close())
    const fresh = await claimed(again, "w2")
    assert.ok(fresh.fence > old.fence)
    await rejectsEverything(again, old)
    assert.equal((await again.inbox(fresh)).messages.length, 1)
  })
}

/** All that a claim is good for is refused, and nothing of it is written. */
async function rejectsEverything(engine: Engine, stale: Claim): Promise<void> {
  const before = await engine.read({ session: stale.session })
  await assert.rejects(engine.commit(stale, { events: [notice("late")] }), withCode("lease-lost"))
  await assert.rejects(engine.inbox(stale), withCode("lease-lost"))
  await assert.rejects(engine.release(stale), withCode("lease-lost"))
  assert.equal(await engine.renew(stale, leaseMs), false)
  assert.deepEqual(keysOf(await engine.read({ session: stale.session })), keysOf(before))
}

function leases(fixture: EngineFixture): void {
  const fake = fixture.can.fakeTime

  testIf(fake, "a session is free again when its lease has run out, and its old holder is stale", async (t) => {
    const { engine, store } = await opened(t, fixture)
    const old = await heldSession(engine, "s1")
    store.clock.advance(leaseMs - 1)
    assert.equal(await engine.claim("w2", leaseMs), null)
    assert.equal(await engine.nextDueIn(), 1)
    store.clock.advance(1)
    const fresh = await claimed(engine, "w2")
    assert.equal(fresh.session, "s1")
    await rejectsEverything(engine, old)
    await engine.commit(fresh, { events: [notice("n1")] })
  })

  testIf(fake, "a renewed lease holds, and a late holder may go on while nobody took over", async (t) => {
    const { engine, store } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    store.clock.advance(leaseMs - 1)
    assert.equal(await engine.renew(claim, leaseMs), true)
    store.clock.advance(leaseMs - 1)
    assert.equal(await engine.claim("w2", leaseMs), null)
    store.clock.advance(1000)
    await engine.commit(claim, { events: [notice("late")] })
    assert.equal(await engine.renew(claim, leaseMs), true)
    assert.equal(await engine.claim("w2", leaseMs), null)
  })

  testIf(fake, "a lease does not last longer because the clock was set back", async (t) => {
    const { engine, store } = await opened(t, fixture)
    const old = await heldSession(engine, "s1")
    store.clock.jump(-8 * 3600_000)
    assert.equal(await engine.renew(old, leaseMs), true)
    store.clock.advance(leaseMs)
    const second = await claimed(engine, "w2")
    store.clock.jump(-8 * 3600_000)
    store.clock.advance(leaseMs)
    assert.equal((await claimed(engine, "w3")).session, second.session)
  })
}

function waking(fixture: EngineFixture): void {
  test("a session with nothing to do is not claimed", async (t) => {
    const { engine } = await opened(t, fixture)
    assert.equal(await engine.claim("w1", leaseMs), null)
    await rest(engine, await heldSession(engine, "s1"))
    assert.equal(await engine.claim("w1", leaseMs), null)
    assert.equal(await engine.nextDueIn(), null)
  })

  test("a message that came after the holder had looked wakes the session again", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    const { messages } = await engine.inbox(claim)
    await engine.send(message("s1", "second"))
    await engine.commit(claim, { events: [], consumes: messages.map(({ id }) => id) })
    await engine.release(claim)
    assert.equal((await engine.inbox(await claimed(engine))).messages.length, 1)
  })

  test("a session with messages that nobody consumed stays due", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    await engine.inbox(claim)
    await engine.release(claim)
    assert.equal((await claimed(engine)).session, "s1")
  })

  testIf(fixture.can.fakeTime, "whoever gives a session back for later is called then", async (t) => {
    const { engine, store } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    await engine.release(claim, { retryAt: store.clock.now() + 5000 })
    assert.equal(await engine.claim("w1", leaseMs), null)
    assert.equal(await engine.nextDueIn(), 5000)
    store.clock.advance(5000)
    assert.equal((await claimed(engine)).session, "s1")
  })

  test("everybody who watches is told of wake-ups, events and cancellations", async (t) => {
    const { engine } = await opened(t, fixture)
    const seen: string[] = []
    const stop = engine.watch(({ session, kind }) => void seen.push(`${kind} ${session}`))
    const claim = await heldSession(engine, "s1")
    assert.ok(seen.includes("wake s1"))
    await engine.commit(claim, { events: [notice("n1")] })
    assert.ok(seen.includes("events s1"))
    await engine.cancel("s1", "enough")
    assert.ok(seen.includes("cancel s1"))
    stop()
    const count = seen.length
    await engine.send(message("s1", "more"))
    assert.equal(seen.length, count)
  })
}

function attempts(fixture: EngineFixture): void {
  const finished = { ...notice("step"), data: { kind: "step-finished", step: "code", name: "x", attempt: 1, outcome: "done", durationMs: 0 } } as const

  test("claims that end without a finished step are counted", async (t) => {
    const { engine } = await opened(t, fixture)
    const seen: number[] = []
    let claim = await heldSession(engine, "s1")
    for (let i = 0; i < 3; i++) {
      seen.push(claim.attempts)
      await engine.release(claim, { failed: true, retryAt: 0 })
      claim = await claimed(engine)
    }
    assert.deepEqual(seen, [1, 2, 3])
    await engine.commit(claim, { events: [finished] })
    await engine.release(claim, { failed: true, retryAt: 0 })
    claim = await claimed(engine)
    assert.equal(claim.attempts, 1)
  })

  testIf(fixture.can.reopen, "a process that died counts as an attempt, one that gave the session back does not", async (t) => {
    const { engine, store } = await opened(t, fixture)
    await engine.release(await heldSession(engine, "s1"), { retryAt: 0 })
    assert.equal((await claimed(engine)).attempts, 1)
    await engine.close()
    const again = await store.open()
    t.after(() => again.close())
    assert.equal((await claimed(again)).attempts, 2)
  })
}
