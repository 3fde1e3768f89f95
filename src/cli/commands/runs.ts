// `chela runs`: the newest runs, one a line.
import { displayWidth, oneLine } from "../../base/printable.ts"
import { exitCode } from "../../protocol/exit.ts"
import { defineCommand } from "../command.ts"
import { amount, moment } from "../format.ts"

export const runs = defineCommand({
  name: "runs",
  args: { limit: { type: "string", alias: "n", default: "20", valueHint: "20" }, json: { type: "boolean" } },
  async run(context, args) {
    const { t, print } = context
    const found = await (await context.connect()).runs({ limit: Number(args.limit) })
    if (context.json) for (const run of found) print(JSON.stringify(run))
    else if (found.length === 0) print(t("runs-none"))
    else {
      const states = found.map(({ state }) => t(`run-state-${state}`))
      const width = Math.max(...states.map(displayWidth))
      for (const [i, run] of found.entries()) {
        const state = states[i] ?? ""
        const facts = `${run.run}  ${state}${" ".repeat(width - displayWidth(state))}  ${moment(run.startedAt)}  ${amount(run.micros, false).padStart(8)}  `
        print(facts + oneLine(run.title, Math.max(20, context.columns - displayWidth(facts))))
      }
    }
    return exitCode.done
  },
})
