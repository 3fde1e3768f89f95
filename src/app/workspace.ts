// Which folders may be a workspace: real, writable, and never one whose loss would be the loss of a computer.
import { accessSync, constants, realpathSync, statSync } from "node:fs"
import { dirname, isAbsolute, resolve, sep } from "node:path"
import { AppError } from "../base/error.ts"

const systemFolders = [
  "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var",
  "/Applications", "/Library", "/System", "/private/etc", "/private/var",
]
/** These hold other people's files; folders inside them are fine. */
const sharedFolders = ["/home", "/Users", "/mnt", "/media", "/opt", "/srv", "/tmp", "/private/tmp", "/var/tmp", "/Volumes"]
/** Folders inside a system folder that people do work in. */
const exceptions = ["/var/tmp", "/var/www", "/usr/local/src", "/usr/src", "/var/folders", "/private/var/folders", "/run/user"]

export interface Forbidden {
  /** Home folders, the state folder. */
  readonly homes: readonly string[]
  readonly state: string
}

/** The real path of a workspace. Throws `workspace-missing`, `-not-folder`, `-read-only` or `-forbidden`. */
export function checkWorkspace(given: string, forbidden: Forbidden): string {
  if (!isAbsolute(given)) throw new AppError("workspace-missing", { path: given })
  let path: string
  try {
    path = realpathSync(resolve(given))
  } catch (cause) {
    throw new AppError("workspace-missing", { path: given }, { cause })
  }
  if (!statSync(path).isDirectory()) throw new AppError("workspace-not-folder", { path })
  refuseForbidden(path, forbidden)
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new AppError("workspace-read-only", { path }, { cause })
  }
  return path
}

function refuseForbidden(path: string, { homes, state }: Forbidden): void {
  const real = (folder: string): string => {
    try {
      return realpathSync(folder)
    } catch {
      return folder
    }
  }
  const isHome = homes.map(real).includes(path)
  const isSystem = systemFolders.some((folder) => within(path, folder)) && !homes.some((home) => within(path, real(home)))
  const isException = exceptions.some((folder) => within(path, folder) && path !== folder)
  const holdsHome = homes.some((home) => within(real(home), path))
  const holdsState = within(real(state), path) || within(path, real(state))
  if (path === sep || dirname(path) === path || isHome || holdsHome || holdsState || sharedFolders.includes(path) || (isSystem && !isException)) {
    throw new AppError("workspace-forbidden", { path })
  }
}

/** True if `path` is `folder` or inside it. */
function within(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}
