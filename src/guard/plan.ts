// What a command has done to its workspace, read from the upper layer of its overlay: a list of operations that can be applied
// any number of times with the same result. Made before anything is applied and kept with the outcome.
import { type BigIntStats, chmodSync, lchownSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import type { FileChange } from "../kernel/isolator.ts"
import { breathe } from "./pinned.ts"

export type Operation =
  /** Whatever is there goes, with everything below it. `replaced`: something else comes in its place. */
  | { readonly kind: "remove"; readonly path: string; readonly replaced: boolean }
  /** A folder is there, with this mode; one that was `added` also gets this time. */
  | { readonly kind: "folder"; readonly path: string; readonly mode: number; readonly mtimeMs: number; readonly added: boolean }
  /** The file or link moves out of the upper layer. `copied`: it was there before, so the overlay has marked it. */
  | { readonly kind: "place"; readonly path: string; readonly copied: boolean }

export interface Plan {
  readonly operations: readonly Operation[]
  readonly changes: readonly FileChange[]
  readonly changesTotal: number
  /** Devices, pipes and sockets that the command made; they are not taken over. */
  readonly refused: readonly string[]
}

export interface User {
  readonly uid: number
  readonly gid: number
}

export interface PlanSource {
  readonly upper: string
  /** The workspace as it is outside. */
  readonly lower: string
  /** True if a folder of the upper layer hides the lower one. */
  readonly isOpaque: (path: string) => Promise<boolean>
  /** Whom files belong to that the sandbox's user made; null: they are ours already. */
  readonly owner: { readonly from: User; readonly to: User } | null
}

const mostChanges = 1_000
/** Set-uid, set-gid and sticky bits are the machine's, not an agent's: nothing applied ever has them. */
const modeBits = 0o777

export async function planOf(source: PlanSource): Promise<Plan> {
  const planner = new Planner(source)
  await planner.folder("", "shown")
  return planner.plan()
}

class Planner {
  readonly #source: PlanSource
  readonly #operations: Operation[] = []
  readonly #changes: FileChange[] = []
  readonly #refused: string[] = []
  #total = 0
  #looked = 0

  constructor(source: PlanSource) {
    this.#source = source
  }

  plan(): Plan {
    return { operations: this.#operations, changes: this.#changes, changesTotal: this.#total, refused: this.#refused }
  }

  /** How the lower folder of the same name is seen: not at all in a folder that was made anew above it. */
  async folder(path: string, lower: "shown" | "hidden" | "none"): Promise<void> {
    const names = readdirSync(join(this.#source.upper, path)).sort()
    for (const name of names) {
      if (++this.#looked % 256 === 0) await breathe()
      await this.#entry(path === "" ? name : `${path}/${name}`, lower)
    }
  }

  async #entry(path: string, folder: "shown" | "hidden" | "none"): Promise<void> {
    const upper = lstatSync(join(this.#source.upper, path), { bigint: true })
    const lower = folder === "none" ? null : (lstatSync(join(this.#source.lower, path), { bigint: true, throwIfNoEntry: false }) ?? null)
    if (upper.isDirectory()) return this.#directory(path, upper, lower, folder === "hidden")
    if (upper.isFile() || upper.isSymbolicLink()) {
      this.#adopt(path, upper)
      if (lower && this.#isSame(path, upper, lower)) return
      if (lower?.isDirectory()) this.#operations.push({ kind: "remove", path, replaced: true })
      this.#operations.push({ kind: "place", path, copied: lower !== null })
      return this.#note(path, lower ? "changed" : "added")
    }
    const isWhiteout = upper.isCharacterDevice() && upper.rdev === 0n
    if (!isWhiteout) this.#refused.push(path)
    if (!lower) return
    this.#operations.push({ kind: "remove", path, replaced: false })
    this.#note(path, "removed")
  }

  async #directory(path: string, upper: BigIntStats, lower: BigIntStats | null, hidden: boolean): Promise<void> {
    this.#adopt(path, upper)
    const mode = Number(upper.mode) & modeBits
    const mtimeMs = Number(upper.mtimeMs)
    if (!lower?.isDirectory()) {
      if (lower) this.#operations.push({ kind: "remove", path, replaced: true })
      this.#operations.push({ kind: "folder", path, mode, mtimeMs, added: true })
      this.#note(path, lower ? "changed" : "added")
      return this.folder(path, "none")
    }
    if (mode !== (Number(lower.mode) & modeBits)) {
      // Bits that the folder had before stay: they were the owner's choice.
      this.#operations.push({ kind: "folder", path, mode: mode | (Number(lower.mode) & 0o7000), mtimeMs, added: false })
      this.#note(path, "changed")
    }
    const made = hidden || (await this.#source.isOpaque(path))
    if (made) this.#removeHidden(path)
    await this.folder(path, made ? "hidden" : "shown")
  }

  /** A folder that was removed and made again: what it held before and does not hold now is gone. */
  #removeHidden(path: string): void {
    const kept = new Set(readdirSync(join(this.#source.upper, path)))
    for (const name of readdirSync(join(this.#source.lower, path)).sort()) {
      if (kept.has(name)) continue
      this.#operations.push({ kind: "remove", path: `${path}/${name}`, replaced: false })
      this.#note(`${path}/${name}`, "removed")
    }
  }

  /** Opened for writing and closed again, or touched and set back: nothing has changed. */
  #isSame(path: string, upper: BigIntStats, lower: BigIntStats): boolean {
    const files = [join(this.#source.upper, path), join(this.#source.lower, path)] as const
    if (upper.isSymbolicLink()) return lower.isSymbolicLink() && readlinkSync(files[0]) === readlinkSync(files[1])
    if (!lower.isFile() || upper.size !== lower.size || upper.mtimeNs !== lower.mtimeNs || (upper.mode & 0o777n) !== (lower.mode & 0o777n)) return false
    if (upper.size > 16n * 1024n * 1024n) return false
    return readFileSync(files[0]).equals(readFileSync(files[1]))
  }

  /** The entry gets the owner and the mode that it will have outside. Nobody else can reach the upper layer any more. */
  #adopt(path: string, upper: BigIntStats): void {
    const { owner } = this.#source
    const file = join(this.#source.upper, path)
    const [uid, gid] = [Number(upper.uid), Number(upper.gid)]
    if (owner && (uid === owner.from.uid || gid === owner.from.gid)) {
      lchownSync(file, uid === owner.from.uid ? owner.to.uid : uid, gid === owner.from.gid ? owner.to.gid : gid)
    }
    const mode = Number(upper.mode)
    if (upper.isFile() && (mode & 0o7000) !== 0) chmodSync(file, mode & modeBits)
  }

  #note(path: string, change: FileChange["change"]): void {
    this.#total++
    if (this.#changes.length < mostChanges) this.#changes.push({ path, change })
  }
}
