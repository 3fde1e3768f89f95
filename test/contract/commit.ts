// Conformance: a batch happens whole or not at all, and what it wrote is read back as it was given.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Batch, Engine } from "../../src/kernel/port.ts"
import { eventVersion } from "../../src/protocol/event.ts"
import { type EngineFixture, opened } from "./fixture.ts"
import { approval, claimed, closed, heldSession, keysOf, message, notice, owner, rest, withCode } from "./make.ts"

export function describeCommit(fixture: EngineFixture): void {
  describe("commit", () => {
    events(fixture)
    atomic(fixture)
    groups(fixture)
    outbox(fixture)
  })
}

function events(fixture: EngineFixture): void {
  test("every event carries who caused it, its label, its origin, its time and the schema version", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    const event = { ...notice("n1", { text: "hello" }), principal: "model", label: { integrity: "web", privacy: "private" }, origin: "tool:run" } as const
    await engine.commit(claim, { events: [event] })
    const [read] = await engine.read({ session: "s1" })
    assert.ok(read)
    const { principal, label, origin, v, run, key, kind, data, body, session } = read
    assert.deepEqual(
      { principal, label, origin, v, run, key, kind, data, body, session },
      { ...event, v: eventVersion, kind: "notice", session: "s1" },
    )
    assert.match(read.bodyHash ?? "", /^[0-9a-f]{64}$/)
    assert.equal(typeof read.at, "number")
  })

  test("what a commit returns is what a later reader finds", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    const body = { missing: undefined, number: Number.NaN, when: new Date(0), list: [undefined], minus: -0 }
    const committed = await engine.commit(claim, { events: [notice("n1", body), notice("n2"), notice("n3", null)] })
    assert.equal(committed.kind, "done")
    assert.deepEqual(committed.kind === "done" && committed.events, await engine.read({ session: "s1" }))
  })

  test("changing a value after it was committed changes nothing", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    const body = { list: [1] }
    const committed = await engine.commit(claim, { events: [notice("n1", body)] })
    body.list.push(2)
    assert.deepEqual(committed.kind === "done" && committed.events[0]?.body, { list: [1] })
  })

  test("a second event of one kind with the same key is refused with all that came with it", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    await engine.commit(claim, { events: [notice("n1")] })
    await assert.rejects(engine.commit(claim, { events: [notice("n2"), notice("n1")] }), withCode("duplicate-event"))
    assert.deepEqual(keysOf(await engine.read({ session: "s1" })), ["n1"])
    const other = await heldSession(engine, "s2", "w2")
    await engine.commit(other, { events: [notice("n1")] })
  })

  test("a body of more than 64 KB comes back whole", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    const body = { text: "大".repeat(200_000) }
    await engine.commit(claim, { events: [notice("n1", body), notice("n2", body)] })
    const read = await engine.read({ session: "s1" })
    assert.deepEqual(read.map((event) => event.body), [body, body])
  })
}

/** Everything that a batch can write, so that a refusal has much to take back. */
function everything(messages: readonly string[]): Batch {
  return {
    events: [notice("n1")],
    consumes: messages,
    opens: [approval("a-new")],
    reserve: { id: "res", scopes: [{ scope: "run:r1", maxTokens: 100, maxMicros: null }], tokens: 10, micros: 10 },
    outbox: [{ id: "o1", run: "r1", target: "chat", body: "bye" }],
    sends: [message("child", "task")],
    answers: [{ token: "a-other", answer: { granted: true }, by: "child" }],
    cancelSessions: [{ session: "s2", reason: "parent-ended" }],
    run: { run: "r1", session: "s1", state: "running", title: "t", startedAt: 1, endedAt: null, steps: 0, tokens: 0, micros: 0 },
  }
}

async function nothingWritten(engine: Engine): Promise<void> {
  assert.deepEqual(keysOf(await engine.read({ session: "s1" })), ["n0"])
  assert.deepEqual((await engine.promises({})).map(({ token, state }) => `${token} ${state}`), ["a-other open"])
  assert.deepEqual(await engine.budgets(["run:r1"]), [{ scope: "run:r1", usedTokens: 0, usedMicros: 0, heldTokens: 0, heldMicros: 0 }])
  assert.deepEqual(await engine.outbox(10), [])
  assert.deepEqual(await engine.runs({}), [])
  assert.equal(await engine.claim("w9", 1000), null)
}

function atomic(fixture: EngineFixture): void {
  const reasons: readonly (readonly [string, Partial<Batch>, string])[] = [
    ["an event exists already", { events: [notice("n1"), notice("n0")] }, "duplicate-event"],
    ["the budget does not suffice", { reserve: { id: "res", scopes: [{ scope: "day:1", maxTokens: 5, maxMicros: null }], tokens: 10, micros: 0 } }, "budget-refused"],
    ["an approval was not given", { uses: [{ token: "a-other", actionHash: "action", validMs: 1000 }] }, "approval-refused"],
  ]
  for (const [why, refused, code] of reasons) {
    test(`nothing of a batch is written if ${why}`, async (t) => {
      const { engine } = await opened(t, fixture)
      const claim = await heldSession(engine, "s1")
      const other = await heldSession(engine, "s2", "w2")
      await engine.commit(other, { events: [], opens: [approval("a-other")] })
      await rest(engine, other)
      await engine.commit(claim, { events: [notice("n0")] })
      const { messages } = await engine.inbox(claim)
      const batch: Batch = { ...everything(messages.map(({ id }) => id)), ...refused }
      const result = await engine.commit(claim, batch).catch((error: unknown) => error)
      assert.ok(result !== null && typeof result === "object" && "code" in result)
      assert.equal(result.code, code)
      await nothingWritten(engine)
      assert.equal((await engine.inbox(claim)).messages.length, 1)
      assert.equal((await engine.inbox(claim)).cancel, null)
    })
  }

  test("a batch that is accepted is written with all its parts", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    const other = await heldSession(engine, "s2", "w2")
    await engine.commit(other, { events: [], opens: [approval("a-other")] })
    await rest(engine, other)
    const { messages } = await engine.inbox(claim)
    const committed = await engine.commit(claim, everything(messages.map(({ id }) => id)))
    assert.equal(committed.kind, "done")
    assert.deepEqual((await engine.inbox(claim)).messages, [])
    assert.deepEqual((await engine.promises({})).map(({ token, state }) => `${token} ${state}`).sort(), ["a-new open", "a-other answered"])
    assert.equal((await engine.budgets(["run:r1"]))[0]?.heldTokens, 10)
    assert.equal((await engine.outbox(10)).length, 1)
    assert.equal((await engine.runs({ state: "running" })).length, 1)
    const woken = [await claimed(engine, "w3"), await claimed(engine, "w4")].map(({ session }) => session)
    assert.deepEqual(woken.sort(), ["child", "s2"])
  })
}

function groups(fixture: EngineFixture): void {
  test("calls that are refused do not disturb others that were made at the same moment", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    await engine.commit(claim, { events: [notice("n0")] })
    const results = await Promise.allSettled([
      engine.send(message("s2", "m1")),
      engine.commit(claim, { events: [notice("n1")] }),
      engine.commit(claim, { events: [notice("n0")] }),
      engine.commit({ ...claim, fence: claim.fence + 1 }, { events: [notice("n2")] }),
      engine.commit(claim, { events: [notice("n3")] }),
      engine.inbox({ ...claim, worker: "somebody else" }),
      engine.send(message("s2", "m2")),
    ])
    assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "fulfilled", "rejected", "rejected", "fulfilled", "rejected", "fulfilled"])
    assert.deepEqual(keysOf(await engine.read({ session: "s1" })), ["n0", "n1", "n3"])
    assert.equal((await engine.inbox(await claimed(engine, "w2"))).messages.length, 2)
  })
}

function outbox(fixture: EngineFixture): void {
  test("a reply stays in the outbox until it is marked, in the order of writing", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    for (const id of ["o1", "o2", "o3"]) {
      await engine.commit(claim, { events: [{ ...notice(id), label: owner }], outbox: [{ id, run: "r1", target: "chat:1", body: { text: id } }] })
    }
    await engine.markOutbox("o1", "sent")
    await engine.markOutbox("o2", "unknown")
    const rows = await engine.outbox(10)
    assert.deepEqual(rows.map(({ id, target, session, body }) => ({ id, target, session, body })), [{ id: "o3", target: "chat:1", session: "s1", body: { text: "o3" } }])
  })

  test("closing a promise in the journal ends its appearance in the mailbox", async (t) => {
    const { engine } = await opened(t, fixture)
    const claim = await heldSession(engine, "s1")
    await engine.commit(claim, { events: [], opens: [approval("a1")] })
    await engine.answer({ token: "a1", answer: { granted: true }, by: "owner" })
    assert.deepEqual((await engine.inbox(claim)).promises.map(({ state }) => state), ["answered"])
    await engine.commit(claim, { events: [closed("a1")] })
    assert.deepEqual((await engine.inbox(claim)).promises, [])
  })
}
