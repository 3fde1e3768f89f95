// Shows a run on the terminal while it works, and asks the owner when it waits. Only complete lines are kept; the line of
// the running step is rewritten in place and never reaches a pipe.
import { oneLine, printable } from "../base/printable.ts"
import type { Client } from "../client/client.ts"
import type { JournalEvent } from "../protocol/event.ts"
import { exitCode, type ExitCode } from "../protocol/exit.ts"
import type { Part } from "../protocol/message.ts"
import type { CliContext } from "./command.ts"
import { follow, type Followed, type Watcher } from "./follow.ts"
import { amount, duration } from "./format.ts"
import { questionText, Timeline } from "./timeline.ts"

export interface WatchOptions {
  readonly connect: () => Promise<Client>
  readonly followed: Followed
  /** Called with every event, before it is shown. */
  readonly onEvent?: (event: JournalEvent) => void
}

/** Follows a run to its end or until it waits for an answer that nobody here can give; prints how it ended. */
export async function watchRun(context: CliContext, options: WatchOptions): Promise<ExitCode> {
  const screen = new Screen(context)
  const startedAt = performance.now()
  let after: string | undefined
  const watcher: Watcher = {
    event(event) {
      after = event.cursor
      options.onEvent?.(event)
      screen.event(event)
    },
    live: (delta) => screen.live(delta.text),
    reconnecting: () => screen.note(context.t("run-reconnecting")),
  }
  try {
    for (;;) {
      const { connect, followed } = options
      const end = await follow({ connect, followed, watcher, signal: context.interrupted, ...(after !== undefined && { after }) })
      screen.clear()
      if (end.kind === "interrupted") return await stopInterrupted(context, options)
      if (end.kind === "ended") return printEnd(context, screen, end.event, performance.now() - startedAt)
      const answered = await answerQuestions(context, await connect(), followed)
      if (!answered) return exitCode.waiting
    }
  } finally {
    screen.close()
  }
}

/** Ctrl-C: the run is stopped cleanly and stays in the journal. */
async function stopInterrupted(context: CliContext, { connect, followed }: WatchOptions): Promise<ExitCode> {
  const client = await connect()
  await client.stop(followed.run, "Ctrl-C").catch(() => undefined)
  context.warn(context.t("run-stopped", { run: followed.run }))
  return exitCode.stopped
}

function printEnd(context: CliContext, screen: Screen, event: JournalEvent, tookMs: number): ExitCode {
  const { t } = context
  const data = event.data?.kind === "run-ended" ? event.data : null
  if (context.json) return data?.outcome === "done" ? exitCode.done : data?.outcome === "canceled" ? exitCode.stopped : exitCode.failed
  const parts = Array.isArray(event.body) ? (event.body as readonly Part[]) : []
  const reply = printable(parts.map((part) => (part.kind === "text" ? part.text : "")).join("")).trim()
  if (reply !== "") context.print(`\n${reply}\n`)
  if (data?.outcome === "failed") context.warn(t("run-failed", { why: t(data.code ?? "internal", data.params ?? {}) }))
  if (data?.outcome === "canceled") context.warn(t("run-stopped", { run: event.run }))
  const { steps, tokens, micros, atMost } = screen.timeline.totals
  context.warn(t("run-summary", { run: event.run, steps, tokens, cost: amount(micros, atMost), took: duration(tookMs) }))
  return data?.outcome === "done" ? exitCode.done : data?.outcome === "canceled" ? exitCode.stopped : exitCode.failed
}

/** Asks each open question of the session. False if somebody else has to answer. */
async function answerQuestions(context: CliContext, client: Client, followed: Followed): Promise<boolean> {
  const open = (await client.questions("open")).filter(({ session }) => session === followed.session)
  for (const question of open) {
    if (!context.interactive || context.json) {
      context.warn(context.t("run-waiting", { run: followed.run, token: question.token, action: questionText(question.body, context) }))
      return false
    }
    const said = await context.ask(context.t("question-allow", { action: questionText(question.body, context) }), context.interrupted)
    if (said === null) return false
    const granted = /^\s*(y|yes|j|是|好|可以|允许)\s*$/i.test(said)
    const { first, question: now } = await client.answer(question.token, { granted, by: "owner" })
    if (!first) context.warn(context.t("approval-answered", { token: question.token, by: now.answeredBy ?? now.state }))
  }
  return true
}

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
const frameMs = 120

class Screen {
  readonly timeline: Timeline
  readonly #context: CliContext
  readonly #timer: NodeJS.Timeout | null
  #running: { readonly label: string; readonly from: number; text: string } | null = null
  #frame = 0
  #drawn = false

  constructor(context: CliContext) {
    this.#context = context
    this.timeline = new Timeline(context)
    this.#timer = context.interactive && !context.json ? setInterval(() => this.#draw(), frameMs) : null
  }

  event(event: JournalEvent): void {
    if (this.#context.json) return this.#context.print(JSON.stringify({ kind: "event", event }))
    const started = this.timeline.started(event)
    const lines = this.timeline.lines(event)
    if (lines.length > 0) this.clear()
    for (const line of lines) this.#context.print(line)
    if (started) this.#running = { label: `${started.number} ${started.label}`, from: performance.now(), text: "" }
    if (event.kind === "step-finished") this.#running = null
  }

  live(text: string): void {
    if (this.#running) this.#running.text = (this.#running.text + text).slice(-400)
  }

  note(text: string): void {
    if (this.#context.json) return
    this.clear()
    this.#context.warn(text)
  }

  clear(): void {
    if (this.#drawn) this.#context.write("\r\u001B[2K")
    this.#drawn = false
  }

  close(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.clear()
  }

  #draw(): void {
    if (!this.#running) return
    const { label, from, text } = this.#running
    const sign = frames[this.#frame++ % frames.length]
    const tail = text.trim().split("\n").at(-1) ?? ""
    const line = oneLine(`${label}  ${duration(performance.now() - from)}  ${tail}`, this.#context.columns - 5)
    this.#context.write(`\r\u001B[2K ${sign} ${line}`)
    this.#drawn = true
  }
}

