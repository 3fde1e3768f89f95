// `chela demo`: a recorded model does a job of ten steps with real commands in a visible folder. In the middle its host is
// ended with `kill -9`; it goes on where it was. Needs no key and no network.
import { randomUUID } from "node:crypto"
import { existsSync } from "node:fs"
import { join, resolve } from "node:path"
import type { JournalEvent } from "../../protocol/event.ts"
import { exitCode, type ExitCode } from "../../protocol/exit.ts"
import { type CliContext, defineCommand } from "../command.ts"
import { writeDemoFiles } from "../demo-files.ts"
import { watchRun } from "../watch.ts"

/** The host is killed while this tool step is under way. */
const killedStep = 5

export const demo = defineCommand({
  name: "demo",
  args: { dir: { type: "string", valueHint: "folder" }, json: { type: "boolean" } },
  async run(context, args) {
    const { t } = context
    const folder = freeFolder(resolve(context.cwd, args.dir ?? "chela-demo"))
    const workspace = join(folder, "work")
    const home = join(folder, "state")
    writeDemoFiles(workspace)
    say(context, [t("demo-begin", { folder: workspace }), t("demo-recorded"), ""])
    const connect = () => context.connect(home)
    const client = await connect()
    const { sandbox } = await client.status()
    say(context, [t(`sandbox-tier-${sandbox?.tier ?? "none"}`, { staging: sandbox?.staging ?? "" })])
    if (sandbox?.tier === "none") {
      for (const { code, params } of sandbox.reasons) context.warn(t(code, params))
      return exitCode.failed
    }
    const task = t("demo-task")
    const started = await client.startRun({
      idem: randomUUID(),
      parts: [{ kind: "text", text: task }],
      workspace,
      route: { kind: "recorded", name: "demo" },
    })
    say(context, [`> ${task}`, ""])
    const tally = new Tally()
    const { pid } = await client.status()
    const onEvent = (event: JournalEvent): void => {
      if (tally.add(event) !== killedStep) return
      process.kill(pid, "SIGKILL")
      say(context, ["", t("demo-killed", { pid, step: killedStep }), ""])
    }
    const end = await watchRun(context, { connect, followed: started, onEvent })
    await (await connect()).shutdown()
    return finish(context, { end, tally, folder, home, run: started.run })
  },
})

interface Finish {
  readonly end: ExitCode
  readonly tally: Tally
  readonly folder: string
  readonly home: string
  readonly run: string
}

function finish(context: CliContext, { end, tally, folder, home, run }: Finish): ExitCode {
  const { t } = context
  const { finished, twice, again } = tally.figures()
  say(context, ["", t("demo-figures", { finished, twice, again }), t("demo-folder", { folder: join(folder, "work") }), t("demo-show", { home, run }), "", t("demo-next")])
  return twice > 0 ? exitCode.failed : end
}

/** Counts what the journal says of the tool steps. */
class Tally {
  readonly #begun = new Map<string, number>()
  readonly #finished = new Map<string, number>()

  /** The number of the tool step that this event begins for the first time; 0 for any other event. */
  add(event: JournalEvent): number {
    const data = event.data
    if (data?.kind === "step-started" && data.step === "tool") {
      const key = event.key.slice(0, event.key.lastIndexOf("#"))
      this.#begun.set(key, data.attempt)
      return data.attempt === 1 ? this.#begun.size : 0
    }
    if (data?.kind === "step-finished" && data.step === "tool") this.#finished.set(event.key, (this.#finished.get(event.key) ?? 0) + 1)
    return 0
  }

  figures(): { finished: number; twice: number; again: number } {
    return {
      finished: this.#finished.size,
      twice: [...this.#finished.values()].filter((times) => times > 1).length,
      again: [...this.#begun.values()].filter((attempt) => attempt > 1).length,
    }
  }
}

function say(context: CliContext, lines: readonly string[]): void {
  if (!context.json) for (const line of lines) context.print(line)
}

function freeFolder(wanted: string): string {
  if (!existsSync(wanted)) return wanted
  for (let number = 2; ; number++) if (!existsSync(`${wanted}-${number}`)) return `${wanted}-${number}`
}
