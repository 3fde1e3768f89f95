// Memory of a process and everything below it, as proportional set size: shared pages are counted once.
import { readdirSync, readFileSync } from "node:fs"

/** Bytes; Linux only. */
export function pssOfTree(root: number): number {
  return tree(root).reduce((sum, pid) => sum + pss(pid), 0)
}

function tree(root: number): readonly number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    const stat = read(`/proc/${name}/stat`)
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    parents.set(Number(name), Number(fields[1]))
  }
  const found = [root]
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child)
  return found
}

function pss(pid: number): number {
  const kilobytes = /^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1]
  return Number(kilobytes ?? 0) * 1024
}

/** Empty if the process is gone. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}
