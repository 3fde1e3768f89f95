// Files that are there whole or not at all, whatever is killed or loses power when.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs"
import { open } from "node:fs/promises"
import { dirname } from "node:path"

/** Temporary file, fsync, rename, fsync of the folder. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, "w", 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  renameSync(temporary, path)
  await syncPath(dirname(path))
}

/** The same for what a crash may forget: whole, but perhaps not yet on disk. */
export function writeWhole(path: string, text: string): void {
  const file = openSync(`${path}.new`, "w", 0o600)
  try {
    writeSync(file, text)
  } finally {
    closeSync(file)
  }
  renameSync(`${path}.new`, path)
}

/** Fsync of a file or folder. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, "r")
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** As `syncPath`, for a descriptor's path that may not be opened a moment later. */
export function syncNow(path: string): void {
  const file = openSync(path, "r")
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Null if there is no such file. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return null
  }
}
