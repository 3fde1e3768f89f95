// A folder tree that others may write to while we do: every folder on the way is opened by descriptor without following links,
// so that no symbolic link, however quickly it is swapped in, leads a change out of the tree.
import { type BigIntStats, chmodSync, closeSync, constants, lstatSync, openSync, readdirSync, rmdirSync, unlinkSync } from "node:fs"
import { basename, dirname } from "node:path"

/** A folder on the way is missing or is no folder (any more). */
export class PathChanged extends Error {
  override readonly name = "PathChanged"
  readonly path: string

  constructor(path: string, cause: unknown) {
    super(`no folder: ${path}`, { cause })
    this.path = path
  }
}

const openFolder = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

export class PinnedTree {
  readonly root: string
  /** Open folders from the root to the one used last. */
  readonly #open: { readonly path: string; readonly fd: number }[] = []

  /** Throws if `root` is no folder. */
  constructor(root: string) {
    this.root = root
    this.#open.push({ path: "", fd: openSync(root, openFolder) })
  }

  /** A path of the entry that is resolved from its pinned folder; only its last part may be a link, which is not followed. */
  at(path: string): string {
    const folder = dirname(path)
    return `/proc/self/fd/${this.#folder(folder === "." ? "" : folder)}/${basename(path)}`
  }

  /** The folder itself by descriptor; throws `PathChanged`. */
  folder(path: string): string {
    return `/proc/self/fd/${this.#folder(path)}`
  }

  /** Null if nothing is there; throws `PathChanged` if its folder is not. */
  lstat(path: string): BigIntStats | null {
    return lstatSync(this.at(path), { bigint: true, throwIfNoEntry: false }) ?? null
  }

  /** Everything below and the entry itself; nothing there is fine. */
  async remove(path: string): Promise<void> {
    const found = this.lstat(path)
    if (!found) return
    if (!found.isDirectory()) return unlinkSync(this.at(path))
    const folder = this.folder(path)
    if ((found.mode & 0o700n) !== 0o700n) chmodSync(folder, 0o700)
    await breathe()
    for (const name of readdirSync(folder)) await this.remove(`${path}/${name}`)
    rmdirSync(this.at(path))
  }

  /** The entry and everything below it, folders first. */
  *walk(path: string): Generator<{ readonly path: string; readonly stat: BigIntStats }> {
    const stat = this.lstat(path)
    if (!stat) return
    yield { path, stat }
    if (stat.isDirectory()) for (const name of readdirSync(this.folder(path))) yield* this.walk(`${path}/${name}`)
  }

  /** Safe to call twice. */
  close(): void {
    for (const { fd } of this.#open.splice(0)) closeSync(fd)
  }

  #folder(path: string): number {
    while (this.#open.length > 1 && !within(path, this.#open.at(-1)?.path ?? "")) {
      const last = this.#open.pop()
      if (last) closeSync(last.fd)
    }
    const last = this.#open.at(-1)
    if (!last) throw new PathChanged(path, "closed")
    let { path: here, fd } = last
    const rest = path.slice(here === "" ? 0 : here.length + 1)
    for (const part of rest === "" ? [] : rest.split("/")) {
      here = here === "" ? part : `${here}/${part}`
      try {
        if (part === "" || part === "." || part === "..") throw new Error("not a name")
        fd = openSync(`/proc/self/fd/${fd}/${part}`, openFolder)
      } catch (cause) {
        throw new PathChanged(here, cause)
      }
      this.#open.push({ path: here, fd })
    }
    return fd
  }
}

function within(path: string, folder: string): boolean {
  return folder === "" || path === folder || path.startsWith(`${folder}/`)
}

/** Lets other work of the process go on. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
