// Silence, cancellation and connections that are never closed, by a clock that the test moves.
import assert from "node:assert/strict"
import { test } from "node:test"
import { manualClock } from "../../bench/scripted-server/manual-clock.ts"
import { callOf, failureOf, modelAt, request, setUp, turn } from "../../bench/scripted-server/model-setup.ts"

test("a server that never closes a finished stream costs a second, not the reply", async (t) => {
  const { model, clock } = await setUp(t, [turn], { faults: ["never-close"] })
  let text = ""
  const work = model.call(
    request,
    callOf((delta) => (text += delta.kind === "text" ? delta.text : "")),
  )
  const outcome = work.then((reply) => reply.parts.length)
  while (text.length < (turn.text ?? "").length) await new Promise((resolve) => setImmediate(resolve))
  for (let second = 0; second < 5; second += 1) {
    await clock.advance(400)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(await outcome, 4)
})

for (const [fault, phase, waitedMs] of [
  ["hang", "connect", 20_000],
  ["hang-after-head", "idle", 60_000],
] as const) {
  test(`an endpoint that is silent (${fault}) times out by the clock, not before`, async (t) => {
    const head = Promise.withResolvers<void>()
    const watched: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      head.resolve()
      return response
    }
    const { server, model, clock } = await setUp(t, [turn], { faults: [fault], connectMs: 20_000, fetch: watched })
    const work = failureOf(model.call(request, callOf()))
    let ended = false
    void work.then(() => (ended = true))
    await (phase === "idle" ? head.promise : server.received(1))
    await clock.advance(0)
    await clock.advance(waitedMs - 1)
    assert.equal(ended, false)
    await clock.advance(1)
    const error = await work
    assert.deepEqual([error.code, error.params], ["model-timeout", { host: new URL(server.url).host, phase, waitedMs }])
  })
}

for (const fault of ["hang", "hang-after-head", "never-close"] as const) {
  test(`a canceled call ends at once (${fault})`, async (t) => {
    const { server, model } = await setUp(t, [turn], { faults: [fault] })
    const stop = new AbortController()
    const work = failureOf(
      model.call(
        request,
        callOf(() => {}, stop.signal),
      ),
    )
    await server.received(1)
    const begun = performance.now()
    stop.abort()
    assert.equal((await work).code, "canceled")
    assert.ok(performance.now() - begun < 1000)
  })
}

test("a call that is canceled before it begins sends nothing", async (t) => {
  const { server, model } = await setUp(t, [turn])
  assert.equal(
    (
      await failureOf(
        model.call(
          request,
          callOf(() => {}, AbortSignal.abort()),
        ),
      )
    ).code,
    "canceled",
  )
  assert.equal(server.requests.length, 0)
})

test("a canceled call ends at once even over a fetch that hears no signal", async () => {
  const deaf: typeof fetch = () => new Promise(() => {})
  const stop = new AbortController()
  const work = failureOf(
    modelAt("http://127.0.0.1:9/v1", manualClock(), { fetch: deaf }).call(
      request,
      callOf(() => {}, stop.signal),
    ),
  )
  stop.abort()
  assert.equal((await work).code, "canceled")
})

test("a canceled call ends at once in the middle of a stream, and the line is closed", async (t) => {
  const { server, model } = await setUp(t, [{ text: "x".repeat(5000) }], { faults: ["slow"] })
  const stop = new AbortController()
  const work = failureOf(
    model.call(
      request,
      callOf(() => stop.abort(), stop.signal),
    ),
  )
  const begun = performance.now()
  assert.equal((await work).code, "canceled")
  assert.ok(performance.now() - begun < 1000)
  await server.idle()
})

test("a connection is used again after a whole reply", async (t) => {
  const { server, model } = await setUp(t, [turn])
  for (let round = 0; round < 6; round += 1) await model.call(request, callOf())
  // Node's own fetch makes a second one before it begins to share.
  assert.ok(server.connections() <= 2, `${server.connections()} connections`)
})
