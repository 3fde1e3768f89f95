// `chela approvals`: what the owner is asked, one a line.
import { exitCode } from "../../protocol/exit.ts"
import { defineCommand } from "../command.ts"
import { moment } from "../format.ts"
import { questionText } from "../timeline.ts"

export const approvals = defineCommand({
  name: "approvals",
  args: { json: { type: "boolean" } },
  async run(context) {
    const open = await (await context.connect()).questions("open")
    if (context.json) for (const question of open) context.print(JSON.stringify(question))
    else if (open.length === 0) context.print(context.t("approvals-none"))
    else for (const { token, run, openedAt, body } of open) context.print(`${token}  ${run}  ${moment(openedAt)}  ${questionText(body, context)}`)
    return exitCode.done
  },
})
