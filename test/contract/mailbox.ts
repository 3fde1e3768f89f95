// Conformance: the mailbox is ordered, takes each message once and keeps what is not due yet.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type EngineFixture, opened, testIf } from "./fixture.ts"
import { claimed, heldSession, message, notice, rest, withCode } from "./make.ts"

export function describeMailbox(fixture: EngineFixture): void {
  describe("mailbox", () => {
    order(fixture)
    later(fixture)
  })
}

function order(fixture: EngineFixture): void {
  test("messages are read in the order in which they were accepted", async (t) => {
    const { engine } = await opened(t, fixture)
    for (let i = 0; i < 50; i++) await engine.send(message("s1", `m${i}`))
    const { messages } = await engine.inbox(await claimed(engine))
    assert.deepEqual(messages.map(({ idem }) => idem), Array.from({ length: 50 }, (_, i) => `m${i}`))
  })

  test("what is sent without waiting for the one before is kept in that order as well", async (t) => {
    const { engine } = await opened(t, fixture)
    await Promise.all(Array.from({ length: 50 }, (_, i) => engine.send(message("s1", `m${i}`))))
    const { messages } = await engine.inbox(await claimed(engine))
    assert.deepEqual(messages.map(({ idem }) => idem), Array.from({ length: 50 }, (_, i) => `m${i}`))
  })

  test("sending a message again with the same key gives the first one", async (t) => {
    const { engine } = await opened(t, fixture)
    const first = await engine.send(message("s1", "same", { n: 1 }))
    const second = await engine.send(message("s1", "same", { n: 2 }))
    const elsewhere = await engine.send(message("s2", "same", { n: 3 }))
    assert.deepEqual([first.duplicate, second.duplicate, elsewhere.duplicate], [false, true, false])
    assert.equal(second.id, first.id)
    const { messages } = await engine.inbox(await claimed(engine))
    assert.deepEqual(messages.map(({ body }) => body), [{ n: 1 }])
  })

  test("a message that was consumed is not delivered again, even if it is sent again", async (t) => {
    const { engine } = await opened(t, fixture)
    await rest(engine, await heldSession(engine, "s1"))
    assert.equal((await engine.send(message("s1", "first"))).duplicate, true)
    assert.equal(await engine.claim("w1", 1000), null)
  })

  test("a message keeps everything that came with it", async (t) => {
    const { engine } = await opened(t, fixture)
    const body = { text: "你好 \u0000 \ud83e\udd9e", list: [1, null, { deep: true }] }
    await engine.send({ ...message("s1", "m"), principal: "contact:ada", origin: "mail", label: { integrity: "contact", privacy: "private" }, body })
    const [found] = (await engine.inbox(await claimed(engine))).messages
    assert.ok(found)
    const { principal, origin, label, idem } = found
    assert.deepEqual({ principal, origin, label, idem }, { principal: "contact:ada", origin: "mail", label: { integrity: "contact", privacy: "private" }, idem: "m" })
    assert.deepEqual(found.body, body)
  })

  testIf(fixture.can.reopen, "messages survive the end of the process", async (t) => {
    const { engine, store } = await opened(t, fixture)
    await engine.send(message("s1", "m1"))
    await engine.close()
    const again = await store.open()
    t.after(() => again.close())
    assert.equal((await again.inbox(await claimed(again))).messages.length, 1)
    assert.equal((await again.send(message("s1", "m1"))).duplicate, true)
  })
}

function later(fixture: EngineFixture): void {
  const fake = fixture.can.fakeTime

  testIf(fake, "a message for later wakes its session then and not before", async (t) => {
    const { engine, store } = await opened(t, fixture)
    await engine.send(message("s1", "later", {}, store.clock.now() + 60_000))
    assert.equal(await engine.claim("w1", 1000), null)
    assert.equal(await engine.nextDueIn(), 60_000)
    store.clock.advance(59_999)
    assert.equal(await engine.claim("w1", 1000), null)
    store.clock.advance(1)
    assert.equal(await engine.nextDueIn(), 0)
    assert.equal((await engine.inbox(await claimed(engine))).messages.length, 1)
  })

  testIf(fake, "a message for later is not in the mailbox of a session that is awake", async (t) => {
    const { engine, store } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    await engine.send(message("s1", "later", {}, store.clock.now() + 60_000))
    await rest(engine, claim)
    assert.equal(await engine.claim("w1", 1000), null)
    assert.equal(await engine.nextDueIn(), 60_000)
  })

  testIf(fake, "a message for later that becomes due while its session is held is seen afterwards", async (t) => {
    const { engine, store } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    await engine.send(message("s1", "later", {}, store.clock.now() + 1000))
    const { messages } = await engine.inbox(claim)
    store.clock.advance(1000)
    await engine.commit(claim, { events: [notice("n1")], consumes: messages.map(({ id }) => id) })
    await engine.release(claim)
    const seen = await engine.inbox(await claimed(engine))
    assert.deepEqual(seen.messages.map(({ idem }) => idem), ["later"])
  })

  testIf(fake, "a clock that is set back hides no message that was accepted before", async (t) => {
    const { engine, store } = await opened(t, fixture)
    await engine.send(message("s1", "before"))
    store.clock.jump(-8 * 3600_000)
    assert.equal(await engine.nextDueIn(), 0)
    const claim = await claimed(engine)
    assert.equal((await engine.inbox(claim)).messages.length, 1)
    await engine.send(message("s1", "after"))
    store.clock.jump(-8 * 3600_000)
    assert.deepEqual((await engine.inbox(claim)).messages.map(({ idem }) => idem), ["before", "after"])
    await engine.release(claim)
    assert.ok(await engine.claim("w1", 1000))
  })

  test("no engine answers after it was closed", async (t) => {
    const { engine } = await opened(t, fixture)
    await Promise.all([engine.close(), engine.close()])
    await engine.close()
    await assert.rejects(engine.send(message("s1", "m")), withCode("engine-closed"))
  })
}
