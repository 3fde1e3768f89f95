// One command from start to end: its output is read, its time and its output are bounded, and it can be ended from outside.
// When this resolves, no process of the command lives any more.
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, constants, openSync, unlinkSync, writeFileSync } from "node:fs"
import { Socket } from "node:net"
import type { JobOutcome } from "../kernel/isolator.ts"
import { HeadAndTail, type KeptOutput } from "./output.ts"
import { childrenOf, killAll, killNow, type ProcessName } from "./process.ts"

export interface Launch {
  readonly program: string
  readonly args: readonly string[]
  /** Files whose descriptors the program gets as 3, 4, …; opened for this launch and closed after it. */
  readonly files: readonly string[]
  /** Null: as ourselves. */
  readonly user: { readonly uid: number; readonly gid: number } | null
  /** A fresh named pipe; the command's output. It is unlinked once both ends are open. */
  readonly fifo: string
  /** Finds what may be left of a command whose first process was killed. */
  readonly leftovers: (first: number) => readonly ProcessName[]
}

export interface CommandLimits {
  readonly timeoutMs: number
  readonly keepBytes: number
  readonly maxOutputBytes: number
}

export interface CommandResult extends KeptOutput {
  readonly end: JobOutcome["end"]
  readonly exitCode: number | null
  readonly signal: string | null
  readonly durationMs: number
  /** What the sandbox itself complained about; the command cannot write there. */
  readonly complaint: string
}

export interface Watching {
  readonly onStart?: (pid: number) => void
  readonly onOutput?: (chunk: Buffer) => void
  readonly signal: AbortSignal
}

const longestTimer = 2 ** 31 - 1
/** Killed commands are first asked of the kernel to end the namespace; then their remains are searched. */
const killWithinMs = 5_000

/** Rejects if the program cannot be started. */
export async function runCommand(launch: Launch, limits: CommandLimits, watching: Watching): Promise<CommandResult> {
  const startedAt = performance.now()
  const kept = new HeadAndTail(limits.keepBytes)
  const reader = openSync(launch.fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const output = new Socket({ fd: reader, readable: true, writable: false })
  const child = start(launch)
  let ended: JobOutcome["end"] = "exited"
  let killing: Promise<unknown> = Promise.resolve()
  const finish = (end: JobOutcome["end"]): void => {
    if (ended !== "exited" || child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    ended = end
    killing = endCommand(child.pid, launch)
  }
  const cancel = (): void => finish("canceled")
  const timer = setTimeout(() => finish("timeout"), Math.min(limits.timeoutMs, longestTimer))
  output.on("data", (chunk: Buffer) => {
    if (ended === "output-limit") return
    const room = limits.maxOutputBytes - kept.total
    const taken = chunk.length > room ? chunk.subarray(0, room) : chunk
    kept.push(taken)
    watching.onOutput?.(taken)
    if (chunk.length > room) finish("output-limit")
  })
  const drained = new Promise<void>((resolve) => output.on("close", resolve).on("error", () => output.destroy()))
  try {
    const complaint = collect(child)
    const exited = waitFor(child)
    if (child.pid !== undefined) watching.onStart?.(child.pid)
    watching.signal.addEventListener("abort", cancel, { once: true })
    if (watching.signal.aborted) cancel()
    const { code, signal } = await exited
    // The sandbox's first process dies with everything in it; whoever still holds the pipe is on its way out.
    await killing
    await closed(drained, output, () => launch.leftovers(child.pid ?? 0))
    const durationMs = Math.round(performance.now() - startedAt)
    return { ...kept.finish(), end: ended, ...statusOf(ended, code, signal), durationMs, complaint: complaint() }
  } finally {
    clearTimeout(timer)
    watching.signal.removeEventListener("abort", cancel)
    output.destroy()
  }
}

function start(launch: Launch): ChildProcess {
  const writer = openSync(launch.fifo, constants.O_WRONLY)
  unlinkSync(launch.fifo)
  const files: number[] = []
  try {
    for (const path of launch.files) files.push(openSync(path, "r"))
    return spawn(launch.program, launch.args, {
      env: {},
      cwd: "/",
      stdio: ["ignore", writer, "pipe", ...files],
      ...(launch.user ?? {}),
    })
  } finally {
    closeSync(writer)
    files.forEach((file) => closeSync(file))
  }
}

/** What stands on the sandbox's own error stream, as far as anybody will read it. */
function collect(child: ChildProcess): () => string {
  let text = ""
  child.stderr?.setEncoding("utf8").on("data", (piece: string) => {
    if (text.length < 4_000) text += piece
  })
  return () => text.trim()
}

function waitFor(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code, signal }))
    if (child.pid !== undefined) preferForKilling(child.pid)
  })
}

/** When memory runs out, the kernel takes a command before it takes anything of the owner's. */
function preferForKilling(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "500")
  } catch {
    // Not ours to change here, or the process is gone.
  }
}

/** Ends the first process inside (and with it the namespace) before its guardian, so that its death is seen to be complete. */
async function endCommand(pid: number, launch: Launch): Promise<void> {
  const inside = childrenOf(pid)
  inside.forEach(killNow)
  await killAll(() => [...inside, ...launch.leftovers(pid)], killWithinMs)
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // Ended already.
  }
}

async function closed(drained: Promise<void>, output: Socket, leftovers: () => readonly ProcessName[]): Promise<void> {
  let done = false
  void drained.then(() => (done = true))
  const deadline = performance.now() + killWithinMs
  for (let wait = 50; !done && performance.now() < deadline; wait = 20) {
    await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, wait))])
    if (!done) leftovers().forEach(killNow)
  }
  output.destroy()
}

/** A shell says 128 + n when what it ran was ended by signal n; the first process inside is a shell. */
function statusOf(end: JobOutcome["end"], code: number | null, signal: string | null): { exitCode: number | null; signal: string | null } {
  if (end !== "exited") return { exitCode: null, signal: "SIGKILL" }
  return { exitCode: code, signal }
}
