// The quick form of the kill test; the long one goes over every step of 30.
import assert from "node:assert/strict"
import { test } from "node:test"
import { killTest } from "./kill.ts"

test("a run whose host is killed inside a step and between steps loses and repeats nothing", async () => {
  const seen = new Set<string>()
  const report = await killTest({
    steps: 5,
    killAt(event) {
      // Once inside each tool step, once behind every second one.
      const step = event.key.split("#")[0] ?? ""
      const tool = step.includes("/t")
      const wanted = (event.kind === "step-started" && tool) || (event.kind === "step-finished" && tool && step.endsWith("2/t1"))
      if (!wanted || seen.has(event.kind + step)) return false
      seen.add(event.kind + step)
      return true
    },
  })
  assert.equal(report.lost, 0)
  assert.equal(report.repeated, 0)
  assert.ok(report.kills >= 6, `${report.kills} kills`)
})
