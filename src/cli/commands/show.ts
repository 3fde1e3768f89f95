// `chela show [run]`: the timeline of a run, the newest one unless told.
import { AppError } from "../../base/error.ts"
import { printable } from "../../base/printable.ts"
import type { Client } from "../../client/client.ts"
import type { RunDetail } from "../../protocol/api.ts"
import { exitCode } from "../../protocol/exit.ts"
import type { Part } from "../../protocol/message.ts"
import { type CliContext, defineCommand } from "../command.ts"
import { amount, duration, moment } from "../format.ts"
import { Timeline } from "../timeline.ts"

export const show = defineCommand({
  name: "show",
  args: { run: { type: "positional", required: false }, json: { type: "boolean" } },
  async run(context, args) {
    const client = await context.connect()
    const detail = await client.run(args.run ?? (await newest(client)))
    if (context.json) context.print(JSON.stringify(detail))
    else printRun(context, detail)
    return exitCode.done
  },
})

/** Throws `run-unknown` if there is none. */
async function newest(client: Client): Promise<string> {
  const [run] = await client.runs({ limit: 1 })
  if (!run) throw new AppError("run-unknown", { run: "-" })
  return run.run
}

function printRun(context: CliContext, detail: RunDetail): void {
  const { t, print } = context
  const { run, state, title, startedAt, endedAt, events } = detail
  print(`${run}  ${t(`run-state-${state}`)}  ${moment(startedAt)}`)
  print(printable(title))
  print("")
  const timeline = new Timeline(context)
  for (const event of events) for (const line of timeline.lines(event)) print(line)
  const ended = events.findLast(({ kind }) => kind === "run-ended")
  const data = ended?.data?.kind === "run-ended" ? ended.data : null
  const parts = Array.isArray(ended?.body) ? (ended.body as readonly Part[]) : []
  const reply = printable(parts.map((part) => (part.kind === "text" ? part.text : "")).join("")).trim()
  if (reply !== "") print(`\n${reply}`)
  if (data?.code !== undefined) print(`\n${t(data.code, data.params ?? {})}`)
  const { steps, tokens, micros, atMost } = timeline.totals
  const tookMs = (endedAt ?? events.at(-1)?.at ?? startedAt) - startedAt
  print(`\n${t("run-summary", { run, steps, tokens, cost: amount(micros, atMost), took: duration(tookMs) })}`)
}
