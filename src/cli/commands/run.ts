// `chela run "<task>"`, and `chela "<task>"`: gives a task and watches it to its end.
import { randomUUID } from "node:crypto"
import { resolve } from "node:path"
import { AppError } from "../../base/error.ts"
import type { NewRun } from "../../protocol/api.ts"
import { type CliContext, defineCommand } from "../command.ts"
import { routeOf } from "../route.ts"
import { watchRun } from "../watch.ts"

export const run = defineCommand({
  name: "run",
  args: {
    workspace: { type: "string", alias: "w", valueHint: "folder" },
    session: { type: "string", valueHint: "session" },
    ask: { type: "boolean" },
    json: { type: "boolean" },
  },
  async run(context, args) {
    const text = await taskText(context, args._)
    const newRun: NewRun = {
      idem: randomUUID(),
      parts: [{ kind: "text", text }],
      workspace: resolve(context.cwd, args.workspace ?? "."),
      commands: args.ask ? "ask" : "allow",
      ...(args.session !== undefined && { session: args.session }),
      ...routeOf(context.env),
    }
    const client = await context.connect()
    const started = await client.startRun(newRun)
    if (!context.json) context.warn(context.t("run-started", { run: started.run, workspace: newRun.workspace }))
    return watchRun(context, { connect: context.connect, followed: started })
  },
})

/** Some programs start others with a pipe that they never use. */
const silentPipeMs = 3_000

/** The words on the command line, and behind them what is piped in. Throws `task-empty`, `task-not-text`. */
async function taskText(context: CliContext, words: readonly string[]): Promise<string> {
  const input = await context.readInput(words.length === 0 ? null : silentPipeMs)
  if (!input) context.warn(context.t("input-silent"))
  const piped = decode(input ?? new Uint8Array())
  const text = [words.join(" "), piped].filter((part) => part.trim() !== "").join("\n\n")
  if (text === "") throw new AppError("task-empty")
  return text
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new AppError("task-not-text", {}, { cause })
  }
}
