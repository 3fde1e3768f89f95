// The gate through which a command changes a workspace: carries a plan out, refusing every path that leads through a link, and
// can be begun again from its first line after a crash. What was placed has left the upper layer, so nothing is applied twice.
import {
  chmodSync, closeSync, constants, copyFileSync, lchownSync, linkSync, lstatSync, mkdirSync, openSync, readFileSync, readlinkSync, renameSync, rmSync,
  symlinkSync, unlinkSync, utimesSync,
} from "node:fs"
import { dirname, join } from "node:path"
import { isErrno } from "./errno.ts"
import { syncPath } from "./durable.ts"
import type { Mounts } from "./mounts.ts"
import { breathe, PathChanged, PinnedTree } from "./pinned.ts"
import type { Operation, Plan, User } from "./plan.ts"

export interface Application {
  readonly job: string
  readonly plan: Plan
  readonly upper: string
  readonly workspace: string
  /** Null: what we make is ours and so is the workspace. */
  readonly owner: User | null
  readonly mounts: Mounts | null
  /** Called before the first change of the workspace. */
  readonly onBegin?: () => void
}

/** The workspace was changed by somebody else since the command began; nothing was applied. */
export class Conflict extends Error {
  override readonly name = "Conflict"
}

/** More files than this are brought to disk together with everything else on their file system. */
const syncEach = 32

/** The files of a plan are on disk before anybody is told that the command has ended. */
export async function syncPlan({ plan, upper, mounts }: Pick<Application, "plan" | "upper" | "mounts">): Promise<void> {
  const files = plan.operations.filter((operation) => operation.kind === "place").map(({ path }) => join(upper, path))
  if (files.length > syncEach && mounts) return mounts.syncFileSystem(upper)
  for (const file of files) if (lstatSync(file).isFile()) await syncPath(file)
}

/**
 * Throws `Conflict` if a path of the plan was changed since `since` (nanoseconds of the file system's own clock), or if a
 * folder on the way to it is gone. `since` null: only the latter.
 */
export async function checkPlan(plan: Plan, workspace: string, since: bigint | null): Promise<void> {
  const tree = new PinnedTree(workspace)
  const added = new Set<string>()
  let looked = 0
  const changed = (at: bigint): boolean => since !== null && at > since
  try {
    for (const operation of plan.operations) {
      const { path } = operation
      if (++looked % 256 === 0) await breathe()
      if (operation.kind === "folder" && operation.added) added.add(path)
      if (added.has(dirname(path))) continue
      const found = tree.lstat(path)
      if (operation.kind === "folder" && !operation.added) {
        if (!found?.isDirectory()) throw new Conflict(path)
        continue
      }
      if (!found) continue
      if (changed(found.ctimeNs)) throw new Conflict(path)
      if (operation.kind !== "remove" || !found.isDirectory()) continue
      for (const { path: below, stat } of tree.walk(path)) if (changed(stat.ctimeNs)) throw new Conflict(below)
    }
  } catch (error) {
    throw error instanceof PathChanged ? new Conflict(error.path) : error
  } finally {
    tree.close()
  }
}

/** After a crash it is called again with the same plan. Rejects with the file system's error, or `PathChanged`. */
export async function applyPlan(application: Application): Promise<void> {
  const { plan, upper, workspace } = application
  if (plan.operations.length === 0) return
  const tree = new PinnedTree(workspace)
  try {
    const source = sameMount(upper, workspace) ? upper : await bringOver(application, tree)
    application.onBegin?.()
    const folders = new Set<string>()
    let done = 0
    for (const operation of plan.operations) {
      if (++done % 128 === 0) await breathe()
      await applyOne(operation, application, source, tree)
      folders.add(dirname(operation.path))
    }
    finishFolders(plan.operations, tree)
    if (source !== upper) await tree.remove(carrierOf(application.job))
    if (folders.size > syncEach && application.mounts) await application.mounts.syncFileSystem(workspace)
    else for (const folder of folders) await syncFolder(folder, tree)
  } finally {
    tree.close()
  }
}

async function applyOne(operation: Operation, application: Application, source: string, tree: PinnedTree): Promise<void> {
  const { path } = operation
  switch (operation.kind) {
    case "remove":
      return removeOld(operation, application, tree)
    case "folder": {
      const found = tree.lstat(path)
      if (found?.isDirectory()) return
      mkdirSync(tree.at(path), { mode: 0o700 })
      if (application.owner) lchownSync(tree.at(path), application.owner.uid, application.owner.gid)
      return
    }
    case "place": {
      const from = join(source, path)
      if (!lstatSync(from, { throwIfNoEntry: false })) return
      if (operation.copied && application.mounts) await application.mounts.strip(from)
      renameSync(from, tree.at(path))
      if (source !== application.upper) rmSync(join(application.upper, path), { force: true })
      return
    }
  }
}

/** What is replaced goes only while the new is not there yet: when it is begun again, the new must stay. */
async function removeOld(operation: Operation & { kind: "remove" }, { upper }: Application, tree: PinnedTree): Promise<void> {
  const { path, replaced } = operation
  if (replaced) {
    const coming = lstatSync(join(upper, path), { throwIfNoEntry: false })
    const there = tree.lstat(path)
    if (!coming || !there || coming.isDirectory() === there.isDirectory()) return
  }
  await tree.remove(path)
}

/** Modes last, because a folder that nobody may write could not be filled; deepest first, because filling changes times. */
function finishFolders(operations: readonly Operation[], tree: PinnedTree): void {
  for (const operation of operations.toReversed()) {
    if (operation.kind !== "folder") continue
    const folder = tree.folder(operation.path)
    chmodSync(folder, operation.mode)
    if (operation.added) utimesSync(folder, operation.mtimeMs / 1000, operation.mtimeMs / 1000)
  }
}

/** Not on the same mount, so nothing can be renamed across: everything is copied into one folder of the workspace first. */
async function bringOver({ job, plan, upper, owner }: Application, tree: PinnedTree): Promise<string> {
  const carrier = carrierOf(job)
  await tree.remove(carrier)
  try {
    mkdirSync(tree.at(carrier), { mode: 0o700 })
    const base = tree.folder(carrier)
    const firstNames = new Map<string, string>()
    let made = 0
    for (const { kind, path } of plan.operations) {
      if (kind !== "place") continue
      if (++made % 32 === 0) await breathe()
      const stat = lstatSync(join(upper, path), { bigint: true, throwIfNoEntry: false })
      if (!stat) continue
      const target = join(base, path)
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
      const first = firstNames.get(String(stat.ino))
      if (first) linkSync(first, target)
      else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(join(upper, path)), target)
      else await copyFile(join(upper, path), target, stat)
      if (!first && owner) lchownSync(target, Number(stat.uid), Number(stat.gid))
      if (stat.nlink > 1n && stat.isFile()) firstNames.set(String(stat.ino), target)
    }
    return `${tree.root}/${carrier}`
  } catch (error) {
    await tree.remove(carrier)
    throw error
  }
}

async function copyFile(from: string, to: string, stat: { mode: bigint; atimeMs: bigint; mtimeNs: bigint }): Promise<void> {
  copyFileSync(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
  chmodSync(to, Number(stat.mode) & 0o777)
  const seconds = Number(stat.mtimeNs) / 1e9
  utimesSync(to, seconds, seconds)
  await syncPath(to)
}

function carrierOf(job: string): string {
  return `.chela-${job}`
}

async function syncFolder(path: string, tree: PinnedTree): Promise<void> {
  try {
    await syncPath(tree.folder(path === "." ? "" : path))
  } catch (error) {
    // A folder that a later line of the plan removed.
    if (!(error instanceof PathChanged)) throw error
  }
}

/** Rename works within one mount only, even if two mounts show the same file system. */
export function sameMount(a: string, b: string): boolean {
  const [first, second] = [mountOf(a), mountOf(b)]
  return first !== null && first === second
}

function mountOf(path: string): string | null {
  const fd = openSync(path, "r")
  try {
    return /mnt_id:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? null
  } finally {
    closeSync(fd)
  }
}

/** Forgets the upper layer once it is applied or not wanted. */
export function discard(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 2 })
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error
  }
}

/** A hard error of the file system that no repetition cures. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error
  }
}
