// How long the command line takes as a whole process, beside an empty program in the same Node.
import { spawnSync } from "node:child_process"
import { type Case, median, timed } from "../figure.ts"
import { bin, install } from "../../test/e2e/harness.ts"

const rounds = 15

export const startup: Case = async () => {
  await using installation = await install()
  await installation.connect()
  const run = (args: readonly string[]): Promise<number> =>
    timed(() => {
      const { status, stderr } = spawnSync(process.execPath, args, { env: installation.env, cwd: installation.workspace })
      if (status !== 0) throw new Error(stderr.toString())
    })
  const samples: Record<"empty" | "version" | "help" | "status", number[]> = { empty: [], version: [], help: [], status: [] }
  for (let round = 0; round < rounds; round++) {
    samples.empty.push(await run(["-e", "0"]))
    samples.version.push(await run([bin, "--version"]))
    samples.help.push(await run([bin, "--help"]))
    samples.status.push(await run([bin, "status"]))
  }
  const empty = median(samples.empty)
  const figure = (name: "version" | "help" | "status", what: string, goal: string, anchor: string) => ({
    what,
    value: median(samples[name]),
    unit: "ms",
    goal,
    beside: `${(median(samples[name]) / empty).toFixed(1)} × an empty Node program (${empty.toFixed(0)} ms); ${anchor}`,
  })
  return [
    figure("version", "chela --version", "≤ 80 ms", ""),
    figure("help", "chela --help", "", "OpenClaw 1,600 ms"),
    figure("status", "chela status, host running", "≤ 200 ms", "OpenClaw 5,300 ms"),
  ]
}
