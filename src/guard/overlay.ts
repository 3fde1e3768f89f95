// A command's own layer over its workspace: it reads the workspace and writes into a folder of its job. Whatever happens to
// the command, the workspace is what it was until a plan is applied.
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, rmdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { discard } from "./apply.ts"
import type { Mounts } from "./mounts.ts"
import type { User } from "./plan.ts"
import type { Workspace } from "./workspaces.ts"

export interface OverlayOptions {
  readonly mounts: Mounts
  /** A private file system in memory, for mount points. */
  readonly mountFolder: string
  /** Extra options of the mount. */
  readonly mountOptions: string
  readonly user: User | null
}

export interface Layer {
  /** What the sandbox binds as its workspace. */
  readonly merged: string
  readonly upper: string
  /** Nanoseconds of the file system's own clock before the command began. */
  readonly since: bigint
  isOpaque(path: string): Promise<boolean>
  /** The command has ended: nothing is mounted any more. Safe to call twice. */
  unmount(): Promise<void>
}

/** Rejects with a `MountError` where an overlay of this workspace is refused. */
export async function openLayer(folder: string, workspace: Workspace, options: OverlayOptions): Promise<Layer> {
  const { mounts, mountFolder, mountOptions, user } = options
  if (workspace.lower === null) throw new Error("the workspace is not mounted")
  const [upper, work] = [join(folder, "upper"), join(folder, "work")]
  mkdirSync(upper, { recursive: true, mode: 0o700 })
  mkdirSync(work, { mode: 0o700 })
  const seen = statSync(workspace.lower)
  if (user && (seen.uid !== 0 || seen.gid !== 0)) chownSync(upper, seen.uid, seen.gid)
  chmodSync(upper, seen.mode & 0o7777)
  const since = stampOf(upper, workspace.path)
  const merged = join(mountFolder, folder.slice(folder.lastIndexOf("/") + 1))
  mkdirSync(merged, { recursive: true })
  await mounts.overlay({ folder, lower: workspace.lower, target: merged, options: mountOptions })
  let mounted = true
  return {
    merged,
    upper,
    since,
    async isOpaque(path) {
      return (await mounts.isOpaque(join(upper, path))) ?? looksOpaque({ upper, merged, lower: workspace.path }, path)
    },
    async unmount() {
      if (!mounted) return
      mounted = false
      await mounts.unmount(merged)
      rmdirSync(merged)
      discard(work)
    },
  }
}

/** The time of a change that was made just now, by the clock of the file system that holds the workspace. */
function stampOf(upper: string, workspace: string): bigint {
  const own = lstatSync(upper, { bigint: true })
  const found = lstatSync(workspace, { bigint: true })
  if (own.dev === found.dev) return own.ctimeNs
  // Another file system may have another clock (a network share): setting the mode that the folder has makes it tell.
  chmodSync(workspace, Number(found.mode) & 0o7777)
  return lstatSync(workspace, { bigint: true }).ctimeNs
}

/** Without extended attributes: something of the lower folder is neither in the upper one nor shown. */
function looksOpaque({ upper, merged, lower }: { upper: string; merged: string; lower: string }, path: string): boolean {
  const known = new Set([...readdirSync(join(upper, path)), ...readdirSync(join(merged, path))])
  return readdirSync(join(lower, path)).some((name) => !known.has(name))
}
