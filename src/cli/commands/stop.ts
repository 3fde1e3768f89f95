// `chela stop [run]`: ends a run and everything it started, and waits until that is so. The newest open one unless told.
import { AppError } from "../../base/error.ts"
import type { Client } from "../../client/client.ts"
import type { RunSummary } from "../../protocol/api.ts"
import { exitCode } from "../../protocol/exit.ts"
import { defineCommand } from "../command.ts"
import { follow } from "../follow.ts"
import { duration } from "../format.ts"

export const stop = defineCommand({
  name: "stop",
  args: { run: { type: "positional", required: false }, json: { type: "boolean" } },
  async run(context, args) {
    const client = await context.find()
    if (!client) throw new AppError("run-unknown", { run: args.run ?? "-" })
    const from = performance.now()
    const run = args.run ?? (await newestOpen(client)).run
    const stopped = await client.stop(run)
    const nothing = { event: () => {}, live: () => {}, reconnecting: () => {} }
    // A parked run has its parking in the journal: its end comes behind that.
    let after: string | undefined
    for (;;) {
      const options = { connect: async () => client, followed: stopped, watcher: nothing, signal: context.interrupted }
      const end = await follow({ ...options, ...(after !== undefined && { after }) })
      if (end.kind !== "parked") break
      after = end.event.cursor
    }
    const took = duration(performance.now() - from)
    context.print(context.json ? JSON.stringify({ run, took }) : context.t("stop-done", { run, took }))
    return exitCode.done
  },
})

/** Throws `run-unknown` if nothing is open. */
async function newestOpen(client: Client): Promise<RunSummary> {
  const [running] = await client.runs({ limit: 1, state: "running" })
  const open = running ?? (await client.runs({ limit: 1, state: "parked" }))[0]
  if (!open) throw new AppError("run-unknown", { run: "-" })
  return open
}
