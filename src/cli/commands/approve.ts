// `chela approve <token>` and `chela deny <token>`: answers a question. The first answer counts, whoever gives it.
import { AppError } from "../../base/error.ts"
import { exitCode, type ExitCode } from "../../protocol/exit.ts"
import { type CliContext, defineCommand } from "../command.ts"

const args = { token: { type: "positional", required: true }, json: { type: "boolean" } } as const

export const approve = defineCommand({ name: "approve", args, run: (context, { token }) => answer(context, token, true) })
export const deny = defineCommand({ name: "deny", args, run: (context, { token }) => answer(context, token, false) })

async function answer(context: CliContext, token: string, granted: boolean): Promise<ExitCode> {
  if (!token) throw new AppError("approval-unknown", { token: "-" })
  const { first, question } = await (await context.connect()).answer(token, { granted, by: "owner" })
  if (context.json) context.print(JSON.stringify({ first, question }))
  else if (first) context.print(context.t(granted ? "approval-granted" : "approval-denied", { token, run: question.run }))
  else context.warn(context.t(question.state === "expired" ? "approval-expired" : "approval-answered", { token, by: question.answeredBy ?? question.state }))
  return first ? exitCode.done : exitCode.failed
}
