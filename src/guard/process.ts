// Other processes as /proc shows them: who they are, whether they still live, and how to end them for certain. A process is
// named by pid and start time, because pids come round again.
import { readdirSync, readFileSync } from "node:fs"

export interface ProcessName {
  readonly pid: number
  /** In ticks since the machine started. */
  readonly startTime: string
}

interface ProcessStat {
  readonly state: string
  readonly parent: number
  readonly group: number
  readonly startTime: string
}

export function statOf(pid: number): ProcessStat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The name stands in parentheses and may hold anything, so fields are counted from the last one.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
    return { state: fields[0] ?? "?", parent: Number(fields[1]), group: Number(fields[2]), startTime: fields[19] ?? "" }
  } catch {
    return null
  }
}

export function nameOf(pid: number): ProcessName | null {
  const found = statOf(pid)
  return found && { pid, startTime: found.startTime }
}

/** False for a zombie: it can do nothing any more. */
export function isAlive({ pid, startTime }: ProcessName): boolean {
  const found = statOf(pid)
  return found !== null && found.startTime === startTime && found.state !== "Z" && found.state !== "X"
}

/** Direct children. */
export function childrenOf(pid: number): readonly ProcessName[] {
  let pids: number[]
  try {
    pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number)
  } catch {
    pids = allPids().filter((candidate) => statOf(candidate)?.parent === pid)
  }
  return pids.map(nameOf).filter((name) => name !== null)
}

export function allPids(): number[] {
  return readdirSync("/proc").map(Number).filter((pid) => Number.isInteger(pid) && pid > 0)
}

/** Living processes of a process group. */
export function membersOf(group: number): readonly ProcessName[] {
  return allPids()
    .filter((pid) => statOf(pid)?.group === group)
    .map(nameOf)
    .filter((name) => name !== null && isAlive(name)) as ProcessName[]
}

/** Living processes that have all these words among their arguments. */
export function processesWith(words: readonly string[]): readonly ProcessName[] {
  return allPids()
    .filter((pid) => {
      try {
        const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
        return words.every((word) => args.includes(word))
      } catch {
        return false
      }
    })
    .map(nameOf)
    .filter((name) => name !== null)
}

/** Sends SIGKILL to a process that may be gone already. */
export function killNow(name: ProcessName): void {
  try {
    if (isAlive(name)) process.kill(name.pid, "SIGKILL")
  } catch {
    // It ended between the two lines.
  }
}

/** Ends them all and resolves when none lives; false if some still live after `withinMs` (stuck in the kernel). */
export async function killAll(find: () => readonly ProcessName[], withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const living = find().filter(isAlive)
    if (living.length === 0) return true
    if (performance.now() > deadline) return false
    living.forEach(killNow)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
