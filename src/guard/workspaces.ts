// The workspaces that commands work in: how each is seen from inside the sandbox, who works in it now, and which paths other
// commands have changed since a given one began.
import { lstatSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { AppError } from "../base/error.ts"
import { isErrno } from "./errno.ts"
import { Gate } from "./gate.ts"
import { mountFlag, type Mounts } from "./mounts.ts"
import type { Operation, Plan, User } from "./plan.ts"

export interface Workspace {
  readonly path: string
  /** Owner of the folder; everything that is applied becomes theirs. */
  readonly owner: User
  /** A bind mount of the folder on which the sandbox's user is its owner; null where nothing can be mounted. */
  readonly lower: string | null
  /** True if the folder must be given to the sandbox's user while a command runs. */
  readonly needsChown: boolean
  /** True if other file systems are mounted inside; an overlay would not show them. */
  readonly holdsMounts: boolean
  readonly gate: Gate
  /** One plan after the other. */
  readonly applying: Gate
  readonly applied: AppliedLog
}

/** Paths that commands changed, in the order in which they were applied. */
export class AppliedLog {
  readonly #entries: { readonly at: number; readonly path: string; readonly whole: boolean }[] = []
  readonly #open = new Set<number>()
  #next = 1

  /** A command begins now; `end` must be called with what is returned. */
  begin(): number {
    const at = this.#next++
    this.#open.add(at)
    return at
  }

  end(at: number): void {
    this.#open.delete(at)
    const oldest = Math.min(this.#next, ...this.#open)
    let forgotten = 0
    while ((this.#entries[forgotten]?.at ?? Infinity) < oldest) forgotten++
    this.#entries.splice(0, forgotten)
  }

  add(plan: Plan): void {
    const at = this.#next++
    if (this.#open.size === 0) return
    for (const operation of plan.operations) this.#entries.push({ at, path: operation.path, whole: takesWhole(operation) })
  }

  /** The first path of the plan that was changed after `since`; null if there is none. */
  collision(plan: Plan, since: number): string | null {
    const newer = this.#entries.filter(({ at }) => at > since)
    if (newer.length === 0) return null
    const paths = new Set(newer.map(({ path }) => path))
    const trees = newer.filter(({ whole }) => whole).map(({ path }) => `${path}/`)
    for (const operation of plan.operations) {
      const { path } = operation
      if (paths.has(path) || trees.some((tree) => path.startsWith(tree))) return path
      if (takesWhole(operation) && newer.some((entry) => entry.path.startsWith(`${path}/`))) return path
    }
    return null
  }
}

function takesWhole(operation: Operation): boolean {
  return operation.kind === "remove"
}

export interface WorkspacesOptions {
  /** Where mounts are made; null: nowhere. */
  readonly mountFolder: string | null
  readonly mounts: Mounts | null
  /** Whom commands run as; null: as ourselves. */
  readonly user: User | null
}

export class Workspaces {
  readonly #options: WorkspacesOptions
  readonly #known = new Map<string, { readonly key: string; readonly workspace: Promise<Workspace> }>()
  #count = 0

  constructor(options: WorkspacesOptions) {
    this.#options = options
  }

  /** Rejects with `workspace-missing`, `workspace-not-folder`, `workspace-read-only` or a `MountError`. */
  async get(path: string): Promise<Workspace> {
    const found = look(path)
    const key = `${found.dev}:${found.ino}:${found.uid}:${found.gid}`
    const known = this.#known.get(path)
    if (known?.key === key) return known.workspace
    const opened = this.#open(path, { uid: found.uid, gid: found.gid })
    this.#known.set(path, { key, workspace: opened })
    opened.catch(() => this.#known.delete(path))
    return opened
  }

  async #open(path: string, owner: User): Promise<Workspace> {
    const { mounts, mountFolder, user } = this.#options
    const fresh = { path, owner, holdsMounts: hasMountsInside(path), gate: new Gate(), applying: new Gate(), applied: new AppliedLog() }
    const strange = user !== null && owner.uid !== user.uid
    if (!mounts || mountFolder === null) return { ...fresh, lower: null, needsChown: strange }
    const lower = join(mountFolder, String(this.#count++))
    mkdirSync(lower, { recursive: true })
    if (strange && user && (await this.#idmap(path, lower, owner, user))) return { ...fresh, lower, needsChown: false }
    await mounts.mount(path, lower, "", mountFlag.bind)
    return { ...fresh, lower, needsChown: strange }
  }

  /** Owner and sandbox user change places, everybody else stays who they are. False where the file system cannot do it. */
  async #idmap(path: string, lower: string, owner: User, user: User): Promise<boolean> {
    try {
      const [uids, gids] = [swapMap(owner.uid, user.uid, mappable("uid")), swapMap(owner.gid, user.gid, mappable("gid"))]
      await this.#options.mounts?.idmap(path, lower, uids, gids)
      return true
    } catch {
      return false
    }
  }

  /** Takes the mounts away. */
  async close(): Promise<void> {
    for (const { workspace } of this.#known.values()) {
      const { lower } = await workspace
      if (lower === null) continue
      await this.#options.mounts?.unmount(lower).catch(() => undefined)
      rmSync(lower, { recursive: false, force: true })
    }
    this.#known.clear()
  }
}

function look(path: string): { dev: number; ino: number; uid: number; gid: number } {
  try {
    const found = lstatSync(path)
    if (!found.isDirectory()) throw new AppError("workspace-not-folder", { path })
    return found
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) throw new AppError("workspace-missing", { path }, { cause: error })
    throw error
  }
}

function hasMountsInside(path: string): boolean {
  const escaped = path.replace(/[ \t\n\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`)
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => (line.split(" ")[4] ?? "").startsWith(`${escaped}/`))
}

/** How many ids, from 0, exist in this user namespace. */
function mappable(kind: "uid" | "gid"): number {
  const [first = "0", , count = "0"] = readFileSync(`/proc/self/${kind}_map`, "utf8").trim().split(/\s+/)
  return first === "0" ? Number(count) : 0
}

/** Lines `inside outside count` that exchange two ids and leave all others alone. */
export function swapMap(a: number, b: number, count: number): string {
  if (a === b) return `0 0 ${count}`
  const [low, high] = a < b ? [a, b] : [b, a]
  const ranges: readonly (readonly [number, number, number])[] = [
    [0, 0, low],
    [low, high, 1],
    [low + 1, low + 1, high - low - 1],
    [high, low, 1],
    [high + 1, high + 1, count - high - 1],
  ]
  return ranges.filter(([, , length]) => length > 0).map((range) => range.join(" ")).join("\n")
}
