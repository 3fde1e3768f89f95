// Killed at every step boundary and inside every step of a run of 30 commands, with and without the process that supervises
// the commands.
import assert from "node:assert/strict"
import { test } from "node:test"
import { killTest } from "./kill.ts"

test("a run of 30 commands killed inside every step and at every boundary loses and repeats nothing", async (context) => {
  const seen = new Set<string>()
  const report = await killTest({
    steps: 30,
    killAt(event) {
      if (event.kind !== "step-started" && event.kind !== "step-finished") return false
      const mark = event.kind + (event.key.split("#")[0] ?? "")
      if (seen.has(mark)) return false
      seen.add(mark)
      return true
    },
  })
  context.diagnostic(`${report.kills} kills, ${report.steps} steps, lost ${report.lost}, repeated ${report.repeated}, begun again ${report.again}`)
  assert.equal(report.lost, 0)
  assert.equal(report.repeated, 0)
  assert.ok(report.kills >= 120)
})
